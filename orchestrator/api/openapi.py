"""The OpenAPI description of the API, made from the routes and the types in their handlers' signatures. Reads nothing."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
from starlette.responses import Response

from orchestrator.api.routes import Document, Parameter, Role, Route
from orchestrator.model.wire_write import json_name
from orchestrator.plan import Plan
from orchestrator.protocol import forms

Json = dict[str, Any]

_PLAIN: dict[Any, Json] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "format": "int64"},
    float: {"type": "number"},
    Any: {},
    Response: {},
}
_ERROR = {
    "type": "object",
    "required": ["status", "message", "retryable"],
    "properties": {
        "status": {"type": "integer"},
        "message": {"type": "string"},
        "instance": {"type": "string", "description": "Which server said so."},
        "retryable": {"type": "boolean", "description": "Whether the same request may succeed later."},
        "code": {"type": "string"},
        "validationErrors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "path": {"type": "string"},
                    "message": {"type": "string"},
                    "invalidValue": {"type": ["string", "null"]},
                },
            },
        },
    },
}


def description(routes: Sequence[Route], server_url: str, version: str) -> Json:
    """The whole document. Example: ``description(ROUTES, "/api", "1.0")["paths"]["/health"]["get"]``"""
    schemas = _Schemas()
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Orchestrator", "version": version},
        "servers": [{"url": server_url}],
        "paths": paths,
        "components": {"schemas": {**schemas.found, "Error": _ERROR}},
    }


def _operation(route: Route, schemas: _Schemas) -> Json:
    shape = route.shape
    parameters = [_parameter(one, "path", schemas) for one in shape.path]
    parameters += [_parameter(one, "query", schemas) for one in shape.query]
    if shape.takes_request_id:
        said = "Repeated under the same key within ten minutes, it happens once and is answered alike."
        schema = {"type": "string"}
        parameters.append({"name": "Idempotency-Key", "in": "header", "schema": schema, "description": said})
    if shape.takes_trace:
        said = "W3C's: the trace that the workflow, and with it every attempt of its tasks, is part of."
        parameters.append({"name": "traceparent", "in": "header", "schema": {"type": "string"}, "description": said})
    operation: Json = {
        "operationId": re.sub(r"[{}]", "", f"{route.method.lower()}{route.path}").replace("/", "_"),
        "tags": [route.segments[0]],
        "summary": route.summary,
        "parameters": parameters,
        "responses": _responses(route, schemas),
        "x-role": route.role,
    }
    if route.body_of is not None:
        schema = schemas.arguments(route.body_of, [one.name for one in shape.path])
        content = {"application/json": {"schema": schema}}
        operation["requestBody"] = {"required": bool(schema["required"]), "content": content}
    elif shape.body is not None:
        media = "text/plain" if shape.body.kind is str else "application/json"
        content = {media: {"schema": schemas.of(shape.body.kind)}}
        operation["requestBody"] = {"required": shape.body.is_required, "content": content}
    return operation


def _parameter(one: Parameter, place: str, schemas: _Schemas) -> Json:
    schema = dict(schemas.of(_without_none(one.kind)))
    if not one.is_required and one.default not in (None, []) and isinstance(one.default, bool | int | str):
        schema["default"] = one.default
    return {"name": one.wire if place == "query" else one.name, "in": place, "required": one.is_required} | {
        "schema": schema
    }


def _responses(route: Route, schemas: _Schemas) -> Json:
    answer, found = route.shape.answer, dict[str, Json]()
    options = get_args(answer) if get_origin(answer) in (Union, UnionType) else (answer,)
    for option in options if {str, NoneType} & set(options) else (answer,):
        if option is None or option is NoneType:
            found[str(route.empty_status or route.status)] = {"description": "Nothing to tell."}
        elif isinstance(option, type) and issubclass(option, Document):
            found[str(route.status)] = {"description": "As asked.", "content": {option.media_type: {}}}
        else:
            media = "text/plain" if option is str else "application/json"
            said = found.setdefault(str(route.status), {"description": "As asked.", "content": {}})
            said["content"][media] = {"schema": schemas.of(option)}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    found["4XX"] = {"description": "The request cannot be carried out; the message says why.", "content": error}
    found["503"] = {"description": "Not now: repeat it after Retry-After seconds.", "content": error}
    if route.role is Role.OPEN:
        found["503"].pop("content")
    return found


def _without_none(kind: Any) -> Any:
    options = [option for option in get_args(kind) if option is not NoneType]
    return options[0] if NoneType in get_args(kind) and len(options) == 1 else kind


class _Schemas:
    """JSON Schemas of types; those of structs are collected by name."""

    def __init__(self) -> None:
        self.found: dict[str, Json] = {}

    def of(self, kind: Any) -> Json:
        """The schema of a type, as annotations of handlers and structs write it."""
        if kind in _PLAIN:
            return _PLAIN[kind]
        origin, arguments = get_origin(kind), get_args(kind)
        if kind is dict or kind is list:
            return {"type": "object" if kind is dict else "array"}
        if origin in (list, Sequence):
            return {"type": "array", "items": self.of(arguments[0])}
        if origin in (dict, Mapping):
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        if origin is not None or arguments:
            return self._union(arguments)
        if issubclass(kind, StrEnum):
            return {"type": "string", "enum": [str(member) for member in kind]}
        return self._struct(kind) if issubclass(kind, msgspec.Struct) else self._object(forms.fields_of(kind))

    def arguments(self, plan: Callable[..., Plan[Any]], placed: Sequence[str]) -> Json:
        """An object with the arguments of a plan, but for those that the path names."""
        given = {name: one for name, one in forms.parameters_of(plan).items() if name not in placed}
        needed = [json_name(name) for name, (_, is_required) in given.items() if is_required]
        return self._object({name: kind for name, (kind, _) in given.items()}) | {"required": needed}

    def _object(self, kinds: Mapping[str, Any]) -> Json:
        return {"type": "object", "properties": {json_name(name): self._argument(kind) for name, kind in kinds.items()}}

    def _argument(self, kind: Any) -> Json:
        """Definitions in a list that a plan takes say of which kind they are."""
        definitions = forms.definitions_of(get_args(kind)[0]) if get_origin(kind) is Sequence else {}
        if not definitions:
            return self.of(kind)
        named = [
            {"type": "object", "properties": {name: self.of(one)}, "required": [name]}
            for name, one in definitions.items()
        ]
        return {"type": "array", "items": {"anyOf": named}}

    def _union(self, options: Sequence[Any]) -> Json:
        schemas = [self.of(option) if option is not NoneType else {"type": "null"} for option in options]
        return {"anyOf": schemas}

    def _struct(self, kind: type[msgspec.Struct]) -> Json:
        name = kind.__name__
        if name not in self.found:
            self.found[name] = {}  # of a struct that holds itself
            hints = get_type_hints(kind)
            fields = msgspec.structs.fields(kind)
            self.found[name] = {
                "type": "object",
                "description": (inspect.getdoc(kind) or "").partition("\n")[0],
                "properties": {json_name(field.name): self.of(hints[field.name]) for field in fields},
                "required": [json_name(field.name) for field in fields if field.required],
            }
        return {"$ref": f"#/components/schemas/{name}"}
