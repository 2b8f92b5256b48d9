"""What several tests of system tasks share: a Kafka broker for each module, so that topics may have any name."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.kafka_server import BrokerMissing, KafkaServer


@pytest.fixture(scope="module")
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
