"""A worker whose store goes away: nothing it has done is lost, and it never runs a task beyond its lease."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from orchestrator.context import TaskContext
from orchestrator.task import task
from tests.support.redis_server import RedisServer, ServerMissing
from tests.workers.estate import Estate
from tests.workers.test_worker import greet, soon, worker_of


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of this test's own, to be killed."""
    try:
        server = RedisServer("redis")
    except ServerMissing as missing:
        pytest.skip(str(missing))
    with server:
        yield server


async def test_an_outcome_that_could_not_be_reported_is_reported_after_the_outage(server: RedisServer) -> None:
    estate = Estate(server.url)
    started, finish = asyncio.Event(), asyncio.Event()

    @task
    async def slow() -> str:
        started.set()
        await finish.wait()
        return "kept"

    task_id = estate.add("slow")
    async with worker_of(estate, slow):
        await started.wait()
        await asyncio.to_thread(server.kill)
        finish.set()
        await asyncio.to_thread(server.restart)
        assert await soon(lambda: estate.output(task_id), timeout_s=20) == {"result": "kept"}
        await soon(lambda: estate.is_empty("slow"))
    assert estate.reports(task_id)[0].delivery == 1
    estate.close()


async def test_a_worker_goes_on_claiming_after_the_store_was_restarted(server: RedisServer) -> None:
    estate = Estate(server.url)
    async with worker_of(estate, greet):
        await soon(lambda: estate.queue("greet").domains[None].waiting == 1)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.restart)
        task_id = await soon(lambda: estate.add("greet", {"name": "Ada"}))
        assert await soon(lambda: estate.output(task_id)) == {"result": "Hello, Ada"}
    estate.close()


async def test_a_worker_cut_off_from_the_store_stops_its_task_when_the_lease_ends(server: RedisServer) -> None:
    estate = Estate(server.url)
    deliveries: list[int] = []
    stopped = asyncio.Event()

    @task
    async def waits(context: TaskContext) -> int:
        deliveries.append(context.delivery)
        if context.delivery == 1:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()
        return context.delivery

    task_id = estate.add("waits")
    async with worker_of(estate, waits, lease_ms=1_000):
        await soon(lambda: deliveries == [1])
        await asyncio.to_thread(server.kill)
        async with asyncio.timeout(3):
            await stopped.wait()
        await asyncio.to_thread(server.restart)
        # The lease has ended for the queue too: the same attempt is delivered again.
        assert await soon(lambda: estate.output(task_id), timeout_s=20) == {"result": 2}
    assert deliveries == [1, 2]
    estate.close()
