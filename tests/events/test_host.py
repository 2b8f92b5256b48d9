"""The process that handles events: live within a second, shared among processes, and none the worse for a kill -9."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client import AsyncClient, Client
from orchestrator.client.handles import WorkflowHandle
from orchestrator.engine.process import DeciderProcess
from orchestrator.events import conditions
from orchestrator.events.host import EventsHost, HandlerDesk
from orchestrator.model.definitions import WorkflowDef
from orchestrator.model.event_handlers import EventHandler, event_handler_from_dict
from orchestrator.model.webhooks import Verifier, Webhook
from orchestrator.plan import Command
from orchestrator.service import webhooks
from orchestrator.service.secrets import new_key
from orchestrator.settings import Settings
from orchestrator.store import event_queue
from orchestrator.store.connection import connect
from orchestrator.store.context import StoreContext
from tests.support.build import noop, step, workflow_def
from tests.support.eventually import eventually, eventually_async

ROOT = Path(__file__).parents[2]
EVENT = "conductor:order:paid"
PARTITIONS = 2
ROLE = """
import sys
from orchestrator.settings import Settings
from orchestrator_workers.system import run_system
sys.exit(run_system(Settings(redis_url=sys.argv[1], partitions=2)))
"""


def started(name: str = "h", event: str = EVENT, **fields: Any) -> EventHandler:
    action = {"action": "start_workflow", "start_workflow": {"name": "flow", "input": {"n": "${n}"}}}
    return event_handler_from_dict({"name": name, "event": event, "active": True, "actions": [action], **fields})


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[AsyncClient]:
    """An installation with one workflow, and a host that handles its events."""
    settings = Settings(redis_url=redis_url, partitions=PARTITIONS)
    connection = connect(redis_url, settings)
    desk = HandlerDesk(StoreContext(settings), connection.asynchronous().run, conditions.evaluate)
    host = EventsHost(connection, desk)
    async with AsyncClient(settings=settings) as client:
        await client.register(workflow_def(noop("a")))
        handling = asyncio.create_task(host.run())
        yield client
        handling.cancel()
        with suppress(asyncio.CancelledError):
            await handling
    await connection.aclose()


async def count(client: AsyncClient) -> int:
    """How many messages have had their effect."""
    return sum(one.status == "COMPLETED" for one in await client.event_executions())


async def test_a_handler_is_live_within_a_second_of_its_registration(client: AsyncClient) -> None:
    await client.apply_event_handlers(started())
    began_s = time.monotonic()
    await client.publish_event(EVENT, {"n": 1})

    async def has_started() -> bool:
        return await count(client) == 1

    await eventually_async(has_started, timeout_s=5)
    assert time.monotonic() - began_s < 1.0
    began_s = time.monotonic()  # and from then on a message is handled when it comes
    await client.publish_event(EVENT, {"n": 2})

    async def has_started_again() -> bool:
        return await count(client) == 2

    await eventually_async(has_started_again, timeout_s=5)
    assert time.monotonic() - began_s < 0.4


async def test_a_handler_that_was_removed_does_nothing_within_a_second(client: AsyncClient) -> None:
    await client.apply_event_handlers(started(), started("other", "conductor:order:sent"))
    await client.publish_event(EVENT, {"n": 1})

    async def has_started() -> bool:
        return await count(client) == 1

    await eventually_async(has_started)
    await client.delete_event_handler("h")
    began = len(await client.event_executions(event=EVENT))
    await client.publish_event(EVENT, {"n": 2})
    await client.publish_event("conductor:order:sent", {"n": 3})

    async def only_the_other_has() -> bool:
        return await count(client) == 1

    await eventually_async(only_the_other_has)
    assert len(await client.event_executions(event=EVENT)) == began == 1


async def test_a_stream_that_cannot_be_read_does_not_hide_the_others(client: AsyncClient) -> None:
    executor = client.connection.asynchronous()
    await client.apply_event_handlers(started("bad", "redis_stream:orders"))
    await executor.do([Command(("DEL", "orders")), Command(("SET", "orders", "a text"))])
    await client.apply_event_handlers(started())
    await client.publish_event(EVENT, {"n": 1})

    async def has_started() -> bool:
        return await count(client) == 1

    await eventually_async(has_started)
    await executor.do(Command(("DEL", "orders")))
    await client.apply_event_handlers(started("bad", "redis_stream:orders"))
    await client.publish_event("redis_stream:orders", {"n": 2})

    async def both_have() -> bool:
        return await count(client) == 2

    await eventually_async(both_have, timeout_s=20)


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(redis_url=redis_url, partitions=PARTITIONS)


class Roles:
    """Processes of the system-task role."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "workers")])}
        process = subprocess.Popen([sys.executable, "-c", ROLE, self._url], env=environment)
        self._running.append(process)
        return process

    def end(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def roles(redis_url: str) -> Iterator[Roles]:
    made = Roles(redis_url)
    yield made
    made.end()


@pytest.fixture
def decider(settings: Settings) -> Iterator[None]:
    """A decider in a thread."""
    process, ready = DeciderProcess(settings), threading.Event()
    thread = threading.Thread(target=process.run, args=(ready.set,))
    thread.start()
    assert ready.wait(10)
    yield
    process.stop()
    thread.join()


@pytest.mark.usefixtures("decider")
def test_every_message_has_one_effect_although_processes_are_killed(settings: Settings, roles: Roles) -> None:
    """Three processes share the messages; they are killed again and again while they are at it."""
    messages = 400
    flow: WorkflowDef = workflow_def(noop("a"))
    with Client(settings=settings) as client:
        client.register(flow)
        client.apply_event_handlers(started())
        running = [roles.start() for _ in range(3)]
        for number in range(messages):
            client.publish_event(EVENT, {"n": number}, message_id=f"m{number}")
            if number % 100 == 50:
                eventually(lambda: client.list_workflows(name="flow").total > 0, timeout_s=20)
                victim = running.pop(0)
                victim.send_signal(signal.SIGKILL)
                running.append(roles.start())
        stream, executor = client.store.keys.event_queue(EVENT), client.connection.sync()
        eventually(lambda: executor.do(Command(("XLEN", stream))) == 0, timeout_s=40)
        # An execution is listed once its first step is decided, a moment after the message is done with.
        eventually(lambda: client.list_workflows(name="flow").total >= messages, timeout_s=20)
        page = client.list_workflows(name="flow", size=1000)
        assert page.total == messages
        executions = client.event_executions("h", size=1000)
        assert len(executions) == messages
        assert {one.status for one in executions} == {"COMPLETED"}
        assert {one.output["workflowId"] for one in executions} == {one.workflow_id for one in page.items}
        running[0].send_signal(signal.SIGTERM)
        assert running[0].wait(20) == 0
        pending = executor.do(event_queue.idle(client.store.keys, EVENT, 0, 10))
        assert pending == {}


@pytest.mark.usefixtures("decider")
def test_every_delivery_has_one_effect_although_processes_are_killed(settings: Settings, roles: Roles) -> None:
    """An acknowledged delivery ends the task that awaits it, and not the next one that awaits the like."""
    number_of, matches = 60, {"matches": {"$.n": "${workflow.input.n}"}}
    flow = workflow_def(step("WAIT_FOR_WEBHOOK", "one", matches), step("WAIT_FOR_WEBHOOK", "two", matches))
    webhook = Webhook(
        name="bank",
        verifier=Verifier.HEADER_BASED,
        headers={"X-Token": "s3cret"},
        receiver_workflow_names_to_versions={"flow": 1},
        workflows_to_start={"new": 1},
    )
    settings = replace(settings, secrets_key=new_key())
    with Client(settings=settings) as client:
        client.register(flow, workflow_def(noop("n"), name="new"))
        bank = str(client.save_webhook(webhook).id)
        handles = [client.start_workflow("flow", n=number) for number in range(number_of)]
        running = [roles.start() for _ in range(2)]
        for number in range(number_of):
            headers, body = {"x-token": "s3cret", "webhook-id": f"d{number}"}, b'{"n": %d}' % number
            client.run(webhooks.receive(client.store, bank, headers, body, 0))
            if number == number_of // 2:
                eventually(lambda: client.list_workflows(name="new").total > 0, timeout_s=20)
                running.pop(0).send_signal(signal.SIGKILL)
                running.append(roles.start())
        stream, executor = client.store.keys.event_queue(webhooks.EVENT), client.connection.sync()
        eventually(lambda: executor.do(Command(("XLEN", stream))) == 0, timeout_s=40)
        eventually(lambda: client.list_workflows(name="new").total >= number_of, timeout_s=20)
        assert client.list_workflows(name="new").total == number_of
        told = client.run(webhooks.deliveries(client.store, bank, size=1000))
        assert [(one.status, one.task_count) for one in told] == [("COMPLETED", 1)] * number_of
        for handle in handles:
            eventually(partial(has_gone_on, handle))
            assert [str(task.status) for task in handle.describe().tasks] == ["COMPLETED", "IN_PROGRESS"]


def has_gone_on(handle: WorkflowHandle) -> bool:
    """Whether the second task has begun."""
    return len(handle.describe().tasks) == 2
