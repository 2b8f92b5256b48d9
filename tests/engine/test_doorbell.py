"""Waiting for many inboxes at once: a ring for what is there or comes, and an end of the waiting otherwise."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from orchestrator.engine.doorbell import Doorbell
from orchestrator.plan import Command
from orchestrator.store.connection import Connection, connect
from orchestrator.store.keys import Keys
from tests.support.eventually import eventually

KEYS = Keys(partitions=4)
NOBODY = dict.fromkeys(range(4), "0")


@pytest.fixture
def connection(redis_url: str) -> Iterator[Connection]:
    connection = connect(redis_url)
    yield connection
    connection.close()


@pytest.fixture
def doorbell(connection: Connection) -> Iterator[Doorbell]:
    doorbell = Doorbell(connection.blocking_sync(2.0), KEYS)
    yield doorbell
    doorbell.close()


def _arrive(connection: Connection, number: int) -> str:
    entry: bytes = connection.sync().do(
        Command(("XADD", KEYS.inbox(number), "*", "k", "wake", "w", "", "t", 5, "x", "", "b", ""))
    )
    return entry.decode()


def _waited_s(doorbell: Doorbell, cursors: dict[int, str], timeout_s: float) -> float:
    before = time.monotonic()
    doorbell.wait(cursors, timeout_s)
    return time.monotonic() - before


def test_nothing_comes_and_the_waiting_ends(doorbell: Doorbell) -> None:
    assert _waited_s(doorbell, NOBODY, 0.2) >= 0.2


def test_what_is_there_already_rings_at_once_and_what_was_read_does_not(
    doorbell: Doorbell, connection: Connection
) -> None:
    entry = _arrive(connection, 2)
    assert _waited_s(doorbell, NOBODY, 30) < 10
    assert _waited_s(doorbell, {**NOBODY, 2: entry}, 0.2) >= 0.2


def test_whichever_inbox_gets_an_entry_rings(doorbell: Doorbell, connection: Connection) -> None:
    cursors = dict(NOBODY)
    for number in (3, 0, 3):
        ringer = threading.Thread(target=lambda to=number: cursors.update({to: _arrive(connection, to)}))
        before = dict(cursors)
        ringer.start()
        assert _waited_s(doorbell, before, 30) < 10
        ringer.join()


def test_threads_end_when_the_doorbell_is_closed(connection: Connection) -> None:
    doorbell = Doorbell(connection.blocking_sync(2.0), KEYS)
    doorbell.wait(NOBODY, 0.01)
    mine = [thread for thread in threading.enumerate() if thread.name.startswith("inbox-")]
    doorbell.close()
    for number in range(4):
        _arrive(connection, number)
    eventually(lambda: not any(thread.is_alive() for thread in mine))
