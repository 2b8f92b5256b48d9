"""The words of schema checks, and the keywords of JSON Schema that look at one value: types, numbers, texts.

A check gets a value and the walk it belongs to, and raises ``Violated`` when the value does not comply. Whatever its
cost depends on (elements, sizes, the ways of a pattern) it charges to the walk, so that no schema and no value can hold
up a decider. Keywords about what is inside a value stand in ``schema_keywords``, the only caller beside ``schemas``.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from orchestrator.core.jsonpath_patterns import Pattern
from orchestrator.core.jsonpath_text import PathInvalid

FORMAT_CHARS_MAX = 2_000
"""Longer texts have no format: the check of one must not cost more than reading it."""


WAYS_PER_STEP = 64
"""So many tries of a regular expression cost about as much as one step."""


class Violated(Exception):
    """A value does not comply; ``steps`` lead to the part at fault, innermost first."""

    def __init__(self, message: str) -> None:
        self.message = message
        self.steps: list[str | int] = []


class Exhausted(Exception):
    """The walk has taken as many steps, or gone as deep, as one validation may."""


class Unusable(Exception):
    """A schema says something that has no meaning or is not supported; ``steps`` lead to it, outermost first."""

    def __init__(self, message: str, *steps: str | int) -> None:
        self.message = message
        self.steps = list(steps)


class Walk:
    """What one validation may still cost."""

    __slots__ = ("depth", "left")

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.depth = 0

    def charge(self, steps: int) -> None:
        """Pay for ``steps``. Raises ``Exhausted``."""
        self.left -= steps
        if self.left < 0:
            raise Exhausted


Check = Callable[[Any, Walk], None]
Compile = Callable[..., Check]
"""Compiles the schema found below the current one: ``compile(schema, "properties", "sku")``."""

Keyword = Callable[[Any, dict[str, Any], Compile], Check]

_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "number": lambda value: _is_number(value),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, (list, tuple)),
    "object": lambda value: isinstance(value, dict),
}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def type_name(value: Any) -> str:
    """What JSON calls the type of a value. Example: ``type_name(None) == "null"``."""
    return next((name for name in ("null", "boolean", "number", "string", "array") if _TYPES[name](value)), "object")


def identity(value: Any, walk: Walk) -> Any:
    """A hashable stand-in: equal exactly when JSON Schema calls two values equal (1 and 1.0 are, 1 and true are not)."""
    walk.charge(1)
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, dict):
        return ("object", frozenset((name, identity(item, walk)) for name, item in value.items()))
    if isinstance(value, (list, tuple)):
        return ("array", tuple(identity(item, walk) for item in value))
    return value


def shown(value: Any) -> str:
    """A value inside a message: short, whatever it is."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


# --- any value --------------------------------------------------------------------------------------------------------


