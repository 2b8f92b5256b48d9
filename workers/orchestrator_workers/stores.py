"""From what a user has in hand (a URL, settings, a connection, a client) to the connection a worker uses."""

from __future__ import annotations

from typing import Protocol

from orchestrator.settings import Settings, load_settings
from orchestrator.store.connection import Connection, connect


class HasConnection(Protocol):
    """What a worker needs of a client: the store that the client speaks to."""

    @property
    def connection(self) -> Connection: ...


def open_store(store: str | Settings | Connection | HasConnection | None) -> tuple[Connection, bool]:
    """The connection, and whether it is the worker's own to close.

    ``None`` reads the settings from the environment. Raises ``SettingsInvalid`` for a URL that cannot be used.
    Example: ``connection, is_own = open_store("redis://localhost:6379/0")``
    """
    if isinstance(store, Connection):
        return store, False
    if store is None or isinstance(store, str):
        settings = load_settings(redis_url=store)
        return connect(settings.redis_url, settings), True
    if isinstance(store, Settings):
        return connect(store.redis_url, store), True
    # A client's executors belong to its own loop and threads, so the worker opens connections of its own.
    return Connection(store.connection.address, store.connection.settings), True
