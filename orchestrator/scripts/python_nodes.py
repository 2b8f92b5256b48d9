"""What each kind of statement and expression of a script does: one function per kind, found in two tables.

A piece that is in neither table does not exist in scripts. Called by the run of ``python``, which walks the tree, pays for
each step and turns what Python finds wrong into words.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orchestrator.scripts import python_values as values
from orchestrator.scripts.limits import ScriptFailed

if TYPE_CHECKING:
    from orchestrator.scripts.python import Run

FORMAT_WIDTH_MAX = 1000


class Returned(Exception):
    """The script has come to its value."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Break(Exception):
    """A loop of the script is over."""


class Continue(Exception):
    """A loop of the script goes on."""


class Lambda:
    """A lambda of a script: called by the script, or by ``sorted``, ``map`` and the like."""

    def __init__(self, run: Run, node: ast.Lambda) -> None:
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


def _assign(run: Run, node: ast.Assign) -> None:
    value = run.value(node.value)
    for target in node.targets:
        run.assign(target, value)


def _assign_typed(run: Run, node: ast.AnnAssign) -> None:
    if node.value is not None:
        run.assign(node.target, run.value(node.value))


def _augment(run: Run, node: ast.AugAssign) -> None:
    now = run.value(node.target)
    run.assign(node.target, values.BINARY[type(node.op).__name__](run.meter, now, run.value(node.value)))


def _if(run: Run, node: ast.If) -> None:
    run.block(node.body if run.value(node.test) else node.orelse)


def _for(run: Run, node: ast.For) -> None:
    for item in run.items(run.value(node.iter)):
        run.assign(node.target, item)
        try:
            run.block(node.body)
        except Break:
            return
        except Continue:
            continue
    run.block(node.orelse)


def _while(run: Run, node: ast.While) -> None:
    while run.value(node.test):
        try:
            run.block(node.body)
        except Break:
            return
        except Continue:
            continue
    run.block(node.orelse)


def _return(run: Run, node: ast.Return) -> None:
    raise Returned(run.value(node.value) if node.value is not None else None)


def _break(run: Run, node: ast.Break) -> None:
    raise Break


def _continue(run: Run, node: ast.Continue) -> None:
    raise Continue


def _delete(run: Run, node: ast.Delete) -> None:
    for target in node.targets:
        if isinstance(target, ast.Name):
            del run.names[target.id]
        elif isinstance(target, ast.Subscript) and not isinstance(target.slice, ast.Slice):
            del run.value(target.value)[run.value(target.slice)]
        else:
            raise ScriptFailed(at("only names and elements can be deleted", node.lineno))


STATEMENTS: dict[str, Callable[[Run, Any], None]] = {
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


def _name(run: Run, node: ast.Name) -> Any:
    if node.id in run.names:
        return run.names[node.id]
    if node.id in values.FUNCTIONS:
        return values.FUNCTIONS[node.id]
    raise ScriptFailed(at(f"NameError: name {node.id!r} is not defined", node.lineno))


def _constant(run: Run, node: ast.Constant) -> Any:
    if node.value is not None and not isinstance(node.value, bool | int | float | str):
        raise ScriptFailed(at(f"{type(node.value).__name__} values do not exist here", node.lineno))
    return node.value


def _logical(run: Run, node: ast.BoolOp) -> Any:
    is_and = isinstance(node.op, ast.And)
    value: Any = None
    for each in node.values:
        value = run.value(each)
        if bool(value) is not is_and:
            break
    return value


def _binary(run: Run, node: ast.BinOp) -> Any:
    kind = type(node.op).__name__
    if kind not in values.BINARY:
        raise ScriptFailed(at(f"{kind} is not available in scripts", node.lineno))
    return values.BINARY[kind](run.meter, run.value(node.left), run.value(node.right))


def _compare(run: Run, node: ast.Compare) -> Any:
    left = run.value(node.left)
    verdict: Any = True
    for kind, each in zip(node.ops, node.comparators, strict=True):
        right = run.value(each)
        verdict = values.COMPARE[type(kind).__name__](run.meter, left, right)
        if not verdict:
            break
        left = right
    return verdict


def _subscript(run: Run, node: ast.Subscript) -> Any:
    holder = run.value(node.value)
    if isinstance(node.slice, ast.Slice):
        bounds = [run.value(each) if each is not None else None for each in (node.slice.lower, node.slice.upper)]
        step = run.value(node.slice.step) if node.slice.step is not None else None
        return run.meter.made(holder[bounds[0] : bounds[1] : step])
    if isinstance(holder, str | list | tuple | dict | range):
        return holder[run.value(node.slice)]
    raise ScriptFailed(at(f"{type(holder).__name__} has no elements", node.lineno))


def _map(run: Run, node: ast.Dict) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            made.update(run.value(value))
        else:
            made[run.value(key)] = run.value(value)
    return run.meter.made(made)  # type: ignore[no-any-return]


def _list_of(run: Run, node: ast.ListComp | ast.GeneratorExp) -> list[Any]:
    made: list[Any] = []
    run.comprehend(node.generators, lambda: made.append(run.value(node.elt)))
    return made


def _map_of(run: Run, node: ast.DictComp) -> dict[Any, Any]:
    made: dict[Any, Any] = {}

    def make() -> None:
        key = run.value(node.key)
        made[key] = run.value(node.value)

    run.comprehend(node.generators, make)
    return made


def _set_of(run: Run, node: ast.SetComp) -> set[Any]:
    made: set[Any] = set()
    run.comprehend(node.generators, lambda: made.add(run.value(node.elt)))
    return made


def _formatted(run: Run, node: ast.JoinedStr) -> str:
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


def _named(run: Run, node: ast.NamedExpr) -> Any:
    value = run.value(node.value)
    run.assign(node.target, value)
    return value


EXPRESSIONS: dict[str, Callable[[Run, Any], Any]] = {
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
    "Lambda": Lambda,
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


PARTS: dict[str, None] = {"FormattedValue": None, "Slice": None, "Starred": None}
"""What stands inside of expressions only."""


def unknown(node: ast.stmt | ast.expr) -> str:
    """What is said of a kind that scripts do not have."""
    if isinstance(node, ast.Attribute):
        return at(
            f"{node.attr!r} is no attribute here; the value under a key is read with [{node.attr!r}]", node.lineno
        )
    return at(f"{type(node).__name__} is not available in scripts", node.lineno)


def at(message: str, line: int) -> str:
    """A complaint with the line of the script it is about."""
    return f"{message} at line {line}"
