"""What cannot be decided is put aside instead of stopping its partition: park, replay, dead letters.

A quarantined workflow keeps its state and its place; its events wait in order until an operator lets them go on. Events
of no workflow at all go to the dead letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from orchestrator.plan import Call
from orchestrator.store.keys import Keys
from orchestrator.store.verdicts import word

UNPARK_MAX = 10_000


class Parked(NamedTuple):
    """``state``: OK, FENCED, FREE (not in quarantine any more: decide on it), UNKNOWN (no such workflow) or CORRUPT."""

    state: str
    events: int = 0


class Unparked(NamedTuple):
    """``moved`` events are back in the inbox, ``left`` still parked."""

    moved: int
    left: int


def quarantine(
    keys: Keys, partition: int, epoch: int, owner: str, workflow_id: str, reason: str, event_ids: Sequence[str]
) -> Call:
    """Put a workflow into quarantine and park these events (at most 100); decodes to ``Parked``.

    The reason of the first call stays. UNKNOWN and CORRUPT: there is no record to mark, dead-letter the events instead.
    """
    return _quarantine(keys, partition, epoch, owner, workflow_id, reason or "no reason given", event_ids)


def park_more(keys: Keys, partition: int, epoch: int, owner: str, workflow_id: str, event_ids: Sequence[str]) -> Call:
    """Park further events of a workflow that is in quarantine; decodes to ``Parked``."""
    return _quarantine(keys, partition, epoch, owner, workflow_id, "", event_ids)


def _quarantine(
    keys: Keys, partition: int, epoch: int, owner: str, workflow_id: str, reason: str, event_ids: Sequence[str]
) -> Call:
    names = (
        keys.ownership(partition),
        keys.inbox(partition),
        keys.workflow(partition, workflow_id),
        keys.parked(partition, workflow_id),
    )
    return Call("quarantine", names, (epoch, owner, reason, *event_ids), _parked)


def unpark(keys: Keys, partition: int, workflow_id: str, limit: int = UNPARK_MAX) -> Call:
    """Replay parked events in order; repeat until ``left`` is 0, which ends the quarantine.

    All in one go if possible: while some are left, the owner parks what comes back behind them.
    Decodes to ``Unparked``, or ``None`` when there is no such workflow. Anybody may call it.
    """
    names = (keys.workflow(partition, workflow_id), keys.parked(partition, workflow_id), keys.inbox(partition))
    return Call("unpark", names, (limit,), _unparked)


def dead_letter(keys: Keys, partition: int, epoch: int, owner: str, reason: str, event_ids: Sequence[str]) -> Call:
    """Move events (at most 100) to the dead letters; decodes to how many, or ``None`` when fenced."""
    names = (keys.ownership(partition), keys.inbox(partition), keys.dead_letters(partition))
    return Call("dead_letter", names, (epoch, owner, reason, *event_ids), _moved)


def _parked(reply: Any) -> Parked:
    return Parked(word(reply), reply[1] if len(reply) > 1 else 0)


def _unparked(reply: Any) -> Unparked | None:
    return Unparked(reply[1], reply[2]) if word(reply) == "OK" else None


def _moved(reply: Any) -> int | None:
    return reply[1] if word(reply) == "OK" else None
