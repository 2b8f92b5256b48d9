"""Cron expressions: what they name, in zones whose clocks are put forward and back, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import MissingExtra
from orchestrator.model import cron
from orchestrator.model.cron import next_after, why_no_cron

BERLIN = "Europe/Berlin"


def times(expression: str, begin: str, count: int = 3, zone: str = BERLIN) -> list[str]:
    """The next due times after a wall time of the zone, as dates with their offset."""
    found, at_ms = [], int(datetime.fromisoformat(begin).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)
    for _ in range(count):
        after_ms = next_after(expression, zone, at_ms)
        assert after_ms is not None
        at_ms = after_ms
        found.append(datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone)).isoformat(timespec="minutes"))
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 9 * * ?", ["2026-01-01T09:00+01:00", "2026-01-02T09:00+01:00"]),
        ("0 0/20 9 * * *", ["2026-01-01T09:00+01:00", "2026-01-01T09:20+01:00"]),
        ("0 0 9 ? * MON-FRI", ["2026-01-01T09:00+01:00", "2026-01-02T09:00+01:00"]),
        ("0 0 9 L * ?", ["2026-01-31T09:00+01:00", "2026-02-28T09:00+01:00"]),
        ("0 0 9 LW * ?", ["2026-01-30T09:00+01:00", "2026-02-27T09:00+01:00"]),
        ("0 0 9 15W * ?", ["2026-01-15T09:00+01:00", "2026-02-16T09:00+01:00"]),
        ("0 0 9 ? * 5L", ["2026-01-30T09:00+01:00", "2026-02-27T09:00+01:00"]),
        ("0 0 9 ? * FRIL", ["2026-01-30T09:00+01:00", "2026-02-27T09:00+01:00"]),
        ("0 0 9 ? * FRI#2", ["2026-01-09T09:00+01:00", "2026-02-13T09:00+01:00"]),
        ("0 0 9 1 * MON", ["2026-06-01T09:00+02:00", "2027-02-01T09:00+01:00"]),  # both day fields must be met
        ("0 0 9 29 2 ?", ["2028-02-29T09:00+01:00", "2032-02-29T09:00+01:00"]),
        ("0 0 9 1 1 ? 2030", ["2030-01-01T09:00+01:00"]),
        ("30 9 * * *", ["2026-01-01T09:30+01:00", "2026-01-02T09:30+01:00"]),
        ("@daily", ["2026-01-02T00:00+01:00", "2026-01-03T00:00+01:00"]),
    ],
)
def test_an_expression_names_its_times(expression: str, expected: list[str]) -> None:
    assert times(expression, "2026-01-01T01:00", len(expected)) == expected


def test_a_time_that_the_clock_jumps_over_comes_when_it_has_jumped() -> None:
    assert times("0 30 2 * * ?", "2026-03-28T12:00") == [
        "2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00", "2026-03-31T02:30+02:00",
    ]  # fmt: skip


def test_a_time_that_the_clock_shows_twice_comes_once() -> None:
    assert times("0 30 2 * * ?", "2026-10-24T12:00") == [
        "2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00", "2026-10-27T02:30+01:00",
    ]  # fmt: skip


def test_what_comes_every_hour_comes_in_both_of_the_hours_that_are_called_two() -> None:
    assert times("0 0 * * * ?", "2026-10-25T01:30") == [
        "2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00",
    ]  # fmt: skip


def test_an_expression_that_names_no_more_times_is_over() -> None:
    assert next_after("0 0 9 1 1 ? 2030", "UTC", int(datetime(2031, 1, 1, tzinfo=UTC).timestamp() * 1000)) is None


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("every day", "2 fields; six are needed"),
        ("", "six are needed"),
        ("61 * * * * *", "out of range"),
        ("0 0 9 * * 8", "out of range"),
        ("*/0 * * * * *", "step '0'"),
        ("@reboot", "no cron expression"),
        ("0 0 9 30 2 ?", "never comes"),
        ("R R 9 * * *", "another time in every process"),
        ("H 0 9 * * *", "another time in every process"),
        ("* " * 300, "longer than 200"),
    ],
)
def test_an_expression_that_cannot_be_used_is_refused_with_the_reason(expression: str, reason: str) -> None:
    assert reason in (why_no_cron(expression, "UTC") or "")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "a\0b"])
def test_a_zone_that_does_not_exist_is_refused(zone: str) -> None:
    assert "is no time zone" in (why_no_cron("0 0 9 * * ?", zone) or "")


FIELD = st.one_of(
    st.sampled_from(
        ["*", "?", "L", "LW", "3W", "1,2", "1-5", "*/7", "FRI", "FRI#2", "2L", "JAN", "0", "59", "1/3", "-", "#"]
    ),
    st.text("0123456789*/,-LW#", max_size=6),
)


@given(st.one_of(st.text(max_size=40), st.lists(FIELD, min_size=5, max_size=7).map(" ".join)))
def test_whatever_is_written_is_either_refused_or_comes_on_whole_seconds_after_now(expression: str) -> None:
    if why_no_cron(expression, BERLIN) is None:
        now_ms = 1_900_000_000_123
        at_ms = next_after(expression, BERLIN, now_ms)
        assert at_ms is None or (at_ms > now_ms and at_ms % 1000 == 0)


def test_without_croniter_the_line_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "croniter", None)
    cron._readable.cache_clear()
    with pytest.raises(MissingExtra, match=r"redis-orchestrator\[schedules\]"):
        why_no_cron("0 0 9 * * ?", "UTC")
