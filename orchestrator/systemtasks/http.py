"""HTTP: one call of another system, its answer as the task's output.

Inputs and outputs are Conductor's. One difference is on purpose: a 4xx or 5xx answer fails the task with its status,
headers and body in the output, where Conductor leaves the text of an exception; only when there was no answer at all is
``response`` that text. Requests that may change something carry an ``Idempotency-Key``, the same for every attempt.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import msgspec

from orchestrator import codec
from orchestrator.errors import InvalidPayload
from orchestrator.model.records import Outcome
from orchestrator.settings import Settings
from orchestrator.systemtasks import endings
from orchestrator.systemtasks.context import SystemContext

if TYPE_CHECKING:
    from orchestrator.systemtasks.http_client import Answer, HttpClient, Request

REQUEST = "http_request"
TIMEOUT_MS = 3_000
TIMEOUT_MS_MAX = 3_600_000
MISSING = "Missing HTTP URI. See documentation for HttpTask for required input parameters"
FORM = "application/x-www-form-urlencoded"
FAILED = "Failed to invoke HTTP task due to: "
HOSTS_SERVED = 4
"""One host gets a quarter of a process's slots at most, so that one that hangs does not hold up the calls of others."""

BUSY_MS = 500

_METHOD = re.compile(r"[A-Z]{1,20}")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_OURS = frozenset({"content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"})


class BadRequest(Exception):
    """The input says no request that can be sent."""


async def run(input: dict[str, Any], context: SystemContext) -> Outcome:
    """Call, and end as the answer says: COMPLETED for 2xx (open until somebody completes it with asyncComplete)."""
    try:
        request = read_request(input, context.settings, context.task.idempotency_key, context.task.trace)
    except BadRequest as error:
        return endings.failed(str(error))
    answer = await called(request, context)
    if isinstance(answer, Outcome):
        return answer
    output = {"response": response_of(answer)}
    if not answer.is_success:
        return endings.failed(failure_of(answer), output)
    return endings.parked(output) if input.get("asyncComplete") is True else endings.completed(output)


