"""Where time comes from, for the few rooms that may ask for it.

The workflow core never asks: time reaches it inside events, stamped by the store's clock. Processes use the system
clock for their own waiting only; tests bring a clock that stands still until it is told to move.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What a process needs of a clock: the wall time in milliseconds and a monotonic time in seconds."""

    def now_ms(self) -> int: ...

    def monotonic_s(self) -> float: ...


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()
