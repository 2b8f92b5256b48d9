"""Connections and executors: steps, errors, lost scripts, barriers, waits, forks, and the start-up checks."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.errors import OutcomeUnknown, SettingsInvalid, StoreRefused, StoreUnavailable
from orchestrator.plan import Call, Command, Plan, Wait
from orchestrator.settings import Settings
from orchestrator.store import channels, executors
from orchestrator.store.addresses import parse_url
from orchestrator.store.connection import CONNECTIONS_MAX, Connection, connect
from orchestrator.store.executors import EXCHANGES_MAX
from orchestrator.store.keys import Keys
from orchestrator.store.ownership import Owned, acquire
from orchestrator.store.wire import _pack, _pack_in_python
from tests.store.scene import Scene
from tests.support.redis_server import RedisServer

LIST = Command(("LPUSH", "a", 1))


def own(keys: Keys) -> Call:
    """A script that writes and answers the same when repeated."""
    return acquire(keys, 0, "decider-1", 60_000)


# --- steps and plans -------------------------------------------------------------------------------------------------


def test_a_list_of_steps_answers_in_order_with_errors_in_their_places(connection: Connection, keys: Keys) -> None:
    replies = connection.sync().do([Command(("SET", "a", 1)), LIST, own(keys), Command(("GET", "a"))])
    assert [replies[0], replies[2], replies[3]] == [b"OK", Owned(1, 0), b"1"]
    assert isinstance(replies[1], StoreRefused)
    assert connection.sync().do([]) == []


def test_a_single_step_that_fails_raises_inside_the_plan(connection: Connection) -> None:
    def plan() -> Plan[str]:
        yield Command(("SET", "a", 1))
        try:
            yield LIST
        except StoreRefused as error:
            return str(error)
        return "no error"

    assert connection.sync().run(plan()).startswith("LPUSH a: ")


def test_both_executors_drive_the_same_plan(connection: Connection, keys: Keys) -> None:
    def plan() -> Plan[list[Any]]:
        first = yield own(keys)
        rest = yield [Command(("GET", "nothing")), LIST, Command(("TYPE", "a"))]
        return [first, *rest]

    async def both() -> tuple[list[Any], list[Any]]:
        there = await connection.asynchronous().run(plan())
        try:
            return connection.sync().run(plan()), there
        finally:
            await connection.aclose()

    here, there = asyncio.run(both())
    assert here == [Owned(1, 0), None, 2, b"list"]
    assert there == [Owned(1, 0), None, 1, b"list"]


def test_a_decoder_that_refuses_is_an_error_like_any_other(connection: Connection) -> None:
    def refuse(reply: Any) -> Any:
        raise StoreRefused(f"not {reply!r}")

    step = Command(("GET", "a"), refuse)
    assert isinstance(connection.sync().do([step])[0], StoreRefused)
    with pytest.raises(StoreRefused):
        connection.sync().do(step)


def test_scripts_that_the_server_forgot_are_sent_again(connection: Connection, keys: Keys) -> None:
    steps: list[Call | Command] = [
        own(keys),
        Command(("PING",)),
        Call("release", (keys.ownership(1),), (1, "x")),
        own(keys),
    ]
    for _ in range(2):
        connection.sync().do(Command(("SCRIPT", "FLUSH")))
        assert connection.sync().do(steps) == [Owned(1, 0), b"PONG", [b"FENCED"], Owned(1, 0)]


def test_packing_without_the_c_library_gives_the_same_bytes() -> None:
    for words in (("SET", "ключ", b"\x00\xff"), ("XADD", "a", 12, -1, ""), ("PING",)):
        assert _pack(words) == _pack_in_python(words)


# --- waiting ---------------------------------------------------------------------------------------------------------


def test_a_wait_ends_at_once_when_its_state_is_there(connection: Connection) -> None:
    connection.sync().do(Command(("SET", "a", 1)))
    assert connection.sync().do(Wait(("news",), Command(("GET", "a")), bool, 60)) == b"1"


def test_a_wait_gives_the_last_reply_when_time_is_over(connection: Connection) -> None:
    assert connection.sync().do(Wait(("news",), Command(("GET", "a")), bool, 0.01)) is None


def test_a_wait_is_woken_by_a_message(connection: Connection) -> None:
    asked = threading.Event()

    def is_there(reply: Any) -> bool:
        asked.set()
        return bool(reply)

    def news() -> None:
        asked.wait(10)
        connection.sync().do([Command(("SET", "a", 1)), Command(("PUBLISH", "news", 1))])

    thread = threading.Thread(target=news)
    thread.start()
    assert connection.sync().do(Wait(("news",), Command(("GET", "a")), is_there, 30)) == b"1"
    thread.join()


def test_many_async_waiters_share_one_subscription(connection: Connection) -> None:
    async def main() -> tuple[list[Any], list[Any]]:
        store, asked = connection.asynchronous(), asyncio.Semaphore(0)

        def is_there(reply: Any) -> bool:
            asked.release()
            return bool(reply)

        waits = [
            asyncio.create_task(store.do(Wait((f"news-{number % 3}",), Command(("GET", "a")), is_there, 30)))
            for number in range(30)
        ]
        for _ in waits:
            await asked.acquire()
        counts = await store.do(Command(("PUBSUB", "NUMSUB", "news-0", "news-1", "news-2")))
        await store.do([Command(("SET", "a", 1)), *(Command(("PUBLISH", f"news-{n}", 1)) for n in range(3))])
        replies = await asyncio.gather(*waits)
        await connection.aclose()
        return replies, counts[1::2]

    replies, subscribers = asyncio.run(main())
    assert replies == [b"1"] * 30
    assert subscribers == [1, 1, 1]


def test_more_async_callers_than_there_are_connections_wait_their_turn(connection: Connection) -> None:
    async def main() -> list[Any]:
        store = connection.asynchronous()
        replies = await asyncio.gather(*[store.do(Command(("ECHO", number))) for number in range(4 * CONNECTIONS_MAX)])
        await connection.aclose()
        return replies

    assert asyncio.run(main()) == [str(number).encode() for number in range(4 * CONNECTIONS_MAX)]


# --- servers that fail -----------------------------------------------------------------------------------------------


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server this test may kill and configure."""
    with RedisServer("redis") as server:
        yield server


