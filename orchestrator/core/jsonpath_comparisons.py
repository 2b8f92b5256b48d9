"""What the operators of a path's filter mean: ``==``, ``<``, ``in``, ``subsetof`` and their family.

Coercions are Jayway JsonPath's: a number equals the text that spells it, booleans equal only booleans, a missing value
(``MISSING``) equals nothing, not even another missing one. Called by the tests that ``jsonpath_filters`` builds; never
raises for any pair of JSON values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

MISSING = object()

_NUMBER_TEXT = re.compile(r"-?[0-9]{1,300}(\.[0-9]{1,300})?([eE][+-]?[0-9]{1,3})?")


def equal(left: Any, right: Any) -> bool:
    """Whether ``left == right`` holds in a filter. Example: ``equal("2", 2)`` is true, ``equal(True, 1)`` is not."""
    if left is MISSING or right is MISSING:
        return False
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if _is_number(left) and isinstance(right, str):
        return bool(left == _spelled_number(right))
    if isinstance(left, str) and _is_number(right):
        return bool(right == _spelled_number(left))
    return bool(left == right)


def _same(left: Any, right: Any) -> bool:
    """``===``: equal without turning texts into numbers."""
    return isinstance(left, str) == isinstance(right, str) and equal(left, right)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """An ordering between two numbers or two texts; a number next to a text is compared as text, as Jayway does."""

    def holds(left: Any, right: Any) -> bool:
        if _is_number(left) and _is_number(right):
            return compare(left, right)
        if (isinstance(left, str) or _is_number(left)) and (isinstance(right, str) or _is_number(right)):
            return compare(str(left), str(right))
        return False

    return holds


def _contains_equal(candidates: Any, value: Any) -> bool:
    return isinstance(candidates, list) and any(equal(candidate, value) for candidate in candidates)


def _contains(left: Any, right: Any) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return right in left
    return _contains_equal(left, right)


def _all(left: Any, right: Any) -> bool:
    return isinstance(left, list) and isinstance(right, list) and all(_contains_equal(left, item) for item in right)


def _any_of(left: Any, right: Any) -> bool:
    return isinstance(left, list) and any(_contains_equal(right, item) for item in left)


def _none_of(left: Any, right: Any) -> bool:
    return isinstance(left, list) and isinstance(right, list) and not _any_of(left, right)


def _has_size(left: Any, right: Any) -> bool:
    return isinstance(left, (str, list, dict)) and _is_number(right) and bool(len(left) == right)


def _is_empty(left: Any, right: Any) -> bool:
    return isinstance(left, (str, list, dict)) and isinstance(right, bool) and (not left) is right


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "===": _same,
    "!==": lambda left, right: not _same(left, right),
    "<": _ordered(lambda left, right: left < right),
    "<=": _ordered(lambda left, right: left <= right),
    ">": _ordered(lambda left, right: left > right),
    ">=": _ordered(lambda left, right: left >= right),
    "in": lambda left, right: _contains_equal(right, left),
    "nin": lambda left, right: not _contains_equal(right, left),
    "contains": _contains,
    "all": _all,
    "subsetof": lambda left, right: _all(right, left),
    "anyof": _any_of,
    "noneof": _none_of,
    "size": _has_size,
    "empty": _is_empty,
}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _spelled_number(text: str) -> int | float | None:
    if not _NUMBER_TEXT.fullmatch(text):
        return None
    return int(text) if text.lstrip("-").isdigit() else float(text)
