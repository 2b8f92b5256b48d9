"""From a task's stored input to the arguments of its function, and from what it returned to a stored output.

The work is done once per task: ``Binding`` reads the signature and picks a converter per parameter, so that a call
costs about a microsecond. Pure conversion: it runs no task, knows no store and decides nothing about retries (its
caller, the worker, turns ``InvalidPayload`` into a terminal failure, since the same input cannot fit better next time).
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar, Union

import msgspec

from orchestrator.context import TaskContext
from orchestrator.errors import InvalidPayload, InvalidRequest

_MISSING: Any = object()
_REQUIRED = inspect.Parameter.empty

Convert = Callable[[Any], Any]


class _Parameter(NamedTuple):
    name: str
    convert: Convert
    default: Any
    positional: bool
    type_name: str


class Binding:
    """How one function takes its inputs; made once per task, called for every run.

    Each parameter receives the input of its name, converted to its annotation; a ``TaskContext`` parameter receives the
    context, ``input: dict`` the whole input, ``**rest`` what no parameter took. Other inputs are ignored. Raises
    ``InvalidRequest`` when the signature cannot be filled from named JSON values.
    Example: ``Binding("greet", greet)({"name": "Ada"}, None) == ((), {"name": "Ada"})``
    """

    __slots__ = ("_context_names", "_parameters", "_positional", "_rest_without", "_task_name", "_whole_input")

    def __init__(self, task_name: str, function: Callable[..., Any]) -> None:
        self._task_name = task_name
        self._parameters: list[_Parameter] = []
        self._context_names: list[str] = []
        self._whole_input = False
        signature = inspect.signature(function).parameters.values()
        self._positional = [p.name for p in signature if p.kind is inspect.Parameter.POSITIONAL_ONLY]
        takes_rest = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature)
        self._rest_without = frozenset(p.name for p in signature) if takes_rest else None
        for parameter in signature:
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
                self._add(parameter, annotation_of(task_name, function, parameter))

    def _add(self, parameter: inspect.Parameter, annotation: Any) -> None:
        name = parameter.name
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            raise InvalidRequest(
                f"task {self._task_name} takes *{name}, but inputs are named; give each one a parameter or use **"
            )
        if is_context(annotation):
            self._context_names.append(name)
        elif is_whole_input(name, annotation):
            self._whole_input = True
        else:
            convert = _converter(self._task_name, name, annotation)
            positional = name in self._positional
            self._parameters.append(_Parameter(name, convert, parameter.default, positional, _type_name(annotation)))

    def __call__(self, data: Mapping[str, Any], context: TaskContext | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments for one call of the function.

        A null for a parameter that has a default and does not admit null counts as absent, because null is what an
        expression without a value resolves to. Raises ``InvalidPayload`` naming task, parameter and type.
        """
        values: dict[str, Any] = {}
        for name, convert, default, positional, type_name in self._parameters:
            value = data.get(name, _MISSING)
            if value is not _MISSING:
                try:
                    values[name] = convert(value)
                    continue
                except (msgspec.ValidationError, ValueError, TypeError) as error:
                    if value is not None or default is _REQUIRED:
                        raise self._refused(name, type_name, error) from error
            elif default is _REQUIRED:
                raise self._missing(name, type_name, data)
            if positional:
                values[name] = default
        for name in self._context_names:
            values[name] = context
        if self._whole_input:
            values["input"] = dict(data)
        if self._rest_without is not None:
            values.update((key, value) for key, value in data.items() if key not in self._rest_without)
        if not self._positional:
            return (), values
        return tuple([values.pop(name) for name in self._positional]), values

    def _missing(self, name: str, type_name: str, data: Mapping[str, Any]) -> InvalidPayload:
        given = ", ".join(sorted(data)) or "nothing"
        return InvalidPayload(name, f"task {self._task_name} needs input {name!r} ({type_name}); it was given: {given}")

    def _refused(self, name: str, type_name: str, error: Exception) -> InvalidPayload:
        return InvalidPayload(name, f"task {self._task_name} cannot take input {name!r} as {type_name}: {error}")