def test_a_lost_server_is_unavailable_and_back_after_its_restart(own_server: RedisServer, keys: Keys) -> None:
    connection = connect(own_server.url)
    store = connection.sync()
    assert store.do(own(keys)) == Owned(1, 0)
    own_server.kill()
    for step in (own(keys), [own(keys), own(keys)], Wait(("news",), own(keys), bool, 1)):
        with pytest.raises(StoreUnavailable):
            store.do(step)
    own_server.restart()
    assert store.do(own(keys)) == Owned(1, 0)
    connection.close()


def test_a_lost_server_is_unavailable_to_async_callers_too(own_server: RedisServer, keys: Keys) -> None:
    async def main() -> None:
        connection = connect(own_server.url)
        store = connection.asynchronous()
        assert await store.do(own(keys)) == Owned(1, 0)
        waiting = asyncio.create_task(store.do(Wait(("news",), Command(("GET", "a")), bool, 30)))
        await store.do(Command(("PING",)))
        own_server.kill()
        with pytest.raises(StoreUnavailable):
            await store.do([own(keys)])
        with pytest.raises(StoreUnavailable):
            await waiting
        own_server.restart()
        assert await store.do(own(keys)) == Owned(1, 0)
        await connection.aclose()

    asyncio.run(main())


def test_a_silent_server_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "SUBSCRIBE_S", 0.1)
    monkeypatch.setattr(executors, "TURN_S", 0.1)
    with socket.create_server(("127.0.0.1", 0), backlog=2 * CONNECTIONS_MAX) as silent:
        connection = connect(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        blocking = connection.blocking_sync(-2.9)
        with pytest.raises(StoreUnavailable):
            blocking.do(Command(("PING",)))
        connection.close()

        async def main() -> None:
            with pytest.raises(StoreUnavailable, match="did not answer within"):
                await connection.blocking_async(-2.9).do(Command(("PING",)))
            with pytest.raises(StoreUnavailable):
                await connection.asynchronous().do(Wait(("news",), Command(("PING",)), bool, 30))
            asked = [
                asyncio.create_task(connection.asynchronous().do(Command(("PING",)))) for _ in range(EXCHANGES_MAX)
            ]
            await asyncio.sleep(0)
            with pytest.raises(StoreUnavailable, match="has left 240 others unanswered"):
                await connection.asynchronous().do(Command(("PING",)))
            for one in asked:
                one.cancel()
            await asyncio.wait(asked)
            await connection.aclose()

        asyncio.run(main())


def test_a_full_server_says_what_to_do(own_server: RedisServer, keys: Keys) -> None:
    connection = connect(own_server.url)
    store = connection.sync()
    store.do([own(keys), Command(("CONFIG", "SET", "maxmemory", 1))])
    with pytest.raises(StoreRefused, match="raise maxmemory"):
        store.do(own(keys))
    connection.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_gets_connections_of_its_own(redis_url: str) -> None:
    connection = connect(redis_url)
    store = connection.sync()
    mine = store.do(Command(("CLIENT", "ID")))
    child = os.fork()
    if child == 0:
        fine = store.do(Command(("CLIENT", "ID"))) != mine
        os._exit(0 if fine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.do(Command(("CLIENT", "ID"))) == mine
    connection.close()


# --- durability ------------------------------------------------------------------------------------------------------


def test_a_write_without_its_replicas_has_an_unknown_outcome(redis_url: str, keys: Keys) -> None:
    connection = connect(redis_url, Settings(durability="replicas", replicas=1, barrier_timeout_ms=10))
    scene = Scene(connection.sync(), keys)
    with pytest.raises(OutcomeUnknown, match="repeat it with the same ids"):
        scene.start()
    assert [entry.workflow_id for entry in scene.inbox()] == ["w1"]
    assert scene.do(own(keys)) == Owned(1, 0)
    connection.close()


def test_a_barrier_on_disk_is_waited_for(valkey_url: str, keys: Keys) -> None:
    connection = connect(valkey_url, Settings(durability="fsync"))
    assert Scene(connection.sync(), keys).start().verdict == "OK"
    connection.close()


def test_a_server_without_the_barrier_is_refused(redis_url: str, keys: Keys) -> None:
    connection = connect(redis_url, Settings(durability="fsync"))
    with pytest.raises(StoreRefused, match="WAITAOF"):
        Scene(connection.sync(), keys).start()
    connection.close()


# --- start-up checks -------------------------------------------------------------------------------------------------


def test_a_good_server_passes(connection: Connection) -> None:
    assert connection.check() == []


def test_an_evicting_server_is_refused_unless_it_is_asked_for(own_server: RedisServer) -> None:
    connection = connect(own_server.url)
    connection.sync().do(Command(("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")))
    with pytest.raises(StoreRefused, match="noeviction"):
        connection.check()
    tolerant = connect(own_server.url, Settings(allow_eviction=True))
    [warning] = tolerant.check()
    assert "allkeys-lru" in warning
    connection.close()
    tolerant.close()


def test_a_server_without_log_file_is_warned_about(own_server: RedisServer) -> None:
    connection = connect(own_server.url)
    connection.sync().do(Command(("CONFIG", "SET", "appendonly", "no")))
    [warning] = connection.check()
    assert "appendonly" in warning
    connection.close()


@pytest.mark.parametrize(
    ("info", "accepted"),
    [
        ("redis_version:6.2.14", False),
        ("redis_version:7.0.0", True),
        ("redis_version:7.2.4\r\nvalkey_version:7.2.9", False),
        ("redis_version:7.2.4\r\nvalkey_version:8.0.0", True),
    ],
)
def test_old_servers_are_refused(monkeypatch: pytest.MonkeyPatch, info: str, accepted: bool) -> None:
    connection = connect("redis://127.0.0.1:1/0")
    text = f"# Server\r\n{info}\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n".encode()
    monkeypatch.setattr(connection.sync(), "do", lambda step: text)
    if accepted:
        assert connection.check() == []
    else:
        with pytest.raises(StoreRefused, match="too old"):
            connection.check()


# --- addresses -------------------------------------------------------------------------------------------------------


def test_urls_name_their_kind_of_store() -> None:
    assert parse_url("redis://db:1/2").kind == "server"
    assert parse_url("redis+unix:///run/redis.sock?db=1").url == "unix:///run/redis.sock?db=1"
    assert parse_url("fakeredis://mine").name == "mine"
    sentinel = parse_url("rediss+sentinel://user:p%40ss@a,b:1,[::1]:2/primary/3")
    assert sentinel.nodes == (("a", 26379), ("b", 1), ("::1", 2))
    assert (sentinel.kind, sentinel.name) == ("sentinel", "primary")
    assert sentinel.options == {"username": "user", "password": "p@ss", "ssl": True, "db": 3}
    cluster = parse_url("redis+cluster://a:1,b")
    assert (cluster.kind, cluster.nodes) == ("cluster", (("a", 1), ("b", 6379)))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://:secret@a",
        "redis+sentinel://a:1",
        "redis+sentinel://a/b/c",
        "redis+cluster://a:secret@:x",
    ],
)
def test_other_urls_are_refused_without_their_password(url: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        parse_url(url)
    assert "secret" not in str(refused.value)
