"""Schemas as the builder takes them: a JSON Schema, a Python type, a registered name, or a function's type hints.

They become ``SchemaDef`` values inside definitions; checking values against them is not done here. Called by ``task``
and ``workflow``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from orchestrator.binding import annotation_of, is_context, is_whole_input
from orchestrator.errors import InvalidRequest
from orchestrator.model.definitions import SchemaDef

SchemaLike = SchemaDef | Mapping[str, Any] | type | str
"""A ``SchemaDef``, a JSON Schema as a mapping, a dataclass or Struct, or the name of a registered schema (version 1)."""


def schema_def(given: SchemaLike | None, name: str) -> SchemaDef | None:
    """The ``SchemaDef`` for what a builder was given; an unnamed one is called ``name``.

    Raises ``InvalidRequest`` for what is no schema. Example: ``schema_def({"type": "object"}, "order_input")``
    """
    if given is None or isinstance(given, SchemaDef):
        return given
    if isinstance(given, str):
        return SchemaDef(name=given)
    if isinstance(given, Mapping):
        return SchemaDef(name=name, data=dict(given))
    try:
        return SchemaDef(name=name, data=msgspec.json.schema(given))
    except TypeError as error:
        raise InvalidRequest(f"schema {name}: {given!r} cannot be written as a JSON Schema: {error}") from error


def input_schema_of(function: Callable[..., Any], name: str) -> SchemaDef | None:
    """What the type hints of a function demand of its input; None when it takes the whole input as it comes.

    A parameter with a default may also be absent or null. What no type hint says is not demanded, and further inputs
    are allowed, because the function ignores them too. Raises ``InvalidRequest`` for hints that cannot be read.
    """
    annotations: dict[str, Any] = {}
    required = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL):
            continue
        annotation = annotation_of(name, function, parameter)
        if is_context(annotation):
            continue
        if is_whole_input(parameter.name, annotation):
            return None
        has_default = parameter.default is not inspect.Parameter.empty
        annotations[parameter.name] = annotation | None if has_default and annotation is not Any else annotation
        if not has_default:
            required.append(parameter.name)
    properties, definitions = _written(annotations)
    data = {"type": "object", "properties": properties, "required": required}
    return SchemaDef(name=f"{name}_input", data={**data, **({"$defs": definitions} if definitions else {})})


def output_schema_of(function: Callable[..., Any], name: str) -> SchemaDef | None:
    """What the return type of a function promises of its output; None when there is none, or it says nothing.

    What is not an object by itself is stored under ``result`` (see ``encode_output``).
    """
    returned = inspect.Parameter("returned", inspect.Parameter.KEYWORD_ONLY, annotation=_return_of(function))
    annotation = annotation_of(name, function, returned)
    written, definitions = _written({"returned": annotation})
    schema = written.get("returned")
    if annotation is None or not schema:
        return None
    is_object = schema.get("type") == "object" or any(
        schema.get("$ref") == f"#/$defs/{title}" and one.get("type") == "object" for title, one in definitions.items()
    )
    data = schema if is_object else {"type": "object", "properties": {"result": schema}, "required": ["result"]}
    if not is_object and schema.keys() & {"anyOf", "$ref"}:
        return None  # an object in one case and a value in another: nothing certain can be said of where it stands
    return SchemaDef(name=f"{name}_output", data={**data, **({"$defs": definitions} if definitions else {})})


def _return_of(function: Callable[..., Any]) -> Any:
    found = inspect.signature(function).return_annotation
    return inspect.Parameter.empty if found is inspect.Signature.empty else found


def _written(annotations: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Each type as a JSON Schema, with what they share; a type that has none is not there."""
    kinds: dict[str, Any] = {}
    for name, annotation in annotations.items():
        try:
            msgspec.json.schema_components([annotation])
        except (TypeError, ValueError):
            continue
        kinds[name] = annotation
    written, definitions = msgspec.json.schema_components(list(kinds.values()), ref_template="#/$defs/{name}")
    return dict(zip(kinds, map(_without_formats, written), strict=True)), _without_formats(definitions)


def _without_formats(schema: Any) -> Any:
    """The schema less its formats: the conversion of inputs reads more spellings of a date than the standard has."""
    if isinstance(schema, dict):
        return {
            name: _without_formats(item)
            for name, item in schema.items()
            if name != "format" or not isinstance(item, str)
        }
    return [_without_formats(item) for item in schema] if isinstance(schema, list) else schema