def encode_output(value: Any) -> dict[str, Any]:
    """What a task returned, as the object its output is stored as.

    None is ``{}``; mappings, dataclasses, Structs and pydantic models are objects already; anything else stands under
    ``result`` (Conductor's convention). Enums, dates, sets, UUIDs become what JSON has for them. Raises
    ``InvalidPayload`` with the path of what JSON cannot say. Example: ``encode_output(3) == {"result": 3}``
    """
    if value is None:
        return {}
    try:
        plain = msgspec.to_builtins(value, enc_hook=_to_plain)
    except TypeError as error:
        path, culprit = _unencodable(value, "") or ("", value)
        kind = type(culprit).__name__
        raise InvalidPayload(path or "result", f"a value of type {kind} is not JSON; convert it first") from error
    except RecursionError as error:
        raise InvalidPayload("result", "is nested too deeply, or contains itself") from error
    return plain if isinstance(plain, dict) else {"result": plain}


def _to_plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)  # pydantic, without importing it
    if dump is not None:
        return dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    for kind in (str, int, float):  # subclasses of them, which msgspec does not take for their base
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _unencodable(value: Any, path: str) -> tuple[str, Any] | None:
    """Path and value of the first leaf that cannot be encoded; walked only after encoding has failed."""
    children: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        children = [(f"{path}.{key}" if path else str(key), item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        children = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    for child_path, item in children:
        try:
            msgspec.to_builtins(item, enc_hook=_to_plain)
        except TypeError:
            return _unencodable(item, child_path) or (child_path, item)
    return None


# --- reading a signature --------------------------------------------------------------------------------------------


def annotation_of(task_name: str, function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """The parameter's type with text annotations resolved; one by one, so that a bad return type is no harm."""
    if parameter.annotation is inspect.Parameter.empty:
        return Any
    holder = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    namespace = getattr(inspect.unwrap(function), "__globals__", {})
    try:
        return typing.get_type_hints(holder, globalns=namespace, include_extras=True)[parameter.name]
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        raise InvalidRequest(
            f"task {task_name}: the type of parameter {parameter.name!r} cannot be read ({error}); define or import it "
            "at module level, not inside a function and not under TYPE_CHECKING"
        ) from error


def is_context(annotation: Any) -> bool:
    """Whether a parameter of this type receives the ``TaskContext``."""
    return _without_none(annotation) is TaskContext


def is_whole_input(name: str, annotation: Any) -> bool:
    """Whether a parameter receives the whole input: ``input: dict``."""
    return name == "input" and _is_dict(annotation)


def _without_none(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in typing.get_args(annotation) if member is not types.NoneType]
        return members[0] if len(members) == 1 else annotation
    return annotation


def _is_dict(annotation: Any) -> bool:
    return annotation in (dict, Mapping) or typing.get_origin(annotation) in (dict, Mapping)


def _type_name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


# --- one converter per parameter ------------------------------------------------------------------------------------


def _converter(task_name: str, name: str, annotation: Any) -> Convert:
    if annotation in (Any, object) or isinstance(annotation, TypeVar):
        return _as_is
    if annotation in (str, int, float, bool, dict, list):
        return _exact(annotation)
    validate: Convert | None = getattr(annotation, "model_validate", None)
    if validate is not None:
        return validate
    _require_fillable(task_name, name, annotation)
    return lambda value: msgspec.convert(value, annotation, dec_hook=_from_plain)


def _as_is(value: Any) -> Any:
    return value


def _exact(kind: type) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is kind:
            return value
        # JSON knows one kind of number: 3.0, as many languages write 3, is an integer.
        if kind is int and type(value) is float and value.is_integer():
            return int(value)
        return msgspec.convert(value, kind)

    return convert


def _require_fillable(task_name: str, name: str, annotation: Any) -> None:
    """Refuse at start-up, not in the middle of a run, what no JSON value can become."""
    try:
        kind = msgspec.inspect.type_info(_without_none(annotation))
        msgspec.json.Decoder(annotation, dec_hook=_from_plain)
        fillable = not isinstance(kind, msgspec.inspect.CustomType) or hasattr(kind.cls, "model_validate")
        why = "JSON has nothing like it"
    except TypeError as error:
        fillable, why = False, str(error)
    if not fillable:
        raise InvalidRequest(
            f"task {task_name}: parameter {name!r} of type {_type_name(annotation)} cannot be filled from JSON "
            f"({why}); use a plain type, a dataclass, a msgspec Struct, a pydantic model, an Enum or Any"
        )


def _from_plain(kind: type, value: Any) -> Any:
    """What msgspec asks about classes it does not know, at any depth of an annotation."""
    validate = getattr(kind, "model_validate", None)
    if validate is not None:
        return validate(value)
    if isinstance(value, kind):
        return value
    raise TypeError(f"{kind.__name__} cannot be made from JSON")
