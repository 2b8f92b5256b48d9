"""What a wide dynamic fork and a long loop cost: CPU per task, peak memory of the decider, bytes in the store per task.

The same number of tasks in workflows of a hundred and of ten thousand, each shape and size on an empty store with fresh
processes, so that memory is comparable. One workflow at a time, of either size: batches make events cheaper, and a loop
of which only one is open never has more than one event.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import redis

from bench.contender import wait_for
from bench.ours import Orchestrator
from bench.processes import cpu_seconds
from bench.tasks import noop
from orchestrator.engine.starts import Resolved, resolve_definition
from orchestrator.model.definitions import WorkflowDef, WorkflowTask

SIZES = (100, 10_000)
TASKS = 10_000


class Cost(NamedTuple):
    """Per task, in microseconds of CPU and bytes in the store; ``peak_mib`` is the decider's."""

    decider_us: float
    store_us: float
    peak_mib: float
    store_bytes: float


def fan_of(width: int) -> WorkflowDef:
    """A dynamic fork of ``width`` no-ops."""
    given = {"forkTaskName": noop.name, "forkTaskInputs": [{} for _ in range(width)]}
    fork = WorkflowTask(name="f", task_reference_name="f", type="FORK_JOIN_DYNAMIC", input_parameters=given)
    join = WorkflowTask(name="j", task_reference_name="j", type="JOIN")
    return WorkflowDef(name=f"bench_fan_{width}", tasks=[fork, join], output_parameters={"status": "${j.status}"})


def loop_of(rounds: int) -> WorkflowDef:
    """A loop of ``rounds`` rounds of one no-op; a script decides on each."""
    loop = WorkflowTask(
        name="l",
        task_reference_name="l",
        type="DO_WHILE",
        loop_condition=f"$.l.iteration < {rounds}",
        loop_over=[WorkflowTask(name=noop.name, task_reference_name="a")],
    )
    return WorkflowDef(name=f"bench_loop_{rounds}", tasks=[loop], output_parameters={"n": "${l.output.iteration}"})


SHAPES: dict[str, Callable[[int], WorkflowDef]] = {"dynamic fork": fan_of, "loop": loop_of}


def measure(ours: Orchestrator, store_pid: int, url: str, definition: WorkflowDef, size: int) -> Cost:
    """Run workflows of ``size`` tasks until ``TASKS`` are through."""
    resolved: Resolved = resolve_definition(definition)
    with redis.Redis.from_url(url) as client:
        pids = [child.pid for child in ours.deciders]
        base, held = ours.completed(), _used(client)
        decider, store = sum(map(cpu_seconds, pids)), cpu_seconds(store_pid)
        _run(ours, resolved, base, TASKS // size)
        decider, store = sum(map(cpu_seconds, pids)) - decider, cpu_seconds(store_pid) - store
        peak = max(map(_peak_mib, pids))
        return Cost(decider / TASKS * 1e6, store / TASKS * 1e6, peak, (_used(client) - held) / TASKS)


def _run(ours: Orchestrator, resolved: Resolved, base: int, count: int) -> None:
    for number in range(1, count + 1):
        ours.start(resolved, 1)
        wait_for(lambda: ours.completed() - base, number, resolved.name)


def _peak_mib(pid: int) -> float:
    """The most memory a running process has had (Linux)."""
    text = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(text.partition("VmHWM:")[2].split()[0]) / 1024


def _used(client: redis.Redis) -> int:
    info = client.info("memory")
    assert isinstance(info, dict)
    return int(info["used_memory"])
