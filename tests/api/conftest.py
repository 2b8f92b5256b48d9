"""Fixtures of the HTTP API's tests: the app without a network, on an installation that a test steps or a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from orchestrator.api import create_app


@pytest.fixture
async def http(store_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A caller of an app on an empty store of each kind; nobody decides there."""
    app = create_app(store_url)
    async with app.router.lifespan_context(app), caller_of(app) as http:
        yield http


def caller_of(app: object) -> httpx2.AsyncClient:
    """A caller of an app in this process."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://door/api")  # type: ignore[arg-type]
