"""The streams as their owner reads them: entries become events, damage is named."""

from __future__ import annotations

import pytest

from orchestrator.plan import Command
from orchestrator.store.connection import Connection
from orchestrator.store.inbox import Garbled, forget_wakes, parse_entry, read_inbox, read_outbox
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
    [wake] = scene.wakes()
    scene.do(forget_wakes(scene.keys, 1, [wake.id]))
    assert scene.wakes() == []


def _entry(
    kind: bytes, workflow: bytes = b"w1", at: bytes = b"5", header: bytes = b"", body: bytes = b""
) -> list[bytes]:
    return [b"k", kind, b"w", workflow, b"t", at, b"x", header, b"b", body]


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [b"some", b"thing"],
        [b"w", b"w1", b"k", b"go", b"t", b"5", b"x", b"", b"b", b""],
        _entry(b"go")[:8],
        _entry(b"go", workflow=b"\xff"),
        _entry(b"go", at=b"noon"),
        _entry(b"start", body=b"\xc1"),
        _entry(b"start", body=b"\x92\xc4\x01\xc1\xc4\x00"),
        _entry(b"task", header=b"abc 1"),
        _entry(b"task", header=b"abc one 0 0 - ref", body=b"\x92\x01\xa9COMPLETED"),
        _entry(b"task", header=b"abc 1 0 0 - \xff", body=b"\x92\x01\xa9COMPLETED"),
        _entry(b"timer", header=b"abc S"),
        _entry(b"op", header=b"req", body=b"\x91\x01"),
        _entry(b"op", header=b"req", body=b"\x92\xa5pause\x90"),
        _entry(b"op", header=b"req", body=b"\x92\xa5pause\x81\xa1a" + b"\x91" * 5000),
        _entry(b"surprise"),
        _entry(b"\xff"),
    ],
)
def test_an_entry_that_cannot_be_read_is_a_value_that_says_why(fields: list[bytes]) -> None:
    found = parse_entry([b"1-1", fields])
    assert isinstance(found, Garbled)
    assert found.id == "1-1"
    assert found.reason
