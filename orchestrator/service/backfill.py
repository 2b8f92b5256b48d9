"""Starting a schedule's workflow outside its times: now, and for due times that have passed.

What a due time starts has an id that follows from it, so a due time that was fired once is not started again. Overlap
policy, jitter and pauses are for firing; what is asked for here is started. Called by clients, the API and the CLI.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator import ids
from orchestrator.errors import InvalidRequest, WorkflowNotFound
from orchestrator.model.due_times import DueTime, due_after
from orchestrator.model.schedules import Schedule, ScheduleExecution, ScheduleState
from orchestrator.plan import Plan
from orchestrator.service import workflows
from orchestrator.service.firing import launch_of, record_of
from orchestrator.service.schedules import get_with_time
from orchestrator.service.starting import Launch, new_request_id, start_many
from orchestrator.store import schedules
from orchestrator.store.context import StoreContext

BACKFILL_MAX = 1_000
NOTED_AT_ONCE = 100


def backfill(store: StoreContext, name: str, start_ms: int, end_ms: int) -> Plan[list[ScheduleExecution]]:
    """Start the workflow of a schedule for every due time from ``start_ms`` to ``end_ms`` (epoch ms), both included.

    Gives what became of each, the earliest first; a due time that had been fired before gives what it started then. Raises
    ``NotFound``, and ``InvalidRequest`` for times that are still to come or more than a thousand of them.
    Example: ``executor.run(backfill(store, "nightly", monday_ms, friday_ms))``
    """
    schedule, now_ms = yield from get_with_time(store, name)
    if not 0 <= start_ms <= end_ms <= now_ms:
        raise InvalidRequest(f"backfill of schedule {name!r}: give a beginning and an end after it that is not to come")
    times: list[DueTime] = []
    due = due_after(schedule, start_ms - 1)
    while due is not None and due.at_ms <= end_ms:
        if len(times) == BACKFILL_MAX:
            raise InvalidRequest(
                f"backfill of schedule {name!r}: more than {BACKFILL_MAX:,} due times; take a part of them"
            )
        times.append(due)
        due = due_after(schedule, due.at_ms)
    return (yield from _start(store, schedule, times, [launch_of(schedule, due, now_ms) for due in times], now_ms))


def run_now(store: StoreContext, name: str, *, request_id: str | None = None) -> Plan[ScheduleExecution]:
    """Start the workflow of a schedule at once, paused or not; its times stay as they are.

    A repetition with the same ``request_id`` starts nothing more and gives what was started. Raises ``NotFound`` and what
    a start may raise. Example: ``executor.run(run_now(store, "nightly")).workflow_id``
    """
    schedule, now_ms = yield from get_with_time(store, name)
    workflow_id = ids.asked_workflow_id(name, request_id or new_request_id())
    begun_ms = (yield from _begun_ms(store, workflow_id)) if request_id else None
    due = DueTime(now_ms if begun_ms is None else begun_ms, "now", "UTC")
    launch = launch_of(schedule, due, now_ms)._replace(workflow_id=workflow_id, request_id=workflow_id)
    (execution,) = yield from _start(store, schedule, [due], [launch], now_ms)
    if execution.workflow_id is None:
        raise InvalidRequest(f"schedule {name!r} could not start {execution.workflow_name}: {execution.reason}")
    return execution


def _begun_ms(store: StoreContext, workflow_id: str) -> Plan[int | None]:
    """The time under which an execution that was asked for is in the schedule's history; None when there is none."""
    try:
        found = yield from workflows.get(store, workflow_id, include_tasks=False)
    except WorkflowNotFound:
        return None
    begun_ms = found.input.get("_scheduledTime")
    return begun_ms if isinstance(begun_ms, int) else None  # the definition may mask it


def _start(
    store: StoreContext, schedule: Schedule, times: Sequence[DueTime], launches: Sequence[Launch], now_ms: int
) -> Plan[list[ScheduleExecution]]:
    outcomes = yield from start_many(store, launches)
    records = [record_of(schedule, due, outcome, now_ms) for due, outcome in zip(times, outcomes, strict=True)]
    # What could not be started here may have been fired before, and its record is not to be lost.
    begun = [record for record in records if record.state is ScheduleState.EXECUTED]
    for at in range(0, len(begun), NOTED_AT_ONCE):
        yield schedules.note_executions(store.keys, schedule.name, begun[at : at + NOTED_AT_ONCE])
    return records
