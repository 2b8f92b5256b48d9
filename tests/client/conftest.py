"""Fixtures of the clients' tests: an installation inside the test, and one on a real server that works by itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from orchestrator import Workflow, task
from orchestrator.engine.process import DeciderProcess
from orchestrator.settings import Settings
from orchestrator.testing import Environment, environment
from orchestrator_workers.worker import Worker


@task
async def greet(name: str, greeting: str = "Hello") -> str:
    return f"{greeting}, {name}"


hello = Workflow("hello").then(greet, name="${workflow.input.name}")
waiting = Workflow("waiting").wait(signal="go").then(greet, name="${go.output.name}")


@pytest.fixture
def env() -> Iterator[Environment]:
    """An installation that serves ``greet``."""
    with environment([greet]) as env:
        yield env


@pytest.fixture
def live(redis_url: str) -> Iterator[Settings]:
    """The settings of an installation on a real server, with a decider and a worker in threads."""
    settings = Settings(redis_url=redis_url, partitions=2)
    decider = DeciderProcess(settings)
    ready, stop = threading.Event(), threading.Event()

    async def work() -> None:
        async with Worker(settings, tasks=[greet], concurrency=4):
            await asyncio.to_thread(stop.wait)

    threads = [
        threading.Thread(target=decider.run, args=(ready.set,)),
        threading.Thread(target=lambda: asyncio.run(work())),
    ]
    for thread in threads:
        thread.start()
    assert ready.wait(10)
    yield settings
    decider.stop()
    stop.set()
    for thread in threads:
        thread.join(10)
