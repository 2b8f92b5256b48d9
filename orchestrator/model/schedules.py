"""Schedules: which workflow is started when, and the record of what became of one due time.

A schedule names its times by one cron expression in ``zone_id`` or by several, each in a zone of its own; what is wrong
with one is said here, all of it at once. When a due time comes is a function of the schedule and of the moment counted
from, so any process may compute it. Knows no store and no clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from orchestrator.errors import DefinitionInvalid, Problem
from orchestrator.model.cron import next_after, why_no_cron
from orchestrator.model.execution import StartWorkflowRequest, validate_start_request
from orchestrator.model.summaries import Field, Kind
from orchestrator.model.wire_read import read_struct
from orchestrator.model.wire_write import write_struct

CRONS_MAX = 20
NAME_CHARS_MAX = 200
PREVIEWED_MAX = 5


class CronSchedule(msgspec.Struct, kw_only=True):
    """One cron expression and the zone it is meant in. Example: ``CronSchedule(cron_expression="0 0 9 * * ?")``"""

    cron_expression: str
    zone_id: str = "UTC"


class ScheduleTag(msgspec.Struct, kw_only=True):
    """A word that somebody put on a schedule to find it by. Example: ``ScheduleTag(key="team", value="billing")``"""

    key: str
    value: str = ""
    type: str = "METADATA"


class Schedule(msgspec.Struct, kw_only=True):
    """A named plan to start a workflow again and again.

    ``cron_schedules`` take the place of ``cron_expression`` and ``zone_id`` when there are any. Times are epoch
    milliseconds, both bounds included. ``next_run_time`` is computed, never stored.
    Example: ``Schedule(name="nightly", cron_expression="0 0 2 * * ?", start_workflow_request=request)``
    """

    name: str
    start_workflow_request: StartWorkflowRequest
    cron_expression: str | None = None
    zone_id: str = "UTC"
    cron_schedules: list[CronSchedule] = []
    run_catchup_schedule_instances: bool = False
    paused: bool = False
    paused_reason: str | None = None
    schedule_start_time: int | None = None
    schedule_end_time: int | None = None
    description: str | None = None
    create_time: int | None = None
    updated_time: int | None = None
    created_by: str | None = None
    updated_by: str | None = None
    next_run_time: int | None = None
    tags: list[ScheduleTag] = []

    @property
    def crons(self) -> list[CronSchedule]:
        """The times that count."""
        if self.cron_schedules:
            return self.cron_schedules
        return [CronSchedule(cron_expression=self.cron_expression or "", zone_id=self.zone_id)]

    def has_times_of(self, other: Schedule) -> bool:
        """Whether both come at the same times."""
        return (self.crons, self.schedule_start_time, self.schedule_end_time) == (
            other.crons,
            other.schedule_start_time,
            other.schedule_end_time,
        )


class DueTime(NamedTuple):
    """One moment a schedule comes at, and which of its expressions says so."""

    at_ms: int
    cron: CronSchedule


class ScheduleState(StrEnum):
    """What became of a due time: POLLED (to be tried again), FAILED (could not be started), EXECUTED."""

    POLLED = "POLLED"
    FAILED = "FAILED"
    EXECUTED = "EXECUTED"


class ScheduleExecution(msgspec.Struct, kw_only=True):
    """What became of one due time of a schedule. The request is kept without input and inline definition.

    Example: ``client.schedule_executions("nightly")[0].workflow_id``
    """

    execution_id: str
    schedule_name: str
    scheduled_time: int
    execution_time: int
    state: ScheduleState
    workflow_name: str = ""
    workflow_id: str | None = None
    reason: str | None = None
    stack_trace: str | None = None
    start_workflow_request: StartWorkflowRequest | None = None
    zone_id: str | None = None


EXECUTION_FIELDS = {
    name: Field(name, attribute, kind)
    for name, attribute, kind in (
        ("executionId", "execution_id", Kind.TEXT),
        ("scheduleName", "schedule_name", Kind.TEXT),
        ("workflowName", "workflow_name", Kind.TEXT),
        ("workflowId", "workflow_id", Kind.TEXT),
        ("state", "state", Kind.TEXT),
        ("reason", "reason", Kind.TEXT),
        ("zoneId", "zone_id", Kind.TEXT),
        ("scheduledTime", "scheduled_time", Kind.TIME),
        ("executionTime", "execution_time", Kind.TIME),
    )
}
"""What a search for executions of schedules may name."""


def due_after(schedule: Schedule, after_ms: int) -> DueTime | None:
    """The first due time after ``after_ms`` within the bounds of the schedule, paused or not; None when it is over.

    Example: ``due_after(schedule, now_ms).at_ms``
    """
    begin_ms = max(after_ms, (schedule.schedule_start_time or 0) - 1)
    found = [(next_after(cron.cron_expression, cron.zone_id, begin_ms), cron) for cron in schedule.crons]
    times = [DueTime(at_ms, cron) for at_ms, cron in found if at_ms is not None]
    first = min(times, key=lambda due: due.at_ms, default=None)
    if first is None or (schedule.schedule_end_time and first.at_ms > schedule.schedule_end_time):
        return None
    return first


def due_at(schedule: Schedule, at_ms: int) -> DueTime:
    """The due time at that moment, with the expression it comes from: the first when it is none of theirs any more."""
    return next(
        (
            DueTime(at_ms, cron)
            for cron in schedule.crons
            if next_after(cron.cron_expression, cron.zone_id, at_ms - 1) == at_ms
        ),
        DueTime(at_ms, schedule.crons[0]),
    )


def preview(schedule: Schedule, after_ms: int, limit: int = PREVIEWED_MAX) -> list[int]:
    """The next due times, five at most. Example: ``preview(schedule, now_ms, 3)``"""
    times: list[int] = []
    while len(times) < min(limit, PREVIEWED_MAX):
        due = due_after(schedule, times[-1] if times else after_ms)
        if due is None:
            break
        times.append(due.at_ms)
    return times


def schedule_from_dict(data: object) -> Schedule:
    """The schedule that ``data`` (decoded JSON) describes. Raises ``DefinitionInvalid`` with everything wrong with it.

    Example: ``schedule_from_dict({"name": "nightly", "cronExpression": "0 0 2 * * ?", "startWorkflowRequest": {...}})``
    """
    schedule, problems = read_struct(Schedule, data)
    if not problems:
        problems = validate_schedule(schedule)
    if problems:
        raise DefinitionInvalid(f"schedule {schedule.name!r}" if schedule.name else "schedule", problems)
    return schedule


def read_schedule(body: bytes) -> Schedule:
    """A stored schedule, as it is. Raises ``ValueError`` for one that a newer release wrote in another way."""
    schedule, problems = read_struct(Schedule, msgspec.json.decode(body))
    if problems:
        raise ValueError(str(problems[0]))
    return schedule


def validate_schedule(schedule: Schedule) -> list[Problem]:
    """Everything that is wrong with a schedule; empty when it is fine. Raises ``MissingExtra`` without croniter."""
    return list(_problems(schedule))


def _problems(schedule: Schedule) -> Iterator[Problem]:
    if not schedule.name.strip():
        yield Problem("name", "A schedule needs a name")
    elif len(schedule.name) > NAME_CHARS_MAX or not schedule.name.isprintable():
        yield Problem("name", f"must be at most {NAME_CHARS_MAX} characters on one line", schedule.name)
    if not schedule.cron_expression and not schedule.cron_schedules:
        yield Problem("cronExpression", "give a cron expression, e.g. 0 0 9 * * ? for every day at nine")
    elif len(schedule.cron_schedules) > CRONS_MAX:
        yield Problem("cronSchedules", f"at most {CRONS_MAX} are taken", len(schedule.cron_schedules))
    else:
        for index, cron in enumerate(schedule.crons):
            reason = why_no_cron(cron.cron_expression, cron.zone_id)
            if reason:
                path = f"cronSchedules[{index}]." if schedule.cron_schedules else ""
                yield Problem(f"{path}cronExpression", reason, cron.cron_expression)
    start, end = schedule.schedule_start_time, schedule.schedule_end_time
    if start and end and end < start:
        yield Problem("scheduleEndTime", "is before scheduleStartTime", end)
    request = schedule.start_workflow_request
    for problem in validate_start_request(request, lambda _: []):
        yield Problem(f"startWorkflowRequest.{problem.path}", problem.message, problem.value)
    if request.idempotency_key:
        message = "each due time starts one execution by itself: leave the key out"
        yield Problem("startWorkflowRequest.idempotencyKey", message, request.idempotency_key)


def schedule_to_dict(schedule: Schedule) -> dict[str, Any]:
    """The JSON form of a schedule. Example: ``schedule_to_dict(schedule)["cronExpression"]``"""
    return write_struct(schedule)


def schedule_execution_to_dict(execution: ScheduleExecution) -> dict[str, Any]:
    """The JSON form of what became of a due time."""
    return write_struct(execution)


encode_schedule_execution = msgspec.msgpack.Encoder().encode
decode_schedule_execution = msgspec.msgpack.Decoder(ScheduleExecution).decode
