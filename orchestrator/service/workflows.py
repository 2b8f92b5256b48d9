"""What a user can do with an execution: look at it, wait for it, remove it. Starting is ``starting``, acting ``actions``.

Every verb is a plan and is written here only; the command line, the Python clients and the HTTP layer drive the same
ones.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from orchestrator.archive import shelf
from orchestrator.codec import EMPTY_MAP, unpack
from orchestrator.core.kinds import ACCEPTED, WAITING
from orchestrator.engine import admission
from orchestrator.engine.views import load_view
from orchestrator.errors import (
    Conflict,
    InvalidRequest,
    PayloadMissing,
    StoreUnavailable,
    WaitTimeout,
    WorkflowFailed,
    WorkflowNotFound,
    WorkflowTerminated,
    WorkflowTimedOut,
    WorkflowUnsuccessful,
)
from orchestrator.ids import workflow_id_of
from orchestrator.model.execution import Task, Workflow
from orchestrator.model.masking import masked_workflow
from orchestrator.model.records import FORMAT, Core, Meta, Outcome, decode_core, decode_meta, decode_scheduled, encode
from orchestrator.model.status import WorkflowStatus, is_terminal
from orchestrator.plan import Command, Plan, Wait
from orchestrator.store import awaiting, dispatch, partition, quarantine, view
from orchestrator.store.context import StoreContext
from orchestrator.store.dispatch import Dispatch, parse_dispatch
from orchestrator.store.timers import timer_member

WAIT_SLICE_S = 60.0
"""An endless wait is made of slices, because every wait has an end."""

REMOVE_TRIES_MAX = 5

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


class TaskPage(NamedTuple):
    """``total`` counts all that match, ``tasks`` are the ones asked for."""

    total: int
    tasks: list[Task]


Look = Callable[[float], Plan[Standing]]
"""Where an execution stands, once it has ended or after so many seconds."""


# --- look -------------------------------------------------------------------------------------------------------------


def get(store: StoreContext, workflow_id: str, *, include_tasks: bool = True) -> Plan[Workflow]:
    """The whole execution as it is committed, with what is known of its open tasks. Raises ``WorkflowNotFound``.

    What the definition lists under ``maskedFields`` shows as ``***``.

    Example: ``executor.run(get(store, workflow_id)).task("charge").status``
    """
    fetch = partial(fetch_payload, store)
    found = yield from load_view(store.keys, workflow_id, include_tasks=include_tasks, fetch=fetch)
    if found is None:
        found = yield from shelf.archived_view(store, workflow_id, include_tasks=include_tasks, fetch=fetch)
    if found is None:
        raise unknown_workflow(workflow_id)
    return masked_workflow(found)


def list_tasks(
    store: StoreContext, workflow_id: str, *, start: int = 0, size: int = 15, statuses: Sequence[str] = ()
) -> Plan[TaskPage]:
    """A page of an execution's tasks in order of scheduling, of these statuses if any are named.

    Raises ``WorkflowNotFound`` and ``InvalidRequest``. Example: ``list_tasks(store, id, statuses=["FAILED"])``
    """
    if start < 0 or size < 0:
        raise InvalidRequest(f"start={start}, size={size}: neither can be less than 0")
    found = yield from get(store, workflow_id)
    matching = [task for task in found.tasks if not statuses or task.status in statuses]
    return TaskPage(len(matching), matching[start : start + size])


def fetch_payload(store: StoreContext, path: str) -> Any:
    """A payload that is kept elsewhere, for a view; ``{}`` for one that is lost, whose path is shown nevertheless."""
    try:
        return unpack(store.payloads.read(path))
    except PayloadMissing:
        return {}


def standing(store: StoreContext, workflow_id: str) -> Plan[Standing]:
    """Status, output and reason, without reading the tasks. Raises ``WorkflowNotFound``."""
    return (yield from _standing(store, workflow_id, (yield _standing_command(store, workflow_id))))


# --- wait -------------------------------------------------------------------------------------------------------------


def standing_within(store: StoreContext, workflow_id: str, wait_s: float) -> Plan[Standing]:
    """Where the execution stands once it has ended, or after ``wait_s`` seconds, a minute at most.

    Raises ``WorkflowNotFound``, and ``InvalidRequest`` for a longer wait: whoever may only look must not hold a server's
    connection for as long as he likes.
    """
    if not 0 <= wait_s <= WAIT_SLICE_S:
        raise InvalidRequest(f"waitS={wait_s:g} is outside 0 to {WAIT_SLICE_S:g} seconds; ask again after that")
    channel = store.keys.done_channel(store.keys.partition_of(workflow_id), workflow_id)
    reply = yield Wait((channel,), _standing_command(store, workflow_id), _is_over, wait_s)
    return (yield from _standing(store, workflow_id, reply))


def await_end(store: StoreContext, workflow_id: str, timeout_s: float | None = None) -> Plan[Standing]:
    """Wait until the execution has ended; ``None`` waits as long as it takes.

    Raises ``WorkflowNotFound``, and ``WaitTimeout`` when it is still under way after ``timeout_s`` seconds.
    """
    return ended(partial(standing_within, store, workflow_id), timeout_s)


def ended(look: Look, timeout_s: float | None, slice_s_max: float = WAIT_SLICE_S) -> Plan[Standing]:
    """The end of an execution, looked for in slices of so many seconds, on Redis or anywhere else."""
    left_s = slice_s_max if timeout_s is None else max(0.0, timeout_s)
    while True:
        slice_s = min(left_s, slice_s_max)
        found = yield from look(slice_s)
        if is_terminal(found.status):
            return found
        if timeout_s is not None:
            left_s -= slice_s
            if left_s <= 0:
                raise WaitTimeout(
                    f"workflow {found.workflow_id} is still {found.status} after {timeout_s:g} s and goes on; wait longer, "
                    f"or look at it with: orchestrator workflow get {found.workflow_id}"
                )


def result(store: StoreContext, workflow_id: str, timeout_s: float | None = None) -> Plan[dict[str, Any]]:
    """Wait for the end and give the output of a COMPLETED execution.

    Raises ``WorkflowFailed``, ``WorkflowTerminated`` or ``WorkflowTimedOut`` for any other end, and like ``await_end``.
    Example: ``executor.run(result(store, workflow_id, timeout_s=30))``
    """
    return output_of((yield from await_end(store, workflow_id, timeout_s)))


def output_of(end: Standing) -> dict[str, Any]:
    """The output of an execution that is COMPLETED. Raises like ``result`` for any other end."""
    unsuccessful = _UNSUCCESSFUL.get(end.status)
    if unsuccessful is not None:
        raise unsuccessful(end.workflow_id, end.reason, end.output)
    return end.output


# --- mend and remove --------------------------------------------------------------------------------------------------


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
            if not (yield from shelf.remove(store, workflow_id)):
                raise unknown_workflow(workflow_id)
            store.payloads.remove(workflow_id)
            return
        entries: list[bytes] = yield Command(("HGETALL", keys.dispatch(number, workflow_id)))
        meta = decode_meta(loaded.meta)
        indexes = [keys.by_status(number, loaded.status), keys.by_name(number, meta.name)]
        if meta.correlation_id:
            indexes.append(keys.by_correlation(number, meta.correlation_id))
        indexes.append(keys.awaiting_webhook(number, meta.name))
        open_tasks = {
            name.decode(): parse_dispatch(text) for name, text in zip(entries[::2], entries[1::2], strict=True)
        }
        timers = [timer_member(workflow_id, suffix, entry.ref) for suffix, entry in open_tasks.items()]
        key = meta.idempotency_key
        word = yield view.remove(
            keys,
            number,
            workflow_id,
            indexes=indexes,
            expected_version=loaded.version,
            force=force,
            idempotency_field=partition.idempotency_field(meta.name, key) if key else "",
            timers=[timer_member(workflow_id), *timers],
            awaiting=(yield from _awaiting(store, workflow_id, open_tasks)),
        )
        if word == "OK":
            core = _core_of(loaded)
            if core is not None and core.gate is not None:
                yield from admission.leave(store, core.gate.name, workflow_id)  # it has not left by itself
            yield from _tell_family(store, workflow_id, meta, loaded.status, core)
        if word in ("OK", "UNKNOWN"):
            store.payloads.remove(workflow_id)
            return
        if word == "RUNNING":
            raise Conflict(
                f"workflow {workflow_id} is {loaded.status} and cannot be removed; end it first with: orchestrator "
                f"workflow terminate {workflow_id}"
            )
    raise StoreUnavailable(f"workflow {workflow_id} changes faster than it can be removed; repeat later")


def _awaiting(store: StoreContext, workflow_id: str, open_tasks: Mapping[str, Dispatch]) -> Plan[list[str]]:
    """Where open tasks stand among those that await an event."""
    refs = {suffix: entry.ref for suffix, entry in open_tasks.items() if entry.state in (WAITING, ACCEPTED)}
    if not refs:
        return []
    number, fields = store.keys.partition_of(workflow_id), [f"S{ref}" for ref in refs.values()]
    records = yield partition.load_records(store.keys, number, workflow_id, fields)
    found = []
    for suffix, record in zip(refs, records, strict=True):
        with contextlib.suppress(msgspec.MsgspecError):  # what is damaged may be removed all the same
            mark = decode_scheduled(record).awaits if record is not None else ""
            found += [awaiting.member(mark, f"{workflow_id}-{suffix}")] if mark else []
    return found


def _core_of(loaded: partition.LoadedWorkflow) -> Core | None:
    """What its commits say of it; None before the first, and when that is what is damaged."""
    with contextlib.suppress(msgspec.MsgspecError):
        return decode_core(loaded.core) if loaded.core is not None else None
    return None


def _tell_family(store: StoreContext, workflow_id: str, meta: Meta, status: str, core: Core | None) -> Plan[None]:
    """A child that is gone must not start once more from a start that is still under way, nor be waited for."""
    keys = store.keys
    if meta.parent_task_id is not None or meta.failure_of is not None:
        said = ("cancel", "", None, "", 0)
        yield partition.tell(keys, keys.partition_of(workflow_id), workflow_id, said, forbids_start=True)
    if is_terminal(status):
        return
    waiting = [meta.parent_task_id] if meta.parent_task_id is not None else []
    waiting += core.followers if core is not None else []
    reason = f"Sub workflow {meta.name}.{meta.version}/{workflow_id} was removed"
    run = core.generation if core is not None else 0
    outcome = encode(Outcome(FORMAT, "CANCELED", reason, merge=True, child_workflow_id=workflow_id, child_run=run))
    for task_id in waiting:
        report = dispatch.Report(task_id, dispatch.OUTSIDE, True, outcome)
        yield dispatch.accept(keys, keys.partition_of(workflow_id_of(task_id)), "-", [report])


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


def _standing(store: StoreContext, workflow_id: str, reply: Any) -> Plan[Standing]:
    status, output, core = reply
    if status is None:
        stored = yield from shelf.archived(store, workflow_id)
        if stored is None:
            raise unknown_workflow(workflow_id)
        status, output, core = (stored.fields.get(name) for name in ("s", "o", "c"))
    found = unpack(store.payloads.fetched(output if output is not None else EMPTY_MAP))
    reason = decode_core(core).reason if core is not None else None
    return Standing(workflow_id, WorkflowStatus(status.decode()), found, reason)
