"""Structs to plain values in Conductor's JSON form: camelCase names, null fields left out, empty lists and maps kept.

Null values inside payload maps are data and stay. Payload maps are not copied: what is written shares them with the
struct. Reads nothing and checks nothing. Called by ``wire`` and, for the names of fields, by ``wire_read``.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import Any, get_args, get_type_hints

import msgspec

_Writer = Callable[[Any], Any]


def write_struct(value: msgspec.Struct) -> dict[str, Any]:
    """The JSON form of a struct and all structs in it. Example: ``write_struct(TaskDef(name="a"))["retryCount"]``."""
    written: dict[str, Any] = _struct_writer(type(value))(value)
    return written


def json_name(attribute: str) -> str:
    """The JSON name of an attribute. Example: ``json_name("retry_count") == "retryCount"``."""
    first, *rest = attribute.split("_")
    return first + "".join(word.capitalize() for word in rest)


@cache
def _struct_writer(kind: type[Any]) -> _Writer:
    hints = get_type_hints(kind)
    fields = [(field.name, json_name(field.name), _writer(hints[field.name])) for field in msgspec.structs.fields(kind)]

    def write(value: Any) -> dict[str, Any]:
        written = {}
        for attribute, name, write_field in fields:
            found = getattr(value, attribute)
            if found is not None:
                written[name] = write_field(found) if write_field else found
        return written

    return write


def _writer(annotation: Any) -> _Writer | None:
    """How to write a field, or None when its value already is its JSON form."""
    kinds = [kind for kind in _mentioned(annotation) if isinstance(kind, type)]
    if any(issubclass(kind, msgspec.Struct) for kind in kinds):
        return _write_nested
    return str if any(issubclass(kind, StrEnum) for kind in kinds) else None


def _mentioned(annotation: Any) -> set[Any]:
    return {annotation}.union(*(_mentioned(argument) for argument in get_args(annotation)))


def _write_nested(value: Any) -> Any:
    """Structs in lists and maps. Each finds its writer by its own type, so the recursive definitions need no order."""
    if isinstance(value, msgspec.Struct):
        return _struct_writer(type(value))(value)
    if isinstance(value, list):
        return [_write_nested(item) for item in value]
    if isinstance(value, dict):
        return {key: _write_nested(item) for key, item in value.items()}
    return value
