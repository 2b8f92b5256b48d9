"""KAFKA_PUBLISH: one message to a topic, acknowledged by all in-sync brokers before the task is done.

Inputs are Conductor's. The value is sent as JSON (a text with its quotes). Deliberately more: every message has the
header ``idempotency-key``, the same for all attempts of the step, because a message whose acknowledgement was lost is
sent again.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import msgspec

from orchestrator.model.records import Outcome
from orchestrator.systemtasks import endings
from orchestrator.systemtasks.context import SystemContext

if TYPE_CHECKING:
    from orchestrator.systemtasks.kafka_client import Message

FAILED = "Failed to invoke kafka task due to: "
SEE = "See documentation for KafkaTask for required input parameters"
REQUEST_TIMEOUT_MS = 100
BLOCK_MS = 500
TIMEOUT_MS_MAX = 600_000
_NUMBERS = {"LongSerializer": ">q", "IntegerSerializer": ">i"}


class BadRequest(Exception):
    """The input says no message that can be sent."""


async def run(input: dict[str, Any], context: SystemContext) -> Outcome:
    """Send, and end when the brokers have the message (open until somebody completes it with asyncComplete)."""
    from orchestrator.systemtasks.kafka_client import KafkaProducers, SendFailed, ServersRefused

    try:
        message = read_message(input, context)
    except BadRequest as error:
        return endings.failed(str(error))
    producers = context.shared.keep("kafka", lambda: KafkaProducers(context.settings), KafkaProducers.close)
    try:
        await producers.send(message)
    except SendFailed as error:
        return endings.failed(f"{FAILED}{error}")
    except ServersRefused as error:
        return endings.terminal(f"{FAILED}{error}")
    return endings.parked({}) if input.get("asyncComplete") is True else endings.completed({})


def read_message(input: dict[str, Any], context: SystemContext) -> Message:
    """The message that a task's input describes. Raises ``BadRequest``."""
    from orchestrator.systemtasks.kafka_client import Message

    given = input.get("kafka_request")
    if not isinstance(given, dict):
        raise BadRequest(f"Missing Kafka request. {SEE}")
    if not given.get("bootStrapServers"):
        raise BadRequest("No boot strap servers specified")
    if not given.get("topic"):
        raise BadRequest(f"Missing Kafka topic. {SEE}")
    if given.get("value") is None:
        raise BadRequest(f"Missing Kafka value. {SEE}")
    headers = {"idempotency-key": context.task.idempotency_key, **_headers(given.get("headers"))}
    return Message(
        str(given["bootStrapServers"]),
        str(given["topic"]),
        msgspec.json.encode(given["value"]),
        _key(given.get("key"), str(given.get("keySerializer") or "")),
        [(name, value.encode()) for name, value in headers.items()],
        _milliseconds(given, "maxBlockMs", BLOCK_MS) / 1000,
        _milliseconds(given, "requestTimeoutMs", REQUEST_TIMEOUT_MS) / 1000,
    )


def _key(key: Any, serializer: str) -> bytes | None:
    """The key's bytes; ``serializer`` is the name of a Java class, whose kind decides."""
    if key is None or key == "":
        return None
    form = _NUMBERS.get(serializer.rpartition(".")[2])
    if form is not None:
        try:
            return struct.pack(form, int(key))
        except (TypeError, ValueError, struct.error):
            raise BadRequest(f"the key {str(key)[:100]!r} is no number that {serializer} can send") from None
    return (key if isinstance(key, str) else msgspec.json.encode(key).decode()).encode()


def _headers(headers: Any) -> dict[str, str]:
    if headers is None:
        return {}
    if not isinstance(headers, dict):
        raise BadRequest(f"headers must be an object, not {type(headers).__name__}")
    return {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in headers.items()
        if value is not None
    }


def _milliseconds(given: dict[str, Any], name: str, default: int) -> int:
    value = given.get(name)
    try:
        found = default if value is None or value == "" else int(value)
    except (TypeError, ValueError):
        found = 0
    if not 0 < found <= TIMEOUT_MS_MAX:
        raise BadRequest(f"{name} must be a number of milliseconds from 1 to {TIMEOUT_MS_MAX}, not {str(value)[:40]!r}")
    return found
