"""What a user can do with an execution: look at it, wait for it, act on it, remove it. Starting it is ``starting``.

Every verb is a plan and is written here only; the command line, the Python clients and the HTTP layer drive the same
ones. Whether an action is legal is not judged here: the decider does, on committed state, and its answer is passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from orchestrator.codec import EMPTY_MAP, pack, unpack
from orchestrator.engine.views import load_view
from orchestrator.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    OrchestratorError,
    OutcomeUnknown,
    StoreUnavailable,
    TaskNotFound,
    WaitTimeout,
    WorkflowFailed,
    WorkflowNotFound,
    WorkflowTerminated,
    WorkflowTimedOut,
    WorkflowUnsuccessful,
)
from orchestrator.model.execution import Workflow
from orchestrator.model.records import decode_core, decode_meta
from orchestrator.model.status import WorkflowStatus, is_terminal
from orchestrator.plan import Command, Plan, Wait
from orchestrator.service.starting import new_request_id
from orchestrator.store import partition, quarantine, view
from orchestrator.store.context import StoreContext
from orchestrator.store.dispatch import parse_dispatch
from orchestrator.store.timers import timer_member

ANSWER_WAIT_S = 10.0
WAIT_SLICE_S = 60.0
"""An endless wait is made of slices, because every wait has an end."""

REMOVE_TRIES_MAX = 5

_ANSWERS: dict[str, type[OrchestratorError]] = {
    kind.code: kind for kind in (InvalidRequest, NotFound, WorkflowNotFound, TaskNotFound, Conflict)
}
_UNSUCCESSFUL: dict[WorkflowStatus, type[WorkflowUnsuccessful]] = {
    WorkflowStatus.FAILED: WorkflowFailed,
    WorkflowStatus.TERMINATED: WorkflowTerminated,
    WorkflowStatus.TIMED_OUT: WorkflowTimedOut,
}


class Standing(NamedTuple):
    """Where an execution stands: its status, its output so far (``{}`` before the end) and why it ended."""

    workflow_id: str
    status: WorkflowStatus
    output: dict[str, Any]
    reason: str | None


# --- look -------------------------------------------------------------------------------------------------------------


def get(store: StoreContext, workflow_id: str, *, include_tasks: bool = True) -> Plan[Workflow]:
    """The whole execution as it is committed, with what is known of its open tasks. Raises ``WorkflowNotFound``.

    Example: ``executor.run(get(store, workflow_id)).task("charge").status``
    """
    found = yield from load_view(store.keys, workflow_id, include_tasks=include_tasks)
    if found is None:
        raise unknown_workflow(workflow_id)
    return found


def standing(store: StoreContext, workflow_id: str) -> Plan[Standing]:
    """Status, output and reason, without reading the tasks. Raises ``WorkflowNotFound``."""
    return _standing(workflow_id, (yield _standing_command(store, workflow_id)))


# --- wait -------------------------------------------------------------------------------------------------------------


def await_end(store: StoreContext, workflow_id: str, timeout_s: float | None = None) -> Plan[Standing]:
    """Wait until the execution has ended; ``None`` waits as long as it takes.

    Raises ``WorkflowNotFound``, and ``WaitTimeout`` when it is still under way after ``timeout_s`` seconds.
    """
    left_s = WAIT_SLICE_S if timeout_s is None else max(0.0, timeout_s)
    channel = store.keys.done_channel(store.keys.partition_of(workflow_id), workflow_id)
    command = _standing_command(store, workflow_id)
    while True:
        slice_s = min(left_s, WAIT_SLICE_S)
        found = _standing(workflow_id, (yield Wait(channel, command, _is_over, slice_s)))
        if is_terminal(found.status):
            return found
        if timeout_s is not None:
            left_s -= slice_s
            if left_s <= 0:
                raise WaitTimeout(
                    f"workflow {workflow_id} is still {found.status} after {timeout_s:g} s and goes on; wait longer, "
                    f"or look at it with: orchestrator workflow get {workflow_id}"
                )


def result(store: StoreContext, workflow_id: str, timeout_s: float | None = None) -> Plan[dict[str, Any]]:
    """Wait for the end and give the output of a COMPLETED execution.

    Raises ``WorkflowFailed``, ``WorkflowTerminated`` or ``WorkflowTimedOut`` for any other end, and like ``await_end``.
    Example: ``executor.run(result(store, workflow_id, timeout_s=30))``
    """
    end = yield from await_end(store, workflow_id, timeout_s)
    unsuccessful = _UNSUCCESSFUL.get(end.status)
    if unsuccessful is not None:
        raise unsuccessful(workflow_id, end.reason, end.output)
    return end.output


# --- act --------------------------------------------------------------------------------------------------------------


def act(
    store: StoreContext,
    workflow_id: str,
    action: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    request_id: str | None = None,
    timeout_s: float = ANSWER_WAIT_S,
) -> Plan[dict[str, Any]]:
    """Ask the decider to do ``action`` and give its answer; a repeat with the same request id gets the same answer.

    Raises ``WorkflowNotFound``, what the decider refused with (``Conflict``, ``TaskNotFound``, ``InvalidRequest``), and
    ``OutcomeUnknown`` when no answer came within ``timeout_s``: repeat it then with the request id of the message.
    Example: ``executor.run(act(store, workflow_id, "pause"))``
    """
    keys, number = store.keys, store.keys.partition_of(workflow_id)
    request_id = request_id or new_request_id()
    given = dict(arguments or {})
    pack(given, action, store.settings.payload_bytes_max)
    reply = yield partition.request(keys, number, workflow_id, request_id, action, given)
    if reply.state == "UNKNOWN":
        raise unknown_workflow(workflow_id)
    answer = reply.answer
    if not answer:
        channel = keys.answer_channel(number, request_id)
        answer = yield Wait(channel, partition.read_answer(keys, number, request_id), bool, timeout_s)
    if not answer:
        raise OutcomeUnknown(
            f"{action} of workflow {workflow_id} was sent, but no decider answered within {timeout_s:g} s; is one "
            f"running (orchestrator doctor)? Repeat it with request_id={request_id!r} to learn its outcome"
        )
    found: dict[str, Any] = unpack(answer)
    if "error" in found:
        raise _ANSWERS.get(found["error"], InvalidRequest)(found["message"])
    return found


def pause(store: StoreContext, workflow_id: str, **options: Any) -> Plan[dict[str, Any]]:
    """Schedule nothing more until ``resume``; tasks that are out go on. Options as for ``act``."""
    return act(store, workflow_id, "pause", **options)


def resume(store: StoreContext, workflow_id: str, **options: Any) -> Plan[dict[str, Any]]:
    """Go on after ``pause``. Options as for ``act``."""
    return act(store, workflow_id, "resume", **options)


def terminate(store: StoreContext, workflow_id: str, reason: str | None = None, **options: Any) -> Plan[dict[str, Any]]:
    """End it now as TERMINATED; open tasks are cancelled. Options as for ``act``."""
    return act(store, workflow_id, "terminate", {"reason": reason}, **options)


def signal(
    store: StoreContext,
    workflow_id: str,
    name: str | None = None,
    payload: Mapping[str, Any] | None = None,
    *,
    status: str = "COMPLETED",
    **options: Any,
) -> Plan[dict[str, Any]]:
    """End the WAIT task that waits for ``name`` (its reference or its signal; ``None``: the first one).

    ``payload`` becomes its output. The answer holds ``task_id`` and ``ref``. Options as for ``act``.
    """
    arguments = {"name": name, "payload": dict(payload or {}), "status": status}
    return act(store, workflow_id, "signal", arguments, **options)


def unpark(store: StoreContext, workflow_id: str) -> Plan[int]:
    """Let a quarantined execution go on: replay its parked events in order; gives how many.

    Raises ``WorkflowNotFound``.
    """
    number, moved = store.keys.partition_of(workflow_id), 0
    while True:
        part: quarantine.Unparked | None = yield quarantine.unpark(store.keys, number, workflow_id)
        if part is None:
            raise unknown_workflow(workflow_id)
        moved += part.moved
        if part.left == 0:
            return moved


def remove(store: StoreContext, workflow_id: str, *, force: bool = False) -> Plan[None]:
    """Delete an execution that has ended or is in quarantine, or any by ``force``; its workers' results are dropped.

    Raises ``WorkflowNotFound`` and ``Conflict`` while it is under way.
    """
    keys, number = store.keys, store.keys.partition_of(workflow_id)
    for _ in range(REMOVE_TRIES_MAX):
        loaded = yield partition.load_workflow(keys, number, workflow_id)
        if loaded is None:
            raise unknown_workflow(workflow_id)
        entries: list[bytes] = yield Command(("HGETALL", keys.dispatch(number, workflow_id)))
        meta = decode_meta(loaded.meta)
        indexes = [keys.by_status(number, loaded.status), keys.by_name(number, meta.name)]
        if meta.correlation_id:
            indexes.append(keys.by_correlation(number, meta.correlation_id))
        timers = [timer_member(workflow_id)]
        for suffix, text in zip(entries[::2], entries[1::2], strict=True):
            timers.append(timer_member(workflow_id, suffix.decode(), parse_dispatch(text).ref))
        key = meta.idempotency_key
        word = yield view.remove(
            keys,
            number,
            workflow_id,
            indexes=indexes,
            expected_version=loaded.version,
            force=force,
            idempotency_field=partition.idempotency_field(meta.name, key) if key else "",
            timers=timers,
        )
        if word in ("OK", "UNKNOWN"):
            return
        if word == "RUNNING":
            raise Conflict(
                f"workflow {workflow_id} is {loaded.status} and cannot be removed; end it first with: orchestrator "
                f"workflow terminate {workflow_id}"
            )
    raise StoreUnavailable(f"workflow {workflow_id} changes faster than it can be removed; repeat later")


def unknown_workflow(workflow_id: str) -> WorkflowNotFound:
    """The error for an id that nothing is stored under."""
    return WorkflowNotFound(
        f"No such workflow found by id: {workflow_id}; list the ones there are with: orchestrator workflow list"
    )


def _standing_command(store: StoreContext, workflow_id: str) -> Command:
    key = store.keys.workflow(store.keys.partition_of(workflow_id), workflow_id)
    return Command(("HMGET", key, "s", "o", "c"))


def _is_over(reply: Any) -> bool:
    """Ended, or not there at all: neither changes by waiting."""
    return reply[0] is None or is_terminal(reply[0].decode())


def _standing(workflow_id: str, reply: Any) -> Standing:
    status, output, core = reply
    if status is None:
        raise unknown_workflow(workflow_id)
    found = unpack(output if output is not None else EMPTY_MAP)
    reason = decode_core(core).reason if core is not None else None
    return Standing(workflow_id, WorkflowStatus(status.decode()), found, reason)
