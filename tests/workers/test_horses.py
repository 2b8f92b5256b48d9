"""Tasks in RQ's work-horses: one that crashes, leaks, hangs or exits ends itself and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import MissingExtra
from orchestrator.model.events import TaskReported
from orchestrator.model.records import Outcome
from orchestrator.store.inbox import Entry, read_inbox
from orchestrator.task import task
from orchestrator_workers import Worker, registry
from tests.support.eventually import eventually
from tests.workers.estate import Estate
from tests.workers.horse_tasks import (
    ends_itself,
    heeds_its_limit,
    heeds_nothing,
    leaves_a_mark,
    mixed,
    prints_binary,
    rides,
)
from tests.workers.test_worker import soon, worker_of

ROOT = Path(__file__).parents[2]
PLAIN = """
import os
from pathlib import Path
from orchestrator import task

@task
def grows(megabytes: int) -> dict[str, int]:
    held = b"x" * (megabytes * 1_000_000)
    parent = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1]
    return {"megabytes": len(held) // 1_000_000, "grandparent": int(parent)}
"""
MIB = 1024 * 1024
TASKS = 1_000


async def test_every_task_has_a_horse_of_its_own_and_the_stable_stays(fake_estate: Estate) -> None:
    added = [fake_estate.add("rides", {"number": number}) for number in range(2)]
    async with worker_of(fake_estate, rides, concurrency=1):
        first, second = [await soon(lambda one=one: fake_estate.output(one)) for one in added]  # type: ignore[misc]
    assert (first["number"], second["number"]) == (0, 1)
    assert first["pid"] != second["pid"]
    assert first["stable"] == second["stable"] != os.getpid()
    assert first["key"] == "w1:step:0:0"
    assert [text for _, text in fake_estate.outcome(added[0]).logs] == ["at a trot"]


@pytest.mark.timeout(120)
async def test_exactly_those_that_crash_or_leak_fail_and_the_rest_complete(fake_estate: Estate) -> None:
    bad = TASKS // 50
    kinds = dict.fromkeys(range(7, TASKS, TASKS // bad), "segfault")
    kinds |= dict.fromkeys(range(11, TASKS, TASKS // bad), "leak")
    added = {
        number: fake_estate.add("mixed", {"number": number, "kind": kinds.get(number, "good")})
        for number in range(TASKS)
    }
    async with worker_of(fake_estate, mixed, concurrency=4, memory_bytes=200 * MIB):
        await soon(lambda: fake_estate.is_empty("mixed"), timeout_s=100)
    told = _told(fake_estate)
    assert len(told) == TASKS
    outcomes = {number: told[task_id] for number, task_id in added.items()}
    ended = Counter((kinds.get(number, "good"), outcome.status) for number, outcome in outcomes.items())
    assert ended == {("good", "COMPLETED"): TASKS - 2 * bad, ("segfault", "FAILED"): bad, ("leak", "FAILED"): bad}
    for number, outcome in outcomes.items():
        reason = {"segfault": "the work-horse that ran the task ended with signal SIGSEGV", "leak": "MemoryError"}
        assert outcome.reason == reason.get(kinds.get(number, "good"))


def _told(estate: Estate) -> dict[str, Outcome]:
    """All that the partitions have taken, by task id; a second word on a task would be an error."""
    found: dict[str, Outcome] = {}
    for partition in range(estate.settings.partitions):
        for entry in estate.executor.do(read_inbox(estate.store.keys, partition, count=10_000)) or []:
            if isinstance(entry, Entry) and isinstance(entry.event, TaskReported):
                assert found.setdefault(entry.event.task_id, entry.event.outcome) is entry.event.outcome
    return found


def test_the_command_moves_plain_functions_into_horses_with_a_memory_limit(redis_url: str, tmp_path: Path) -> None:
    estate = Estate(redis_url)
    (tmp_path / "imports.py").write_text(PLAIN)
    good, bad = estate.add("grows", {"megabytes": 1}), estate.add("grows", {"megabytes": 400})
    command = [sys.executable, "-m", "orchestrator_cli.main", "--redis", redis_url, "worker", "imports.py"]
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("", "workers", "cli"))
    environment = {**os.environ, "PYTHONPATH": paths, "ORCHESTRATOR_PARTITIONS": str(estate.settings.partitions)}
    with subprocess.Popen([*command, "--pool", "rq", "--memory-limit", "200"], cwd=tmp_path, env=environment) as worker:
        eventually(lambda: bool(estate.reports(good) and estate.reports(bad)), timeout_s=30)
        worker.terminate()
        assert worker.wait(20) == 0
    assert estate.output(good)["megabytes"] == 1
    assert estate.output(good)["grandparent"] == worker.pid
    assert estate.outcome(bad).reason == "MemoryError"
    estate.close()


async def test_a_horse_is_told_of_its_time_limit_and_killed_when_it_does_not_heed_it(
    fake_estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    heeding, other = fake_estate.add("heeds_its_limit"), fake_estate.add("heeds_nothing")
    async with worker_of(fake_estate, heeds_its_limit, heeds_nothing, concurrency=2):
        told = await soon(lambda: fake_estate.outcome(heeding), timeout_s=20)
        killed = await soon(lambda: fake_estate.outcome(other), timeout_s=20)
    assert told.reason == "JobTimeoutException: Task exceeded maximum timeout value (1 seconds)"
    assert killed.reason == "the work-horse that ran the task ended with signal SIGKILL"


async def test_a_cancelled_task_s_horse_is_killed_and_its_stable_serves_the_next(
    fake_estate: Estate, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    task_id = fake_estate.add("leaves_a_mark", {"path": str(mark)})
    async with worker_of(fake_estate, leaves_a_mark, rides, lease_ms=1_000, concurrency=1):
        await soon(mark.exists)
        fake_estate.cancel("leaves_a_mark", task_id)
        await soon(lambda: fake_estate.is_empty("leaves_a_mark"))
        after = fake_estate.add("rides")
        await soon(lambda: fake_estate.output(after))
    assert fake_estate.reports(task_id) == []
    await soon(lambda: not _lives(int(mark.read_text())))


async def test_a_stopping_worker_hands_the_task_back_and_leaves_no_horse_behind(
    fake_estate: Estate, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    fake_estate.add("leaves_a_mark", {"path": str(mark)})
    worker = worker_of(fake_estate, leaves_a_mark)
    await worker.start()
    await soon(mark.exists)
    await worker.stop()
    assert (fake_estate.queue("leaves_a_mark").ready, fake_estate.queue("leaves_a_mark").leased) == (1, 0)
    await soon(lambda: not _lives(int(mark.read_text())))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_what_a_horse_prints_or_returns_at_length_comes_through(fake_estate: Estate) -> None:
    large, exited = fake_estate.add("prints_binary", {"size": 300_000}), fake_estate.add("ends_itself", {"status": 3})
    quiet = fake_estate.add("ends_itself", {"status": 0})
    async with worker_of(fake_estate, prints_binary, ends_itself):
        assert len((await soon(lambda: fake_estate.output(large)))["result"]) == 300_000
        outcome = await soon(lambda: fake_estate.outcome(exited))
        nothing = await soon(lambda: fake_estate.outcome(quiet))
    assert (outcome.status, outcome.reason) == ("FAILED", "the work-horse that ran the task ended with exit code 3")
    assert (nothing.status, nothing.reason) == ("FAILED", "the work-horse that ran the task ended with exit code 0")


def test_without_rq_the_pool_says_what_to_install(fake_estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    lacking: Any = task(pool="rq", name="lacking")(len_of)
    with pytest.raises(MissingExtra, match=r"pip install 'redis-orchestrator\[rq\]'"):
        Worker(fake_estate.settings, tasks=[lacking])


def len_of(text: str) -> int:
    return len(text)
