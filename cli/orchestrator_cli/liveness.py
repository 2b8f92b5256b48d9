"""Whether a process of ours goes on: each of its loops says so at every turn, and one that falls silent is stuck.

Neither the store nor the process as such is judged: a loop that waits for its store still turns, and a process whose
only loop hangs is of no use. Read by the probe ``/livez`` and by the watchdog's pings.
"""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.clock import Clock, SystemClock

SILENCE_S_MAX = 60.0
"""Longer than any turn of a loop that is not stuck."""


class Liveness:
    """The loops of one process. Example: ``liveness = Liveness(); run_decider(settings, on_turn=liveness.pulse())``"""

    def __init__(self, clock: Clock | None = None) -> None:
        self._now_s = (clock or SystemClock()).monotonic_s
        self._turned_s: list[float] = []

    def pulse(self) -> Callable[[], None]:
        """Expect one more loop to turn, from now on; it calls this at every turn."""
        index = len(self._turned_s)
        self._turned_s.append(self._now_s())

        def beat() -> None:
            self._turned_s[index] = self._now_s()

        return beat

    def is_live(self) -> bool:
        """Whether all of them have turned lately."""
        return self._now_s() - min(self._turned_s, default=self._now_s()) <= SILENCE_S_MAX
