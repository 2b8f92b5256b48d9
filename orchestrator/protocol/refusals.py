"""Errors as JSON, and back as the same exceptions: what a client over HTTP raises is what one on Redis would raise.

The form is that of the API's error answers. Used by the HTTP clients, and where an answer holds errors among its values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.errors import DefinitionInvalid, InvalidPayload, OrchestratorError, Problem

Json = dict[str, Any]


def _tree(kind: type[OrchestratorError]) -> Iterator[type[OrchestratorError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _tree(one)


KINDS = {kind.code: kind for kind in _tree(OrchestratorError)}
"""Every error by its code."""


def told(error: OrchestratorError) -> Json:
    """What there is to tell of an error. Example: ``told(NotFound("x")) == {"code": "NOT_FOUND", "message": "x"}``"""
    found: Json = {"code": error.code, "message": str(error)}
    if isinstance(error, DefinitionInvalid):
        found["subject"] = error.what
        found["validationErrors"] = [{"path": one.path, "message": one.message} for one in error.problems]
    elif isinstance(error, InvalidPayload):
        found["validationErrors"] = [{"path": error.path, "message": error.reason}]
    return found


def error_of(data: Mapping[str, Any]) -> OrchestratorError:
    """The exception that was told of; of the root's class when its code is unknown here."""
    kind, message = KINDS.get(str(data.get("code")), OrchestratorError), str(data.get("message", ""))
    listed = data.get("validationErrors") or []
    problems = [Problem(one.get("path", ""), one.get("message", ""), one.get("invalidValue")) for one in listed]
    if issubclass(kind, DefinitionInvalid):
        return kind(str(data.get("subject", "the request")), problems)
    if issubclass(kind, InvalidPayload) and problems:
        return kind(problems[0].path, problems[0].message)
    error = kind.__new__(kind)
    Exception.__init__(error, message)  # those that make their message themselves have it made already
    return error
