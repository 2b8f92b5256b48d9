"""Cron expressions around every change of the clocks: what comes is compared with a count of all minutes by zoneinfo.

The rule, in the reference's words: a minute of the zone's clock comes when the fields name it; the second of two hours
that are called the same only when the schedule comes every so many hours; and a time that a fixed hour names and the
clock jumps over comes at the moment of the jump.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.model.cron import next_after

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",  # at midnight
    "Africa/Cairo",  # at midnight, and not every year
    "Africa/Casablanca",  # four times in some years
    "Australia/Lord_Howe",  # by half an hour
    "Antarctica/Troll",  # by two hours
    "Pacific/Apia",  # a whole day was left out
    "Asia/Kathmandu",  # never
)
AROUND_S = 30 * 3600


class Change(NamedTuple):
    """A moment at which a zone's clock is put on by so many seconds, or back."""

    zone: str
    at_s: int
    by_s: int


@cache
def changes() -> list[Change]:
    """Every change of the zones in twenty years; a zone without any gives a moment of its own, put on by nothing."""
    found: list[Change] = []
    for name in ZONES:
        zone, of_zone = ZoneInfo(name), list[Change]()
        begin, end = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2010, 2030))
        before = wall(begin, zone).utcoffset()
        for day_s in range(begin, end, 86400):
            if wall(day_s + 86400, zone).utcoffset() == before:
                continue
            for at_s in range(day_s, day_s + 86401, 900):
                after = wall(at_s, zone).utcoffset()
                if after != before and after is not None and before is not None:
                    of_zone.append(Change(name, at_s, int((after - before).total_seconds())))
                    before = after
        found += of_zone or [Change(name, begin, 0)]
    return found


def wall(at_s: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at_s, zone)


def counted(change: Change, minutes: set[int], hours: set[int], every_so_many: bool) -> list[str]:
    """What must come around a change, minute by minute."""
    zone, found = ZoneInfo(change.zone), set[int]()
    for at_s in range(change.at_s - AROUND_S, change.at_s + AROUND_S, 60):
        at = wall(at_s, zone)
        if at.minute in minutes and at.hour in hours and (every_so_many or not at.fold):
            found.add(at_s)
    last_s = wall(change.at_s - 1, zone).replace(tzinfo=None) + timedelta(seconds=1)
    skipped = [last_s + timedelta(minutes=minute) for minute in range(change.by_s // 60)]
    # All hours name no hour: nothing of them was missed.
    if len(hours) < 24 and any(at.minute in minutes and at.hour in hours for at in skipped):
        found.add(change.at_s)
    return told(sorted(found), zone)


def come(change: Change, expression: str) -> list[str]:
    """What comes around a change, asked for one after the other as the schedules do."""
    at_ms, end_ms = (change.at_s - AROUND_S) * 1000 - 1, (change.at_s + AROUND_S) * 1000
    found: list[int] = []
    while (next_ms := next_after(expression, change.zone, at_ms)) is not None and next_ms < end_ms:
        at_ms = next_ms
        found.append(at_ms // 1000)
    return told(found, ZoneInfo(change.zone))


def told(moments_s: list[int], zone: ZoneInfo) -> list[str]:
    """With their offsets: two times of one zone that are called the same are equal as datetimes."""
    return [wall(at_s, zone).isoformat(timespec="minutes") for at_s in moments_s]


def written(numbers: set[int]) -> str:
    return ",".join(map(str, sorted(numbers)))


CHANGES = st.deferred(lambda: st.sampled_from(changes()))
MINUTES = st.sets(st.sampled_from([0, 1, 15, 29, 30, 45, 59]), min_size=1, max_size=3)
HALF_AN_HOUR_BACK = Change("Australia/Lord_Howe", 1_270_306_800, -1800)
NIGHTLY = st.sets(st.sampled_from([0, 1, 2, 3, 4, 12, 22, 23]), min_size=1, max_size=5)


@given(CHANGES, MINUTES, NIGHTLY)
@example(HALF_AN_HOUR_BACK, {45}, {1})
def test_fixed_hours_come_once_each_day_whatever_the_clock_does(
    change: Change, minutes: set[int], hours: set[int]
) -> None:
    expression = f"0 {written(minutes)} {written(hours)} * * ?"
    assert come(change, expression) == counted(change, minutes, hours, every_so_many=False)


@example(HALF_AN_HOUR_BACK, {1, 29, 30}, 1, "0/{}")
@given(CHANGES, MINUTES, st.sampled_from([1, 2, 3, 6]), st.sampled_from(["*/{}", "0/{}", "0-23/{}"]))
def test_every_so_many_hours_come_in_both_hours_of_one_name(
    change: Change, minutes: set[int], every: int, form: str
) -> None:
    expression = f"0 {written(minutes)} {form.format(every)} * * ?"
    assert come(change, expression) == counted(change, minutes, set(range(0, 24, every)), every_so_many=True)


@given(CHANGES, MINUTES)
def test_what_comes_every_hour_follows_the_seconds_that_pass(change: Change, minutes: set[int]) -> None:
    expression = f"0 {written(minutes)} * * * ?"
    assert come(change, expression) == counted(change, minutes, set(range(24)), every_so_many=True)


def test_the_changes_are_of_every_kind() -> None:
    by_s = {change.by_s for change in changes()}
    assert HALF_AN_HOUR_BACK in changes()
    assert {1800, -1800, 3600, -3600, 7200, -7200, 86400, 0} <= by_s
    assert {change.zone for change in changes()} == set(ZONES)
