"""Fixtures of the HTTP API's tests: the app without a network, on an empty store or on an installation that works."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from orchestrator import task
from orchestrator.api import create_app
from orchestrator.engine.process import DeciderProcess
from orchestrator.errors import TerminalError
from orchestrator.settings import Settings
from orchestrator_workers.worker import Worker


@task
async def greet(name: str) -> str:
    if name == "nobody":
        raise TerminalError("there is nobody to greet")
    return f"Hello, {name}"


@pytest.fixture
async def http(store_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A caller of an app on an empty store of each kind; nobody decides there."""
    app = create_app(store_url)
    async with app.router.lifespan_context(app), caller_of(app) as http:
        yield http


@pytest.fixture
def decider_settings() -> dict[str, Any]:
    """Settings of ``decider`` that a file of tests may have of its own."""
    return {}


@pytest.fixture(params=["fakeredis", "redis"])
def decider(request: pytest.FixtureRequest, decider_settings: dict[str, Any]) -> Iterator[Settings]:
    """The settings of an installation, in process or on a server, with a decider in a thread."""
    settings = Settings(
        redis_url=request.getfixturevalue(f"{request.param}_url"), partitions=2, drain_timeout_s=1, **decider_settings
    )
    process, ready = DeciderProcess(settings), threading.Event()
    thread = threading.Thread(target=process.run, args=(ready.set,))
    thread.start()
    assert ready.wait(10)
    yield settings
    process.stop()
    thread.join(10)


@pytest.fixture
async def flows(decider: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """A caller of an app on an installation that works; its worker serves ``greet``."""
    app = create_app(settings=decider)
    async with Worker(decider, tasks=[greet], concurrency=4), app.router.lifespan_context(app), caller_of(app) as http:
        yield http


def caller_of(app: object) -> httpx2.AsyncClient:
    """A caller of an app in this process."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://door/api")  # type: ignore[arg-type]
