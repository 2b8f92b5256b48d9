"""Fixtures of the store's tests: connections with an empty database, on the server's clock or on a declared one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.store.connection import Connection, connect
from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from tests.store.scene import Scene


@pytest.fixture
def keys() -> Keys:
    """Key names of a small installation."""
    return Keys(partitions=4)


@pytest.fixture
def connection(store_url: str) -> Iterator[Connection]:
    """A connection to an empty store whose scripts read the server's clock."""
    connection = connect(store_url)
    yield connection
    connection.close()


@pytest.fixture
def store(connection: Connection) -> SyncExecutor:
    """A sync executor on an empty store whose scripts read the server's clock."""
    return connection.sync()


@pytest.fixture
def timed_store(store_url: str) -> Iterator[SyncExecutor]:
    """A sync executor on an empty store whose scripts read the declared clock of their slot."""
    connection = connect(store_url, declared_clock=True)
    yield connection.sync()
    connection.close()


@pytest.fixture
def scene(timed_store: SyncExecutor, keys: Keys) -> Scene:
    """A partition at noon on the declared clock."""
    return Scene(timed_store, keys)
