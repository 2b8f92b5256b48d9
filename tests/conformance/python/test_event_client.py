"""What the SDK's ``EventClient`` keeps of event queues."""

from __future__ import annotations

import pytest

from tests.conformance.python.hand import Raised, Sdk, models

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def test_the_configuration_of_an_event_queue_is_kept_until_it_is_deleted(sdk: Sdk) -> None:
    queue = models.KafkaQueueConfiguration(topic="orders", servers="kafka.example:9092")
    sdk.event.put_queue_configuration(queue)
    kept = {
        "consumer": {"bootstrap.servers": "kafka.example:9092"},
        "producer": {"bootstrap.servers": "kafka.example:9092"},
    }
    assert sdk.event.get_kafka_queue_configuration("orders") == kept
    assert sdk.event.get_queue_configuration("kafka", "orders") == kept
    sdk.event.delete_queue_configuration(queue)
    with pytest.raises(Raised) as refused:
        sdk.event.get_queue_configuration("kafka", "orders")
    assert (refused.value.kind, refused.value.status) == ("ApiException", 404)
