"""Schedules: which workflow is started when, and the record of what became of one due time.

A schedule names its times by one cron expression in ``zone_id`` or by several, each in a zone of its own, by an
interval, or by one moment; what is wrong with one is said here, all of it at once. When it is due is ``due_times``'s.
Knows no store and no clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec

from orchestrator.errors import DefinitionInvalid, Problem
from orchestrator.model.cron import require_cron, why_no_cron
from orchestrator.model.execution import StartWorkflowRequest, validate_start_request
from orchestrator.model.summaries import Field, Kind
from orchestrator.model.wire_read import read_struct
from orchestrator.model.wire_write import write_struct

CRONS_MAX = 20
NAME_CHARS_MAX = 200
INTERVAL_SECONDS_MAX = 366 * 86_400
JITTER_SECONDS_MAX = 86_400
LAST_MS = 253_402_300_799_000
"""The end of the year 9999."""


class OverlapPolicy(StrEnum):
    """What a due time does while the execution that the schedule started last is still running.

    ALLOW starts another, SKIP leaves the due time out, BUFFER waits for the end, TERMINATE ends the running one first.
    """

    ALLOW = "ALLOW"
    SKIP = "SKIP"
    BUFFER = "BUFFER"
    TERMINATE = "TERMINATE"


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

    ``cron_schedules`` take the place of ``cron_expression`` and ``zone_id`` when there are any. Instead of expressions
    it may come every ``interval_seconds``, counted from ``schedule_start_time`` (without one from the epoch, so that
    300 is every full five minutes), or once, at ``run_at``. Times are epoch milliseconds, both bounds included.
    ``jitter_seconds`` spreads the starts: each is late by up to so much. ``next_run_time`` is computed, never stored.
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
    interval_seconds: int | None = None
    run_at: int | None = None
    overlap_policy: OverlapPolicy = OverlapPolicy.ALLOW
    jitter_seconds: int = 0

    @property
    def crons(self) -> list[CronSchedule]:
        """The expressions that count; none when it has an interval or one moment."""
        if self.cron_schedules or not self.cron_expression:
            return self.cron_schedules
        return [CronSchedule(cron_expression=self.cron_expression, zone_id=self.zone_id)]

    def has_times_of(self, other: Schedule) -> bool:
        """Whether both come at the same times."""
        return self._times() == other._times()

    def _times(self) -> tuple[object, ...]:
        return self.crons, self.interval_seconds, self.run_at, self.schedule_start_time, self.schedule_end_time


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
    yield from _problems_of_times(schedule)
    jitter_s = schedule.jitter_seconds
    if not 0 <= jitter_s <= JITTER_SECONDS_MAX:
        yield Problem("jitterSeconds", f"must be 0 to {JITTER_SECONDS_MAX:,}", jitter_s)
    start, end = schedule.schedule_start_time, schedule.schedule_end_time
    if start and end and end < start:
        yield Problem("scheduleEndTime", "is before scheduleStartTime", end)
    request = schedule.start_workflow_request
    for problem in validate_start_request(request, lambda _: []):
        yield Problem(f"startWorkflowRequest.{problem.path}", problem.message, problem.value)
    if request.idempotency_key:
        message = "each due time starts one execution by itself: leave the key out"
        yield Problem("startWorkflowRequest.idempotencyKey", message, request.idempotency_key)


def _problems_of_times(schedule: Schedule) -> Iterator[Problem]:
    require_cron()  # deciders without it fire nothing, so it is missed here and not at the due time
    interval_s, run_at = schedule.interval_seconds, schedule.run_at
    ways = bool(schedule.cron_expression or schedule.cron_schedules) + (interval_s is not None) + (run_at is not None)
    if ways == 0:
        advice = "give a cron expression, e.g. 0 0 9 * * ? for every day at nine, or intervalSeconds, or runAt"
        yield Problem("cronExpression", advice)
    elif ways > 1:
        yield Problem("cronExpression", "give only one of cron expressions, intervalSeconds and runAt")
    if interval_s is not None and not 1 <= interval_s <= INTERVAL_SECONDS_MAX:
        yield Problem("intervalSeconds", f"must be 1 to {INTERVAL_SECONDS_MAX:,}", interval_s)
    if run_at is not None and not 0 < run_at <= LAST_MS:
        yield Problem("runAt", "must be a moment in epoch milliseconds", run_at)
    if len(schedule.cron_schedules) > CRONS_MAX:
        yield Problem("cronSchedules", f"at most {CRONS_MAX} are taken", len(schedule.cron_schedules))
        return
    for index, cron in enumerate(schedule.crons):
        reason = why_no_cron(cron.cron_expression, cron.zone_id)
        if reason:
            path = f"cronSchedules[{index}]." if schedule.cron_schedules else ""
            yield Problem(f"{path}cronExpression", reason, cron.cron_expression)


def schedule_to_dict(schedule: Schedule) -> dict[str, Any]:
    """The JSON form of a schedule. Example: ``schedule_to_dict(schedule)["cronExpression"]``"""
    return write_struct(schedule)


def schedule_execution_to_dict(execution: ScheduleExecution) -> dict[str, Any]:
    """The JSON form of what became of a due time."""
    return write_struct(execution)


encode_schedule_execution = msgspec.msgpack.Encoder().encode
decode_schedule_execution = msgspec.msgpack.Decoder(ScheduleExecution).decode
