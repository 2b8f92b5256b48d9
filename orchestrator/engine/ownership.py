"""Who should own which partition: rendezvous hashing over the deciders that are alive.

Every decider computes the same answer from the same list, so there is nothing to negotiate and one joining or leaving moves
only its own share. What a decider *does* own is the lease in the partition's slot, and what it *may* write is the epoch that
every commit quotes: two deciders with different lists are slow for a moment, never wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def assignment(deciders: Iterable[str], partitions: int) -> dict[int, str]:
    """Partition -> decider, with shares that differ by at most one.

    Plain rendezvous hashing of 16 partitions over 2 deciders is often 11 to 5; capping each share keeps the load even and
    still moves few partitions when the list changes.
    """
    live = sorted(set(deciders))
    if not live:
        return {}
    cap = -(-partitions // len(live))
    load = dict.fromkeys(live, 0)
    owners: dict[int, str] = {}
    for partition in range(partitions):
        for candidate in sorted(live, key=lambda name: _weight(partition, name), reverse=True):
            if load[candidate] < cap:
                owners[partition] = candidate
                load[candidate] += 1
                break
    return owners


def _weight(partition: int, decider: str) -> bytes:
    return hashlib.sha256(f"{partition}\n{decider}".encode()).digest()
