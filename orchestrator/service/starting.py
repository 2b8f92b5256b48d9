"""Starting workflows: from what a caller asked for to an execution that exists, or the reason why it does not.

The definition is looked up (or came along), defaults are laid under the input, the id decides the partition, and one
script claims id and idempotency key together. Everything here may be repeated: the same request id never starts two.
Called by ``workflows`` and by the clients; the engine has its own, shorter way for the workflows it starts itself.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Raw

from orchestrator import ids
from orchestrator.archive import shelf
from orchestrator.clock import SystemClock
from orchestrator.codec import pack
from orchestrator.engine.starts import (
    Resolved,
    Start,
    check_workflow_id,
    child_versions,
    resolve_body,
    resolve_inline,
    resolve_name,
    send_starts,
    take_over,
    with_defaults,
)
from orchestrator.errors import Conflict, DefinitionInvalid, InvalidRequest, OrchestratorError
from orchestrator.model.definitions import IdempotencyStrategy, WorkflowDef
from orchestrator.model.execution import StartWorkflowRequest, validate_start_request
from orchestrator.model.records import FORMAT, Meta
from orchestrator.model.tracing import trace_of
from orchestrator.plan import Command, Plan, Wait
from orchestrator.service import admission, schemas, uploads
from orchestrator.store import catalog
from orchestrator.store.context import StoreContext
from orchestrator.store.partition import StartReply, StartVerdict, idempotency_field

COMMIT_WAIT_S = 1.0
STARTS_PER_PIPELINE = 250
TAKEOVERS_MAX = 10
"""How often FAIL_ON_RUNNING follows an idempotency key that changes hands while it looks."""

_clock = SystemClock()


class Launch(NamedTuple):
    """One start: what Conductor's request says, and what only we know.

    ``workflow_id`` is chosen by the caller, ``request_id`` makes a repetition harmless, ``resolved`` is a definition
    that was checked before and spares the look-up, ``event`` is what a handler started it for.
    For ``watch_ms`` after the start the caller wants to hear of every change.
    Example: ``Launch(StartWorkflowRequest(name="order"))``
    """

    request: StartWorkflowRequest
    workflow_id: str | None = None
    request_id: str | None = None
    resolved: Resolved | None = None
    event: str | None = None
    watch_ms: int = 0
    partition: int | None = None  # where a generated id is to live
    trace: Mapping[str, str] = {}  # traceparent and tracestate of the starter


class StartedWorkflow(NamedTuple):
    """``existed``: the idempotency key led to an execution that was there before."""

    workflow_id: str
    existed: bool = False


def start(store: StoreContext, launch: Launch, *, wait_commit: bool = True) -> Plan[StartedWorkflow]:
    """Start one workflow; with ``wait_commit``, answer when its first step is decided, after a second at the latest.

    Raises ``DefinitionNotFound``, ``DefinitionInvalid`` (the request or its inline definition), ``InvalidPayload`` (the
    input), ``SchemaViolation`` (it breaks the workflow's schema), ``InvalidRequest`` (an id and a key together) and
    ``Conflict`` (id or key in use).
    Example: ``executor.run(start(store, Launch(StartWorkflowRequest(name="order"))))``
    """
    made = yield from checked(store, launch)
    if isinstance(made, StartedWorkflow):
        return made
    gate = yield from admission.reserve(store, made)
    (reply,) = yield from send_starts(store, [made])
    started = yield from _settled(store, launch, made, reply, gate)
    if wait_commit and not started.existed:
        key = store.keys.workflow(store.keys.partition_of(started.workflow_id), started.workflow_id)
        channel = store.keys.done_channel(store.keys.partition_of(started.workflow_id), started.workflow_id)
        yield Wait((channel,), Command(("HGET", key, "v")), _is_committed, COMMIT_WAIT_S)
    return started


def start_many(store: StoreContext, launches: Sequence[Launch]) -> Plan[list[StartedWorkflow | OrchestratorError]]:
    """Start many workflows in few round trips, without waiting for commits; one answer each, in order.

    An error stands in the place of the start it belongs to; a lost connection raises. Repeat with the same request ids.
    """
    answers: list[StartedWorkflow | OrchestratorError] = []
    for at in range(0, len(launches), STARTS_PER_PIPELINE):
        answers += yield from _start_part(store, launches[at : at + STARTS_PER_PIPELINE])
    return answers


def checked(store: StoreContext, launch: Launch) -> Plan[Start | StartedWorkflow]:
    """The start of a launch that was checked in every way, or the archived execution that it is a repetition of.

    Raises what is wrong with it.
    """
    _check(launch)
    resolved = yield from _resolve(store, launch)
    made = prepare(store, launch, resolved, (yield from child_versions(store, resolved)))
    return (yield from _met_in_archive(store, launch, made)) or made


def prepare(store: StoreContext, launch: Launch, resolved: Resolved, versions: dict[str, int]) -> Start:
    """The store's form of a start that was checked; ``versions`` are those of its sub-workflows.

    Raises what is wrong with its input.
    """
    request = launch.request
    workflow_id, request_id = _identify(store, launch, resolved.name)
    path = request.external_input_payload_storage_path
    brought = uploads.taken(store, path, request.input, f"workflow {request.name}")
    given = with_defaults(resolved.definition, brought)
    schemas.require_valid_input(resolved.definition, given)
    key = request.idempotency_key
    meta = Meta(
        FORMAT,
        resolved.name,
        resolved.version,
        resolved.hash,
        priority=request.priority,
        correlation_id=request.correlation_id,
        idempotency_key=key,
        task_to_domain=request.task_to_domain,
        trace=trace_of(launch.trace),
        created_by=request.created_by,
        child_versions=versions,
        event=launch.event,
        watch_ms=launch.watch_ms,
    )
    packed = pack(given, "input", store.settings.payload_bytes_max)
    packed = store.payloads.moved_out(workflow_id, packed)
    field = idempotency_field(resolved.name, key) if key else ""
    return Start(workflow_id, request_id, resolved, meta, Raw(packed), field)


def resolve_given(store: StoreContext, definition: WorkflowDef) -> Plan[Resolved]:
    """Like ``resolve_inline``, with the text of the schemas that the definition only names."""
    (filled,) = yield from schemas.completed(store, [definition])
    return resolve_inline(filled)


def new_request_id() -> str:
    """An id under which a request may be repeated."""
    return os.urandom(12).hex()


def _resolve(store: StoreContext, launch: Launch) -> Plan[Resolved]:
    if launch.resolved is not None:
        return launch.resolved
    if launch.request.workflow_def is not None:
        return (yield from resolve_given(store, launch.request.workflow_def))
    return (yield from resolve_name(store, launch.request.name, launch.request.version))


def _start_part(store: StoreContext, launches: Sequence[Launch]) -> Plan[list[StartedWorkflow | OrchestratorError]]:
    names = sorted(
        {
            (launch.request.name, launch.request.version or 0)
            for launch in launches
            if launch.resolved is None and launch.request.workflow_def is None
        }
    )
    bodies = (
        (yield [catalog.get_workflow(store.keys, name, version or None) for name, version in names]) if names else []
    )
    stored = dict(zip(names, bodies, strict=True))
    versions: dict[str, dict[str, int]] = {}
    made: list[Start | StartedWorkflow | OrchestratorError] = []
    places: dict[str, str] = {}  # gates at which a place is kept, by workflow id
    for launch in launches:
        try:
            _check(launch)
            body = stored.get((launch.request.name, launch.request.version or 0))
            if body is not None and not isinstance(body, Exception):
                resolved = resolve_body(body.body)
            else:
                resolved = yield from _resolve(store, launch)
            if resolved.hash not in versions:
                versions[resolved.hash] = yield from child_versions(store, resolved)
            prepared = prepare(store, launch, resolved, versions[resolved.hash])
            before = yield from _met_in_archive(store, launch, prepared)
            if before is not None:
                made.append(before)
                continue
            places[prepared.workflow_id] = yield from admission.reserve(store, prepared)
            made.append(prepared)
        except OrchestratorError as error:
            made.append(error)
    replies = iter((yield from send_starts(store, [start for start in made if isinstance(start, Start)])))
    answers: list[StartedWorkflow | OrchestratorError] = []
    for launch, entry in zip(launches, made, strict=True):
        if isinstance(entry, OrchestratorError | StartedWorkflow):
            answers.append(entry)
            continue
        try:
            gate = places[entry.workflow_id]
            answers.append((yield from _settled(store, launch, entry, next(replies), gate)))
        except OrchestratorError as error:
            answers.append(error)
    return answers


def _check(launch: Launch) -> None:
    request = launch.request
    # A definition that came along was judged when it was resolved.
    problems = validate_start_request(request, lambda _: [])
    if problems:
        raise DefinitionInvalid(f"start of workflow {request.name!r}", problems)
    if launch.workflow_id is not None:
        check_workflow_id(launch.workflow_id)
        if request.idempotency_key:
            raise InvalidRequest(
                f"workflow {request.name}: give workflow_id={launch.workflow_id!r} or "
                f"idempotency_key={request.idempotency_key!r}, not both: each decides where the workflow lives"
            )


def _identify(store: StoreContext, launch: Launch, name: str) -> tuple[str, str]:
    """Workflow id and request id. A repeated request id must find the id of its first try, so it decides it."""
    key, partitions = launch.request.idempotency_key, store.keys.partitions
    request_id = launch.request_id or new_request_id()
    if launch.workflow_id is not None:
        return launch.workflow_id, request_id
    if launch.request_id:
        seed = hashlib.sha256(f"{name}\n{launch.request_id}".encode()).digest()
        now_ms = int.from_bytes(seed[:6], "big")
    else:
        seed, now_ms = os.urandom(16), _clock.now_ms()
    partition = ids.partition_of_key(name, key, partitions) if key else launch.partition
    if partition is None:
        partition = int.from_bytes(seed[6:8], "big") % partitions
    return ids.new_workflow_id(partition, now_ms, seed[8:16]), request_id


def _settle(store: StoreContext, launch: Launch, made: Start, reply: StartReply | Exception) -> Plan[StartedWorkflow]:
    """What a reply means for the caller; FAIL_ON_RUNNING goes on until the key is ours or somebody runs under it."""
    if launch.request.idempotency_strategy is IdempotencyStrategy.FAIL_ON_RUNNING:
        for _ in range(TAKEOVERS_MAX):
            if isinstance(reply, Exception) or reply.verdict is not StartVerdict.EXISTS:
                break
            other = reply.workflow_id
            reply = yield from take_over(store, made, other)
            if reply.workflow_id == other:
                break
    return outcome(launch, made, reply)


def outcome(launch: Launch, made: Start, reply: StartReply | Exception) -> StartedWorkflow:
    """What the store's last word on a start means for the caller. Raises ``Conflict`` for a refusal."""
    if isinstance(reply, Exception):
        raise reply
    if reply.verdict is StartVerdict.OK:
        return StartedWorkflow(reply.workflow_id)
    strategy = launch.request.idempotency_strategy
    if reply.verdict is StartVerdict.EXISTS and strategy is IdempotencyStrategy.RETURN_EXISTING:
        return StartedWorkflow(reply.workflow_id, existed=True)
    raise _refusal(made, reply, strategy)


def _refusal(made: Start, reply: StartReply, strategy: IdempotencyStrategy | None = None) -> OrchestratorError:
    match reply.verdict:
        case StartVerdict.EXISTS:
            state = "is running" if strategy is IdempotencyStrategy.FAIL_ON_RUNNING else "exists"
            return Conflict(
                f"workflow {made.meta.name} with idempotency key {made.meta.idempotency_key!r} {state}: "
                f"{reply.workflow_id}; use that one, another key, or the strategy RETURN_EXISTING"
            )
        case StartVerdict.TAKEN:
            return Conflict(
                f"workflow id {made.workflow_id} is in use by another start; choose another id, or look at it with: "
                f"orchestrator workflow get {made.workflow_id}"
            )
        case StartVerdict.TOMB:
            return Conflict(f"workflow {made.workflow_id} was cancelled before it could start; start another")
        case _:
            return Conflict(f"workflow {made.workflow_id} was not started: {reply.verdict}; repeat the start")


def _met_in_archive(store: StoreContext, launch: Launch, made: Start) -> Plan[StartedWorkflow | None]:
    """The answer to a start whose id is that of an archived execution: a repetition of its start, or a foreign one.

    Only an id that was chosen, or follows from a request id, can be. One that is moved after this look leaves a mark
    in Redis for an hour that forbids its start.
    """
    if launch.workflow_id is None and launch.request_id is None:
        return None
    for kept in (yield from shelf.look_up(store, [made.workflow_id])):
        if kept.fields.get("rid") != made.request_id.encode():
            raise _refusal(made, StartReply(StartVerdict.TAKEN, ""))
        return StartedWorkflow(made.workflow_id)
    return None


def _settled(
    store: StoreContext, launch: Launch, made: Start, reply: StartReply | Exception, gate: str
) -> Plan[StartedWorkflow]:
    """Like ``_settle``; a place that was kept for the start at a gate is given up when another execution is meant."""
    try:
        started = yield from _settle(store, launch, made, reply)
    except (Conflict, InvalidRequest):
        yield from admission.cancel(store, gate, made)
        raise
    if started.workflow_id != made.workflow_id:
        yield from admission.cancel(store, gate, made)
    return started


def _is_committed(version: Any) -> bool:
    return version is not None and int(version) >= 1
