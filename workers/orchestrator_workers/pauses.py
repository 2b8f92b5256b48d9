"""How the worker's loops wait: for a bell or a time, and longer after each failure.

``Bell`` is an event that one waiter sleeps on with a time limit, without the asyncio task that ``wait_for`` would
create for every wait. ``Backoff`` spreads the retries of many workers after an outage. ``end_all`` ends the loops.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable

BACKOFF_MIN_S = 0.05
BACKOFF_MAX_S = 2.0


class Bell:
    """Wakes the one loop that waits for it; a ring before the wait is not lost. Loop thread only."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """End the current or the next wait."""
        self._event.set()

    async def wait(self, seconds: float | None = None) -> None:
        """Until rung, or for at most ``seconds``."""
        event = self._event
        if not event.is_set():
            timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, event.set)
            try:
                await event.wait()
            finally:
                if timer is not None:
                    timer.cancel()
        event.clear()


class Backoff:
    """Pauses that double from 50 ms to 2 s while failures follow each other, each cut at random to half or more."""

    def __init__(self) -> None:
        self._next_s = BACKOFF_MIN_S

    def next_s(self) -> float:
        """How long to wait after one more failure, in seconds."""
        pause_s, self._next_s = self._next_s, min(self._next_s * 2, BACKOFF_MAX_S)
        return pause_s * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """It worked: the next failure starts from the shortest pause."""
        self._next_s = BACKOFF_MIN_S


async def end_all(loops: Iterable[asyncio.Task[None]]) -> None:
    """Cancel loops and wait for their ends."""
    pending = set(loops)
    while pending:
        # More than once, because asyncio.wait_for, which clients may use, drops a cancellation that comes with a reply.
        for loop in pending:
            loop.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.1)