def _type(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    names = given if isinstance(given, list) else [given]
    unknown = [name for name in names if not isinstance(name, str) or name not in _TYPES]
    if unknown or not names:
        raise Unusable(f"unknown type {shown(unknown[0] if unknown else given)}; there are {', '.join(_TYPES)}")
    tests = [_TYPES[name] for name in names]
    wanted = " or ".join(names)

    def check(value: Any, walk: Walk) -> None:
        if not any(test(value) for test in tests):
            raise Violated(f"must be of type {wanted}, not {type_name(value)}")

    return check


def _enum(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    if not isinstance(given, list) or not given:
        raise Unusable("must be a list of values")
    allowed = {identity(value, Walk(1_000_000)) for value in given}
    text = shown(given)

    def check(value: Any, walk: Walk) -> None:
        if identity(value, walk) not in allowed:
            raise Violated(f"must be one of {text}")

    return check


def _const(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    only = identity(given, Walk(1_000_000))
    text = shown(given)

    def check(value: Any, walk: Walk) -> None:
        if identity(value, walk) != only:
            raise Violated(f"must be {text}")

    return check


# --- numbers ----------------------------------------------------------------------------------------------------------


def _bound(words: str, breaks: Callable[[Any, Any], bool]) -> Keyword:
    def make(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
        if not _is_number(given):
            raise Unusable("must be a number")

        def check(value: Any, walk: Walk) -> None:
            if _is_number(value) and breaks(value, given):
                raise Violated(f"must be {words} {given}")

        return check

    return make


_at_least = _bound("at least", lambda value, limit: value < limit)
_at_most = _bound("at most", lambda value, limit: value > limit)
_more_than = _bound("greater than", lambda value, limit: value <= limit)
_less_than = _bound("less than", lambda value, limit: value >= limit)


def _minimum(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    # Draft 4 says with a boolean whether the bound itself is excluded.
    return (_more_than if schema.get("exclusiveMinimum") is True else _at_least)(given, schema, compile_)


def _maximum(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    return (_less_than if schema.get("exclusiveMaximum") is True else _at_most)(given, schema, compile_)


def _exclusive(keyword: Keyword, partner: str) -> Keyword:
    def make(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
        if isinstance(given, bool):
            if given and partner not in schema:
                raise Unusable(f"true needs a {partner} beside it")
            return _nothing_more
        return keyword(given, schema, compile_)

    return make


def _nothing_more(value: Any, walk: Walk) -> None:
    """Holds for every value."""


def _multiple_of(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    if not _is_number(given) or given <= 0:
        raise Unusable("must be a number greater than 0")

    def check(value: Any, walk: Walk) -> None:
        if _is_number(value) and not _is_multiple(value, given):
            raise Violated(f"must be a multiple of {given}")

    return check


def _is_multiple(value: Any, of: Any) -> bool:
    if isinstance(value, int) and isinstance(of, int):
        return value % of == 0
    times = value / of
    return not math.isfinite(times) or abs(times - round(times)) < 1e-9


# --- texts ------------------------------------------------------------------------------------------------------------


def length_keyword(kind: Any, noun: str, *, is_least: bool) -> Keyword:
    """A keyword that bounds how much of ``noun`` a value of that kind has."""
    words = "at least" if is_least else "at most"

    def make(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
        if not _is_number(given) or given < 0 or given != int(given):
            raise Unusable("must be a whole number from 0")

        def check(value: Any, walk: Walk) -> None:
            if isinstance(value, kind) and (len(value) < given if is_least else len(value) > given):
                raise Violated(f"must have {words} {int(given)} {noun}, not {len(value)}")

        return check

    return make


def compile_pattern(text: Any) -> Pattern:
    """The pattern of a schema, found anywhere in a text. Raises ``Unusable``, also for one that could run away."""
    if not isinstance(text, str):
        raise Unusable("must be a regular expression as text")
    try:
        return Pattern(text, anywhere=True)
    except PathInvalid as error:
        raise Unusable(f"{text!r}: {error}") from error


def _pattern(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    pattern = compile_pattern(given)

    def check(value: Any, walk: Walk) -> None:
        if isinstance(value, str) and not is_found(pattern, value, walk):
            limit = pattern.text_chars_max
            if len(value) > limit:
                raise Violated(f"is longer than {limit} characters, the most that {given!r} can be looked for in")
            raise Violated(f"must match the pattern {given!r}")

    return check


def is_found(pattern: Pattern, text: str, walk: Walk) -> bool:
    """Whether the pattern is in the text; what looking costs is charged."""
    walk.charge(pattern.ways(text) // WAYS_PER_STEP)
    return pattern.fits(text)


def _is_date(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y-%m-%d")  # noqa: DTZ007 - a calendar date has no zone
    except ValueError:
        return False
    return len(text) == 10


_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d{1,9})?([zZ]|[+-]([01]\d|2[0-3]):[0-5]\d)")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:\S+")
_HOST_LABEL = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")


def _is_address(read: Callable[[str], Any]) -> Callable[[str], bool]:
    def test(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return test


_FORMATS: dict[str, Callable[[str], bool]] = {
    "date": _is_date,
    "time": lambda text: _TIME.fullmatch(text) is not None,
    "date-time": lambda text: _is_date(text[:10]) and text[10:11] in ("T", "t") and _FORMATS["time"](text[11:]),
    "email": lambda text: _EMAIL.fullmatch(text) is not None,
    "hostname": lambda text: len(text) <= 253 and all(_HOST_LABEL.fullmatch(label) for label in text.split(".")),
    "ipv4": _is_address(ipaddress.IPv4Address),
    "ipv6": _is_address(ipaddress.IPv6Address),
    "uri": lambda text: _URI.fullmatch(text) is not None,
    "uuid": lambda text: _UUID.fullmatch(text) is not None,
}


def _format(given: Any, schema: dict[str, Any], compile_: Compile) -> Check:
    test = _FORMATS.get(given) if isinstance(given, str) else None
    if test is None:
        return _nothing_more  # an unknown format is a remark to the reader, as the standard has it

    def check(value: Any, walk: Walk) -> None:
        if isinstance(value, str) and (len(value) > FORMAT_CHARS_MAX or not test(value)):
            raise Violated(f"must be a {given}")

    return check


VALUE_KEYWORDS: dict[str, Keyword] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "minimum": _minimum,
    "maximum": _maximum,
    "exclusiveMinimum": _exclusive(_more_than, "minimum"),
    "exclusiveMaximum": _exclusive(_less_than, "maximum"),
    "multipleOf": _multiple_of,
    "minLength": length_keyword(str, "characters", is_least=True),
    "maxLength": length_keyword(str, "characters", is_least=False),
    "pattern": _pattern,
    "format": _format,
}
"""The keywords of this room, by name."""
