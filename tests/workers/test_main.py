"""A worker as a process: signals and exit status."""

from __future__ import annotations

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
import sys
from orchestrator.settings import Settings
from orchestrator_workers import run_worker
settings = Settings(redis_url=sys.argv[1], partitions=2)
sys.exit(run_worker(settings, [sys.argv[2]], 2, drain_timeout_s=float(sys.argv[3])))
"""
TASKS = """
import asyncio
from orchestrator.task import task

@task
async def short() -> str:
    await asyncio.sleep(0.5)
    return "done"

@task
async def endless() -> None:
    await asyncio.Event().wait()
"""


@pytest.fixture
def estate(redis_url: str) -> Iterator[Estate]:
    estate = Estate(redis_url)
    yield estate
    estate.close()


def start(estate: Estate, folder: Path, drain_timeout_s: float) -> subprocess.Popen[bytes]:
    path = folder / "signal_tasks.py"
    path.write_text(TASKS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "workers")])}
    arguments = [sys.executable, "-c", SCRIPT, estate.settings.redis_url, str(path), str(drain_timeout_s)]
    return subprocess.Popen(arguments, env=environment, cwd=folder)


def test_sigterm_lets_the_running_task_end_and_the_process_exits_with_0(estate: Estate, tmp_path: Path) -> None:
    task_id = estate.add("short")
    with start(estate, tmp_path, drain_timeout_s=30) as process:
        eventually(lambda: estate.dispatch(task_id).startswith("R"), timeout_s=20)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert estate.output(task_id) == {"result": "done"}
    assert estate.is_empty("short")


def test_a_second_signal_hands_the_running_task_back_at_once(estate: Estate, tmp_path: Path) -> None:
    task_id = estate.add("endless")
    with start(estate, tmp_path, drain_timeout_s=3_600) as process:
        eventually(lambda: estate.dispatch(task_id).startswith("R"), timeout_s=20)
        process.send_signal(signal.SIGTERM)
        assert estate.queue("endless").leased == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert (estate.queue("endless").ready, estate.queue("endless").leased) == (1, 0)
