"""The functions a path may call: ``length()``, ``sum()``, ``first()`` and their family, as Jayway JsonPath has them.

A function takes the value its path leads to and the values of its arguments, and returns a new value; it never changes
what it was given. ``jsonpath`` calls ``FUNCTIONS[name](value, arguments)``. A value that a function cannot work on
raises ``FunctionFailed``, which the caller turns into "nothing there".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Function = Callable[[Any, list[Any]], Any]


class FunctionFailed(ValueError):
    """The function has no result for this value: the maximum of a text, the first element of an empty list."""


def _length(value: Any, arguments: list[Any]) -> int:
    subject = arguments[0] if arguments else value
    if isinstance(subject, (list, dict, str)):
        return len(subject)
    raise FunctionFailed("only lists, objects and texts have a length")


def _keys(value: Any, arguments: list[Any]) -> list[str]:
    if not isinstance(value, dict):
        raise FunctionFailed("only objects have keys")
    return list(value)


def _numbers(value: Any, arguments: list[Any]) -> list[float]:
    """Every number of the list and of the arguments; what is not a number is passed over, as Jayway does."""
    candidates = list(value) if isinstance(value, list) else []
    for argument in arguments:
        candidates.extend(argument if isinstance(argument, list) else [argument])
    numbers = [float(item) for item in candidates if isinstance(item, (int, float)) and not isinstance(item, bool)]
    if not numbers:
        raise FunctionFailed("there is no number to work on")
    return numbers


def _finite(number: float) -> float:
    if not math.isfinite(number):  # it could not be stored as JSON
        raise FunctionFailed("the result is not a finite number")
    return number


def _min(value: Any, arguments: list[Any]) -> float:
    return _finite(min(_numbers(value, arguments)))


def _max(value: Any, arguments: list[Any]) -> float:
    return _finite(max(_numbers(value, arguments)))


def _sum(value: Any, arguments: list[Any]) -> float:
    return _finite(sum(_numbers(value, arguments)))


def _avg(value: Any, arguments: list[Any]) -> float:
    numbers = _numbers(value, arguments)
    return _finite(sum(numbers) / len(numbers))


def _stddev(value: Any, arguments: list[Any]) -> float:
    """Of the whole population, not of a sample."""
    numbers = _numbers(value, arguments)
    mean = sum(numbers) / len(numbers)
    return _finite(math.sqrt(sum((number - mean) ** 2 for number in numbers) / len(numbers)))


def _element(value: Any, index: Any) -> Any:
    if not isinstance(value, list) or not isinstance(index, int) or not -len(value) <= index < len(value):
        raise FunctionFailed("no such element")
    return value[index]


def _first(value: Any, arguments: list[Any]) -> Any:
    return _element(value, 0)


def _last(value: Any, arguments: list[Any]) -> Any:
    return _element(value, -1)


def _index(value: Any, arguments: list[Any]) -> Any:
    return _element(value, arguments[0] if arguments else None)


def _concat(value: Any, arguments: list[Any]) -> str:
    """The texts of the list, then every argument as text; other elements of the list are passed over."""
    pieces = [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
    for argument in arguments:
        pieces.extend(str(item) for item in (argument if isinstance(argument, list) else [argument]))
    if not pieces and not isinstance(value, list):
        raise FunctionFailed("there is nothing to join")
    return "".join(pieces)


def _append(value: Any, arguments: list[Any]) -> Any:
    return [*value, *arguments] if isinstance(value, list) else value


FUNCTIONS: dict[str, Function] = {
    "append": _append,
    "avg": _avg,
    "concat": _concat,
    "first": _first,
    "index": _index,
    "keys": _keys,
    "last": _last,
    "length": _length,
    "max": _max,
    "min": _min,
    "size": _length,
    "stddev": _stddev,
    "sum": _sum,
}

# After an indefinite path (``items[*].price.sum()``) these work on all matches together when the matches themselves are
# no lists. Jayway gives null there, so no definition can rely on anything else.
SUMMARIES = frozenset({"avg", "concat", "first", "index", "last", "max", "min", "stddev", "sum"})
