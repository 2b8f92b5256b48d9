"""Topics of Kafka on a real broker, where one can be had: messages are handled once, also after a reader is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiokafka import AIOKafkaProducer

from orchestrator.client import AsyncClient
from orchestrator.events import conditions
from orchestrator.events.host import HandlerDesk
from orchestrator.model.event_handlers import EventExecution, event_handler_from_dict
from orchestrator.service import events
from orchestrator.settings import Settings
from orchestrator.store.connection import connect
from orchestrator.store.context import StoreContext
from orchestrator.systemtasks.context import Resources
from orchestrator.systemtasks.kafka_source import KafkaEvents
from tests.support.build import noop, workflow_def
from tests.support.eventually import eventually_async
from tests.support.kafka_server import KafkaServer

pytestmark = pytest.mark.timeout(300)


@asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[None]:
    """One process that reads topics."""
    connection = connect(settings.redis_url, settings)
    store, run = StoreContext(settings), connection.asynchronous().run
    async with Resources(store, run) as shared:
        desk = HandlerDesk(store, run, conditions.evaluate)
        await run(desk.refresh())
        chore = asyncio.create_task(KafkaEvents(shared, desk).run())
        yield
        chore.cancel()
        with suppress(asyncio.CancelledError):
            await chore
    await connection.aclose()


async def send(broker: KafkaServer, *values: bytes, headers: list[tuple[str, bytes]] | None = None) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker.address)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait("orders", value, headers=headers or [])
    finally:
        await producer.stop()


async def test_messages_of_a_topic_are_handled_once_each(broker: KafkaServer, redis_url: str) -> None:
    settings = Settings(redis_url=redis_url, partitions=1, kafka_servers=broker.address)
    start = {"action": "start_workflow", "start_workflow": {"name": "flow", "input": {"n": "${n}"}}}
    document = {"name": "h", "event": "kafka:orders", "active": True, "actions": [start], "condition": "$.n > 0"}
    await send(broker, b'{"n": 99}')  # before anybody listened
    async with AsyncClient(settings=settings) as client:
        await client.register(workflow_def(noop("a")))
        await client.apply_event_handlers(event_handler_from_dict(document))

        async def executed(count: int) -> list[EventExecution]:
            found = await client.event_executions("h")
            assert len([one for one in found if one.status == "COMPLETED"]) >= count
            return found

        async with reading(settings):
            for _ in range(60):  # until the group has been joined
                await send(broker, b'{"n": 1}', headers=[("message-id", b"first")])
                with suppress(AssertionError):
                    await eventually_async(lambda: executed(1), timeout_s=1)
                    break
            await send(broker, b'{"n": 2}', b'{"n": 0}', b'{"n": 1e400}', b"not json")

            async def all_are_over() -> list[EventExecution]:
                found = await client.event_executions("h")
                assert len(found) >= 5
                return found

            found = await eventually_async(all_are_over, timeout_s=20)
        async with reading(settings):  # another process goes on where that one stopped
            await send(broker, b'{"n": 3}')
            found = await eventually_async(lambda: executed(3), timeout_s=30)
        statuses = sorted(one.status for one in found)
        assert statuses == ["COMPLETED", "COMPLETED", "COMPLETED", "SKIPPED", "SKIPPED", "SKIPPED"]
        assert [one.message_id for one in found].count("first") == 1
        assert await client.run(events.dead_letters(client.store, "kafka:orders")) == []
