"""What goes wrong in a seed: decided before each step from the seed alone, until the faults are switched off.

Rare scripts draw more faults than frequent ones, so that a run of some hundred seeds meets each of them at every script.
"""

from __future__ import annotations

import random
from enum import StrEnum


class Fault(StrEnum):
    """What happens to one step of one actor."""

    NONE = "none"
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    LOST = "reply lost"
    LATE = "late"  # the caller gives up, the store runs the step some time later
    DUPLICATE = "duplicate"
    STALL = "stall"  # the actor sleeps before the step, often past its lease


_KINDS = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.LOST, Fault.LATE, Fault.DUPLICATE, Fault.STALL)
_WEIGHTS = (3, 3, 3, 1, 2, 2)
_DEADLY_WEIGHTS = (6, 6, 6, 1, 1, 1)
"""For the rarest scripts: of their few faults most are those that every script must have met."""

OFTEN = {
    "accept": 3.0, "attempt": 60.0, "begin_event_execution": 20.0, "commit": 2.0, "dead_letter": 60.0, "due_timers": 2.0,
    "enqueue": 2.0, "ensure_domain": 8.0, "expedite": 250.0, "gate": 4.0, "fire_timers": 8.0, "get_workflow": 60.0,
    "handled_event": 30.0, "hear_event": 8.0, "heartbeat": 2.0, "installation": 8.0, "key_queue": 60.0, "lend": 40.0,
    "limited_ms": 60.0, "publish_event": 20.0, "put_taskdef": 2.0, "quarantine": 60.0, "register_workflow": 4.0,
    "release": 6.0, "remove": 60.0, "remove_task": 20.0, "request": 2.0, "set_limits": 40.0, "settle": 3.0, "start": 3.0,
    "start_task": 3.0, "suspect": 8.0, "tell": 120.0, "touch": 3.0, "unpark": 60.0, "view": 12.0, "webhook_shapes": 12.0,
}  # fmt: skip
"""How much more likely than elsewhere a fault is at a script that runs seldom."""


class Faults:
    """The faults of one seed."""

    def __init__(self, seed: int) -> None:
        rng = self._rng = random.Random(f"{seed} faults")
        self.is_on = True
        self.rate = rng.choice((0.01, 0.02, 0.04, 0.08))
        self.steps_left = rng.randrange(200, 1000)
        self.is_assassin = rng.random() < 0.2  # kills deciders on the brink of a commit, again and again
        self.has_coups = rng.random() < 0.4  # partitions are taken from living owners
        self.has_zombies = rng.random() < 0.4  # workers sleep past their lease with a task in hand
        self._victims_left = rng.randrange(4, 10) if self.is_assassin else 0
        self._must_crash_in = rng.randrange(5, 50)

    def choose(self, script: str) -> Fault:
        """The fault of the step that is about to run."""
        if not self.is_on:
            return Fault.NONE
        self.steps_left -= 1
        self._must_crash_in -= 1
        if self._must_crash_in == 0:
            return self._rng.choice((Fault.CRASH_BEFORE, Fault.CRASH_AFTER))
        if script == "commit" and self._victims_left and self._rng.random() < 0.8:
            self._victims_left -= 1
            return Fault.CRASH_BEFORE
        if self.has_zombies and script in ("start_task", "accept") and self._rng.random() < 0.12:
            return Fault.STALL
        often = OFTEN.get(script, 1.0)
        if self._rng.random() >= min(0.75, self.rate * often):
            return Fault.NONE
        return self._rng.choices(_KINDS, _DEADLY_WEIGHTS if often >= 60 else _WEIGHTS)[0]

    def chance(self, probability: float) -> bool:
        """A coin of the faults' own."""
        return self.is_on and self._rng.random() < probability

    def delay_ms(self, long_ms: int) -> int:
        """How long a stalled actor sleeps, or a late step travels: a moment, or past a lease of ``long_ms``."""
        if self._rng.random() < 0.5:
            return self._rng.randrange(5, 250)
        return int(long_ms * self._rng.uniform(1.05, 2.2))
