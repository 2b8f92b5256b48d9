"""Cron expressions: when they come next, in their zone, and why one cannot be used.

Six fields with the seconds in front (five without them, seven with a year behind) or a macro such as ``@daily``; ``?``,
``L``, ``LW``, ``15W``, ``FRI#2`` and ``5L`` are understood, and a day must meet both day fields. Where a clock is put
forward, a time that does not exist that day comes when the clock has jumped; where it is put back, a time at a fixed
hour comes once and one that comes every hour comes in both. Pure: the moment to count from is always given. Reading is
done by croniter, which the extra [schedules] brings.
"""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from functools import lru_cache
from importlib.util import find_spec
from typing import Any
from zoneinfo import ZoneInfo

from orchestrator.errors import MissingExtra

EXPRESSION_CHARS_MAX = 200

_WEEKDAYS = {name: index for index, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))}
_LAST_WEEKDAY = re.compile(r"\b(SUN|MON|TUE|WED|THU|FRI|SAT|[0-7])L\b")
_RANDOM = re.compile(r"(?<![A-Z])[RH](?![A-Z])")


def next_after(expression: str, zone_id: str, after_ms: int) -> int | None:
    """The first moment after ``after_ms`` that the expression names in that zone; None when there is none any more.

    Raises ``ValueError`` for what ``why_no_cron`` complains of. Example: ``next_after("0 0 9 * * ?", "UTC", now_ms)``
    """
    reader = _reader()
    text, comes_by_the_clock = _readable(expression)
    begin = datetime.fromtimestamp(after_ms // 1000, _zone(zone_id))
    times = reader.croniter(text, begin, second_at_beginning=True, day_or=False)
    while True:
        try:
            found: datetime = times.get_next(datetime)
        except reader.CroniterBadDateError:
            return None
        if not (found.fold and comes_by_the_clock):
            return int(found.timestamp()) * 1000


def is_cron_installed() -> bool:
    """Whether expressions can be read in this process."""
    return find_spec("croniter") is not None


def require_cron() -> None:
    """Raises ``MissingExtra`` without croniter."""
    _reader()


def why_no_cron(expression: str, zone_id: str) -> str | None:
    """Why nothing can be scheduled by this expression in this zone, or None.

    Raises ``MissingExtra`` without croniter. Example: ``why_no_cron("every day", "UTC")``
    """
    try:
        _zone(zone_id)
    except ValueError as error:
        return str(error)
    try:
        never = next_after(expression, zone_id, 0) is None
    except ValueError as error:
        return f"{expression[:EXPRESSION_CHARS_MAX]!r} is no cron expression: {error}"
    return f"{expression!r} never comes: there is no such day" if never else None


@lru_cache(maxsize=1_000)
def _readable(expression: str) -> tuple[str, bool]:
    """The expression in croniter's words, and whether it names hours of the clock rather than every so many."""
    text = " ".join(expression.upper().split())
    if len(text) > EXPRESSION_CHARS_MAX:
        raise ValueError(f"it is longer than {EXPRESSION_CHARS_MAX} characters")
    fields = text.split(" ")
    if text.startswith("@"):
        return text.lower(), text != "@HOURLY"
    if _RANDOM.search(text):
        raise ValueError("R and H stand for another time in every process")
    if not 5 <= len(fields) <= 7:
        raise ValueError(f"it has {len(fields)} fields; six are needed: second minute hour day month weekday")
    day = 3 if len(fields) > 5 else 2
    # croniter takes a day beyond the month for its last one, and writes the last Friday as L5.
    fields[day] = re.sub(r"\bLW\b", "31W", fields[day])
    fields[day + 2] = _LAST_WEEKDAY.sub(lambda m: f"L{_WEEKDAYS.get(m[1], m[1])}", fields[day + 2])
    readable = " ".join(fields)
    try:
        _reader().croniter(readable, 0.0, second_at_beginning=True, day_or=False)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(str(error)) from error
    return readable, not fields[day - 1].startswith("*")


@lru_cache(maxsize=1_000)
def _zone(zone_id: str) -> tzinfo:
    try:
        return ZoneInfo(zone_id)
    except (ValueError, OSError, LookupError):
        raise ValueError(f"{zone_id!r} is no time zone; name it like Europe/Berlin or UTC") from None


def _reader() -> Any:
    try:
        import croniter
    except ImportError:
        raise MissingExtra("a schedule", "schedules") from None
    return croniter
