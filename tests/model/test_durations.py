"""The duration and date texts of WAIT: what is understood, what is refused, and that no text does harm."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.durations import DURATION_MS_MAX, parse_duration, parse_until

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("2 days", 2 * DAY),
        ("1 day", DAY),
        ("1d", DAY),
        ("3h", 3 * HOUR),
        ("3 hr", 3 * HOUR),
        ("3hrs", 3 * HOUR),
        ("1 hour", HOUR),
        ("2 hours", 2 * HOUR),
        ("5m", 5 * MINUTE),
        ("5 min", 5 * MINUTE),
        ("5mins", 5 * MINUTE),
        ("1 minute", MINUTE),
        ("5 minutes", 5 * MINUTE),
        ("90s", 90 * SECOND),
        ("90 sec", 90 * SECOND),
        ("90secs", 90 * SECOND),
        ("1 second", SECOND),
        ("10 seconds", 10 * SECOND),
        ("1 DAY 2 Hours 3 MIN 4S", DAY + 2 * HOUR + 3 * MINUTE + 4 * SECOND),
        ("1d2h3m4s", DAY + 2 * HOUR + 3 * MINUTE + 4 * SECOND),
        ("  1h   30m  ", HOUR + 30 * MINUTE),
        ("0s", 0),
        ("PT5M", 5 * MINUTE),
        ("pt5m", 5 * MINUTE),
        ("P1D", DAY),
        ("P1W", 7 * DAY),
        ("P1DT2H3M4S", DAY + 2 * HOUR + 3 * MINUTE + 4 * SECOND),
        ("PT0.5S", 500),
        ("PT1.0019S", 1001),
    ],
)
def test_a_duration_is_read_in_milliseconds(text: str, expected_ms: int) -> None:
    assert parse_duration(text) == expected_ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "5",
        "5 5",
        "s",
        "5m 1h",
        "1h 1h",
        "-5s",
        "1.5h",
        "5 weeks",
        "5 m x",
        "P",
        "PT",
        "P1DT",
        "P1Y",
        "P1M",
        "٥s",
    ],
)
def test_an_unknown_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="2 days 3h 15m 10s"):
        parse_duration(text)


def test_a_duration_of_more_than_a_hundred_years_is_refused() -> None:
    assert parse_duration("36500d") == DURATION_MS_MAX
    with pytest.raises(ValueError, match="100 years"):
        parse_duration("36500d 1s")


def test_a_huge_duration_text_is_refused_at_once_and_quoted_in_part() -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration("1" + " " * 1_000_000 + "x")
    assert len(str(caught.value)) < 300


@given(st.text())
def test_a_duration_text_is_read_or_refused_but_never_crashes(text: str) -> None:
    with suppress(ValueError):
        assert 0 <= parse_duration(text) <= DURATION_MS_MAX


@given(st.integers(0, 3000), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_both_forms_of_a_duration_agree(days: int, hours: int, minutes: int, seconds: int) -> None:
    expected = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds) // timedelta(milliseconds=1)
    assert parse_duration(f"{days} days {hours}hr {minutes} min {seconds}s") == expected
    assert parse_duration(f"P{days}DT{hours}H{minutes}M{seconds}S") == expected


def _ms(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("2030-01-31", _ms(2030, 1, 31)),
        ("2030-01-31 18:05", _ms(2030, 1, 31, 18, 5)),
        (" 2030-01-31 18:05 ", _ms(2030, 1, 31, 18, 5)),
        ("2030-01-31 18:05 UTC", _ms(2030, 1, 31, 18, 5)),
        ("2030-01-31 18:05 GMT", _ms(2030, 1, 31, 18, 5)),
        ("2030-01-31T18:05:07Z", _ms(2030, 1, 31, 18, 5, 7)),
        ("2030-01-31 18:05 Europe/Berlin", _ms(2030, 1, 31, 17, 5)),
        ("2030-07-31 18:05 Europe/Berlin", _ms(2030, 7, 31, 16, 5)),
        ("2030-01-31 18:05 PST", _ms(2030, 2, 1, 2, 5)),
        ("2030-01-31 18:05 +02:00", _ms(2030, 1, 31, 16, 5)),
        ("2030-01-31 18:05 -0330", _ms(2030, 1, 31, 21, 35)),
        ("2030-01-31 18:05 GMT+2", _ms(2030, 1, 31, 16, 5)),
        ("2030-03-31 02:30 Europe/Berlin", _ms(2030, 3, 31, 1, 30)),  # skipped by the clock change
        ("2030-10-27 02:30 Europe/Berlin", _ms(2030, 10, 27, 0, 30)),  # happens twice
        ("1960-01-01", _ms(1960, 1, 1)),
    ],
)
def test_a_moment_is_read_in_epoch_milliseconds(text: str, expected_ms: int) -> None:
    assert parse_until(text) == expected_ms


def test_a_moment_keeps_its_milliseconds() -> None:
    assert parse_until("2030-01-31T18:05:07.25Z") == _ms(2030, 1, 31, 18, 5, 7) + 250


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2030-1-31",
        "2030-02-30",
        "2030-01-31 25:00",
        "2030-01-31 18",
        "0000-01-01",
        "31-01-2030",
        "2" * 9999,
    ],
)
def test_an_unknown_moment_is_refused_with_conductors_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"Invalid/Unsupported Wait Until format\.  Provided: "):
        parse_until(text)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "America", "+19:00", "+02:75", "\x00"])
def test_an_unknown_zone_is_named(zone: str) -> None:
    with pytest.raises(ValueError, match="zone"):
        parse_until(f"2030-01-31 18:05 {zone}")


@given(st.one_of(st.text(), st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2} .{0,10}", fullmatch=True)))
def test_a_moment_text_is_read_or_refused_but_never_crashes(text: str) -> None:
    with suppress(ValueError):
        parse_until(text)
