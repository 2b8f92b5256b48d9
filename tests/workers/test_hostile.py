"""Tasks that fork, print binary, ignore SIGTERM, crash, block the loop or outlive their lease, in workers of their own.

Each worker is a process. Whatever a task does, it has one outcome, and the tasks beside it have theirs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.workers.estate import Estate

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, sys
from orchestrator.settings import Settings
from orchestrator_workers import run_worker
settings, options = json.loads(sys.argv[1]), json.loads(sys.argv[2])
sys.exit(run_worker(Settings(**settings), ["tests.workers.hostile_tasks"], 4, **options))
"""
LEASE_MS = 1_000


class Workers:
    """Processes that work for an estate."""

    def __init__(self, estate: Estate, folder: Path) -> None:
        self._estate = estate
        self._folder = folder
        self._output = folder / "output"
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, **options: float) -> subprocess.Popen[bytes]:
        """One more, with a short lease."""
        settings = {"redis_url": self._estate.settings.redis_url, "partitions": 2, "deliveries_max": 3}
        chosen = {"lease_ms": LEASE_MS, "drain_timeout_s": 0.2, **options}
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "workers")])}
        command = [sys.executable, "-c", SCRIPT, json.dumps(settings), json.dumps(chosen)]
        with self._output.open("ab") as output:
            process = subprocess.Popen(
                command, env=environment, cwd=self._folder, stdout=output, stderr=subprocess.STDOUT
            )
        self._started.append(process)
        return process

    def end(self) -> None:
        """Kill those that are left."""
        for process in self._started:
            process.kill()
            process.wait()


@pytest.fixture
def estate(redis_url: str) -> Iterator[Estate]:
    estate = Estate(redis_url)
    yield estate
    estate.close()


@pytest.fixture
def workers(estate: Estate, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(estate, tmp_path)
    yield workers
    workers.end()


def test_the_child_that_a_task_forks_ends_with_the_task_s_function(estate: Estate, workers: Workers) -> None:
    added = {
        (pool, word): estate.add(f"forks_in_{pool}", {"word": word})
        for pool in ("thread", "process", "rq", "loop")
        for word in ("one", "raise", "two")
    }
    worker = workers.start()
    for (pool, word), task_id in added.items():
        output = eventually(lambda one=task_id: estate.output(one), timeout_s=30, retry_on=(ValueError,))  # type: ignore[misc]
        assert output == {"word": word, "is_child": False, "status": 0}, pool
    assert worker.poll() is None


def test_what_a_task_writes_to_its_streams_and_its_log_harms_nobody(estate: Estate, workers: Workers) -> None:
    added = [estate.add(f"prints_in_{pool}") for pool in ("thread", "process", "rq", "loop")]
    worker = workers.start()
    for task_id in added:
        output = eventually(lambda one=task_id: estate.output(one), timeout_s=30, retry_on=(ValueError,))  # type: ignore[misc]
        assert output == {"length": 76_800}
        [(_, text)] = estate.outcome(task_id).logs
        assert "é" * 10 in text
    worker.terminate()
    assert worker.wait(20) == 0


@pytest.mark.parametrize("pool", ["thread", "process", "rq"])
def test_a_task_that_ignores_sigterm_goes_to_another_worker_and_leaves_no_process(
    estate: Estate, workers: Workers, tmp_path: Path, pool: str
) -> None:
    mark = tmp_path / pool
    estate.add(f"deaf_in_{pool}", {"path": str(mark)})
    worker = workers.start()
    pid = eventually(lambda: int(mark.read_text()), timeout_s=30, retry_on=(OSError, ValueError))
    worker.terminate()
    assert worker.wait(20) == 0
    queue = estate.queue(f"deaf_in_{pool}")
    # What can only be ended with the worker keeps its lease to the end: until then somebody else would run beside it.
    assert (queue.ready, queue.leased) == ((0, 1) if pool == "thread" else (1, 0))
    eventually(lambda: not _is_running(pid), timeout_s=10)


@pytest.mark.parametrize("pool", ["thread", "process", "rq", "loop"])
def test_the_outcome_of_a_worker_that_was_frozen_beyond_its_lease_counts_for_nothing(
    estate: Estate, workers: Workers, tmp_path: Path, pool: str
) -> None:
    mark, name = tmp_path / "mark", f"late_in_{pool}"
    task_id = estate.add(name, {"path": str(mark)})
    frozen = workers.start()
    eventually(mark.read_text, timeout_s=30, retry_on=(OSError,))
    os.kill(frozen.pid, signal.SIGSTOP)
    workers.start()
    output = eventually(lambda: estate.output(task_id), timeout_s=30, retry_on=(ValueError,))
    assert output == {"result": 2}
    os.kill(frozen.pid, signal.SIGCONT)
    after = estate.add(name, {"path": str(mark)})
    eventually(lambda: estate.output(after), timeout_s=30, retry_on=(ValueError,))
    frozen.terminate()
    assert frozen.wait(20) == 0
    assert [report.delivery for report in estate.reports(task_id)] == [2]
    eventually(lambda: estate.is_empty(name), timeout_s=10)


def test_a_task_that_blocks_the_loop_is_taken_over_and_has_one_outcome(
    estate: Estate, workers: Workers, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    task_id = estate.add("blocks_the_loop", {"path": str(mark)})
    blocked = workers.start()
    eventually(mark.read_text, timeout_s=30, retry_on=(OSError,))
    workers.start()
    eventually(lambda: estate.output(task_id), timeout_s=30, retry_on=(ValueError,))
    eventually(lambda: estate.is_empty("blocks_the_loop"), timeout_s=10)
    assert [report.delivery for report in estate.reports(task_id)] == [2]
    after = [estate.add("well", {"number": number}) for number in range(5)]
    for number, one in enumerate(after):
        output = eventually(lambda one=one: estate.output(one), timeout_s=20, retry_on=(ValueError,))  # type: ignore[misc]
        assert output == {"result": number}
    blocked.terminate()
    assert blocked.wait(20) == 0


def test_a_segfault_in_a_child_fails_its_task_alone(estate: Estate, workers: Workers) -> None:
    bad, good = estate.add("crashes_in_process"), [estate.add("well", {"number": number}) for number in range(8)]
    worker = workers.start()
    eventually(lambda: bool(estate.reports(bad)), timeout_s=30)
    assert (estate.outcome(bad).status, estate.outcome(bad).reason) == (
        "FAILED",
        "the process that ran the task ended with signal SIGSEGV",
    )
    for one in good:
        eventually(lambda one=one: estate.output(one), timeout_s=20, retry_on=(ValueError,))  # type: ignore[misc]
    assert worker.poll() is None


def test_a_task_that_kills_every_worker_is_given_up_and_the_others_are_done(estate: Estate, workers: Workers) -> None:
    bad = estate.add("kills_its_worker")
    good = [estate.add("well", {"number": number}) for number in range(4)]
    for _ in range(3):
        assert workers.start().wait(30) == -signal.SIGSEGV
    last = workers.start()
    eventually(lambda: bool(estate.reports(bad)), timeout_s=30)
    assert last.poll() is None
    assert estate.outcome(bad).status == "FAILED"
    assert (estate.outcome(bad).reason or "").startswith("lost after 3 deliveries")
    for one in good:
        eventually(lambda one=one: estate.output(one), timeout_s=20, retry_on=(ValueError,))  # type: ignore[misc]


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
