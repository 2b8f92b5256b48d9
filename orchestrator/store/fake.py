"""The in-process store of tests: one fakeredis server per name, shared by every client of this process.

fakeredis is an optional package; everything that needs it is here.
"""

from __future__ import annotations

import threading
from typing import Any

from orchestrator.errors import MissingExtra

_servers: dict[str, Any] = {}
_lock = threading.Lock()


def fake_sync_client(name: str) -> Any:
    """A sync client of the fake server ``name``; raises ``MissingExtra`` without fakeredis."""
    return _module().FakeRedis(server=_server(name), protocol=2)


def fake_async_client(name: str, connections_max: int) -> Any:
    """An async client of the fake server ``name``; raises ``MissingExtra`` without fakeredis."""
    return _module().FakeAsyncRedis(server=_server(name), protocol=2, max_connections=connections_max)


def forget_fake(name: str) -> None:
    """Drop the fake server ``name`` with all its data: the next client meets an empty one."""
    with _lock:
        _servers.pop(name, None)


def _server(name: str) -> Any:
    with _lock:
        if name not in _servers:
            _servers[name] = _module().FakeServer(server_type="redis", version=(7, 0))
        return _servers[name]


def _module() -> Any:
    try:
        import fakeredis
    except ImportError as error:
        raise MissingExtra("the in-process store (fakeredis://)", "test") from error
    return fakeredis
