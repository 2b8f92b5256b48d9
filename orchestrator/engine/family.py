"""Hand-offs between workflows: a child or a failure workflow is started, a parent told, a child ended.

Each is one script call in the other workflow's partition, delivered at least once. A start collides with itself by the
derived id, the word to a parent by its task's dispatch entry, the word to a child in the child's own decision. What
can never be started fails the parent's task with the reason. Called by the relay.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from orchestrator.codec import pack, unpack
from orchestrator.engine.starts import (
    Resolved,
    Start,
    child_versions,
    resolve_inline,
    resolve_name,
    send_starts,
    take_over,
    with_defaults,
)
from orchestrator.engine.views import load_view
from orchestrator.errors import InvalidRequest, OrchestratorError, StoreUnavailable
from orchestrator.ids import suffix_of, task_suffix
from orchestrator.model.definitions import IdempotencyStrategy
from orchestrator.model.effects import CancelChild, NotifyParent, ReviveParent, StartWorkflow
from orchestrator.model.records import FORMAT, Outcome, decode_outcome, decode_result, decode_scheduled, encode
from orchestrator.model.status import is_terminal
from orchestrator.model.wire import workflow_def_from_dict, workflow_to_dict
from orchestrator.plan import Command, Plan
from orchestrator.store import dispatch, partition
from orchestrator.store.context import StoreContext
from orchestrator.store.partition import StartVerdict
from orchestrator.store.verdicts import Verdict

log = logging.getLogger(__name__)

STARTS_PER_PIPELINE = 200
REPORTS_PER_CALL = 100

FamilyHandoff = StartWorkflow | NotifyParent | CancelChild | ReviveParent


def deliver(store: StoreContext, handoffs: Sequence[FamilyHandoff]) -> Plan[list[bool]]:
    """Deliver hand-offs, those of a kind together; gives for each whether it is settled. A lost connection raises."""
    settled = [True] * len(handoffs)
    notices: list[tuple[int, NotifyParent]] = []
    starts = [(place, one) for place, one in enumerate(handoffs) if isinstance(one, StartWorkflow)]
    for first in range(0, len(starts), STARTS_PER_PIPELINE):
        yield from _start(store, starts[first : first + STARTS_PER_PIPELINE], settled, notices)
    words = [(place, one) for place, one in enumerate(handoffs) if isinstance(one, CancelChild | ReviveParent)]
    if words:
        yield from _tell(store, words, settled)
    notices += [(place, one) for place, one in enumerate(handoffs) if isinstance(one, NotifyParent)]
    if notices:
        yield from _notify(store, notices, settled)
    return settled


def _start(
    store: StoreContext,
    handoffs: Sequence[tuple[int, StartWorkflow]],
    settled: list[bool],
    notices: list[tuple[int, NotifyParent]],
) -> Plan[None]:
    """Start children and failure workflows.

    What can never be started is logged and done with: a parent's task fails by it, a workflow that ended is not changed.
    """
    known = _Known()
    ready: list[tuple[int, StartWorkflow, Start]] = []
    for place, handoff in handoffs:
        try:
            ready.append((place, handoff, (yield from _prepare(store, handoff, known))))
        except StoreUnavailable:
            raise
        except (InvalidRequest, msgspec.MsgspecError) as error:
            notices += _refusals(place, handoff, str(error))
        except OrchestratorError as error:
            log.error("handoff_refused", extra={"workflow_id": handoff.workflow_id, "reason": str(error)})
            settled[place] = False
    replies = (yield from send_starts(store, [start for _, _, start in ready])) if ready else []
    for (place, handoff, start), reply in zip(ready, replies, strict=True):
        if isinstance(reply, Exception):
            log.error("handoff_refused", extra={"workflow_id": handoff.workflow_id, "reason": str(reply)})
            settled[place] = False
        elif reply.verdict is StartVerdict.TAKEN:
            notices += _refusals(place, handoff, f"workflow id {handoff.workflow_id} is in use by another start")
        elif reply.verdict is StartVerdict.EXISTS:
            reason = yield from _existing(store, handoff, start, reply.workflow_id)
            if reason is None:
                settled[place] = False
            elif reason:
                notices += _refusals(place, handoff, reason)


class _Known:
    """Definitions that one delivery has looked up already: a wide fork starts the same child many times."""

    def __init__(self) -> None:
        self.resolved: dict[tuple[str, int | None], Resolved] = {}
        self.versions: dict[str, dict[str, int]] = {}


def _existing(store: StoreContext, handoff: StartWorkflow, start: Start, other: str) -> Plan[str | None]:
    """Another execution has the idempotency key: take its place if it has ended, share it as the child, or fail.

    Gives the reason to fail with, "" when it is settled, None when it is to be tried again.
    """
    meta = handoff.meta
    if handoff.strategy == IdempotencyStrategy.FAIL_ON_RUNNING:
        reply = yield from take_over(store, start, other)
        if reply.verdict is not StartVerdict.EXISTS:
            return ""
        other = reply.workflow_id
    if handoff.strategy != IdempotencyStrategy.RETURN_EXISTING:
        state = "is running" if handoff.strategy == IdempotencyStrategy.FAIL_ON_RUNNING else "exists"
        return f"workflow {meta.name} with idempotency key {meta.idempotency_key!r} {state}: {other}"
    if meta.parent_task_id is None or meta.parent_workflow_id is None:
        return ""
    found = yield partition.tell(
        store.keys, store.keys.partition_of(other), other, ("follow", meta.parent_task_id, None, "", 0)
    )
    if not found:
        return None  # removed a moment ago: the key is free again
    shared = Outcome(FORMAT, "IN_PROGRESS", merge=True, child_workflow_id=other)
    report = dispatch.Report(meta.parent_task_id, dispatch.OUTSIDE, False, encode(shared))
    yield [dispatch.accept(store.keys, store.keys.partition_of(meta.parent_workflow_id), "relay", [report])]
    return ""


def _prepare(store: StoreContext, handoff: StartWorkflow, known: _Known) -> Plan[Start]:
    """The start with its definition resolved and its input complete. Raises what is wrong with it."""
    meta = handoff.meta
    resolved: Resolved
    if handoff.definition is not None:
        value = msgspec.json.decode(handoff.definition)
        resolved = resolve_inline(workflow_def_from_dict(value, check=None))
    else:
        place = (meta.name, None if handoff.latest else meta.version)
        if place not in known.resolved:
            known.resolved[place] = yield from resolve_name(store, *place)
        resolved = known.resolved[place]
    if resolved.hash not in known.versions:
        known.versions[resolved.hash] = yield from child_versions(store, resolved)
    given = unpack(bytes(handoff.input))
    if meta.failure_of is not None:
        given = yield from _with_failed_workflow(store, meta.failure_of, given)
    packed = pack(with_defaults(resolved.definition, given), "input", store.settings.payload_bytes_max)
    packed = store.payloads.moved_out(handoff.workflow_id, packed)
    complete = msgspec.structs.replace(
        meta,
        name=resolved.name,
        version=resolved.version,
        definition_hash=resolved.hash,
        child_versions=known.versions[resolved.hash],
    )
    key = meta.idempotency_key
    field = partition.idempotency_field(resolved.name, key) if key else ""
    return Start(handoff.workflow_id, f"relay:{handoff.workflow_id}", resolved, complete, Raw(packed), field)


def _with_failed_workflow(store: StoreContext, workflow_id: str, given: dict[str, Any]) -> Plan[dict[str, Any]]:
    """Add the failed execution to the input, as Conductor does; without task payloads when it would be too large."""
    try:
        workflow = yield from load_view(store.keys, workflow_id)
    except StoreUnavailable:
        raise
    except Exception as error:
        # Its records cannot be read: the failure workflow still learns the id and the reason.
        log.exception("failed_workflow_unreadable", extra={"workflow_id": workflow_id, "reason": str(error)})
        return given
    if workflow is None:
        return given
    shown = workflow_to_dict(workflow)
    value = {**given, "failedWorkflow": shown}
    if len(pack(value)) > store.settings.payload_bytes_max:
        shown["tasks"] = []
    return value


def _refusals(place: int, handoff: StartWorkflow, reason: str) -> list[tuple[int, NotifyParent]]:
    """It cannot be started, now or later: the task that wanted it fails, if one did."""
    log.error("workflow_start_failed", extra={"workflow_id": handoff.workflow_id, "reason": reason})
    meta = handoff.meta
    if meta.parent_task_id is None or meta.parent_workflow_id is None:
        return []
    outcome = Outcome(FORMAT, "FAILED", reason, merge=True, child_workflow_id=handoff.workflow_id)
    return [(place, NotifyParent(meta.parent_workflow_id, meta.parent_task_id, encode(outcome)))]


def _notify(store: StoreContext, notices: Sequence[tuple[int, NotifyParent]], settled: list[bool]) -> Plan[None]:
    """Tell parents: one call for each partition and hundred of them."""
    by_partition: dict[int, list[tuple[int, NotifyParent]]] = {}
    for place, notice in notices:
        by_partition.setdefault(store.keys.partition_of(notice.parent_workflow_id), []).append((place, notice))
    batches = [
        (number, chosen[first : first + REPORTS_PER_CALL])
        for number, chosen in by_partition.items()
        for first in range(0, len(chosen), REPORTS_PER_CALL)
    ]
    calls = []
    for number, batch in batches:
        reports = []
        for _, notice in batch:
            outcome = notice.outcome if not notice.source else (yield from _with_output(store, notice))
            reports.append(dispatch.Report(notice.parent_task_id, dispatch.OUTSIDE, True, outcome))
        calls.append(dispatch.accept(store.keys, number, "relay", reports))
    for (number, batch), reply in zip(batches, (yield calls), strict=True):
        verdicts = [reply] * len(batch) if isinstance(reply, Exception) else reply
        for (place, notice), verdict in zip(batch, verdicts, strict=True):
            if isinstance(verdict, Exception) or verdict is Verdict.CORRUPT:
                log.error("handoff_refused", extra={"task_id": notice.parent_task_id, "reason": str(verdict)})
                settled[place] = settled[place] and not isinstance(verdict, Exception)
            elif notice.run and verdict in (Verdict.GONE, Verdict.DUP):
                settled[place] = yield from _is_settled(store, number, notice)


def _with_output(store: StoreContext, handoff: NotifyParent) -> Plan[bytes]:
    """The outcome with the output that the ended workflow has in the store."""
    number = store.keys.partition_of(handoff.source)
    output: bytes | None = yield Command(("HGET", store.keys.workflow(number, handoff.source), "o"))
    if output is None:
        return handoff.outcome
    return encode(msgspec.structs.replace(decode_outcome(handoff.outcome), output=Raw(output)))


def _is_settled(store: StoreContext, number: int, handoff: NotifyParent) -> Plan[bool]:
    """Whether the end of a later run of a child needs not be told any more.

    The task takes no word for one of two reasons: it is over for good, or the parent has yet to decide on what came
    before, the end of the former run or the news that there is another.
    """
    ref = handoff.parent_ref
    fields = [f"S{ref}", f"R{ref}"]
    (reply,) = yield [partition.load_records(store.keys, number, handoff.parent_workflow_id, fields)]
    if isinstance(reply, Exception):
        log.error("handoff_refused", extra={"task_id": handoff.parent_task_id, "reason": str(reply)})
        return False
    if None in reply:
        return True  # the parent is gone, or has started over
    made, result = decode_scheduled(reply[0]), decode_result(reply[1])
    if task_suffix(ref, made.iteration, made.attempt, made.generation) != suffix_of(handoff.parent_task_id):
        return True  # another attempt has taken its place, with another child
    return bool(result.child_run >= handoff.run and is_terminal(result.status))


def _tell(
    store: StoreContext, words: Sequence[tuple[int, CancelChild | ReviveParent]], settled: list[bool]
) -> Plan[None]:
    """Say something to workflows; one that does not exist needs not hear it, and a child must not start any more."""
    calls = []
    for _, handoff in words:
        if isinstance(handoff, CancelChild):
            listener, said = handoff.child_workflow_id, ("cancel", handoff.parent_task_id, handoff.reason, "", 0)
        else:
            listener = handoff.parent_workflow_id
            said = ("revive", handoff.parent_task_id, None, handoff.parent_ref, handoff.run)
        is_end = isinstance(handoff, CancelChild)
        number = store.keys.partition_of(listener)
        calls.append(partition.tell(store.keys, number, listener, said, forbids_start=is_end))
    for (place, handoff), reply in zip(words, (yield calls), strict=True):
        if isinstance(reply, Exception):
            log.error("handoff_refused", extra={"task_id": handoff.parent_task_id, "reason": str(reply)})
            settled[place] = False
