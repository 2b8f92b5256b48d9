"""Cost per event against the size of the workflow: CPU of decider and store per task, for chains of 10 to 10,000 tasks.

The same number of chains is open at any time, whatever their length.
"""

from __future__ import annotations

import statistics
import time
from typing import NamedTuple

from bench.contender import POLL_S, wait_for
from bench.ours import Orchestrator
from bench.processes import cpu_seconds
from bench.tasks import noop
from orchestrator.workflow import Workflow

SIZES = (10, 100, 1_000, 10_000)
OPEN = 8
"""Always so many workflows at once: batches, which make events cheaper, are then of the same size for every length."""

TASKS_MIN = 8_000


class Cost(NamedTuple):
    """Microseconds of CPU per task."""

    decider_us: float
    store_us: float


def chain_of(size: int) -> Workflow:
    """A chain of ``size`` no-ops."""
    workflow = Workflow(f"bench_chain_{size}")
    for number in range(size):
        workflow.then(noop, ref=f"t{number}")
    return workflow


def measure(ours: Orchestrator, store_pid: int, size: int) -> Cost:
    """Keep ``OPEN`` chains of ``size`` running until enough tasks are through; CPU of the roles over all of them."""
    resolved = ours.register(chain_of(size))
    base = ours.completed()
    count = max(OPEN, TASKS_MIN // size)
    pids = [child.pid for child in ours.deciders]
    decider, store = sum(map(cpu_seconds, pids)), cpu_seconds(store_pid)
    started = 0
    while started < count:
        running = started - (ours.completed() - base)
        more = min(OPEN - running, count - started)
        if more > 0:
            ours.start(resolved, more)
            started += more
        else:
            time.sleep(POLL_S)
    wait_for(lambda: ours.completed() - base, count, f"chains of {size}")
    total = count * size
    return Cost((sum(map(cpu_seconds, pids)) - decider) / total * 1e6, (cpu_seconds(store_pid) - store) / total * 1e6)


def medians(costs: list[Cost]) -> Cost:
    """The middle of several runs."""
    return Cost(statistics.median(c.decider_us for c in costs), statistics.median(c.store_us for c in costs))
