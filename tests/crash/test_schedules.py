"""Fifty schedules that come every second, fired by three deciders of which one is killed every five seconds.

With catch-up every due time must have its execution, without it only those may be missing that came due while the claim
of a killed decider was still held. None may have two. Prints how late starts were. SCHEDULE_SECONDS=60 makes it as long.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.client import Client
from orchestrator.model.schedules import ScheduleExecution
from orchestrator.service.firing import CLAIM_MS
from tests.summary import FIGURES
from tests.support.build import noop, workflow_def
from tests.support.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]
PATHS = os.pathsep.join(str(ROOT / folder) for folder in ("", "workers", "cli"))
SCHEDULES = 50
SECONDS = int(os.environ.get("SCHEDULE_SECONDS", "17"))
KILL_EVERY_S = 5.0
SLACK_MS = 2_000  # between a kill and what the survivors notice of it

Spawn = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def spawn(redis_url: str) -> Iterator[Spawn]:
    """Start one decider as a process."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        words = ("--redis", redis_url, "decider", "--no-system-tasks")
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator_cli.main", *words],
            env={**os.environ, "PYTHONPATH": PATHS},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def kill_in_turn(spawn: Spawn, seconds: int) -> list[int]:
    """Run three deciders for so long and kill one after the other; gives when each was killed, epoch ms."""
    deciders = [spawn() for _ in range(3)]
    kills: list[int] = []
    ends_s = time.monotonic() + seconds
    while (left_s := ends_s - time.monotonic()) > 0:
        try:
            deciders[0].wait(min(KILL_EVERY_S, left_s))
        except subprocess.TimeoutExpired:
            victim = deciders[len(kills) % 3]
            os.killpg(victim.pid, signal.SIGKILL)
            kills.append(int(time.time() * 1000))
            victim.wait()
            deciders[deciders.index(victim)] = spawn()
    return kills


def started_ids(client: Client) -> set[str]:
    """Every execution there is."""
    found: list[str] = []
    while page := client.list_workflows(name="flow", start=len(found), size=1_000).items:
        found += [item.workflow_id for item in page]
    assert len(set(found)) == len(found)
    return set(found)


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.timeout(120 + 2 * SECONDS)
@pytest.mark.parametrize("catch_up", [True, False], ids=["catch-up", "no-catch-up"])
def test_each_due_time_starts_once_while_deciders_are_killed(
    redis_url: str, spawn: Spawn, catch_up: bool, record_property: Callable[[str, object], None]
) -> None:
    client = Client(redis_url)
    client.register(workflow_def(noop("a")))
    names = [f"s{index:02}" for index in range(SCHEDULES)]
    first_ms = (int(time.time()) + 3) * 1000
    for name in names:
        schedule = client.schedule_workflow(name, "flow", every_s=1, catch_up=catch_up)
        schedule.schedule_start_time = first_ms
        schedule.schedule_end_time = first_ms + (SECONDS - 1) * 1000
        client.save_schedule(schedule)
    kills = kill_in_turn(spawn, SECONDS + 4)
    # The end of each schedule is reached by whoever is left, after the last claim of a dead one.
    eventually(lambda: all(one.next_run_time is None for one in client.schedules()), timeout_s=40)

    fired: dict[str, list[ScheduleExecution]] = {name: client.schedule_executions(name) for name in names}
    due = range(first_ms, first_ms + SECONDS * 1000, 1_000)
    ids = [one.workflow_id for found in fired.values() for one in found]
    assert len(set(ids)) == len(ids)
    assert {str(one.state) for found in fired.values() for one in found} == {"EXECUTED"}
    # What was started last is listed once its first step is decided, which a dead decider's partitions wait for.
    eventually(lambda: started_ids(client) == set(ids), timeout_s=30)

    late_ms = sorted(one.execution_time - one.scheduled_time for found in fired.values() for one in found)
    missed = [(name, at) for name, found in fired.items() for at in set(due) - {one.scheduled_time for one in found}]
    record_property(
        FIGURES,
        f"schedules {'with' if catch_up else 'without'} catch-up: {len(ids)} of {len(due) * SCHEDULES} due times started, "
        f"{len(kills)} kills, late by p50 {late_ms[len(late_ms) // 2]} ms, p99 {late_ms[len(late_ms) * 99 // 100]} ms, "
        f"at most {late_ms[-1]} ms",
    )
    if catch_up:
        assert missed == []
    for _, at_ms in missed:
        assert any(kill_ms - SLACK_MS <= at_ms <= kill_ms + CLAIM_MS + SLACK_MS for kill_ms in kills)
    client.close()
