"""Fixtures of the clients' tests: an installation inside the test, and one on a real server that works by itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from orchestrator import Workflow, task
from orchestrator.api import create_app
from orchestrator.engine.process import DeciderProcess
from orchestrator.settings import Settings
from orchestrator.testing import Environment
from orchestrator_workers.worker import Worker
from tests.support.served import MakeEnvironment, Served


@task
async def greet(name: str, greeting: str = "Hello") -> str:
    return f"{greeting}, {name}"


hello = Workflow("hello").then(greet, name="${workflow.input.name}")
SETTINGS = Settings(partitions=1, secret_values={"TOKEN": "s3cret"})
waiting = Workflow("waiting").wait(signal="go").then(greet, name="${go.output.name}")


@pytest.fixture
def env(environment: MakeEnvironment) -> Iterator[Environment]:
    """An installation that serves ``greet``."""
    with environment([greet], settings=SETTINGS) as env:
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


@pytest.fixture(params=["redis", "http"])
def address(request: pytest.FixtureRequest, live: Settings) -> Iterator[Settings]:
    """The settings of a client of ``live``: one time of its Redis, the other of a server before it."""
    if request.param == "redis":
        yield live
        return
    with Served(create_app(settings=live)) as served:
        yield replace(live, server_url=served.url)
