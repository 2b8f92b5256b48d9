"""The streams as their owner reads them: entries become events, damage is named."""

from __future__ import annotations

import pytest

from orchestrator.errors import InvalidPayload
from orchestrator.plan import Command
from orchestrator.store.connection import Connection
from orchestrator.store.inbox import Entry, event_of, forget_wakes, read_inbox, read_outbox
from tests.store.scene import NOON, Scene


def test_the_inbox_is_read_from_a_cursor_in_order(scene: Scene) -> None:
    for number in range(5):
        scene.start(f"w{number}", f"r{number}")
    first = scene.do(read_inbox(scene.keys, 1, count=2))
    rest = scene.do(read_inbox(scene.keys, 1, first[-1].id))
    assert [entry.workflow_id for entry in (*first, *rest)] == ["w0", "w1", "w2", "w3", "w4"]
    assert scene.do(read_inbox(scene.keys, 1, rest[-1].id)) == []


def test_a_blocking_read_ends_without_an_event(connection: Connection, scene: Scene) -> None:
    blocking = connection.blocking_sync(0.1)
    assert blocking.do(read_inbox(scene.keys, 3, block_ms=20)) == []
    blocking.close()


def test_the_outbox_is_read_behind_a_cursor(scene: Scene) -> None:
    scene.own()
    for number in range(3):
        scene.start(f"w{number}", f"r{number}")
        batch = scene.batch()
        scene.section(batch, f"w{number}").outbox(b"%d" % number)
        scene.commit(batch)
    entries = scene.do(read_outbox(scene.keys, 1, count=2))
    assert [body for _, body in entries] == [b"0", b"1"]
    assert [body for _, body in scene.do(read_outbox(scene.keys, 1, entries[-1][0]))] == [b"2"]


def test_a_wake_says_nothing_and_can_be_forgotten(scene: Scene) -> None:
    scene.do(Command(("XADD", scene.keys.inbox(1), "*", "k", "wake", "w", "", "t", NOON, "x", "", "b", "")))
    [entry] = scene.inbox()
    assert event_of(entry) is None
    scene.do(forget_wakes(scene.keys, 1, [entry.id]))
    assert scene.inbox() == []


@pytest.mark.parametrize(
    ("kind", "header", "body"),
    [
        ("start", "", b"\xc1"),
        ("start", "", b"\x92\xc4\x01\xc1\xc4\x00"),
        ("task", "abc 1", b""),
        ("task", "abc one 0 0 - ref", b"\x92\x01\xa9COMPLETED"),
        ("timer", "abc S", b""),
        ("op", "req", b"\x91\x01"),
        ("surprise", "", b""),
    ],
)
def test_a_damaged_entry_is_named(kind: str, header: str, body: bytes) -> None:
    with pytest.raises(InvalidPayload, match="event 1-1"):
        event_of(Entry("1-1", kind, "w1", NOON, header, body))
