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

SOURCE_CHARACTERS_MAX = 64 * 1024
DEPTH_MAX = 120
"""How deep expressions and blocks may nest, calls of lambdas included."""

FORMAT_WIDTH_MAX = 1000

Names = dict[str, Any]


class _Returned(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


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
        raise ScriptFailed(_at(f"SyntaxError: {error.msg}", error.lineno or 1)) from None
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
            known = _STATEMENTS if isinstance(node, ast.stmt) else {**_EXPRESSIONS, **_PARTS}
            is_known = type(node).__name__ in known or node in methods
            if isinstance(node, ast.stmt | ast.expr) and not is_known:
                return _unknown(node)
    return None


def evaluate(script: str, input: dict[str, Any], meter: values.Meter) -> Any:
    """The script's value; the input's keys are its names. The input is not changed.

    Raises ``ScriptFailed``, ``TimeExceeded`` or ``MemoryExceeded``.
    """
    body = compile_body(script)
    meter.walk(input)
    run = _Run({name: _copied(value) for name, value in input.items()}, meter)
    try:
        run.block(body)
    except _Returned as returned:
        return _plain(returned.value, meter, 0)
    except (_Break, _Continue):
        raise ScriptFailed("break and continue belong in a loop") from None
    return None


class _Run:
    """One run: its names and its meter."""

    def __init__(self, names: Names, meter: values.Meter) -> None:
        self.names = names
        self.meter = meter
        self.depth = 0

    # --- statements -----------------------------------------------------------------------------------------------------

    def block(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            self.meter.step()
            handler = _STATEMENTS.get(type(statement).__name__)
            if handler is None:
                raise ScriptFailed(_unknown(statement))
            self._guarded(handler, statement)

    def _guarded(self, handler: Callable[[_Run, Any], Any], node: Any) -> Any:
        """Run one piece; what Python finds wrong with it is the script's fault, told with its line."""
        self.depth += 1
        try:
            if self.depth > DEPTH_MAX:
                raise ScriptFailed(f"the script nests deeper than {DEPTH_MAX} levels")
            return handler(self, node)
        except (ScriptFailed, TimeExceeded, MemoryExceeded, _Returned, _Break, _Continue):
            raise
        except RecursionError:
            raise ScriptFailed(f"the script nests deeper than {DEPTH_MAX} levels") from None
        except MemoryError:
            raise MemoryExceeded from None
        except Exception as error:
            raise ScriptFailed(_at(f"{type(error).__name__}: {error}", node.lineno)) from None
        finally:
            self.depth -= 1

    def assign(self, target: ast.expr, value: Any) -> None:
        match target:
            case ast.Name(id=name):
                self.names[name] = value
            case ast.Subscript(value=holder, slice=index):
                found = self.value(holder)
                if isinstance(index, ast.Slice):
                    raise ScriptFailed(_at("a slice cannot be assigned to", target.lineno))
                self.meter.take(values.ELEMENT_BYTES)
                found[self.value(index)] = value
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                if any(isinstance(each, ast.Starred) for each in targets):
                    raise ScriptFailed(_at("a starred target is not available in scripts", target.lineno))
                items = list(self.items(value))
                if len(items) != len(targets):
                    raise ScriptFailed(_at(f"{len(items)} values for {len(targets)} names", target.lineno))
                for each, item in zip(targets, items, strict=True):
                    self.assign(each, item)
            case _:
                raise ScriptFailed(_at(f"{type(target).__name__} cannot be assigned to", target.lineno))

    def items(self, value: Any) -> Iterator[Any]:
        """The elements of a value, each paid for."""
        for item in value:
            self.meter.step()
            yield item

    # --- expressions ----------------------------------------------------------------------------------------------------

    def value(self, node: ast.expr) -> Any:
        self.meter.step()
        handler = _EXPRESSIONS.get(type(node).__name__)
        if handler is None:
            raise ScriptFailed(_unknown(node))
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
        if not isinstance(found, _Lambda):
            raise ScriptFailed("only functions and lambdas can be called")
        return found(*given, **named)


class _Lambda:
    """A lambda of a script: called by the script, or by ``sorted``, ``map`` and the like."""

    def __init__(self, run: _Run, node: ast.Lambda) -> None:
        plain = node.args
        if plain.vararg or plain.kwarg or plain.kwonlyargs or plain.defaults:
            raise ScriptFailed("a lambda takes plain arguments only")
        self._run = run
        self._parameters = [each.arg for each in (*plain.posonlyargs, *plain.args)]
        self._body = node.body

    def __call__(self, *given: Any) -> Any:
        if len(given) != len(self._parameters):
            raise ScriptFailed(f"the lambda takes {len(self._parameters)} arguments, {len(given)} were given")
        outside = self._run.names
        self._run.names = {**outside, **dict(zip(self._parameters, given, strict=True))}
        self._run.meter.step(1 + len(outside) // 8)
        try:
            return self._run.value(self._body)
        finally:
            self._run.names = outside


# --- one function per kind of node ---------------------------------------------------------------------------------------


def _assign(run: _Run, node: ast.Assign) -> None:
    value = run.value(node.value)
    for target in node.targets:
        run.assign(target, value)


def _assign_typed(run: _Run, node: ast.AnnAssign) -> None:
    if node.value is not None:
        run.assign(node.target, run.value(node.value))


def _augment(run: _Run, node: ast.AugAssign) -> None:
    now = run.value(node.target)
    run.assign(node.target, values.BINARY[type(node.op).__name__](run.meter, now, run.value(node.value)))


def _if(run: _Run, node: ast.If) -> None:
    run.block(node.body if run.value(node.test) else node.orelse)


def _for(run: _Run, node: ast.For) -> None:
    for item in run.items(run.value(node.iter)):
        run.assign(node.target, item)
        try:
            run.block(node.body)
        except _Break:
            return
        except _Continue:
            continue
    run.block(node.orelse)


def _while(run: _Run, node: ast.While) -> None:
    while run.value(node.test):
        try:
            run.block(node.body)
        except _Break:
            return
        except _Continue:
            continue
    run.block(node.orelse)


def _return(run: _Run, node: ast.Return) -> None:
    raise _Returned(run.value(node.value) if node.value is not None else None)


def _break(run: _Run, node: ast.Break) -> None:
    raise _Break


def _continue(run: _Run, node: ast.Continue) -> None:
    raise _Continue


def _delete(run: _Run, node: ast.Delete) -> None:
    for target in node.targets:
        if isinstance(target, ast.Name):
            del run.names[target.id]
        elif isinstance(target, ast.Subscript) and not isinstance(target.slice, ast.Slice):
            del run.value(target.value)[run.value(target.slice)]
        else:
            raise ScriptFailed(_at("only names and elements can be deleted", node.lineno))


_STATEMENTS: dict[str, Callable[[_Run, Any], None]] = {
    "AnnAssign": _assign_typed,
    "Assign": _assign,
    "AugAssign": _augment,
    "Break": _break,
    "Continue": _continue,
    "Delete": _delete,
    "Expr": lambda run, node: run.value(node.value),
    "For": _for,
    "If": _if,
    "Pass": lambda run, node: None,
    "Return": _return,
    "While": _while,
}


def _name(run: _Run, node: ast.Name) -> Any:
    if node.id in run.names:
        return run.names[node.id]
    if node.id in values.FUNCTIONS:
        return values.FUNCTIONS[node.id]
    raise ScriptFailed(_at(f"NameError: name {node.id!r} is not defined", node.lineno))


def _constant(run: _Run, node: ast.Constant) -> Any:
    if node.value is not None and not isinstance(node.value, bool | int | float | str):
        raise ScriptFailed(_at(f"{type(node.value).__name__} values do not exist here", node.lineno))
    return node.value


def _logical(run: _Run, node: ast.BoolOp) -> Any:
    is_and = isinstance(node.op, ast.And)
    value: Any = None
    for each in node.values:
        value = run.value(each)
        if bool(value) is not is_and:
            break
    return value


def _binary(run: _Run, node: ast.BinOp) -> Any:
    kind = type(node.op).__name__
    if kind not in values.BINARY:
        raise ScriptFailed(_at(f"{kind} is not available in scripts", node.lineno))
    return values.BINARY[kind](run.meter, run.value(node.left), run.value(node.right))


def _compare(run: _Run, node: ast.Compare) -> Any:
    left = run.value(node.left)
    verdict: Any = True
    for kind, each in zip(node.ops, node.comparators, strict=True):
        right = run.value(each)
        verdict = values.COMPARE[type(kind).__name__](run.meter, left, right)
        if not verdict:
            break
        left = right
    return verdict


def _subscript(run: _Run, node: ast.Subscript) -> Any:
    holder = run.value(node.value)
    if isinstance(node.slice, ast.Slice):
        bounds = [run.value(each) if each is not None else None for each in (node.slice.lower, node.slice.upper)]
        step = run.value(node.slice.step) if node.slice.step is not None else None
        return run.meter.made(holder[bounds[0] : bounds[1] : step])
    if isinstance(holder, str | list | tuple | dict | range):
        return holder[run.value(node.slice)]
    raise ScriptFailed(_at(f"{type(holder).__name__} has no elements", node.lineno))


def _map(run: _Run, node: ast.Dict) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            made.update(run.value(value))
        else:
            made[run.value(key)] = run.value(value)
    return run.meter.made(made)  # type: ignore[no-any-return]


def _list_of(run: _Run, node: ast.ListComp | ast.GeneratorExp) -> list[Any]:
    made: list[Any] = []
    run.comprehend(node.generators, lambda: made.append(run.value(node.elt)))
    return made


def _map_of(run: _Run, node: ast.DictComp) -> dict[Any, Any]:
    made: dict[Any, Any] = {}

    def make() -> None:
        key = run.value(node.key)
        made[key] = run.value(node.value)

    run.comprehend(node.generators, make)
    return made


def _set_of(run: _Run, node: ast.SetComp) -> set[Any]:
    made: set[Any] = set()
    run.comprehend(node.generators, lambda: made.add(run.value(node.elt)))
    return made


def _formatted(run: _Run, node: ast.JoinedStr) -> str:
    pieces = []
    for each in node.values:
        if isinstance(each, ast.FormattedValue):
            value = run.value(each.value)
            run.meter.walk(value)
            if each.conversion == ord("r"):
                value = repr(value)
            pieces.append(
                _shown(value, _formatted(run, each.format_spec) if isinstance(each.format_spec, ast.JoinedStr) else "")
            )
        else:
            pieces.append(str(run.value(each)))
        run.meter.take(len(pieces[-1]))
    return "".join(pieces)


def _shown(value: Any, how: str) -> str:
    if not how:
        return str(value)
    digits = "".join(each if each.isdigit() else " " for each in how).split()
    if any(int(each[:9]) > FORMAT_WIDTH_MAX for each in digits):
        raise ScriptFailed(f"a format is at most {FORMAT_WIDTH_MAX} wide")
    if not isinstance(value, str | int | float):
        raise ScriptFailed(f"{type(value).__name__} takes no format")
    return format(value, how)


def _named(run: _Run, node: ast.NamedExpr) -> Any:
    value = run.value(node.value)
    run.assign(node.target, value)
    return value


_EXPRESSIONS: dict[str, Callable[[_Run, Any], Any]] = {
    "BinOp": _binary,
    "BoolOp": _logical,
    "Call": lambda run, node: run.call(node),
    "Compare": _compare,
    "Constant": _constant,
    "Dict": _map,
    "DictComp": _map_of,
    "GeneratorExp": _list_of,
    "IfExp": lambda run, node: run.value(node.body if run.value(node.test) else node.orelse),
    "JoinedStr": _formatted,
    "Lambda": _Lambda,
    "List": lambda run, node: run.listed(node.elts),
    "ListComp": _list_of,
    "Name": _name,
    "NamedExpr": _named,
    "Set": lambda run, node: set(run.listed(node.elts)),
    "SetComp": _set_of,
    "Subscript": _subscript,
    "Tuple": lambda run, node: tuple(run.listed(node.elts)),
    "UnaryOp": lambda run, node: values.UNARY[type(node.op).__name__](run.value(node.operand)),
}


_PARTS: dict[str, None] = {"FormattedValue": None, "Slice": None, "Starred": None}
"""What stands inside of expressions only."""


def _unknown(node: ast.stmt | ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return _at(
            f"{node.attr!r} is no attribute here; the value under a key is read with [{node.attr!r}]", node.lineno
        )
    return _at(f"{type(node).__name__} is not available in scripts", node.lineno)


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


def _at(message: str, line: int) -> str:
    """A complaint with the line of the script it is about."""
    return f"{message} at line {line}"
