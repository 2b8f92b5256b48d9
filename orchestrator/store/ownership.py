"""Who decides for a partition: a lease says who does, its epoch says who may.

A new owner gets a new epoch, and every script of the owner's compares it: an owner that slept through its lease changes
nothing. How often owners died in a row is counted here, and how often an event was begun, so that an event that kills
its decider is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from orchestrator.plan import Call
from orchestrator.store.keys import Keys
from orchestrator.store.verdicts import word


class Owned(NamedTuple):
    """The partition is ours under ``epoch``; ``crashes`` owners in a row died here without committing anything."""

    epoch: int
    crashes: int


class HeldBy(NamedTuple):
    """Another owner has the partition for ``expires_in_ms`` at least."""

    owner: str
    expires_in_ms: int


def acquire(keys: Keys, partition: int, owner: str, ttl_ms: int, *, force: bool = False) -> Call:
    """Take the partition, or extend our lease on it; decodes to ``Owned`` or ``HeldBy``.

    A renewal keeps the epoch: whoever renews and gets another one lost the partition in between and must load anew.
    ``force`` takes it from a living owner, who is fenced off.
    """
    return Call("acquire", (keys.ownership(partition),), (owner, ttl_ms, 1 if force else 0), _acquired)


def release(keys: Keys, partition: int, epoch: int, owner: str) -> Call:
    """Give the partition back, so that another owner need not wait; decodes to whether it was still ours."""
    return Call("release", (keys.ownership(partition),), (epoch, owner), lambda reply: word(reply) == "OK")


def suspect(keys: Keys, partition: int, epoch: int, owner: str, event_ids: Sequence[str]) -> Call:
    """Count that these events are begun, before they are decided on, after a crash; decodes to the counts.

    ``None`` = fenced. A count says how many owners have begun the event without an end. The counts go with the event:
    by quarantine, dead letter, or a commit with ``clears_suspects``.
    """
    return Call("suspect", (keys.ownership(partition),), (epoch, owner, *event_ids), _counts)


def _acquired(reply: Any) -> Owned | HeldBy:
    if word(reply) == "OK":
        return Owned(reply[1], reply[2])
    return HeldBy(reply[1].decode(), reply[2])


def _counts(reply: Any) -> list[int] | None:
    return None if word(reply) == "FENCED" else reply[1:]
