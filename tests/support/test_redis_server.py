"""Servers of the tests: they keep data over SIGKILL, start empty where asked, and are gone at the end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import redis

from tests.support.eventually import eventually
from tests.support.redis_server import Kind, RedisServer, ServerFailed, ServerMissing, find_binary


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True, socket_timeout=5, retry=None)


@pytest.fixture(params=["redis", "valkey"])
def kind(request: pytest.FixtureRequest) -> Kind:
    request.getfixturevalue(f"{request.param}_server")  # skips or fails here when this machine has none
    chosen: Kind = request.param
    return chosen


@pytest.mark.parametrize("unix_socket", [False, True])
def test_acknowledged_writes_survive_sigkill_and_restart_at_the_same_address(kind: Kind, unix_socket: bool) -> None:
    with RedisServer(kind, unix_socket=unix_socket) as server:
        address = server.url
        with client(address) as before:
            before.set("kept", "yes")
        server.kill()
        assert server.pid is None
        with client(address) as away, pytest.raises(redis.ConnectionError):
            away.ping()
        server.restart()
        with client(address) as after:
            assert after.get("kept") == "yes"
        assert server.url == address


def test_flush_removes_every_key(kind: Kind) -> None:
    with RedisServer(kind, unix_socket=True) as server, client(server.url) as connection:
        connection.set("a", "1")
        server.flush()
        assert connection.dbsize() == 0


def test_debug_commands_and_given_options_are_in_force(kind: Kind) -> None:
    with RedisServer(kind, options={"maxmemory": "20mb"}) as server, client(server.url) as connection:
        assert connection.config_get("maxmemory") == {"maxmemory": str(20 * 1024 * 1024)}
        assert connection.config_get("enable-debug-command") == {"enable-debug-command": "local"}
        assert len(connection.execute_command("DEBUG", "DIGEST")) == 40


def test_nothing_is_left_after_the_block(kind: Kind) -> None:
    with RedisServer(kind, unix_socket=True) as server:
        pid = server.pid
        folder = Path(server.url.removeprefix("unix://").split("?")[0]).parent
        assert pid is not None
        assert folder.is_dir()
    assert not folder.exists()

    def process_is_gone() -> None:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    eventually(process_is_gone)


def test_a_server_that_cannot_start_says_why(kind: Kind) -> None:
    server = RedisServer(kind, options={"maxmemory-policy": "no-such-policy"})
    with pytest.raises(ServerFailed, match="no-such-policy"):
        server.start()


def test_a_missing_redis_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServerMissing, match="apt-get install redis-server"):
        find_binary("redis")


def test_an_address_is_handed_out_empty(kind: Kind, request: pytest.FixtureRequest) -> None:
    server: RedisServer = request.getfixturevalue(f"{kind}_server")
    with client(server.url) as connection:
        connection.set("left", "behind by an earlier test")
        assert request.getfixturevalue(f"{kind}_url") == server.url
        assert connection.dbsize() == 0


def test_a_store_address_is_one_of_the_three_backends(store_url: str) -> None:
    assert store_url.startswith(("fakeredis://", "redis://"))
