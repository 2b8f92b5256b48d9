"""Plain values (decoded JSON) to structs, driven by the structs' annotations; collects what is wrong, raises nothing.

Unknown fields are ignored. Null becomes what Conductor makes of it: zero or false for numbers and booleans, the default
for lists, maps and enums. Every wrong type is a problem with its path. Knows no rules: those are ``validation``'s.
Called by ``wire``, for handlers of events by ``event_handlers``, and for the bodies of requests by the HTTP API.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from orchestrator import codec
from orchestrator.errors import InvalidPayload, Problem
from orchestrator.model.definitions import TASK_DEPTH_MAX, WorkflowDef, WorkflowTask, path_step
from orchestrator.model.validation import INLINE_DEPTH_MAX
from orchestrator.model.wire_write import json_name

_S = TypeVar("_S", bound=msgspec.Struct)


def read_struct(kind: type[_S], data: object) -> tuple[_S, list[Problem]]:
    """``data`` as a ``kind``, and what was wrong with it; the struct means something only when nothing was.

    Example: ``read_struct(TaskDef, {"name": "a", "retryCount": "3"})[1][0].path == "retryCount"``
    """
    reading = _Reading()
    value = _reader(kind)(reading, data, None)
    return _placeholder(kind) if value is _UNREADABLE else value, reading.problems


def read_value(annotation: Any, data: object) -> tuple[Any, list[Problem]]:
    """``data`` as what an annotation says that fields may have, and what was wrong with it; None when it is unreadable.

    Example: ``read_value(list[TaskDef], [{"name": "a"}])[0][0].name == "a"``
    """
    reading = _Reading()
    value = _reader(annotation)(reading, data, None)
    return None if value is _UNREADABLE else value, reading.problems


# Conductor's getter answers 1 for a missing window, so null must not become 0 as it does elsewhere.
_NULL_IS_DEFAULT = frozenset({"rateLimitFrequencyInSeconds"})

_Place = tuple[Any, str | int] | None
"""Where a value stands: (place of what contains it, key). Turned into text only when there is a problem to report."""


class _Reading:
    """One run of the reader: what it found wrong and how deep it is in the tree of tasks."""

    __slots__ = ("inline_depth", "problems", "task_depth")

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.task_depth = 0
        self.inline_depth = 0

    def refuse(self, place: _Place, message: str, value: object) -> None:
        self.problems.append(Problem(_path(place), message, value))


class _Unreadable:
    """Stands for a value that was refused; a harmless one takes its place, so that reading can go on."""


_UNREADABLE = _Unreadable()

_Reader = Callable[[_Reading, Any, _Place], Any]


def joined(prefix: str, path: str) -> str:
    """Two parts of a problem's path as one. Example: ``joined("tasks[0]", "name") == "tasks[0].name"``."""
    return f"{prefix}{path}" if not prefix or not path or path.startswith("[") else f"{prefix}.{path}"


def _path(place: _Place) -> str:
    steps = []
    while place is not None:
        place, key = place
        steps.append(path_step(key))
    return "".join(reversed(steps)).removeprefix(".")


@cache
def _reader(kind: Any) -> _Reader:
    """The reader of a type as written in an annotation."""
    if kind in _PLAIN_READERS:
        return _PLAIN_READERS[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is list:
        return _list_reader(arguments[0])
    if origin is dict:
        return _read_payload_map if arguments[1] is Any else _map_reader(arguments[1])
    if origin in (Union, UnionType):
        return _union_reader(tuple(option for option in arguments if option is not NoneType))
    if issubclass(kind, StrEnum):
        return _enum_reader(kind)
    return _StructReader(kind)


def _read_text(reading: _Reading, value: Any, place: _Place) -> Any:
    if not isinstance(value, str):
        return _wrong_type(reading, value, place, "text")
    return value if value.isascii() else _read_payload(reading, value, place)


def _read_boolean(reading: _Reading, value: Any, place: _Place) -> Any:
    return value if isinstance(value, bool) else _wrong_type(reading, value, place, "true or false")


def _read_integer(reading: _Reading, value: Any, place: _Place) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JavaScript and Lua write 3 as 3.0
    if not isinstance(value, int) or isinstance(value, bool):
        return _wrong_type(reading, value, place, "a whole number")
    if not -(2**63) <= value < 2**63:
        reading.refuse(place, "is outside the range of 64-bit integers", value)
        return _UNREADABLE
    return value


def _read_payload(reading: _Reading, value: Any, place: _Place) -> Any:
    try:
        codec.check(value)
    except InvalidPayload as error:
        reading.problems.append(Problem(joined(_path(place), error.path), error.reason, value))
        return _UNREADABLE
    return _copied(value)


def _read_payload_map(reading: _Reading, value: Any, place: _Place) -> Any:
    if not isinstance(value, Mapping):
        return _wrong_type(reading, value, place, "an object")
    try:
        codec.check(value)
    except InvalidPayload as error:
        known = len(reading.problems)
        for key, item in value.items():
            if isinstance(key, str):
                _read_payload(reading, item, (place, key))
        if len(reading.problems) == known:  # the fault is in a key, or only the sum of all levels is too deep
            reading.problems.append(Problem(joined(_path(place), error.path), error.reason))
        return _UNREADABLE
    return _copied(value)


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(item) for item in value]
    return value


def _wrong_type(reading: _Reading, value: object, place: _Place, expected: str) -> _Unreadable:
    reading.refuse(place, f"must be {expected}, not {_described(value)}", value)
    return _UNREADABLE


