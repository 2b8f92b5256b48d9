"""Who should own which partition: rendezvous hashing over the deciders that are alive, with even shares.

Every decider computes the same answer from the same list, so there is nothing to negotiate and one joining or leaving
moves little more than its own share. What a decider *does* own is the lease in the partition's slot, and what it *may*
write is the epoch that every commit quotes: two deciders with different lists are slow for a moment, never wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache


def assignment(deciders: Iterable[str], partitions: int) -> dict[int, str]:
    """Partition -> decider, with shares that differ by at most one; empty when nobody is alive.

    Plain rendezvous hashing of 16 partitions over 2 deciders is often 11 to 5; capping the shares keeps the load even
    and still moves few partitions when the list changes. Example: ``assignment(["d1", "d2"], 16)[3]``
    """
    return dict(_assigned(tuple(sorted(set(deciders))), partitions))


@lru_cache(maxsize=8)
def _assigned(live: tuple[str, ...], partitions: int) -> dict[int, str]:
    """The answer for one list of deciders; kept, because it is asked for at every beat and seldom changes."""
    if not live:
        return {}
    share, extra = divmod(partitions, len(live))
    load = dict.fromkeys(live, 0)
    owners: dict[int, str] = {}
    for partition in range(partitions):
        for name in sorted(live, key=lambda one: _weight(partition, one), reverse=True):
            if load[name] < share or (load[name] == share and extra):
                extra -= load[name] == share
                owners[partition] = name
                load[name] += 1
                break
    return owners


def _weight(partition: int, decider: str) -> bytes:
    return hashlib.sha256(f"{partition}\n{decider}".encode()).digest()
