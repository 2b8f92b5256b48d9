"""A cluster of two real nodes: every slot's commands go to its node, also while slots move."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.crc import key_slot

from orchestrator.client import AsyncClient, Client
from orchestrator.errors import InvalidRequest, OutcomeUnknown, StoreUnavailable
from orchestrator.events import conditions
from orchestrator.events.host import EventsHost, HandlerDesk
from orchestrator.model.event_handlers import event_handler_from_dict
from orchestrator.plan import Call, Command, Wait
from orchestrator.settings import Settings
from orchestrator.store.connection import Connection, connect
from orchestrator.store.context import StoreContext
from orchestrator.store.keys import Keys
from orchestrator.store.ownership import Owned, acquire
from orchestrator.store.partition import StartVerdict
from tests.store.scene import Scene
from tests.support.build import noop, workflow_def
from tests.support.eventually import eventually, eventually_async
from tests.support.redis_server import RedisServer

SLOTS = 16_384


class Pair:
    """Two nodes; the first has the lower half of the slots."""

    def __init__(self, servers: list[RedisServer]) -> None:
        self.servers = servers
        self.clients: list[Any] = [redis.Redis.from_url(server.url, decode_responses=True) for server in servers]
        self.places = [server.url.split("/")[2] for server in servers]
        self.ids = [str(client.execute_command("CLUSTER MYID")) for client in self.clients]
        self.url = f"redis+cluster://{','.join(self.places)}"

    def cluster(self) -> Any:
        """A client of the cluster, as a user makes one."""
        host, port = self.places[0].split(":")
        return redis.RedisCluster(host=host, port=int(port))

    def join(self, bus_ports: list[int]) -> None:
        """Make them one cluster."""
        for number, client in enumerate(self.clients):
            half = number * SLOTS // 2
            client.execute_command("CLUSTER ADDSLOTSRANGE", half, half + SLOTS // 2 - 1)
        host, port = self.places[1].split(":")
        self.clients[0].execute_command("CLUSTER MEET", host, port, bus_ports[1])
        eventually(self._agree)

    def owner(self, key: str) -> int:
        """Which of the two has the slot of ``key``."""
        return 0 if key_slot(key.encode()) < SLOTS // 2 else 1

    def begin_move(self, key: str) -> None:
        """The slot of ``key`` starts to move to the other node: what is not there is asked for over there."""
        source = self.owner(key)
        slot = key_slot(key.encode())
        self.clients[1 - source].execute_command("CLUSTER SETSLOT", slot, "IMPORTING", self.ids[source])
        self.clients[source].execute_command("CLUSTER SETSLOT", slot, "MIGRATING", self.ids[1 - source])

    def end_move(self, key: str) -> None:
        """The slot of ``key`` (whose keys are over there already) belongs to the other node from now on."""
        slot, target = key_slot(key.encode()), self.ids[1 - self.owner(key)]
        for client in (self.clients[1 - self.owner(key)], self.clients[self.owner(key)]):
            client.execute_command("CLUSTER SETSLOT", slot, "NODE", target)

    def _agree(self) -> None:
        for client in self.clients:
            info = client.execute_command("CLUSTER INFO")
            assert "ok" in str(info["cluster_state"] if isinstance(info, dict) else info)
            assert len(client.execute_command("CLUSTER SLOTS")) == 2


def free_port() -> int:
    """A loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A fresh cluster of two."""
    ports = [free_port(), free_port()]
    with ExitStack() as stack:
        servers = [
            stack.enter_context(RedisServer("redis", options={"cluster-enabled": "yes", "cluster-port": str(port)}))
            for port in ports
        ]
        pair = Pair(servers)
        pair.join(ports)
        yield pair
        for client in pair.clients:
            client.close()


@pytest.fixture
def connection(pair: Pair) -> Iterator[Connection]:
    """A connection to the pair."""
    connection = connect(pair.url)
    yield connection
    connection.close()


def two_partitions(pair: Pair, keys: Keys) -> list[int]:
    """One partition on each node."""
    return [next(p for p in range(16) if pair.owner(keys.inbox(p)) == number) for number in (0, 1)]


def test_one_pipeline_reaches_both_nodes_and_answers_in_order(pair: Pair, connection: Connection) -> None:
    keys = Keys()
    assert connection.is_cluster
    assert connection.check() == []
    calls = [acquire(keys, number, f"decider-{number}", 60_000) for number in range(16)]
    assert connection.sync().do(calls) == [Owned(1, 0)] * 16
    owners = connection.sync().do([Command(("HGET", keys.ownership(number), "o")) for number in range(16)])
    assert owners == [b"decider-%d" % number for number in range(16)]
    assert all(client.dbsize() > 0 for client in pair.clients)


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_commands_follow_a_slot_that_moves(pair: Pair, connection: Connection, flavour: str) -> None:
    keys = Keys()
    here, there = two_partitions(pair, keys)
    steps: list[Call | Command] = [
        acquire(keys, here, "decider", 60_000),
        acquire(keys, there, "decider", 60_000),
        Command(("PING",)),
    ]
    expected = [Owned(1, 0), Owned(1, 0), b"PONG"]

    async def main() -> None:
        store = connection.asynchronous()
        assert await store.do(Command(("PING",))) == b"PONG"
        pair.begin_move(keys.inbox(here))
        assert await store.do(steps) == expected
        pair.end_move(keys.inbox(here))
        assert await store.do(steps) == expected
        await connection.aclose()

    if flavour == "async":
        asyncio.run(main())
        return
    store = connection.sync()
    assert store.do(Command(("PING",))) == b"PONG"
    pair.begin_move(keys.inbox(here))
    assert store.do(steps) == expected
    pair.end_move(keys.inbox(here))
    assert store.do(steps) == expected


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_a_lost_node_is_unavailable_and_looked_for_anew(pair: Pair, connection: Connection, flavour: str) -> None:
    keys = Keys()
    here, there = two_partitions(pair, keys)
    step = acquire(keys, there, "decider", 60_000)

    async def main() -> None:
        store = connection.asynchronous()
        assert await store.do(step) == Owned(1, 0)
        pair.servers[1].kill()
        with pytest.raises(StoreUnavailable):
            await store.do(step)
        assert await store.do(acquire(keys, here, "decider", 60_000)) == Owned(1, 0)
        pair.servers[1].restart()
        assert await eventually_async(lambda: store.do(step), retry_on=(StoreUnavailable,)) == Owned(1, 0)
        await connection.aclose()

    if flavour == "async":
        asyncio.run(main())
        return
    store = connection.sync()
    assert store.do(step) == Owned(1, 0)
    pair.servers[1].kill()
    with pytest.raises(StoreUnavailable):
        store.do(step)
    assert store.do(acquire(keys, here, "decider", 60_000)) == Owned(1, 0)
    pair.servers[1].restart()
    assert eventually(lambda: store.do(step), retry_on=(StoreUnavailable,)) == Owned(1, 0)


async def test_events_of_both_nodes_are_handled(pair: Pair) -> None:
    """A process asks the queues of all slots in turn."""
    settings = Settings(redis_url=pair.url, partitions=4)
    names = [f"conductor:e{number}" for number in range(6)]
    assert {pair.owner(Keys().event_queue(name)) for name in names} == {0, 1}
    connection = connect(pair.url, settings)
    desk = HandlerDesk(StoreContext(settings, is_ordered=False), connection.asynchronous().run, conditions.evaluate)
    action = {"action": "start_workflow", "start_workflow": {"name": "flow", "input": {"n": "${n}"}}}
    async with AsyncClient(settings=settings) as client:
        await client.register(workflow_def(noop("a")))
        handling = asyncio.create_task(EventsHost(connection, desk).run())
        for name in names:
            document = {"name": name, "event": name, "active": True, "actions": [action]}
            await client.apply_event_handlers(event_handler_from_dict(document))
            await client.publish_event(name, {"n": 1})

        async def all_are_done() -> None:
            executions = await client.event_executions()
            assert [str(one.status) for one in executions] == ["COMPLETED"] * len(names)

        await eventually_async(all_are_done)
        handling.cancel()
        with suppress(asyncio.CancelledError):
            await handling
    await connection.aclose()


def test_a_cluster_that_is_not_there_is_unavailable() -> None:
    connection = connect(f"redis+cluster://127.0.0.1:{free_port()}")
    with pytest.raises(StoreUnavailable):
        connection.sync().do(Command(("PING",)))

    async def main() -> None:
        with pytest.raises(StoreUnavailable):
            await connection.asynchronous().do(Command(("PING",)))
        await connection.aclose()

    asyncio.run(main())


def test_every_script_of_a_start_keeps_to_one_slot(connection: Connection) -> None:
    for partition in range(4):
        scene = Scene(connection.sync(), Keys(partitions=4))
        scene.partition = partition
        assert scene.start(f"w{partition}").verdict is StartVerdict.OK


def test_a_barrier_goes_where_its_write_goes(pair: Pair) -> None:
    connection = connect(pair.url, Settings(durability="replicas", barrier_timeout_ms=10))
    keys = Keys()
    for partition in two_partitions(pair, keys):
        scene = Scene(connection.sync(), keys)
        scene.partition = partition
        with pytest.raises(OutcomeUnknown):
            scene.start()
        assert len(scene.inbox()) == 1
    connection.close()


def test_a_wait_hears_messages_of_either_node(pair: Pair, connection: Connection) -> None:
    keys = Keys()
    channels = [keys.done_channel(partition, "w") for partition in two_partitions(pair, keys)]

    async def main() -> list[bytes]:
        store, asked = connection.asynchronous(), asyncio.Semaphore(0)

        def is_there(reply: bytes | None) -> bool:
            asked.release()
            return reply is not None

        waits = [
            asyncio.create_task(store.do(Wait((channel,), Command(("GET", channel)), is_there, 30)))
            for channel in channels
        ]
        for _ in waits:
            await asked.acquire()
        for channel in channels:
            await store.do([Command(("SET", channel, 1)), Command(("PUBLISH", channel, 1))])
        replies = await asyncio.gather(*waits)
        await connection.aclose()
        return list(replies)

    assert asyncio.run(main()) == [b"1", b"1"]


# --- starts inside a caller's transaction -----------------------------------------------------------------------------


def test_a_transaction_takes_a_start_that_shares_its_slot(pair: Pair) -> None:
    mine = pair.cluster()
    with Client(pair.url) as client:
        for name in ("order-1", "order-2", "order-3", "order-4"):
            tag = client.partition_tag(name)
            options = client.with_options(workflow_id=name, partition_tag=tag)
            with mine.pipeline(transaction=True) as pipe:
                pipe.set(f"stock:{tag}", name)
                queued = options.start_workflow_in(pipe, workflow_def(noop("a")))
                assert queued.started(pipe.execute()).id == name
            assert mine.get(f"stock:{tag}") == name.encode()
            assert client.workflow(name).status() == "RUNNING"
    mine.close()


def test_a_transaction_on_a_cluster_needs_a_tag(pair: Pair) -> None:
    mine = pair.cluster()
    with Client(pair.url) as client, mine.pipeline(transaction=True) as pipe:
        with pytest.raises(InvalidRequest, match="give it as the option partition_tag"):
            client.start_workflow_in(pipe, workflow_def(noop("a")))
        tag = client.partition_tag("order-1")
        keyed = client.with_options(idempotency_key="k", partition_tag=tag)
        with pytest.raises(InvalidRequest, match="lives at the partition_tag") as caught:
            keyed.start_workflow_in(pipe, workflow_def(noop("a")))
        told = str(caught.value).split("'")[3]
        queued = client.with_options(idempotency_key="k", partition_tag=told).start_workflow_in(
            pipe, workflow_def(noop("a"))
        )
        assert client.partition_tag(queued.started(pipe.execute()).id) == told
        free = client.with_options(partition_tag=tag).start_workflow_in(pipe, workflow_def(noop("a")))
        assert client.partition_tag(free.started(pipe.execute()).id) == tag
    with pytest.raises(InvalidRequest, match="transaction=True"), Client(pair.url) as client:
        client.with_options(partition_tag=tag).start_workflow_in(mine.pipeline(), workflow_def(noop("a")))
    mine.close()


async def test_a_transaction_of_asyncio_takes_a_start_on_a_cluster(pair: Pair) -> None:
    host, port = pair.places[1].split(":")
    mine: Any = redis.asyncio.RedisCluster(host=host, port=int(port))
    async with AsyncClient(pair.url) as client, mine.pipeline(transaction=True) as pipe:
        tag = client.partition_tag("order-1")
        options = client.with_options(workflow_id="order-1", partition_tag=tag)
        pipe.set(f"stock:{tag}", "1")
        queued = await options.start_workflow_in(pipe, workflow_def(noop("a")))
        assert await queued.started(await pipe.execute()).status() == "RUNNING"
        assert await mine.get(f"stock:{tag}") == b"1"
    await mine.aclose()
