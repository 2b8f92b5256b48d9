"""Cost per event against the size of the workflow: CPU of decider and store per task, for chains of 10 to 10,000 tasks."""

from __future__ import annotations

import statistics
import time
from typing import NamedTuple

from bench.contender import wait_for
from bench.ours import Orchestrator
from bench.processes import cpu_seconds
from bench.tasks import noop
from orchestrator.workflow import Workflow

SIZES = (10, 100, 1_000, 10_000)
TASKS = 10_000


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


def measure(ours: Orchestrator, store_pid: int, size: int, tasks: int = TASKS) -> Cost:
    """Run ``tasks`` tasks as chains of ``size``; ten chains at least are open at once where that is possible."""
    resolved = ours.register(chain_of(size))
    done = ours.completed()
    count = max(1, tasks // size)
    pids = [child.pid for child in ours.deciders]
    decider, store = sum(map(cpu_seconds, pids)), cpu_seconds(store_pid)
    ours.start(resolved, count)
    wait_for(lambda: ours.completed() - done, count, f"chains of {size}")
    time.sleep(0.05)  # the last commits' clean-up belongs to them
    total = count * size
    return Cost((sum(map(cpu_seconds, pids)) - decider) / total * 1e6, (cpu_seconds(store_pid) - store) / total * 1e6)


def medians(costs: list[Cost]) -> Cost:
    """The middle of several runs."""
    return Cost(statistics.median(c.decider_us for c in costs), statistics.median(c.store_us for c in costs))
