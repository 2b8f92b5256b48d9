"""Arguments and answers of verbs as JSON and back, by the annotations of the plans: what goes in is what comes out.

Structs have Conductor's form, named tuples and dataclasses that of objects with the same kind of names. Payloads are checked
before they are sent, so that what Redis would refuse is refused alike. Does no I/O; used by both ends.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import replace

from orchestrator import codec
from orchestrator.errors import DefinitionInvalid, InvalidRequest, OrchestratorError, Problem
from orchestrator.model.definitions import SchemaDef, TaskDef, WorkflowDef
from orchestrator.model.event_handlers import EventHandler, event_handler_from_dict, event_handler_to_dict
from orchestrator.model.wire_read import joined, read_value
from orchestrator.model.wire_write import json_name, write_struct
from orchestrator.plan import Plan
from orchestrator.protocol import refusals
from orchestrator.service.starting import Launch

Json = dict[str, Any]

_DEFINITIONS: dict[str, type[Any]] = {"workflow": WorkflowDef, "task": TaskDef, "schema": SchemaDef}
NO_NAME = ""
"""The key of a map that is None, as that of the domain which is none."""

_KEPT_BACK = frozenset({"resolved", "event"})
"""Of a launch: what only a process beside Redis may say."""


# --- signatures -------------------------------------------------------------------------------------------------------


@cache
def parameters_of(verb: Callable[..., Plan[Any]]) -> dict[str, tuple[Any, bool]]:
    """What a verb takes beside the store, by name: its annotation, and whether it must be given."""
    hints, found = get_type_hints(verb), dict[str, tuple[Any, bool]]()
    _, *parameters = inspect.signature(verb).parameters.values()
    for one in parameters:
        if one.kind is inspect.Parameter.VAR_KEYWORD:
            (options,) = get_args(hints[one.name])
            found |= {name: (kind, False) for name, kind in get_type_hints(options).items()}
        else:
            found[one.name] = hints[one.name], one.default is inspect.Parameter.empty
    return found


@cache
def answer_of(verb: Callable[..., Plan[Any]]) -> Any:
    """The annotation of what a verb gives."""
    return get_args(get_type_hints(verb)["return"])[2]


def bound(verb: Callable[..., Plan[Any]], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Json:
    """Arguments by name. Raises ``TypeError`` for those the verb does not take, as calling it would."""
    signature = inspect.signature(verb)
    given = dict(signature.bind(None, *args, **kwargs).arguments)
    store, *parameters = signature.parameters.values()
    del given[store.name]
    for one in parameters:
        if one.kind is inspect.Parameter.VAR_KEYWORD:
            given |= given.pop(one.name, {})
    return given


def read_arguments(verb: Callable[..., Plan[Any]], data: Mapping[str, Any]) -> Json:
    """The arguments in a request. Raises ``DefinitionInvalid`` and ``InvalidRequest`` with their places."""
    given: Json = {}
    for name, (kind, is_required) in parameters_of(verb).items():
        if json_name(name) in data:
            given[name] = read(kind, data[json_name(name)], json_name(name))
        elif is_required:
            raise _invalid(json_name(name), "is required")
    return given


def definitions_of(kind: Any) -> dict[str, type[Any]]:
    """Where items of a list are definitions: of which kinds, by the name that each says of itself; else nothing."""
    options = get_args(kind) or (kind,)
    return {name: definition for name, definition in _DEFINITIONS.items() if definition in options}


def fields_of(kind: type[Any]) -> dict[str, Any]:
    """The annotations of what a named tuple or dataclass consists of, without what no client may say."""
    hidden = _KEPT_BACK if kind is Launch else ()
    return {name: hint for name, hint in get_type_hints(kind).items() if name not in hidden}


# --- writing ----------------------------------------------------------------------------------------------------------


def write_arguments(given: Mapping[str, Any]) -> Json:
    """The JSON form of arguments by name. Raises ``InvalidPayload`` for what has none."""
    return {json_name(name): write(value, name) for name, value in given.items()}


def write(value: Any, path: str = "") -> Any:
    """The JSON form of a value; ``path`` says where it stands. Raises ``InvalidPayload``."""
    match value:
        case EventHandler():
            return event_handler_to_dict(value)
        case msgspec.Struct():
            return write_struct(value)
        case Launch():
            request = value.request
            if value.resolved is not None:
                request = replace(request, workflow_def=value.resolved.definition)
            codec.check(request.input, "input")
            return _fields(value._replace(request=request, resolved=None, event=None), value._fields)
        case OrchestratorError():
            return {"error": refusals.told(value)}
        case tuple() if hasattr(value, "_fields"):
            return _fields(value, value._fields)
        case Mapping() if any(isinstance(item, msgspec.Struct | tuple) for item in value.values()):
            return {NO_NAME if name is None else name: write(item) for name, item in value.items()}
        case list() | tuple():
            return [_named(item) if isinstance(item, tuple(_DEFINITIONS.values())) else write(item) for item in value]
    if dataclasses.is_dataclass(value):
        return _fields(value, [field.name for field in dataclasses.fields(value)])
    codec.check(value, path)
    return value


def _fields(value: Any, names: Sequence[str]) -> Json:
    return {json_name(name): write(getattr(value, name), name) for name in names if getattr(value, name) is not None}


def _named(definition: Any) -> Json:
    kind = next(name for name, kind in _DEFINITIONS.items() if isinstance(definition, kind))
    return {kind: write_struct(definition)}


# --- reading ----------------------------------------------------------------------------------------------------------


def read(kind: Any, data: Any, path: str = "") -> Any:
    """A value of an annotated kind from its JSON form. Raises ``DefinitionInvalid`` and ``InvalidRequest``."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _read_union(kind, data, path)
    if kind is NoneType:
        return None
    if origin in (list, Sequence):
        items = _of(list, data, path, "a list")
        return [_read_item(arguments[0], item, f"{path}[{index}]") for index, item in enumerate(items)]
    if origin in (dict, Mapping):
        found = _of(dict, data, path, "an object")
        may_be_none = NoneType in get_args(arguments[0])
        return {
            None if may_be_none and name == NO_NAME else name: read(arguments[1], item, joined(path, name))
            for name, item in found.items()
        }
    if kind is float:
        if isinstance(data, int | float) and not isinstance(data, bool):
            return float(data)
        raise _invalid(path, "must be a number")
    if kind is EventHandler:
        return event_handler_from_dict(data)
    if hasattr(origin or kind, "_fields") or dataclasses.is_dataclass(kind):
        return _read_fields(origin or kind, arguments, _of(dict, data, path, "an object"), path)
    value, problems = read_value(kind, data)
    if problems:
        placed = [Problem(joined(path, one.path), one.message, one.value) for one in problems]
        raise DefinitionInvalid("the request", placed)
    return value


