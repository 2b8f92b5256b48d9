"""Time that stands still until a test moves it.

The scripts of a test environment read their slot's clock from a key, so moving this clock moves the store's too.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from orchestrator.errors import InvalidRequest

START = datetime(2030, 1, 1, tzinfo=UTC)
"""Where the clock of an environment starts unless told otherwise: a fixed day, so that timelines can be compared."""


class ManualClock:
    """The one clock of a test environment. Example: ``env.clock.advance(60); env.drain()``"""

    def __init__(self, start: datetime, moved: Callable[[int], None]) -> None:
        if start.tzinfo is None:
            raise InvalidRequest(f"now={start} names no time zone; use datetime(..., tzinfo=UTC)")
        self._start_ms = self._now_ms = round(start.timestamp() * 1000)
        self._moved = moved

    def now_ms(self) -> int:
        """Epoch milliseconds."""
        return self._now_ms

    def monotonic_s(self) -> float:
        """Seconds since the environment began."""
        return (self._now_ms - self._start_ms) / 1000

    @property
    def now(self) -> datetime:
        """The moment it is."""
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=self._now_ms)

    def advance(self, seconds: float) -> None:
        """Let time pass; nothing happens by that alone. Raises ``InvalidRequest`` for a step back."""
        if seconds < 0:
            raise InvalidRequest(f"a clock cannot be advanced by {seconds} s")
        self.advance_to(self._now_ms + round(seconds * 1000))

    def advance_to(self, now_ms: int) -> None:
        """Let time pass until that moment; one that has passed already changes nothing."""
        if now_ms > self._now_ms:
            self._now_ms = now_ms
            self._moved(now_ms)
