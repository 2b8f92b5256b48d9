"""The jobs and how each is measured: throughput of a burst, or latency of one at a time on an idle system."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple

from bench.contender import Contender
from bench.stamps import StampFile

GAP_S_MAX = 0.08


class Job(NamedTuple):
    """One row of the table. ``unit`` says what the figure is divided by: R (a rate) or T (a time)."""

    name: str
    unit: str
    floor: float | None  # the least rate in R, or the longest time in T, that this project allows itself
    measure: Callable[..., list[float]]  # of the contender, the stamps and the scale


def _rate(items: int, per_item: int, submit: Callable[[Contender, int], None]) -> Callable[..., list[float]]:
    """Items of work per second from the first submission to the last result."""

    def measure(contender: Contender, stamps: StampFile, scale: float) -> list[float]:
        count = max(1, int(items * scale))
        stamps.clear()
        begun = time.perf_counter()
        submit(contender, count)
        return [count * per_item / (time.perf_counter() - begun)]

    return measure


def _latency(repeats: int, submit: Callable[[Contender], None]) -> Callable[..., list[float]]:
    """Seconds from the client's call to the stamp in the last body, one at a time with idle gaps."""

    def measure(contender: Contender, stamps: StampFile, scale: float) -> list[float]:
        pause = random.Random(7)
        times = []
        for _ in range(max(5, int(repeats * scale))):
            stamps.clear()
            time.sleep(pause.uniform(0.02, GAP_S_MAX))
            begun = time.time()
            submit(contender)
            times.append(stamps.read()[-1][0] - begun)
        return times

    return measure


JOBS: tuple[Job, ...] = (
    Job("no-op tasks/s", "R", 0.05, _rate(8_000, 1, lambda c, n: c.noops(n))),
    Job("chain of 5, steps/s", "R", 0.04, _rate(2_000, 5, lambda c, n: c.chains(n))),
    Job("fork of 100 + join, tasks/s", "R", 0.05, _rate(80, 101, lambda c, n: c.fans(n))),
    Job("idle chain of 5, s", "T", 90, _latency(60, lambda c: c.chains(1))),
    Job("idle enqueue to start, s", "T", 30, _latency(60, lambda c: c.begun())),
)
