"""When a schedule is due: its moments after a given one, and how long after each its workflow starts.

A function of the schedule and of the moment counted from, so any process may compute it. Knows no store and no clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.model.cron import next_after
from orchestrator.model.schedules import Schedule

PREVIEWED_MAX = 5


class DueTime(NamedTuple):
    """One moment a schedule comes at, and what says so: a cron expression and its zone, an interval, or the moment."""

    at_ms: int
    source: str
    zone_id: str


def due_after(schedule: Schedule, after_ms: int) -> DueTime | None:
    """The first due time after ``after_ms`` within the bounds of the schedule, paused or not; None when it is over.

    Example: ``due_after(schedule, now_ms).at_ms``
    """
    begin_ms = max(after_ms, (schedule.schedule_start_time or 0) - 1)
    first = min(_each_after(schedule, begin_ms), key=lambda due: due.at_ms, default=None)
    if first is None or (schedule.schedule_end_time and first.at_ms > schedule.schedule_end_time):
        return None
    return first


def due_at(schedule: Schedule, at_ms: int) -> DueTime:
    """The due time at that moment, with what it comes from: what the schedule says first when that is gone by now."""
    found = list(_each_after(schedule, at_ms - 1))
    return next((due for due in found if due.at_ms == at_ms), DueTime(at_ms, *_sources(schedule)[0]))


def preview(schedule: Schedule, after_ms: int, limit: int = PREVIEWED_MAX) -> list[int]:
    """The next due times, five at most. Example: ``preview(schedule, now_ms, 3)``"""
    times: list[int] = []
    while len(times) < min(limit, PREVIEWED_MAX):
        due = due_after(schedule, times[-1] if times else after_ms)
        if due is None:
            break
        times.append(due.at_ms)
    return times


def delay_ms(schedule: Schedule, at_ms: int) -> int:
    """How long after this due time its workflow starts: at random up to the jitter, but always the same for one due time.

    Example: ``delay_ms(schedule, due.at_ms)``
    """
    if not schedule.jitter_seconds:
        return 0
    digest = hashlib.sha256(f"{schedule.name}\n{at_ms}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % (schedule.jitter_seconds * 1000 + 1)


def _each_after(schedule: Schedule, after_ms: int) -> Iterator[DueTime]:
    """The next moment by each of the ways the schedule names its times."""
    if schedule.run_at is not None:
        if schedule.run_at > after_ms:
            yield DueTime(schedule.run_at, *_sources(schedule)[0])
    elif schedule.interval_seconds is not None:
        step_ms, origin_ms = schedule.interval_seconds * 1000, schedule.schedule_start_time or 0
        steps = max(0, (after_ms - origin_ms) // step_ms + 1)
        yield DueTime(origin_ms + steps * step_ms, *_sources(schedule)[0])
    for cron in schedule.crons:
        at_ms = next_after(cron.cron_expression, cron.zone_id, after_ms)
        if at_ms is not None:
            yield DueTime(at_ms, cron.cron_expression, cron.zone_id)


def _sources(schedule: Schedule) -> list[tuple[str, str]]:
    if schedule.run_at is not None:
        return [("once", "UTC")]
    if schedule.interval_seconds is not None:
        return [(f"every {schedule.interval_seconds} s", "UTC")]
    return [(cron.cron_expression, cron.zone_id) for cron in schedule.crons]
