"""Events for a Kafka topic: the brokers are the installation's, the header ``message-id`` tells a repetition.

A definition names a topic only; which brokers that means is the setting ``kafka_servers`` of the processes that send.
"""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.errors import Unavailable
from orchestrator.systemtasks.context import Resources

CONNECT_S, SEND_S = 5.0, 5.0


class KafkaUnset(Exception):
    """Nothing says where the brokers are."""


class KafkaAway(Unavailable):
    """The brokers have not acknowledged the message."""

    code = "KAFKA_AWAY"


async def send(shared: Resources, event: str, message_id: str, payload: Any) -> None:
    """Send a message as JSON and wait until the brokers have it. Raises ``KafkaUnset`` and ``KafkaAway``."""
    servers = shared.settings.kafka_servers
    if not servers:
        raise KafkaUnset(
            f"{event}: no brokers are set; name them in the setting kafka_servers (ORCHESTRATOR_KAFKA_SERVERS) of the "
            "processes that run system tasks"
        )
    from orchestrator.systemtasks.kafka_client import KafkaProducers, Message, SendFailed, ServersRefused

    producers = shared.keep("kafka", lambda: KafkaProducers(shared.settings), KafkaProducers.close)
    headers = [("message-id", message_id.encode()), ("event", event.encode())]
    body = msgspec.json.encode(payload)
    topic = event.partition(":")[2]
    try:
        await producers.send(Message(servers, topic, body, message_id.encode(), headers, CONNECT_S, SEND_S))
    except (SendFailed, ServersRefused) as error:
        raise KafkaAway(f"{event}: {error}") from error
