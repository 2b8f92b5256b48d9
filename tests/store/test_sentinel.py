"""A primary that is found through a Sentinel."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from orchestrator.errors import StoreUnavailable
from orchestrator.plan import Command
from orchestrator.store.connection import connect
from orchestrator.store.keys import Keys
from orchestrator.store.ownership import Owned, acquire
from tests.store.test_cluster import free_port
from tests.support.eventually import eventually
from tests.support.redis_server import RedisServer, find_binary


@pytest.fixture
def sentinel_port(redis_server: RedisServer, tmp_path: Path) -> Iterator[int]:
    """A Sentinel that watches the session's Redis as ``primary``."""
    port = free_port()
    place = redis_server.url.split("/")[2].split(":")
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(f"port {port}\ndir {tmp_path}\nsentinel monitor primary {place[0]} {place[1]} 1\n")
    process = subprocess.Popen(
        [str(find_binary("redis")), str(configuration), "--sentinel"], stdout=subprocess.DEVNULL, start_new_session=True
    )
    with redis.Redis(port=port) as client:
        eventually(client.ping, retry_on=(redis.RedisError,))
    yield port
    process.terminate()
    process.wait(10)


def test_the_primary_is_found_by_name(redis_url: str, sentinel_port: int) -> None:
    connection = connect(f"redis+sentinel://127.0.0.1:{sentinel_port}/primary/0")
    step = acquire(Keys(), 0, "decider", 60_000)
    assert connection.check() == []
    assert connection.sync().do(step) == Owned(1, 0)
    assert connection.sync().do(Command(("DBSIZE",))) == 1

    async def main() -> None:
        assert await connection.asynchronous().do(step) == Owned(1, 0)
        await connection.aclose()

    asyncio.run(main())
    connection.close()


def test_an_unknown_primary_is_unavailable(sentinel_port: int) -> None:
    connection = connect(f"redis+sentinel://127.0.0.1:{sentinel_port}/nobody/0")
    with pytest.raises(StoreUnavailable):
        connection.sync().do(Command(("PING",)))
    connection.close()
