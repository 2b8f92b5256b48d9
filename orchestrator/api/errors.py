"""Errors over HTTP: the one table from an error of ours to a status, and the JSON that tells of it.

What the caller can mend is a 4xx with the place of the fault, what passes by itself a 503 with ``Retry-After``; a 500 is
a bug of ours and is logged. Called by ``app``.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from orchestrator import errors
from orchestrator.errors import DefinitionInvalid, InvalidPayload, OrchestratorError, Problem

log = logging.getLogger(__name__)

INSTANCE = socket.gethostname()
RETRY_AFTER_S = 1
PASSING = frozenset({429, 503})
VALUE_CHARS_MAX = 200
JSON = "application/json"

STATUSES: dict[type[OrchestratorError], int] = {
    errors.InvalidRequest: 400,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.TooFast: 429,
    errors.RateLimited: 429,
    errors.QueueFull: 429,
    errors.Unavailable: 503,
    errors.WorkflowUnsuccessful: 409,
}
"""The status of an error is that of the nearest of its classes."""


class Refused(Exception):
    """A request that reached no handler; ``code`` is for programs."""

    def __init__(
        self, status: int, message: str, headers: Mapping[str, str] | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.code = code


def status_of(error: OrchestratorError) -> int:
    """The status that tells of an error; 500 for what nobody foresaw. Example: ``status_of(NotFound("x")) == 404``"""
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)


def status_for(error: Exception) -> int:
    """The status that a request which failed is answered with."""
    if isinstance(error, Refused):
        return error.status
    return status_of(error) if isinstance(error, OrchestratorError) else 500


def response_to(error: Exception, what: str) -> Response:
    """The answer to a request that failed; ``what`` names it in the log."""
    if isinstance(error, Refused):
        return _response(error.status, str(error), code=error.code, headers=error.headers)
    status = status_of(error) if isinstance(error, OrchestratorError) else 500
    if not isinstance(error, OrchestratorError) or status == 500:
        log.error("request_failed", extra={"request": what}, exc_info=error)
        return _response(500, f"an error of the server's ({type(error).__name__}); its log says more")
    if isinstance(error, DefinitionInvalid):
        return _invalid(error)
    problems = [Problem(error.path, error.reason)] if isinstance(error, InvalidPayload) else []
    return _response(status, str(error), code=error.code, problems=problems)


def _invalid(error: DefinitionInvalid) -> Response:
    document = {
        "status": 400,
        "message": "Validation failed, check below errors for detail.",
        "retryable": False,
        "code": DefinitionInvalid.code,
        "subject": _text(error.what),
        "validationErrors": _listed(error.problems),
    }
    return Response(msgspec.json.encode(document), 400, media_type=JSON)


def _response(
    status: int,
    message: str,
    *,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
    problems: list[Problem] | None = None,
) -> Response:
    is_passing = status in PASSING
    document: dict[str, Any] = {
        "status": status,
        "message": _text(message),
        "instance": INSTANCE,
        "retryable": is_passing,
    }
    if code is not None:
        document["code"] = code
    if status in (401, 403):
        document["error"] = code  # where Conductor's clients look whether a fresh token would help
    if problems:
        document["validationErrors"] = _listed(problems)
    when = {"retry-after": str(RETRY_AFTER_S)} if is_passing else {}
    return Response(msgspec.json.encode(document), status, headers={**when, **(headers or {})}, media_type=JSON)


def _listed(problems: list[Problem]) -> list[dict[str, Any]]:
    return [
        {"path": _text(one.path), "message": _text(one.message), "invalidValue": _shown(one.value)} for one in problems
    ]


def _shown(value: Any) -> str | None:
    """An offending value in short; it may be anything, also what JSON cannot say."""
    if value is None:
        return None
    return _text(value if isinstance(value, str) else repr(value))[:VALUE_CHARS_MAX]


def _text(text: str) -> str:
    """Text without lone surrogates, which have no UTF-8 form: a fault may quote one."""
    return text.encode(errors="replace").decode()
