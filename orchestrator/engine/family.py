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
from orchestrator.model.effects import CancelChild, NotifyParent, StartWorkflow
from orchestrator.model.records import FORMAT, Outcome, encode
from orchestrator.model.wire import workflow_def_from_dict, workflow_to_dict
from orchestrator.plan import Plan
from orchestrator.store import dispatch, partition
from orchestrator.store.context import StoreContext
from orchestrator.store.partition import StartVerdict
from orchestrator.store.verdicts import Verdict

log = logging.getLogger(__name__)

FamilyHandoff = StartWorkflow | NotifyParent | CancelChild


def deliver(store: StoreContext, handoff: FamilyHandoff) -> Plan[bool]:
    """Deliver one hand-off; gives whether that is settled. A lost connection raises."""
    match handoff:
        case StartWorkflow():
            return (yield from _start(store, handoff))
        case NotifyParent():
            return (yield from _notify(store, handoff.parent_task_id, handoff.parent_workflow_id, handoff.outcome))
        case CancelChild():
            return (yield from _cancel(store, handoff))


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
    return True  # OK, or TOMB: its parent does not want it any more


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
    complete = msgspec.structs.replace(
        meta,
        name=resolved.name,
        version=resolved.version,
        definition_hash=resolved.hash,
        child_versions=(yield from child_versions(store, resolved)),
    )
    return Start(handoff.workflow_id, f"relay:{handoff.workflow_id}", resolved, complete, Raw(packed))


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
    return (yield from _notify(store, meta.parent_task_id, meta.parent_workflow_id, encode(outcome)))


def _notify(store: StoreContext, parent_task_id: str, parent_workflow_id: str, outcome: bytes) -> Plan[bool]:
    """Tell a parent; gives whether it has been told, or needs not be."""
    number = store.keys.partition_of(parent_workflow_id)
    report = dispatch.Report(parent_task_id, dispatch.OUTSIDE, True, outcome)
    (reply,) = yield [dispatch.accept(store.keys, number, "relay", [report])]
    if isinstance(reply, Exception) or reply[0] is Verdict.CORRUPT:
        log.error("handoff_refused", extra={"task_id": parent_task_id, "reason": str(reply)})
    return not isinstance(reply, Exception)


def _cancel(store: StoreContext, handoff: CancelChild) -> Plan[bool]:
    """End a child, or forbid its start when it is not there."""
    child_id = handoff.child_workflow_id
    number = store.keys.partition_of(child_id)
    word = ("cancel", handoff.parent_task_id, handoff.reason)
    (reply,) = yield [partition.tell(store.keys, number, child_id, word, forbids_start=True)]
    if isinstance(reply, Exception):
        log.error("handoff_refused", extra={"workflow_id": child_id, "reason": str(reply)})
        return False
    return True
