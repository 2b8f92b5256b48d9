"""A small, safe Python: expressions and simple statements over the input's keys, run by walking their syntax tree.

The text is the body of a function: ``return`` gives the value, and a single expression is its own value. What is not
listed here does not exist: no import, no attributes but the methods in ``python_values``, no classes, no exceptions to
catch, no way from a value to the host. The real interpreter never sees the script, only its parser does.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import lru_cache
from textwrap import dedent
from typing import Any

from orchestrator.scripts import python_values as values
from orchestrator.scripts.limits import MemoryExceeded, ScriptFailed, TimeExceeded
from orchestrator.scripts.python_nodes import (
    EXPRESSIONS,
    PARTS,
    STATEMENTS,
    Break,
    Continue,
    Lambda,
    Returned,
    at,
    unknown,
)

SOURCE_CHARACTERS_MAX = 64 * 1024
DEPTH_MAX = 120
"""How deep expressions and blocks may nest, calls of lambdas included."""

Names = dict[str, Any]


@lru_cache(maxsize=512)
def compile_body(script: str) -> list[ast.stmt]:
    """The script's statements. Raises ``ScriptFailed`` when it cannot be read or uses what does not exist."""
    if len(script) > SOURCE_CHARACTERS_MAX:
        raise ScriptFailed(f"the script is longer than {SOURCE_CHARACTERS_MAX} characters")
    try:
        return [ast.Return(ast.parse(script.strip(), mode="eval").body)]
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        pass
    try:
        return ast.parse(dedent(script)).body
    except SyntaxError as error:
        raise ScriptFailed(at(f"SyntaxError: {error.msg}", error.lineno or 1)) from None
    except (ValueError, MemoryError, RecursionError):
        raise ScriptFailed(
            "the script cannot be read: it nests too deeply or holds characters that no script may"
        ) from None


def check_syntax(script: str) -> str | None:
    """What is wrong with the script, without running it; None = nothing. Example: ``check_syntax("1 +")``."""
    try:
        body = compile_body(script)
    except ScriptFailed as error:
        return str(error)
    methods = {node.func for part in body for node in ast.walk(part) if isinstance(node, ast.Call)}
    for part in body:
        for node in ast.walk(part):
            known = STATEMENTS if isinstance(node, ast.stmt) else {**EXPRESSIONS, **PARTS}
            is_known = type(node).__name__ in known or node in methods
            if isinstance(node, ast.stmt | ast.expr) and not is_known:
                return unknown(node)
    return None


def evaluate(script: str, input: dict[str, Any], meter: values.Meter) -> Any:
    """The script's value; the input's keys are its names. The input is not changed.

    Raises ``ScriptFailed``, ``TimeExceeded`` or ``MemoryExceeded``.
    """
    body = compile_body(script)
    meter.walk(input)
    run = Run({name: _copied(value) for name, value in input.items()}, meter)
    try:
        run.block(body)
    except Returned as returned:
        return _plain(returned.value, meter, 0)
    except (Break, Continue):
        raise ScriptFailed("break and continue belong in a loop") from None
    return None


