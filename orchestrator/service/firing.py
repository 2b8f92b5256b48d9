"""Firing schedules: from what is due to executions that exist, each due time once, whoever fires it how often.

One turn, top to bottom: claim what is due, start all of it in few round trips, note what became of it and move each
schedule on. The id of what a due time starts follows from schedule and due time, so a turn that died anywhere is made again
by whoever claims next, and collides with itself. Run by the decider role; any number may.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from orchestrator import ids
from orchestrator.clock import Clock
from orchestrator.errors import OrchestratorError, Unavailable
from orchestrator.model.cron import is_cron_installed
from orchestrator.model.due_times import DueTime, delay_ms, due_after, due_at
from orchestrator.model.execution import StartWorkflowRequest
from orchestrator.model.schedules import OverlapPolicy, Schedule, ScheduleExecution, ScheduleState, read_schedule
from orchestrator.plan import Call, Plan
from orchestrator.service.overlaps import Held, settle_overlaps
from orchestrator.service.starting import Launch, StartedWorkflow, start_many
from orchestrator.store import schedules
from orchestrator.store.context import StoreContext
from orchestrator.store.schedules import Claimed, ClaimedSchedule

log = logging.getLogger(__name__)

SCHEDULES_PER_TURN = 50
DUE_TIMES_PER_TURN = 20
"""How many missed due times of one schedule are made up for at a time."""

CLAIM_MS = 10_000
"""After so long what was claimed is handed to somebody else."""

LOOK_MS_MAX = 1_000
"""New schedules, and those of a decider that died, are found within this."""

Outcome = StartedWorkflow | OrchestratorError


class Firing(NamedTuple):
    """What is to be fired of one schedule: due times in order, and the one that comes after them, looked at then.

    No due times: it was looked at too early.
    """

    claimed: ClaimedSchedule
    schedule: Schedule
    times: list[DueTime]
    next_ms: int | None
    look_ms: int


def fire_due(store: StoreContext, clock: Clock) -> Plan[int]:
    """Fire everything that is due; gives the milliseconds until somebody should look again.

    Example: ``executor.run(fire_due(store, SystemClock()))``
    """
    if not is_cron_installed():
        return LOOK_MS_MAX
    begun_s = clock.monotonic_s()
    claimed: Claimed = yield schedules.claim_schedules(store.keys, SCHEDULES_PER_TURN, CLAIM_MS)
    firings = [one for one in (_firing(item, claimed.now_ms) for item in claimed.schedules) if one is not None]
    if not firings:
        wait_ms = LOOK_MS_MAX if claimed.next_ms is None else claimed.next_ms - claimed.now_ms
        return max(0, min(wait_ms, LOOK_MS_MAX))
    held = yield from settle_overlaps(
        store, [(one.schedule, one.claimed.last_id, due.at_ms) for one in firings for due in one.times[:1]]
    )
    going = [(one, due) for one in firings if one.schedule.name not in held for due in one.times]
    launches = [launch_of(one.schedule, due, claimed.now_ms) for one, due in going]
    if (clock.monotonic_s() - begun_s) * 1000 > CLAIM_MS / 2:
        # We were held up; whoever claims next may be at it, and an execution may have ended and been removed.
        return 0
    outcomes = iter((yield from start_many(store, launches)))
    replies = yield [
        _fired(
            store,
            one,
            [held[one.schedule.name] if one.schedule.name in held else next(outcomes) for _ in one.times],
            claimed.now_ms,
        )
        for one in firings
    ]
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return 0


def _firing(claimed: ClaimedSchedule, now_ms: int) -> Firing | None:
    """What is to be done for a schedule that has come due; None when a newer release wrote it."""
    try:
        schedule = read_schedule(claimed.body)
        begin_ms = claimed.due_ms + delay_ms(schedule, claimed.due_ms)
        if now_ms < begin_ms:
            return Firing(claimed, schedule, [], claimed.due_ms, begin_ms)
        times = [due_at(schedule, claimed.due_ms)]
        following = due_after(schedule, claimed.due_ms)
        missed_ms = now_ms - 1000 * schedule.jitter_seconds  # what is due since then may only be late as it should be
        if schedule.run_catchup_schedule_instances:
            # Where executions may not overlap, each due time has to see what became of the one before it.
            most = DUE_TIMES_PER_TURN if schedule.overlap_policy is OverlapPolicy.ALLOW else 1
            while following is not None and following.at_ms <= missed_ms and len(times) < most:
                times.append(following)
                following = due_after(schedule, following.at_ms)
        elif following is not None and following.at_ms <= missed_ms:
            following = due_after(schedule, missed_ms)
    except (OrchestratorError, msgspec.MsgspecError, ValueError) as error:
        log.error("schedule_unreadable", extra={"schedule": claimed.name, "reason": str(error)})
        return None
    if following is None:
        return Firing(claimed, schedule, times, None, 0)
    return Firing(claimed, schedule, times, following.at_ms, following.at_ms + delay_ms(schedule, following.at_ms))


def launch_of(schedule: Schedule, due: DueTime, now_ms: int) -> Launch:
    """The start of a schedule's workflow for one due time; the same for whoever fires it, but for the time it is."""
    workflow_id = ids.scheduled_workflow_id(schedule.name, due.at_ms)
    request = schedule.start_workflow_request
    told = {
        "_startedByScheduler": schedule.name,
        "_scheduledTime": due.at_ms,
        "_executedTime": now_ms,
        "_executionId": workflow_id,
        "_schedulerCron": f"{due.source} {due.zone_id}",
    }
    created_by = request.created_by or schedule.created_by
    started = msgspec.structs.replace(request, input={**request.input, **told}, created_by=created_by)
    return Launch(started, workflow_id, request_id=workflow_id)


