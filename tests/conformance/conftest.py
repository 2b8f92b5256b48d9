"""A whole installation for the clients of others: a store, a decider, a server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator import Client
from orchestrator.settings import Settings
from tests.cli.conftest import Command, command
from tests.support.deciding import deciding

__all__ = ["command"]


@pytest.fixture
def settings(redis_url: str) -> Iterator[Settings]:
    """An installation with a decider in a thread."""
    with deciding(Settings(redis_url=redis_url)) as settings:
        yield settings


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    """A client straight on its store, to look at what came of it."""
    with Client(settings=settings) as client:
        yield client


@pytest.fixture
def server_url(settings: Settings, command: Command) -> str:
    """The address of a server process on it, with ``/api``."""
    return served(command, settings)


def served(command: Command, settings: Settings, port: int = 0, environment: dict[str, str] | None = None) -> str:
    """Start a server process and give its address."""
    process = command("--redis", settings.redis_url, "server", "--port", str(port), environment=environment)
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    return next(line.split()[1] for line in lines if line.startswith("Serving "))
