"""Regular expressions of a path's filter, ``@.name =~ /eu-.*/i``, bounded so that none can hold up a decider.

Python's matcher backtracks, and a pattern such as ``(a+)+x`` can take longer than the universe has. So before a pattern
is accepted its worst case is estimated from its text: each repetition may stop at any character, each ``?`` and each
alternative doubles or multiplies the ways. A pattern whose ways grow exponentially is refused; for any other the length
of text is limited to what keeps them under 16 million, and a longer text does not match. Built by ``jsonpath_filters``.
"""

from __future__ import annotations

import math
import re
from typing import Any

from orchestrator.core.jsonpath_text import PathInvalid

PATTERN_CHARS_MAX = 200
TEXT_CHARS_MAX = 10_000
WAYS_MAX_LOG2 = 24.0
TEXT_CHARS_MIN_LOG2 = 3.0  # a pattern that may not even see eight characters is no use

_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}
_JAVA_ONLY_FLAGS = frozenset("duU")  # line ends and Unicode rules that are Python's default
_TOKEN = re.compile(
    r"(?P<escape>\\.)|(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])|(?P<inline>\(\?[imsu]+\))"
    r"|(?P<open>\((?:\?(?:[imsu]*:|[=!>]|<[=!]))?)|(?P<close>\))|(?P<either>\|)"
    r"|(?P<times>\{(?P<exactly>[0-9]+)\})|(?P<many>[*+]|\{[0-9]*,(?P<at_most>[0-9]*)\})|(?P<maybe>\?)|(?P<other>.)",
    re.DOTALL,
)


class Pattern:
    """The right side of ``=~``: a regular expression that must fit the whole text, or ``anywhere`` a part of it.

    A text longer than ``text_chars_max`` does not fit. ``anywhere`` reads ``$`` as the very end, as JSON Schema does.
    Raises ``PathInvalid`` for a pattern that does not compile or could run away (see the top of the file).
    Example: ``Pattern("eu-.*", "i").fits("EU-west")``.
    """

    __slots__ = ("_match", "_repetitions", "text_chars_max")

    def __init__(self, pattern: str, flags: str = "", *, anywhere: bool = False) -> None:
        if len(pattern) > PATTERN_CHARS_MAX:
            raise PathInvalid(f"the regular expression is longer than {PATTERN_CHARS_MAX} characters")
        unknown = set(flags) - _FLAGS.keys() - _JAVA_ONLY_FLAGS
        if unknown:
            raise PathInvalid(f"unknown regular expression flag {min(unknown)!r}")
        ways = _ways(pattern)
        if anywhere and (not pattern.startswith("^") or "|" in pattern):
            ways.repetitions += 1  # looking for it anywhere is one more repetition: of what stands before it
        self._repetitions = ways.repetitions
        self.text_chars_max = _text_chars_max(ways)
        if anywhere:
            pattern = "".join(r"\Z" if token[0] == "$" else token[0] for token in _TOKEN.finditer(pattern))
        combined = re.RegexFlag(0)
        for flag in flags:
            combined |= _FLAGS.get(flag, re.RegexFlag(0))
        try:
            compiled = re.compile(pattern, combined)
        except (re.error, OverflowError, RecursionError) as error:
            raise PathInvalid(f"the regular expression does not compile: {error}") from error
        self._match = compiled.search if anywhere else compiled.fullmatch

    def fits(self, value: Any) -> bool:
        """Whether the whole value fits; of a list, whether any element does. Values other than texts are spelled."""
        if isinstance(value, list):
            return any(self._fits_text(_spelled(element)) for element in value)
        return self._fits_text(_spelled(value))

    def ways(self, text: str) -> int:
        """About how many ways there are to look for it in this text: what asking for it may cost."""
        return int(min(len(text), self.text_chars_max) ** self._repetitions)

    def _fits_text(self, text: str) -> bool:
        return len(text) <= self.text_chars_max and self._match(text) is not None


class _Ways:
    """How many ways a part of a pattern can match: (length of text) ** ``repetitions`` * 2 ** ``choices``."""

    def __init__(self) -> None:
        self.repetitions = 0
        self.choices = 0.0
        self.alternatives = 1

    def add(self, other: _Ways, times: int = 1) -> None:
        self.repetitions += other.repetitions * times
        self.choices += (other.choices + math.log2(other.alternatives)) * times

    def vary(self) -> bool:
        return self.repetitions > 0 or self.choices > 0 or self.alternatives > 1


def _text_chars_max(ways: _Ways) -> int:
    """The longest text the pattern may see. Raises ``PathInvalid`` when that would be next to nothing."""
    total = _Ways()
    total.add(ways)
    limit_log2 = (WAYS_MAX_LOG2 - total.choices) / max(1, total.repetitions)
    if limit_log2 < TEXT_CHARS_MIN_LOG2:
        raise PathInvalid("the regular expression has too many repetitions and alternatives")
    return min(TEXT_CHARS_MAX, int(2**limit_log2))


def _ways(pattern: str) -> _Ways:
    groups = [_Ways()]
    closed: _Ways | None = None  # the group that ended just before, already added once to the one around it
    for token in _TOKEN.finditer(pattern):
        kind, before, closed = token.lastgroup, closed, None
        if kind == "open":
            _check_group(pattern, token)
            groups.append(_Ways())
        elif kind == "close" and len(groups) > 1:
            closed = groups.pop()
            groups[-1].add(closed)
        elif kind == "either":
            groups[-1].alternatives += 1
        elif kind == "maybe":
            groups[-1].choices += 1
        elif kind in ("times", "many"):
            _repeat(groups[-1], before, token)
        elif kind == "escape" and token[0][1] in "123456789":
            raise PathInvalid("back references are not allowed in a regular expression")
    return groups[0]


def _check_group(pattern: str, token: re.Match[str]) -> None:
    if pattern.startswith("?", token.end()):  # names, comments, conditions, verbose mode: each hides what is repeated
        raise PathInvalid(f"groups that begin with {pattern[token.start() : token.end() + 2]!r} are not allowed")


def _repeat(around: _Ways, group: _Ways | None, token: re.Match[str]) -> None:
    is_exact = token["exactly"] is not None
    most = token["exactly"] or token["at_most"]
    if group is not None and group.vary():
        if not most:
            raise PathInvalid("a repetition around another repetition or around | could run for hours")
        around.add(group, int(most) - 1)
    if not is_exact:
        around.repetitions += 1


def _spelled(value: Any) -> str:
    """As a regular expression sees it: numbers and booleans as JSON spells them, everything else as an empty text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    return value if isinstance(value, str) else ""
