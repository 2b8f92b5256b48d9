"""KAFKA_PUBLISH: against a real broker where one can be had, and against sockets that only pretend to be one."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from orchestrator import testing
from orchestrator.settings import Settings
from orchestrator.testing import TaskResult
from tests.support.build import step, workflow_def
from tests.support.kafka_server import KafkaServer

PATIENT = {"maxBlockMs": 20_000, "requestTimeoutMs": 10_000}


def publish(request: Any, settings: Settings | None = None, **fields: Any) -> TaskResult:
    """The one task of a workflow that sends this message."""
    with testing.environment(allow_http=True, settings=settings) as env:
        flow = workflow_def(step("KAFKA_PUBLISH", "send", {"kafka_request": request}, **fields))
        handle = env.client.start_workflow(flow)
        env.run_until_quiet()
        return testing.WorkflowResult(handle.describe()).task("send")


def received(broker: KafkaServer, topic: str) -> Any:
    """The first message of a topic."""

    async def read() -> Any:
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker.address, auto_offset_reset="earliest")
        await consumer.start()
        try:
            return await asyncio.wait_for(consumer.getone(), 30)
        finally:
            await consumer.stop()

    return asyncio.run(read())


@pytest.mark.timeout(300)
def test_a_message_arrives_with_key_headers_and_a_key_to_recognise_it_by(broker: KafkaServer) -> None:
    request = {
        **PATIENT,
        "bootStrapServers": broker.address,
        "topic": "orders",
        "value": {"id": 7},
        "key": "ada",
        "headers": {"kind": "new", "n": 1, "none": None},
    }
    task = publish(request)
    assert (task.status, task.output) == ("COMPLETED", {}), task.reason
    message = received(broker, "orders")
    assert (message.key, message.value) == (b"ada", b'{"id":7}')
    headers = dict(message.headers)
    assert (headers["kind"], headers["n"], "none" in headers) == (b"new", b"1", False)
    assert b"send" in headers["idempotency-key"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("topic", "key", "serializer", "sent"),
    [
        ("longs", "7", "org.apache.kafka.common.serialization.LongSerializer", struct.pack(">q", 7)),
        ("ints", 7, "org.apache.kafka.common.serialization.IntegerSerializer", struct.pack(">i", 7)),
        ("texts", 7, "org.apache.kafka.common.serialization.StringSerializer", b"7"),
    ],
)
def test_a_key_is_sent_as_its_serializer_would(
    broker: KafkaServer, topic: str, key: Any, serializer: str, sent: bytes
) -> None:
    request = {"bootStrapServers": broker.address, "topic": topic, "value": "text", "key": key}
    task = publish({**PATIENT, **request, "keySerializer": serializer}, async_complete=True)
    assert task.status == "IN_PROGRESS", task.reason
    message = received(broker, topic)
    assert (message.key, message.value) == (sent, b'"text"')


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ("text", "Missing Kafka request."),
        ({"topic": "t", "value": 1}, "No boot strap servers specified"),
        ({"bootStrapServers": "b:1", "value": 1}, "Missing Kafka topic."),
        ({"bootStrapServers": "b:1", "topic": "t"}, "Missing Kafka value."),
        (
            {"bootStrapServers": "b:1", "topic": "t", "value": 1, "key": "x", "keySerializer": "a.LongSerializer"},
            "the key 'x' is no number that a.LongSerializer can send",
        ),
        ({"bootStrapServers": "b:1", "topic": "t", "value": 1, "maxBlockMs": "soon"}, "maxBlockMs must be a number"),
        ({"bootStrapServers": "b:1", "topic": "t", "value": 1, "headers": [1]}, "headers must be an object"),
    ],
)
def test_a_message_that_cannot_be_sent_fails_with_the_reason(request_: Any, reason: str) -> None:
    task = publish(request_)
    assert task.status == "FAILED"
    assert reason in (task.reason or "")


def test_a_broker_that_never_speaks_costs_no_more_than_the_task_s_time_outs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        task = publish({"bootStrapServers": address, "topic": "t", "value": 1, "maxBlockMs": 100})
    assert (task.status, task.reason) == (
        "FAILED",
        "Failed to invoke kafka task due to: no acknowledgement for topic t within 0.2 s",
    )


def test_nobody_listening_fails_the_task() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    task = publish({"bootStrapServers": address, "topic": "t", "value": 1, "maxBlockMs": 5_000})
    assert task.status == "FAILED"
    assert "KafkaConnectionError" in (task.reason or "")


def test_brokers_outside_the_list_of_the_settings_are_refused() -> None:
    settings = Settings(kafka_servers="a:9092, b:9092")
    task = publish({"bootStrapServers": "a:9092,c:9092", "topic": "t", "value": 1}, settings)
    assert task.status == "FAILED_WITH_TERMINAL_ERROR"
    assert "a:9092,c:9092 is not among the brokers of the setting kafka_servers" in (task.reason or "")
