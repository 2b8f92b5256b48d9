"""Verbs over HTTP, as plans: one yields the exchanges with a server that a verb takes, and gives what the verb gives.

What is waited for long is asked for in slices, since proxies cut off requests of minutes. A request that could not be sent,
or that passes by itself, is repeated a few times; one whose answer was lost only if doing it twice is doing it once, for
which starts, actions and messages carry an id. Tokens are asked for when the server wants one. Does no I/O itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar, cast
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from orchestrator.engine.starts import Resolved, resolve_definition
from orchestrator.errors import (
    InvalidRequest,
    OrchestratorError,
    OutcomeUnknown,
    ServerUnavailable,
    TooFast,
    Unauthorized,
)
from orchestrator.model.definitions import WorkflowDef
from orchestrator.model.execution import Task
from orchestrator.model.wire_write import json_name
from orchestrator.plan import Plan
from orchestrator.protocol import forms, refusals
from orchestrator.protocol.verbs import BY_PLAN, Verb
from orchestrator.service import halts, starting, workflows
from orchestrator.service.actions import bounded
from orchestrator.service.halts import Halt
from orchestrator.service.starting import Launch, new_request_id
from orchestrator.service.workflows import Standing
from orchestrator.store.context import StoreContext

P = ParamSpec("P")
T = TypeVar("T")

SLICE_S = 20.0
"""How long one request waits at the most; proxies commonly cut them off after 60 s."""

ANSWER_S = 30.0
"""How long an answer may take beyond what the verb itself waits."""

REPEATS_S = (0.2, 0.4, 0.8, 1.6)
"""Pauses before a request is repeated; ``Retry-After`` makes them longer."""

RETRY_AFTER_S_MAX = 10.0
_REPEATED_CODES = frozenset({None, "STORE_UNAVAILABLE", "ARCHIVE_UNAVAILABLE", "PAYLOAD_UNAVAILABLE"})
_PLACE = re.compile(r"\{(\w+)\}")


class Exchange(NamedTuple):
    """One request, with JSON as its body; the plan receives an ``Answer``, or ``Lost`` is raised in it."""

    url: str
    body: bytes
    token: str
    timeout_s: float
    method: str = "POST"


class Pause(NamedTuple):
    """Wait for so long."""

    seconds: float


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes
    retry_after: str | None = None


class Lost(Exception):
    """There is no answer. ``was_sent``: the server may have carried out the request."""

    def __init__(self, reason: str, *, was_sent: bool) -> None:
        super().__init__(reason)
        self.was_sent = was_sent


Talk = Generator[Any, Any, T]
"""A plan whose steps are ``Exchange`` and ``Pause``."""


def base_url(url: str) -> str:
    """Where the API begins at an address, which may have a path in front. Raises ``InvalidRequest``.

    Example: ``base_url("https://host/flows/") == "https://host/flows/api"``
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise InvalidRequest(f"{parts.scheme}://{parts.hostname} is no address of a server; give http://HOST:PORT")
    return url.rstrip("/").removesuffix("/api") + "/api"