def _described(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, int | float):
        return f"the number {value}" if isinstance(value, float) or abs(value) < 2**128 else "a very large number"
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, list | tuple) else f"a value of type {type(value).__name__}"


_PLAIN_READERS: dict[Any, _Reader] = {
    str: _read_text,
    bool: _read_boolean,
    int: _read_integer,
    Any: _read_payload,
}


def _list_reader(kind: Any) -> _Reader:
    read_item = _reader(kind)

    def read(reading: _Reading, value: Any, place: _Place) -> Any:
        if not isinstance(value, list | tuple):
            return _wrong_type(reading, value, place, "a list")
        items = []
        for index, item in enumerate(value):
            read_value = read_item(reading, item, (place, index))
            # Something stays at the place of an unreadable item, or all later paths would be off by one.
            items.append(_placeholder(kind) if read_value is _UNREADABLE else read_value)
        return items

    return read


def _map_reader(kind: Any) -> _Reader:
    read_item = _reader(kind)

    def read(reading: _Reading, value: Any, place: _Place) -> Any:
        if not isinstance(value, Mapping):
            return _wrong_type(reading, value, place, "an object")
        entries = {}
        for key, item in value.items():
            if _read_text(reading, key, place) is _UNREADABLE:
                continue
            read_value = read_item(reading, item, (place, key))
            entries[key] = _placeholder(kind) if read_value is _UNREADABLE else read_value
        return entries

    return read


def _placeholder(kind: Any) -> Any:
    """What stands in for an unreadable item of a list or map until the problems are reported."""
    if get_origin(kind) is list:
        return []
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind(**{field.name: "" for field in msgspec.structs.fields(kind) if field.required})
    return "" if kind is str else 0


def _enum_reader(kind: type[StrEnum]) -> _Reader:
    members = {str(member): member for member in kind}
    expected = "one of " + ", ".join(members)

    def read(reading: _Reading, value: Any, place: _Place) -> Any:
        if isinstance(value, str) and value in members:
            return members[value]
        return _wrong_type(reading, value, place, expected)

    return read


_UNION_WORDS: dict[Any, tuple[Any, str]] = {int: ((int, float), "a whole number"), str: (str, "text")}


def _union_reader(options: tuple[Any, ...]) -> _Reader:
    if len(options) == 1:
        return _reader(options[0])
    choices = [(*_UNION_WORDS.get(option, (Mapping, "an object")), _reader(option)) for option in options]
    expected = " or ".join(word for _, word, _ in choices)

    def read(reading: _Reading, value: Any, place: _Place) -> Any:
        for accepted, _, read_option in choices:
            if isinstance(value, accepted) and not isinstance(value, bool):
                return read_option(reading, value, place)
        return _wrong_type(reading, value, place, expected)

    return read


class _Field:
    """One field of a struct: its JSON name, its reader, and what null stands for."""

    __slots__ = ("attribute", "if_null", "name", "read", "required")

    def __init__(self, field: Any, annotation: Any) -> None:
        self.attribute: str = field.name
        self.name = json_name(field.name)
        self.read = _reader(annotation)
        self.required: bool = field.required
        self.if_null: Any = _null_value(self.name, annotation)


def _null_value(name: str, annotation: Any) -> Any:
    """What null means for a field: None, zero, false, empty required text, or (unreadable) the default."""
    if NoneType in get_args(annotation):
        return None
    if name in _NULL_IS_DEFAULT:
        return _UNREADABLE
    return {int: 0, bool: False}.get(annotation, _UNREADABLE)


class _StructReader:
    """Reads an object into a struct. Fields are looked up at first use, because the definitions are recursive."""

    def __init__(self, kind: type[Any]) -> None:
        self._kind = kind
        self._fields: list[_Field] | None = None

    def __call__(self, reading: _Reading, value: Any, place: _Place) -> Any:
        if not isinstance(value, Mapping):
            return _wrong_type(reading, value, place, "an object")
        if self._kind is WorkflowTask:
            if reading.task_depth >= TASK_DEPTH_MAX:
                return _too_deep(reading, place, "tasks", TASK_DEPTH_MAX)
            reading.task_depth += 1
            task = self._read(reading, value, place)
            reading.task_depth -= 1
            return task
        if self._kind is WorkflowDef:
            if reading.inline_depth > INLINE_DEPTH_MAX:
                return _too_deep(reading, place, "inline workflow definitions", INLINE_DEPTH_MAX)
            reading.inline_depth += 1
            definition = self._read(reading, value, place)
            reading.inline_depth -= 1
            return definition
        return self._read(reading, value, place)

    def _read(self, reading: _Reading, value: Mapping[str, Any], place: _Place) -> Any:
        if self._fields is None:
            hints = get_type_hints(self._kind)
            self._fields = [_Field(field, hints[field.name]) for field in msgspec.structs.fields(self._kind)]
        attributes = {}
        for field in self._fields:
            found = value.get(field.name, _UNREADABLE)
            if found is not _UNREADABLE:
                found = field.if_null if found is None else field.read(reading, found, (place, field.name))
            if found is not _UNREADABLE:
                attributes[field.attribute] = found
            elif field.required:
                attributes[field.attribute] = ""
                if value.get(field.name) is None and field.read is not _read_text:
                    reading.refuse((place, field.name), "is required", None)
        return self._kind(**attributes)


def _too_deep(reading: _Reading, place: _Place, what: str, levels_max: int) -> _Unreadable:
    message = f"{what} are nested deeper than {levels_max} levels; register the inner part as a workflow of its own"
    reading.refuse(place, message, None)
    return _UNREADABLE