def _fired(store: StoreContext, firing: Firing, outcomes: Sequence[Outcome], now_ms: int) -> Call:
    """What became of it, and when the schedule comes next: the first that could not be tried comes again."""
    records = []
    next_ms, look_ms = firing.next_ms, firing.look_ms
    for due, outcome in zip(firing.times, outcomes, strict=True):
        records.append(record_of(firing.schedule, due, outcome, now_ms))
        if records[-1].state is ScheduleState.POLLED:
            next_ms, look_ms = due.at_ms, now_ms + (LOOK_MS_MAX if isinstance(outcome, Held) else CLAIM_MS)
            break
    name, due_ms = firing.claimed.name, firing.claimed.due_ms
    return schedules.fired_schedule(store.keys, name, due_ms, next_ms, look_ms, records)


def record_of(schedule: Schedule, due: DueTime, outcome: Outcome, now_ms: int) -> ScheduleExecution:
    """What became of one due time."""
    request = schedule.start_workflow_request
    record = ScheduleExecution(
        execution_id=ids.scheduled_workflow_id(schedule.name, due.at_ms),
        schedule_name=schedule.name,
        scheduled_time=due.at_ms,
        execution_time=now_ms,
        state=ScheduleState.EXECUTED,
        workflow_name=request.name,
        start_workflow_request=_without_payload(request),
        zone_id=due.zone_id,
    )
    if isinstance(outcome, StartedWorkflow):
        record.workflow_id = outcome.workflow_id
        log.info("schedule_fired", extra={"schedule": schedule.name, "workflow_id": outcome.workflow_id})
        return record
    record.state = ScheduleState.POLLED if isinstance(outcome, Unavailable | Held) else ScheduleState.FAILED
    record.reason = str(outcome)
    if isinstance(outcome, Held):
        return record
    log.warning("schedule_not_fired", extra={"schedule": schedule.name, "due_ms": due.at_ms, "reason": str(outcome)})
    return record


def _without_payload(request: StartWorkflowRequest) -> StartWorkflowRequest:
    return msgspec.structs.replace(request, input={}, workflow_def=None)
