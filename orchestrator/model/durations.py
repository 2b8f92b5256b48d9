"""Text to time: how long a WAIT lasts (``duration``) and until when (``until``).

Pure functions of their argument; "now" is never asked for. They stand on the floor of the model because both the
rules of a definition and the WAIT operator of the core read the same texts. Refusals are ``ValueError`` with a text
fit for users.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

DURATION_MS_MAX = 100 * 365 * 86_400_000
"""A hundred years: longer waits are typing errors, and timers must stay exact as floating-point scores."""

_TEXT_CHARS_MAX = 100

# White space is matched only after a token, never by two neighbouring groups: a long run of blanks cannot backtrack.
_SPOKEN = re.compile(
    r"(?:([0-9]+)\s*d(?:ays?)?\s*)?"
    r"(?:([0-9]+)\s*h(?:ours?|rs?)?\s*)?"
    r"(?:([0-9]+)\s*m(?:in(?:ute)?s?)?\s*)?"
    r"(?:([0-9]+)\s*s(?:ec(?:ond)?s?)?\s*)?",
    re.IGNORECASE,
)
_ISO = re.compile(
    r"P(?:([0-9]+)W)?(?:([0-9]+)D)?(?:T(?=[0-9])(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)(?:[.,]([0-9]{1,9}))?S)?)?",
    re.IGNORECASE,
)
_UNTIL = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[ T]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,3})[0-9]{0,6})?)?\s*(\S.*)?)?"
)
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])([0-9]{1,2})(?::?([0-9]{2}))?", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Short names that Java resolves and the time zone database does not know.
_SHORT_ZONES = {
    "Z": "UTC",
    "PST": "America/Los_Angeles",
    "PDT": "America/Los_Angeles",
    "MST": "America/Denver",
    "MDT": "America/Denver",
    "CST": "America/Chicago",
    "CDT": "America/Chicago",
    "EST": "America/New_York",
    "EDT": "America/New_York",
    "BST": "Europe/London",
    "CEST": "Europe/Paris",
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
}


def parse_duration(text: str) -> int:
    """Milliseconds that ``text`` stands for.

    Conductor's form is days, hours, minutes, seconds in that order, each optional, with any of the usual unit names in
    any case (``2 days 3h``, ``90 sec``); a bare number is refused because its unit would be a guess. ISO 8601 without
    years and months (``PT5M``, ``P1DT2H``) is accepted too. Raises ``ValueError``.
    Example: ``parse_duration("1h 30m") == 5_400_000``
    """
    stripped = text.strip()
    # The reported text is cut: it may be a whole document pasted by mistake.
    refusal = f"invalid duration {stripped[:_TEXT_CHARS_MAX]!r}: write it like '2 days 3h 15m 10s' or 'PT5M'"
    if not stripped or len(stripped) > _TEXT_CHARS_MAX:
        raise ValueError(refusal)
    milliseconds = _iso_ms(stripped) if stripped[0] in "Pp" else _spoken_ms(stripped)
    if milliseconds is None:
        raise ValueError(refusal)
    if milliseconds > DURATION_MS_MAX:
        raise ValueError(f"duration {stripped!r} is longer than 100 years")
    return milliseconds


def _spoken_ms(text: str) -> int | None:
    match = _SPOKEN.fullmatch(text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000


def _iso_ms(text: str) -> int | None:
    match = _ISO.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:5])
    fraction_ms = int((match.group(6) or "").ljust(3, "0")[:3])
    return ((((weeks * 7 + days) * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000 + fraction_ms


def parse_until(text: str) -> int:
    """Epoch milliseconds of the moment ``text`` names; UTC when it names no zone.

    Accepted: ``yyyy-MM-dd``, ``yyyy-MM-dd HH:mm`` and ``yyyy-MM-dd HH:mm zone``, also with ``T`` and seconds; a zone
    is a database name, ``UTC``/``GMT``, a common short name, or an offset such as ``+02:00``. A time skipped or
    repeated by a clock change is read with the offset in force before the change. Raises ``ValueError``.
    Example: ``parse_until("2030-01-01 12:00 Europe/Berlin")``
    """
    stripped = text.strip()
    match = _UNTIL.fullmatch(stripped) if len(stripped) <= _TEXT_CHARS_MAX else None
    if match is None:
        raise ValueError(_until_refusal(stripped))
    year, month, day, hour, minute, second, fraction = (int(part or 0) for part in match.groups()[:7])
    milliseconds = int((match.group(7) or "").ljust(3, "0")) if fraction else 0
    zone = _zone(match.group(8))
    try:
        moment = datetime(year, month, day, hour, minute, second, milliseconds * 1000, tzinfo=zone)
        return (moment - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{_until_refusal(stripped)} ({error})") from None


def _until_refusal(text: str) -> str:
    return (
        f"Invalid/Unsupported Wait Until format.  Provided: {text[:_TEXT_CHARS_MAX]}; "
        "write it like '2030-01-31', '2030-01-31 18:00' or '2030-01-31 18:00 Europe/Berlin'"
    )


def _zone(name: str | None) -> tzinfo:
    if not name:
        return UTC
    offset = _OFFSET.fullmatch(name)
    if offset is not None:
        return _fixed_zone(name, offset)
    try:
        return ZoneInfo(_SHORT_ZONES.get(name.upper(), name))
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f"unknown time zone {name!r}: use a name such as Europe/Berlin or an offset like +02:00"
        ) from None


def _fixed_zone(name: str, offset: re.Match[str]) -> tzinfo:
    minutes = int(offset.group(2)) * 60 + int(offset.group(3) or 0)
    if minutes > 18 * 60 or int(offset.group(3) or 0) > 59:
        raise ValueError(f"time zone offset {name!r} is out of range (at most 18:00)")
    return timezone(timedelta(minutes=-minutes if offset.group(1) == "-" else minutes))