class Remote:
    """A server as a client sees it: verbs become talks with it. Safe to share.

    Example: ``session.run(remote.plan(workflows.get, workflow_id))``
    """

    def __init__(self, url: str, key_id: str = "", key_secret: str = "") -> None:
        self.url = base_url(url)
        self._key = (key_id, key_secret)
        self._token = ""
        self._composed: Mapping[Callable[..., Any], Callable[..., Talk[Any]]] = {
            workflows.result: self._result,
            workflows.await_end: self._await_end,
            halts.execute: self._execute,
            halts.signal_and_wait: self._signal_and_wait,
            starting.resolve_given: _unjudged,
        }

    def plan(
        self, verb: Callable[Concatenate[StoreContext, P], Plan[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Plan[T]:
        """The plan of a verb of the service. Raises ``InvalidRequest`` for one that needs Redis."""
        composed = self._composed.get(verb)
        if composed is None and verb not in BY_PLAN:
            raise InvalidRequest(
                f"{verb.__name__} of {verb.__module__.rpartition('.')[2]} is not done over HTTP: use the Redis, as in "
                "Client('redis://HOST:6379/0') or --redis redis://HOST:6379/0"
            )
        talk = composed(*args, **kwargs) if composed is not None else self._ask(verb, *args, **kwargs)
        return cast("Plan[T]", talk)  # driven by the session that made it, which knows these steps

    def _ask(self, plan: Callable[..., Plan[T]], *args: Any, **kwargs: Any) -> Talk[T]:
        """Ask the server for one verb and give its answer; raises what the verb raises there."""
        verb = BY_PLAN[plan]
        given = _with_id(plan, forms.bound(plan, args, kwargs))
        waits_s = float(given.get("wait_s") or given.get("timeout_s") or 0)
        path, body = _filled(verb, forms.write_arguments(given))
        answer = yield from self._exchange(f"verbs/{path}", body, verb.is_repeatable, waits_s + ANSWER_S)
        kind = forms.answer_of(plan)
        if kind is str:
            return cast(T, answer.decode())
        return cast(T, forms.read(kind, msgspec.json.decode(answer) if answer else None))

    def poll(self, task_type: str, worker: str, domain: str | None, count: int, wait_s: float) -> Talk[list[Task]]:
        """Up to ``count`` tasks of one type for a worker, none after ``wait_s`` seconds, five at most.

        What an answer that was lost held comes back when its response time-out is over.
        """
        asked = {"workerid": worker, "count": str(count), "timeout": str(round(wait_s * 1000))}
        asked |= {"domain": domain} if domain is not None else {}
        path = f"tasks/poll/batch/{quote(task_type, safe='')}?{urlencode(asked)}"
        answer = yield from self._exchange(path, b"", False, wait_s + ANSWER_S, "GET")
        return cast("list[Task]", forms.read(list[Task], msgspec.json.decode(answer)))

    # --- what is waited for -------------------------------------------------------------------------------------------

    def _await_end(self, workflow_id: str, timeout_s: float | None = None) -> Talk[Standing]:
        def look(wait_s: float) -> Plan[Standing]:
            return self.plan(workflows.standing_within, workflow_id, wait_s)

        return workflows.ended(look, timeout_s, SLICE_S)

    def _result(self, workflow_id: str, timeout_s: float | None = None) -> Talk[dict[str, Any]]:
        return workflows.output_of((yield from self._await_end(workflow_id, timeout_s)))

    def _execute(self, launch: Launch, *, timeout_s: float = halts.EXECUTE_WAIT_S, **wanted: Any) -> Talk[Halt]:
        launch = launch._replace(
            request_id=launch.request_id or new_request_id(), watch_ms=halts.watch_ms(bounded(timeout_s))
        )
        first_s = min(timeout_s, SLICE_S)
        halt = yield from self._ask(halts.execute, launch, timeout_s=first_s, **wanted)
        return (yield from self._until_halt(halt, timeout_s - first_s, wanted))

    def _signal_and_wait(
        self, workflow_id: str, *args: Any, timeout_s: float = halts.SIGNAL_WAIT_S, **wanted: Any
    ) -> Talk[Halt]:
        first_s = min(bounded(timeout_s), SLICE_S)
        halt = yield from self._ask(halts.signal_and_wait, workflow_id, *args, timeout_s=first_s, **wanted)
        return (yield from self._until_halt(halt, timeout_s - first_s, wanted))

    def _until_halt(self, halt: Halt, left_s: float, wanted: dict[str, Any]) -> Talk[Halt]:
        named = {name: wanted[name] for name in ("wait_until_refs", "return_strategy") if name in wanted}
        while halt.timed_out and left_s > 0:
            slice_s = min(left_s, SLICE_S)
            later = yield from self._ask(halts.await_halt, halt.target.workflow_id, timeout_s=slice_s, **named)
            halt, left_s = later._replace(request_id=halt.request_id), left_s - slice_s
        return halt

    # --- one request --------------------------------------------------------------------------------------------------

    def _exchange(
        self, path: str, body: bytes, is_repeatable: bool, timeout_s: float, method: str = "POST"
    ) -> Talk[bytes]:
        url, pauses, has_asked_anew = f"{self.url}/{path}", list(REPEATS_S), False
        while True:
            try:
                answer: Answer = yield Exchange(url, body, self._token, timeout_s, method)
            except Lost as lost:
                if (lost.was_sent and not is_repeatable) or not pauses:
                    raise self._unknown(lost, was_sent=lost.was_sent) from lost
                yield Pause(pauses.pop(0))
                continue
            if answer.status < 300:
                return answer.body
            error, passes = _refusal(answer)
            if isinstance(error, Unauthorized) and self._key[0] and not has_asked_anew:
                has_asked_anew = True
                yield from self._renew_token()
            elif passes and pauses and (is_repeatable or isinstance(error, TooFast)):
                yield Pause(max(pauses.pop(0), _seconds(answer.retry_after)))
            else:
                raise error

    def _renew_token(self) -> Talk[None]:
        body = msgspec.json.encode({"keyId": self._key[0], "keySecret": self._key[1]})
        try:
            answer: Answer = yield Exchange(f"{self.url}/token", body, "", ANSWER_S)
        except Lost as lost:
            raise self._unknown(lost, was_sent=False) from lost
        if answer.status >= 300:
            raise _refusal(answer)[0]
        self._token = msgspec.json.decode(answer.body)["token"]

    def _unknown(self, lost: Lost, *, was_sent: bool) -> OrchestratorError:
        if was_sent:
            return OutcomeUnknown(
                f"the server at {self.url} was asked, and its answer was lost ({lost}); look whether it was carried out"
            )
        return ServerUnavailable(f"the server at {self.url} cannot be reached: {lost}")


def _unjudged(definition: WorkflowDef) -> Talk[Resolved]:
    """A definition at hand; the server judges it, with the schemas that it names."""
    return resolve_definition(definition)
    yield


def _with_id(plan: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
    """The arguments under an id, so that the server knows a repetition."""
    takes = forms.parameters_of(plan)
    for name in ("request_id", "message_id"):
        if name in takes and given.get(name) is None:
            given[name] = new_request_id()
    if isinstance(given.get("launch"), Launch):
        given["launch"] = _identified(given["launch"])
    if "launches" in given:
        given["launches"] = [_identified(launch) for launch in given["launches"]]
    return given


def _identified(launch: Launch) -> Launch:
    return launch if launch.request_id else launch._replace(request_id=new_request_id())


def _filled(verb: Verb, given: dict[str, Any]) -> tuple[str, bytes]:
    """The path with what it names, and the rest as the body."""
    path = verb.path
    for name in _PLACE.findall(path):
        path = path.replace(f"{{{name}}}", quote(str(given.pop(json_name(name))), safe=""))
    return path, msgspec.json.encode(given)


def _refusal(answer: Answer) -> tuple[OrchestratorError, bool]:
    """The error that an answer tells of, and whether it passes by itself."""
    try:
        data = msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.DecodeError, ValueError):
        data = {}
    code = data.get("code")
    passes = (answer.status == 429 and code in (None, TooFast.code)) or (
        answer.status in (502, 503, 504) and code in _REPEATED_CODES
    )
    if code in refusals.KINDS:
        return refusals.error_of(data), passes
    said = f"the server answered {answer.status}: {data.get('message') or answer.body[:200].decode(errors='replace')}"
    if answer.status == 401:
        return Unauthorized(said), False
    if answer.status == 429:
        return TooFast(said), passes
    return (ServerUnavailable(said) if answer.status >= 500 else InvalidRequest(said)), passes


def _seconds(retry_after: str | None) -> float:
    return min(float(retry_after), RETRY_AFTER_S_MAX) if retry_after and retry_after.isdigit() else 0.0