def _read_item(kind: Any, item: Any, path: str) -> Any:
    """Definitions of a list say of which kind they are, whether the list is of one kind or of several."""
    definitions = definitions_of(kind)
    if not definitions:
        return read(kind, item, path)
    for name, definition in _of(dict, item, path, "an object").items():
        if name in definitions:
            return read(definitions[name], definition, f"{path}.{name}")
    raise _invalid(path, f"must be an object with one of {', '.join(_DEFINITIONS)}")


def _read_union(kind: Any, data: Any, path: str) -> Any:
    options = get_args(kind)
    if data is None and NoneType in options:
        return None
    if OrchestratorError in options and isinstance(data, dict) and "error" in data:
        return refusals.error_of(data["error"])
    others = [option for option in options if option not in (NoneType, OrchestratorError)]
    if len(others) == 1:
        return read(others[0], data, path)
    value, problems = read_value(kind, data)
    if problems:
        raise DefinitionInvalid("the request", [Problem(path, one.message, one.value) for one in problems])
    return value


def _read_fields(kind: Any, arguments: Sequence[Any], data: Json, path: str) -> Any:
    values: Json = {}
    for name, hint in fields_of(kind).items():
        if json_name(name) in data:
            values[name] = read(_filled(hint, arguments), data[json_name(name)], joined(path, json_name(name)))
        elif NoneType in get_args(hint):
            values.setdefault(name, None)
    try:
        return kind(**values)
    except TypeError as error:
        raise InvalidRequest(f"{path}: {error}") from None


def _filled(hint: Any, arguments: Sequence[Any]) -> Any:
    """An annotation with the argument of its generic in the place of the type variable."""
    if not arguments:
        return hint
    return hint[arguments[0]] if any(isinstance(one, TypeVar) for one in get_args(hint)) else hint


def _of(kind: type[Any], data: Any, path: str, expected: str) -> Any:
    if not isinstance(data, kind):
        raise _invalid(path, f"must be {expected}")
    return data


def _invalid(path: str, message: str) -> DefinitionInvalid:
    return DefinitionInvalid("the request", [Problem(path, message)])
