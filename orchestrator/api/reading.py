"""From a request to the arguments of a handler, by the conventions of Conductor's clients.

Empty query values and the word ``None`` mean absent, booleans come in any case, an empty or needless body is no error,
plain text arrives as the inside of a JSON string. What cannot be read is refused with its place. Called by ``app``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import NoneType
from typing import Any, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec

from orchestrator.api.errors import Refused
from orchestrator.api.routes import Parameter, Route
from orchestrator.errors import DefinitionInvalid, InvalidRequest, Problem
from orchestrator.model.tracing import trace_of
from orchestrator.model.wire_read import read_value

_ABSENT = frozenset({"", "None"})
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_FIELDS_MAX = 10_000


def arguments_of(
    route: Route, values: Sequence[str], query: bytes, headers: Mapping[str, str], body: bytes
) -> dict[str, Any]:
    """The arguments for a route's handler. Raises ``DefinitionInvalid``, ``InvalidRequest`` and ``Refused``."""
    shape = route.shape
    given: dict[str, Any] = {}
    problems: list[Problem] = []
    for parameter, text in zip(shape.path, values, strict=True):
        given[parameter.name] = _converted(parameter, parameter.kind, text, problems)
    texts = _query_of(query)
    for parameter in shape.query:
        found = texts.get(parameter.wire, [])
        if found:
            given[parameter.name] = _from_query(parameter, found, problems)
        elif parameter.is_required:
            problems.append(Problem(parameter.wire, f"the query parameter {parameter.wire} is missing"))
    if shape.takes_request_id:
        given["request_id"] = next(iter(texts.get("requestId", [])), headers.get("idempotency-key"))
    if shape.takes_trace:
        given["trace"] = trace_of(headers)
    if problems:
        raise DefinitionInvalid(f"{route.method} {route.path}", problems)
    if shape.body is not None:
        given |= _from_body(shape.body, headers.get("content-type", ""), body)
    return given


# --- query and path ---------------------------------------------------------------------------------------------------


def _query_of(query: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(query.decode("latin-1"), errors="strict", max_num_fields=_FIELDS_MAX)
    except ValueError as error:
        raise InvalidRequest(f"the query cannot be read: {error}") from None
    for name, text in pairs:
        if text not in _ABSENT:
            found.setdefault(name, []).append(text)
    return found


def _from_query(parameter: Parameter, texts: list[str], problems: list[Problem]) -> Any:
    kind = parameter.kind
    if get_origin(kind) is list:
        return [_converted(parameter, get_args(kind)[0], text, problems) for text in texts]
    # A text that comes several times is one with commas, as in Conductor.
    return _converted(parameter, kind, ",".join(texts) if kind in (str, str | None) else texts[0], problems)


def _converted(parameter: Parameter, kind: Any, text: str, problems: list[Problem]) -> Any:
    """A text as what its parameter is declared as; what it cannot be is a problem."""
    options = [option for option in get_args(kind) if option is not NoneType]
    kind = options[0] if options else kind
    if kind is bool:
        if text.lower() in _BOOLEANS:
            return _BOOLEANS[text.lower()]
        expected = "true or false"
    elif kind is int:
        if _INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63:
            return int(text)
        expected = "a whole number"
    elif isinstance(kind, type) and issubclass(kind, StrEnum):
        if text in set(kind):
            return kind(text)
        expected = f"one of {', '.join(kind)}"
    else:
        return text
    problems.append(Problem(parameter.wire, f"must be {expected}, not {text[:40]!r}", text))
    return None


# --- body -------------------------------------------------------------------------------------------------------------


def _from_body(parameter: Parameter, content_type: str, body: bytes) -> dict[str, Any]:
    if parameter.kind is str:
        return {parameter.name: _text(content_type, body)}
    if not body.strip():
        if parameter.is_required:
            raise InvalidRequest("the request has no body, and needs one of JSON")
        return {}
    if not _is_json(content_type):
        told = "the body is to be JSON, sent as content-type: application/json, and not as"
        raise Refused(415, f"{told} {content_type[:100]!r}", code="UNSUPPORTED_MEDIA_TYPE")
    try:
        data = msgspec.json.decode(body)
    except RecursionError:
        raise InvalidRequest("the JSON of the body is nested too deep to be read") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidRequest(f"the body is no JSON: {error}") from None
    if data is None and not parameter.is_required:
        return {}
    if get_origin(parameter.kind) is list and isinstance(data, dict):
        data = [data]
    value, problems = read_value(parameter.kind, data)
    if problems:
        raise DefinitionInvalid("the body", problems)
    return {parameter.name: value}


def _is_json(content_type: str) -> bool:
    """Whether a body may be read as JSON; one without a type is. Browsers ask nobody before they send forms and texts
    to other sites, so what comes as one of those may be sent by any page that somebody has open.
    """
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("", "application/json", "text/json") or kind.endswith("+json")


def _text(content_type: str, body: bytes) -> str:
    """A body of text. Conductor's clients send the inside of a JSON string and call it JSON; a whole one is as good."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("the body is not UTF-8 text") from None
    if "json" in content_type:
        for written in (text, f'"{text}"'):
            try:
                return msgspec.json.decode(written, type=str)
            except (msgspec.DecodeError, ValueError):
                continue
    return text
