"""How much a script may take, and what is said when it took more."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """Running time in seconds and memory in bytes."""

    time_s: float
    memory_bytes: int


IN_DECISION = Limits(0.005, 8 * 1024 * 1024)
"""What a script gets while a decision waits for it; one that needs more becomes a task."""

FULL = Limits(4.0, 64 * 1024 * 1024)
"""What a script gets in a task."""


class TimeExceeded(Exception):
    """The script was stopped at its time limit."""


class MemoryExceeded(Exception):
    """The script was stopped at its memory limit."""


class ScriptFailed(Exception):
    """The script is wrong: its syntax, what it threw, or what it returned. The message is for its author."""


def time_message(limits: Limits) -> str:
    """Conductor's words for a script that took too long."""
    return f"Script not evaluated within {limits.time_s:g} seconds, interrupted."


def memory_message(limits: Limits) -> str:
    """What is said of a script that wanted too much memory."""
    return f"Script needs more than {limits.memory_bytes // 2**20} MB of memory, interrupted."
