"""What several tests of system tasks share: one Kafka broker for all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.kafka_server import BrokerMissing, KafkaServer


@pytest.fixture(scope="session")
def broker() -> Iterator[KafkaServer]:
    """A running broker; without one the test is skipped, in CI it fails."""
    try:
        server = KafkaServer()
    except BrokerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))
    with server:
        yield server