class Run:
    """One run: its names and its meter."""

    def __init__(self, names: Names, meter: values.Meter) -> None:
        self.names = names
        self.meter = meter
        self.depth = 0

    # --- statements -----------------------------------------------------------------------------------------------------

    def block(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            self.meter.step()
            handler = STATEMENTS.get(type(statement).__name__)
            if handler is None:
                raise ScriptFailed(unknown(statement))
            self._guarded(handler, statement)

    def _guarded(self, handler: Callable[[Run, Any], Any], node: Any) -> Any:
        """Run one piece; what Python finds wrong with it is the script's fault, told with its line."""
        self.depth += 1
        try:
            if self.depth > DEPTH_MAX:
                raise ScriptFailed(f"the script nests deeper than {DEPTH_MAX} levels")
            return handler(self, node)
        except (ScriptFailed, TimeExceeded, MemoryExceeded, Returned, Break, Continue):
            raise
        except RecursionError:
            raise ScriptFailed(f"the script nests deeper than {DEPTH_MAX} levels") from None
        except MemoryError:
            raise MemoryExceeded from None
        except Exception as error:
            raise ScriptFailed(at(f"{type(error).__name__}: {error}", node.lineno)) from None
        finally:
            self.depth -= 1

    def assign(self, target: ast.expr, value: Any) -> None:
        match target:
            case ast.Name(id=name):
                self.names[name] = value
            case ast.Subscript(value=holder, slice=index):
                found = self.value(holder)
                if isinstance(index, ast.Slice):
                    raise ScriptFailed(at("a slice cannot be assigned to", target.lineno))
                self.meter.take(values.ELEMENT_BYTES)
                found[self.value(index)] = value
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                if any(isinstance(each, ast.Starred) for each in targets):
                    raise ScriptFailed(at("a starred target is not available in scripts", target.lineno))
                items = list(self.items(value))
                if len(items) != len(targets):
                    raise ScriptFailed(at(f"{len(items)} values for {len(targets)} names", target.lineno))
                for each, item in zip(targets, items, strict=True):
                    self.assign(each, item)
            case _:
                raise ScriptFailed(at(f"{type(target).__name__} cannot be assigned to", target.lineno))

    def items(self, value: Any) -> Iterator[Any]:
        """The elements of a value, each paid for."""
        for item in value:
            self.meter.step()
            yield item

    # --- expressions ----------------------------------------------------------------------------------------------------

    def value(self, node: ast.expr) -> Any:
        self.meter.step()
        handler = EXPRESSIONS.get(type(node).__name__)
        if handler is None:
            raise ScriptFailed(unknown(node))
        return self._guarded(handler, node)

    def listed(self, nodes: list[ast.expr]) -> list[Any]:
        found: list[Any] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                found.extend(self.items(self.value(node.value)))
            else:
                found.append(self.value(node))
        self.meter.take(values.ELEMENT_BYTES * (1 + len(found)))
        return found

    def comprehend(self, generators: list[ast.comprehension], make: Callable[[], None]) -> None:
        """Run ``make`` for every element; the names of the loops are theirs alone."""
        outside = dict(self.names)
        try:
            self._nested(generators, make)
        finally:
            self.names = outside

    def _nested(self, generators: list[ast.comprehension], make: Callable[[], None]) -> None:
        if not generators:
            self.meter.take(values.ELEMENT_BYTES)
            make()
            return
        first, *rest = generators
        for item in self.items(self.value(first.iter)):
            self.assign(first.target, item)
            if all(self.value(condition) for condition in first.ifs):
                self._nested(rest, make)

    def call(self, node: ast.Call) -> Any:
        given = self.listed(node.args)
        named = {each.arg: self.value(each.value) for each in node.keywords if each.arg is not None}
        if len(named) != len(node.keywords):
            raise ScriptFailed("** is not available in scripts")
        if isinstance(node.func, ast.Attribute):
            return values.call_method(self.meter, self.value(node.func.value), node.func.attr, given, named)
        if isinstance(node.func, ast.Name) and node.func.id not in self.names and node.func.id in values.FUNCTIONS:
            return values.call_function(self.meter, node.func.id, given, named)
        found = self.value(node.func)
        if not isinstance(found, Lambda):
            raise ScriptFailed("only functions and lambdas can be called")
        return found(*given, **named)


def _copied(value: Any) -> Any:
    """A deep copy of a JSON value, so that no script changes what others see."""
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value


def _plain(value: Any, meter: values.Meter, depth: int) -> Any:
    """A result as JSON: tuples, sets and ranges become lists. Raises ``ScriptFailed`` for what JSON cannot say."""
    meter.step()
    meter.take(values.ELEMENT_BYTES // 4)
    if value is None or isinstance(value, bool | str | int | float):
        return value
    if depth > DEPTH_MAX:
        raise ScriptFailed(f"the result nests deeper than {DEPTH_MAX} levels")
    if isinstance(value, dict):
        return {_key(name): _plain(item, meter, depth + 1) for name, item in value.items()}
    if isinstance(value, set):
        value = sorted(value, key=repr)
    if isinstance(value, list | tuple | range):
        return [_plain(item, meter, depth + 1) for item in value]
    raise ScriptFailed("a script returns values, not functions")


def _key(name: Any) -> str:
    if isinstance(name, str):
        return name
    raise ScriptFailed(f"the keys of a map are texts, not {type(name).__name__}")
