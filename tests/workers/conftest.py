"""Fixtures of the workers' tests: a store with room for tasks, in process and on a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.workers.estate import Estate


@pytest.fixture(params=["fakeredis", "redis"])
def estate(request: pytest.FixtureRequest) -> Iterator[Estate]:
    """An empty installation, once per backend."""
    estate = Estate(request.getfixturevalue(f"{request.param}_url"))
    yield estate
    estate.close()


@pytest.fixture
def fake_estate(fakeredis_url: str) -> Iterator[Estate]:
    """An empty installation in process, for what does not depend on the backend."""
    estate = Estate(fakeredis_url)
    yield estate
    estate.close()
