"""Fixtures of the engine's tests: an empty installation in process, and one on a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.stage import Stage


@pytest.fixture
def stage(fakeredis_url: str) -> Iterator[Stage]:
    """An empty installation in process."""
    stage = Stage(fakeredis_url)
    yield stage
    stage.close()


@pytest.fixture
def real_stage(redis_url: str) -> Iterator[Stage]:
    """An empty installation on a Redis, for what is large."""
    stage = Stage(redis_url)
    yield stage
    stage.close()
