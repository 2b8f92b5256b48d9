"""Hand-offs between workflows: a child or a failure workflow is started, a parent told, a child ended.

Each is one script call in the other workflow's partition, delivered at least once. A start collides with itself by the
derived id, the word to a parent by its task's dispatch entry, the word to a child in the child's own decision. What
can never be started fails the parent's task with the reason. Called by the relay.
"""

from __future__ import annotations

import logging
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

FamilyHandoff = StartWorkflow | NotifyParent | CancelChild | ReviveParent


def deliver(store: StoreContext, handoff: FamilyHandoff) -> Plan[bool]:
    """Deliver one hand-off; gives whether that is settled. A lost connection raises."""
    match handoff:
        case StartWorkflow():
            return (yield from _start(store, handoff))
        case NotifyParent():
            return (yield from _notify(store, handoff))
        case CancelChild():
            said = ("cancel", handoff.parent_task_id, handoff.reason, "", 0)
            return (yield from _tell(store, handoff.child_workflow_id, said, forbids_start=True))
        case ReviveParent():
            said = ("revive", handoff.parent_task_id, None, handoff.parent_ref, handoff.run)
            return (yield from _tell(store, handoff.parent_workflow_id, said))


def _start(store: StoreContext, handoff: StartWorkflow) -> Plan[bool]:
    """Start a child or a failure workflow.

    What can never be started is logged and done with: a parent's task fails by it, a workflow that ended is not changed.
    """
    try:
        start = yield from _prepare(store, handoff)
    except StoreUnavailable:
        raise
    except (InvalidRequest, msgspec.MsgspecError) as error:
        return (yield from _refuse(store, handoff, str(error)))
    except OrchestratorError as error:
        log.error("handoff_refused", extra={"workflow_id": handoff.workflow_id, "reason": str(error)})
        return False
    (reply,) = yield from send_starts(store, [start])
    if isinstance(reply, Exception):
        log.error("handoff_refused", extra={"workflow_id": handoff.workflow_id, "reason": str(reply)})
        return False
    if reply.verdict is StartVerdict.TAKEN:
        reason = f"workflow id {handoff.workflow_id} is in use by another start"
        return (yield from _refuse(store, handoff, reason))
    if reply.verdict is StartVerdict.EXISTS:
        return (yield from _existing(store, handoff, start, reply.workflow_id))
    return True  # OK, or TOMB: its parent does not want it any more


def _existing(store: StoreContext, handoff: StartWorkflow, start: Start, other: str) -> Plan[bool]:
    """Another execution has the idempotency key: fail, take its place if it has ended, or share it as the child."""
    meta = handoff.meta
    if handoff.strategy == IdempotencyStrategy.FAIL_ON_RUNNING:
        reply = yield start.call(store, with_body=True, expected_other=other)
        if reply.verdict is not StartVerdict.EXISTS:
            return True
        other = reply.workflow_id
    if handoff.strategy != IdempotencyStrategy.RETURN_EXISTING:
        state = "is running" if handoff.strategy == IdempotencyStrategy.FAIL_ON_RUNNING else "exists"
        reason = f"workflow {meta.name} with idempotency key {meta.idempotency_key!r} {state}: {other}"
        return (yield from _refuse(store, handoff, reason))
    if meta.parent_task_id is None or meta.parent_workflow_id is None:
        return True
    found = yield partition.tell(
        store.keys, store.keys.partition_of(other), other, ("follow", meta.parent_task_id, None, "", 0)
    )
    if not found:
        return False  # removed a moment ago: the key is free again
    shared = Outcome(FORMAT, "IN_PROGRESS", merge=True, child_workflow_id=other)
    report = dispatch.Report(meta.parent_task_id, dispatch.OUTSIDE, False, encode(shared))
    yield [dispatch.accept(store.keys, store.keys.partition_of(meta.parent_workflow_id), "relay", [report])]
    return True


def _prepare(store: StoreContext, handoff: StartWorkflow) -> Plan[Start]:
    """The start with its definition resolved and its input complete. Raises what is wrong with it."""
    meta = handoff.meta
    resolved: Resolved
    if handoff.definition is not None:
        value = msgspec.json.decode(handoff.definition)
        resolved = resolve_inline(workflow_def_from_dict(value, check=None))
    else:
        resolved = yield from resolve_name(store, meta.name, None if handoff.latest else meta.version)
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
        child_versions=(yield from child_versions(store, resolved)),
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


def _refuse(store: StoreContext, handoff: StartWorkflow, reason: str) -> Plan[bool]:
    """It cannot be started, now or later: the task that wanted it fails."""
    log.error("workflow_start_failed", extra={"workflow_id": handoff.workflow_id, "reason": reason})
    meta = handoff.meta
    if meta.parent_task_id is None or meta.parent_workflow_id is None:
        return True
    outcome = Outcome(FORMAT, "FAILED", reason, merge=True, child_workflow_id=handoff.workflow_id)
    return (yield from _notify(store, NotifyParent(meta.parent_workflow_id, meta.parent_task_id, encode(outcome))))


def _notify(store: StoreContext, handoff: NotifyParent) -> Plan[bool]:
    """Tell a parent; gives whether it has been told, or needs not be."""
    number = store.keys.partition_of(handoff.parent_workflow_id)
    outcome = handoff.outcome if not handoff.source else (yield from _with_output(store, handoff))
    report = dispatch.Report(handoff.parent_task_id, dispatch.OUTSIDE, True, outcome)
    (reply,) = yield [dispatch.accept(store.keys, number, "relay", [report])]
    if isinstance(reply, Exception) or reply[0] is Verdict.CORRUPT:
        log.error("handoff_refused", extra={"task_id": handoff.parent_task_id, "reason": str(reply)})
        return not isinstance(reply, Exception)
    if handoff.run and reply[0] in (Verdict.GONE, Verdict.DUP):
        return (yield from _is_settled(store, number, handoff))
    return True


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


def _tell(store: StoreContext, workflow_id: str, said: tuple[Any, ...], *, forbids_start: bool = False) -> Plan[bool]:
    """Say something to a workflow; one that does not exist needs not hear it, and may be forbidden to start."""
    number = store.keys.partition_of(workflow_id)
    (reply,) = yield [partition.tell(store.keys, number, workflow_id, said, forbids_start=forbids_start)]
    if isinstance(reply, Exception):
        log.error("handoff_refused", extra={"workflow_id": workflow_id, "reason": str(reply)})
        return False
    return True