async def called(request: Request, context: SystemContext) -> Answer | Outcome:
    """The answer to a request, or how the task ends without one."""
    from orchestrator.systemtasks.http_client import CallFailed, HostBusy, HttpClient

    per_host = max(1, context.shared.concurrency // HOSTS_SERVED)
    client: HttpClient = context.shared.keep("http", lambda: HttpClient(context.settings, per_host), HttpClient.close)
    try:
        return await client.call(request)
    except HostBusy:
        # Back into the queue, so that calls of other hosts get the slot; not all at the same moment.
        return endings.again(BUSY_MS + zlib.crc32(context.task.task_id.encode()) % BUSY_MS, {})
    except CallFailed as error:
        reason = f"{FAILED}{error}"
        ending = endings.terminal if error.is_final else endings.failed
        return ending(reason, {"response": reason})


def read_request(
    input: dict[str, Any],
    settings: Settings,
    idempotency_key: str | None = None,
    trace: Mapping[str, str] = {},
) -> Request:
    """The request that a task's input describes, nested under ``http_request`` or at top level.

    ``idempotency_key`` goes along with a method that may change something, the headers of ``trace`` with any; what the input
    says stands. Raises ``BadRequest``.
    """
    from orchestrator.systemtasks.http_client import Request

    given = input.get(REQUEST)
    if given is None:
        given = input
    if not isinstance(given, dict) or not given.get("uri"):
        raise BadRequest(MISSING)
    method = str(given.get("method") or "").upper()
    if not method:
        raise BadRequest("No HTTP method specified")
    if not _METHOD.fullmatch(method) or method == "CONNECT":
        raise BadRequest(f"{method[:40]!r} is no HTTP method that a task can use")
    headers = dict(_headers(given))
    content = _content(given.get("body"), headers["content-type"][1][0])
    if content is None:
        del headers["content-type"]
    if method not in _SAFE and idempotency_key is not None:
        headers.setdefault("idempotency-key", ("Idempotency-Key", [idempotency_key]))
    for name, value in trace.items():
        headers.setdefault(name, (name, [value]))
    connect_s = _milliseconds(given, "connectionTimeOut") / 1000
    read_s = _milliseconds(given, "readTimeOut") / 1000
    flat = [(name, value) for name, values in headers.values() for value in values]
    total_s = max(settings.http_timeout_s, connect_s + read_s)
    return Request(method, _url(str(given["uri"])), flat, content, connect_s, read_s, total_s)


def response_of(answer: Answer) -> dict[str, Any]:
    """An answer as a task's output shows it."""
    headers: dict[str, list[str]] = {}
    spelling: dict[str, str] = {}
    for name, value in answer.headers:
        headers.setdefault(spelling.setdefault(name.lower(), name), []).append(value)
    return {
        "statusCode": answer.status,
        "reasonPhrase": answer.phrase,
        "headers": headers,
        "body": body_of(answer),
    }


def body_of(answer: Answer) -> Any:
    """A body as Conductor reads it: an array or object of JSON, a number, and everything else as text; absent is null."""
    if not answer.body:
        return None
    try:
        value = msgspec.json.decode(answer.body)
        codec.pack(value, "body")
    except (msgspec.DecodeError, RecursionError, InvalidPayload, UnicodeDecodeError):
        return _decoded(answer)
    if isinstance(value, dict | list | str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return answer.body.decode().strip()


def failure_of(answer: Answer) -> str:
    """Why an answer that is no success fails its task."""
    text = _decoded(answer).strip()
    if answer.status < 400:
        return text or "No response from the remote service"
    return f"{FAILED}{answer.status} {answer.phrase}: {text or '[no body]'}"


def _decoded(answer: Answer) -> str:
    try:
        return answer.body.decode(answer.charset or "utf-8", "replace")
    except LookupError:  # a charset nobody knows
        return answer.body.decode("utf-8", "replace")


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise BadRequest(f"{text[:200]!r} is no http or https URL")
    return text


def _headers(given: dict[str, Any]) -> Iterator[tuple[str, tuple[str, list[str]]]]:
    """Header lines by their name in lower case; what decides how long a message is stays ours."""
    accept = given.get("accept")
    accepted = ", ".join(map(str, accept)) if isinstance(accept, list) else str(accept or "")
    yield "accept", ("Accept", [accepted or "application/json"])
    yield "content-type", ("Content-Type", [str(given.get("contentType") or "application/json")])
    headers = given.get("headers")
    if headers is None:
        return
    if not isinstance(headers, dict):
        raise BadRequest(f"headers must be an object, not {type(headers).__name__}")
    for name, value in headers.items():
        values = [_header(name, one) for one in (value if isinstance(value, list) else [value]) if one is not None]
        if values and name.lower() not in _OURS:
            yield name.lower(), (name, values)


def _header(name: str, value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if not name.isascii() or not all(character.isprintable() for character in name + text):
        raise BadRequest(f"the header {name[:100]!r} holds characters that no header can hold")
    return text


def _content(body: Any, content_type: str) -> bytes | None:
    if body is None:
        return None
    if isinstance(body, str):
        return body.encode()
    if content_type.partition(";")[0].strip().lower() == FORM and isinstance(body, dict):
        pairs = [(name, value) for name, value in body.items() if value is not None]
        return urlencode(pairs, doseq=True).encode()
    return msgspec.json.encode(body)


def _milliseconds(given: dict[str, Any], name: str) -> int:
    value = given.get(name)
    if value is None or value == "":
        return TIMEOUT_MS
    try:
        found = int(value)
    except (TypeError, ValueError):
        found = 0
    if not 0 < found <= TIMEOUT_MS_MAX:
        raise BadRequest(f"{name} must be a number of milliseconds from 1 to {TIMEOUT_MS_MAX}, not {str(value)[:40]!r}")
    return found
