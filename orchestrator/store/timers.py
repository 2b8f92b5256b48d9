"""Timers of a partition: one per open task at most and one per workflow, in one sorted set by due time.

The owner reads what is due (no script may compute a key, and each timer's dispatch entry has one of its own), then
fires it: a timer that was armed anew in between is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from orchestrator.plan import Argument, Call
from orchestrator.store.keys import Keys
from orchestrator.store.verdicts import word

DUE_MAX = 200


class Timer(NamedTuple):
    """A due timer; ``suffix`` and ``ref`` are '-' and '' for a workflow's own."""

    member: str
    due_ms: int
    workflow_id: str
    suffix: str
    ref: str


class DueTimers(NamedTuple):
    """What is due now, and when the next timer after it is (``None`` = there is none)."""

    now_ms: int
    next_due_ms: int | None
    timers: list[Timer]


class Fired(NamedTuple):
    """``fenced``: nothing was done, another owner has the partition."""

    fenced: bool
    fired: int = 0
    next_due_ms: int | None = None
    now_ms: int = 0


def timer_member(workflow_id: str, suffix: str = "-", ref: str = "") -> str:
    """The member of a task's timer, or without suffix and reference of the workflow's own."""
    return f"{workflow_id} {suffix} {ref}"


def due_timers(keys: Keys, partition: int, limit: int = DUE_MAX) -> Call:
    """Timers that are due, at most ``limit``; decodes to ``DueTimers``."""
    return Call("due_timers", (keys.timers(partition),), (limit,), _due)


def fire_timers(keys: Keys, partition: int, epoch: int, owner: str, timers: Sequence[Timer]) -> Call:
    """Turn these timers into events with the dispatch truth of their tasks; decodes to ``Fired``."""
    names = [keys.ownership(partition), keys.timers(partition), keys.inbox(partition)]
    places: dict[str, int] = {}
    args: list[Argument] = [epoch, owner, len(timers)]
    for timer in timers:
        place = 0
        if timer.suffix != "-":
            place = places.get(timer.workflow_id) or 0
            if not place:
                names.append(keys.dispatch(partition, timer.workflow_id))
                place = places[timer.workflow_id] = len(names)
        args += (place, timer.member, timer.due_ms, timer.workflow_id, timer.suffix, timer.ref)
    return Call("fire_timers", names, args, _fired)


def _due(reply: Any) -> DueTimers:
    timers = []
    for member, score in zip(reply[2::2], reply[3::2], strict=True):
        text = member.decode()
        timers.append(Timer(text, int(float(score)), *text.split(" ", 2)))
    return DueTimers(reply[0], reply[1] if reply[1] >= 0 else None, timers)


def _fired(reply: Any) -> Fired:
    if word(reply) == "FENCED":
        return Fired(True)
    return Fired(False, reply[1], reply[2] if reply[2] >= 0 else None, reply[3])
