"""Who is killed when: a list of kills that a seed decides, so that a run can be repeated.

Knows names and seconds only; processes.py does the killing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

PAUSE_S = (1.0, 3.0)
STORE_EVERY_S = 60.0
RESTART_AFTER_S = 0.5


class Kill(NamedTuple):
    """One kill: ``at_s`` seconds after the beginning."""

    at_s: float
    victim: str


def kills(seed: int, victims: Sequence[str], store: str) -> Iterator[Kill]:
    """Kills without end, in order: a random victim every 1 to 3 s, and the store once in every minute.

    Example: ``next(kills(7, ["worker-1", "decider-1"], store="redis")).at_s <= 3``
    """
    chance = random.Random(seed)
    # In the middle of a minute, so that a run of one minute has met it.
    store_at_s = chance.uniform(20.0, 40.0)
    at_s = 0.0
    while True:
        at_s += chance.uniform(*PAUSE_S)
        if at_s >= store_at_s:
            yield Kill(at_s, store)
            store_at_s += STORE_EVERY_S
        else:
            yield Kill(at_s, chance.choice(list(victims)))
