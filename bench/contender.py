"""What the harness asks of each contender: the same jobs, submitted through its own client."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

STALL_S = 60.0
POLL_S = 0.02


class Contender(Protocol):
    """One system under test on a fresh store, with its workers running."""

    name: str

    def noops(self, count: int) -> None:
        """Submit single no-op tasks and return when all are done; raises ``WrongResult``."""

    def chains(self, count: int) -> None:
        """Submit chains of five; the last step stamps the number that arrived."""

    def fans(self, count: int) -> None:
        """Submit forks of a hundred with a join that stamps the sum."""

    def begun(self) -> None:
        """Submit one task that stamps when it begins."""


class WrongResult(Exception):
    """A contender finished with other results than the job asks for: its figure is void."""


def wait_for(read: Callable[[], int], target: int, what: str) -> None:
    """Until ``read()`` has reached ``target``; gives up when nothing moves for ``STALL_S``."""
    seen, since = -1, time.monotonic()
    while (now := read()) < target:
        if now != seen:
            seen, since = now, time.monotonic()
        if time.monotonic() - since > STALL_S:
            raise WrongResult(f"{what}: stalled at {now} of {target}")
        time.sleep(POLL_S)
