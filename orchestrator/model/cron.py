"""Cron expressions: when they come next, in their zone, and why one cannot be used.

Six fields with the seconds in front (five without them, seven with a year behind) or a macro such as ``@daily``; ``?``,
``L``, ``LW``, ``15W``, ``FRI#2`` and ``5L`` are understood, and a day must meet both day fields. Where a clock is put
forward, a time that does not exist that day comes when the clock has jumped; where it is put back, a time at a fixed
hour comes once and one that comes every hour comes in both. Pure: the moment to count from is always given. Reading is
done by croniter, which the extra [schedules] brings.
"""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from orchestrator.errors import MissingExtra

EXPRESSION_CHARS_MAX = 200
_SECOND = timedelta(seconds=1)

_WEEKDAYS = {name: index for index, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))}
_LAST_WEEKDAY = re.compile(r"\b(SUN|MON|TUE|WED|THU|FRI|SAT|[0-7])L\b")
_RANDOM = re.compile(r"(?<![A-Z])[RH](?![A-Z])")
_INTERVAL_OF_HOURS = re.compile(r"\*|0/|0-23")


class _Readable(NamedTuple):
    """An expression in croniter's words; whether its hours are all there are, or every so many from midnight on."""

    text: str
    is_every_hour: bool
    is_by_interval: bool


def next_after(expression: str, zone_id: str, after_ms: int) -> int | None:
    """The first moment after ``after_ms`` that the expression names in that zone; None when there is none any more.

    Raises ``ValueError`` for what ``why_no_cron`` complains of. Example: ``next_after("0 0 9 * * ?", "UTC", now_ms)``
    """
    readable, zone, after_s = _readable(expression), _zone(zone_id), after_ms // 1000
    found_s = _once(readable, zone, after_s)
    if readable.is_by_interval and (again_s := _again(readable, zone, after_s)) is not None:
        found_s = again_s if found_s is None else min(found_s, again_s)
    return None if found_s is None else found_s * 1000


def _once(readable: _Readable, zone: tzinfo, after_s: int) -> int | None:
    """The next moment when each time of the clock comes once: the first time it is shown, or when it is jumped over.

    croniter is asked for times of a clock that is never changed: with a zone it stands still where half an hour is put back.
    """
    for shown in _times(readable, _shown(after_s, zone)):
        at_s = int(shown.replace(tzinfo=zone).timestamp())
        if _shown(at_s, zone) != shown:
            at_s = _jump(shown, zone)
            if readable.is_every_hour:  # nothing of an hour that is not there was missed
                later = next(_times(readable, _shown(at_s, zone) - _SECOND), None)
                return None if later is None else int(later.replace(tzinfo=zone).timestamp())
        if at_s > after_s:
            return at_s
    return None


def _again(readable: _Readable, zone: tzinfo, after_s: int) -> int | None:
    """The next moment in the second of two hours that are called the same, when one of them is now."""
    now = datetime.fromtimestamp(after_s, zone)
    repeated_s = int(now.replace(fold=1).timestamp())
    shown = now.replace(tzinfo=None, fold=0)
    if not now.fold:
        if repeated_s <= after_s:
            return None
        until = range(after_s, repeated_s + 1)
        put_back_s = until[bisect_left(until, True, key=lambda at_s: bool(datetime.fromtimestamp(at_s, zone).fold))]
        shown = _shown(put_back_s, zone) - _SECOND
    found = next(_times(readable, shown), None)
    if found is None:
        return None
    at_s = int(found.replace(tzinfo=zone, fold=1).timestamp())
    return at_s if datetime.fromtimestamp(at_s, zone).fold else None


def _jump(missing: datetime, zone: tzinfo) -> int:
    """The moment at which the clock jumps over this time."""
    late_s, early_s = (int(missing.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (0, 1))
    between = range(early_s, late_s + 1)
    return between[bisect_left(between, True, key=lambda at_s: _shown(at_s, zone) > missing)]


def _shown(at_s: int, zone: tzinfo) -> datetime:
    """What the clock shows at a moment, without the zone."""
    return datetime.fromtimestamp(at_s, zone).replace(tzinfo=None, fold=0)


def _times(readable: _Readable, after: datetime) -> Iterator[datetime]:
    """What a clock that is never changed shows whenever the expression names it."""
    reader = _reader()
    times = reader.croniter(readable.text, after, second_at_beginning=True, day_or=False)
    with contextlib.suppress(reader.CroniterBadDateError):
        while True:
            yield times.get_next(datetime)


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
def _readable(expression: str) -> _Readable:
    text = " ".join(expression.upper().split())
    if len(text) > EXPRESSION_CHARS_MAX:
        raise ValueError(f"it is longer than {EXPRESSION_CHARS_MAX} characters")
    fields = text.split(" ")
    if text.startswith("@"):
        return _Readable(text.lower(), text == "@HOURLY", text == "@HOURLY")
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
        hours = _reader().croniter(readable, 0.0, second_at_beginning=True, day_or=False).expanded[1]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(str(error)) from error
    is_every_hour = hours == ["*"]
    return _Readable(readable, is_every_hour, is_every_hour or bool(_INTERVAL_OF_HOURS.match(fields[day - 1])))


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
