"""Clients on a real server, with a decider and a worker that work by themselves."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from orchestrator import AsyncClient, Client
from orchestrator.errors import WaitTimeout
from orchestrator.service import operations
from orchestrator.settings import Settings
from tests.client.conftest import greet, hello, waiting


def test_a_program_starts_waits_and_acts(address: Settings) -> None:
    with Client(settings=address) as client:
        assert client.with_options(timeout_s=10).execute_workflow(hello, name="Ada") == {"result": "Hello, Ada"}
        handle = client.start_workflow(waiting)
        with pytest.raises(WaitTimeout):
            handle.result(timeout_s=0)
        handle.pause()
        assert handle.status() == "PAUSED"
        handle.resume()
        handle.signal("go", {"name": "Bob"})
        assert handle.result(timeout_s=10) == {"result": "Hello, Bob"}
        assert client.list_workflows(status="COMPLETED").total == 2


def test_a_start_is_answered_when_its_first_step_is_decided(address: Settings) -> None:
    with Client(settings=address) as client:
        handle = client.start_workflow(waiting)
        assert handle.describe().task("go").status == "IN_PROGRESS"


def test_threads_share_a_client(address: Settings) -> None:
    with Client(settings=address) as client, ThreadPoolExecutor(8) as pool:
        handles = list(pool.map(lambda number: client.enqueue(greet, name=str(number)), range(40)))
        outputs = list(pool.map(lambda handle: handle.result(timeout_s=20), handles))
    assert outputs == [{"result": f"Hello, {number}"} for number in range(40)]


async def test_an_asyncio_program_starts_waits_and_acts(address: Settings) -> None:
    async with AsyncClient(settings=address) as client:
        await client.register(hello, greet)
        assert await client.with_options(timeout_s=10).execute_workflow("hello", name="Ada") == {"result": "Hello, Ada"}
        handle = await client.start_workflow(waiting)
        await handle.signal("go", {"name": "Bob"})
        assert await handle.result(timeout_s=10) == {"result": "Hello, Bob"}
        many = await client.enqueue_many([(greet, {"name": str(number)}) for number in range(10)])
        assert [await one.result(timeout_s=10) for one in many] == [{"result": f"Hello, {n}"} for n in range(10)]
        task = await client.with_options(delay_s=3600).enqueue(greet, name="late")
        await task.cancel()
        assert await task.status() == "TERMINATED"


def test_a_decider_hears_at_once_of_what_a_transaction_started(live: Settings) -> None:
    mine = redis.Redis.from_url(live.redis_url)
    with Client(settings=live) as client:
        pipe = mine.pipeline()
        pipe.set("mine", "1")
        queued = client.start_workflow_in(pipe, hello, name="Ada")
        replies, began = pipe.execute(), time.monotonic()
        assert queued.started(replies).result(timeout_s=10) == {"result": "Hello, Ada"}
        assert time.monotonic() - began < 1.5  # nobody looks by themselves more often than every two seconds
    mine.close()


def test_a_waiter_hears_of_the_end_at_once(address: Settings) -> None:
    with Client(settings=address) as client, ThreadPoolExecutor(1) as pool:
        handle = client.start_workflow(waiting)
        waiter = pool.submit(handle.result, 30)
        handle.signal("go", {"name": "Ada"})
        began = time.monotonic()
        assert waiter.result(10) == {"result": "Hello, Ada"}
        assert time.monotonic() - began < 1.5  # without the hint it would be the re-check after two seconds


def test_a_diagnosis_of_a_healthy_installation(live: Settings) -> None:
    with Client(settings=live) as client:
        client.with_options(timeout_s=10).execute_workflow(hello, name="Ada")
        found = client.run(operations.diagnose(client.store))
        assert (found.server.name, found.server.eviction_policy, found.partitions_recorded) == (
            "Redis",
            "noeviction",
            2,
        )
        assert (found.unowned, found.dead_letters, found.quarantined, len(found.deciders)) == ([], 0, [], 1)
        assert found.latency_ms > 0
        queues = client.run(operations.queues(client.store))
        assert queues["greet"].granted == 1
