"""start: one execution per id and per idempotency key, whatever is repeated."""

from __future__ import annotations

import pytest

from orchestrator.errors import StoreRefused
from orchestrator.model.events import Started
from orchestrator.plan import Command
from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from orchestrator.store.partition import idempotency_field, load_definition, load_workflow, tell
from tests.store.scene import META, NOON, Scene, new

FIELD = idempotency_field("order", "key")


def test_a_start_is_kept_and_the_decider_is_told(scene: Scene) -> None:
    assert scene.start() == ("OK", "w1")
    loaded = scene.do(load_workflow(scene.keys, 1, "w1"))
    assert loaded == (0, "RUNNING", META, b"\x80", None, None, NOON, None)
    [entry] = scene.inbox()
    event = entry.event
    assert isinstance(event, Started)
    assert (entry.workflow_id, event.at_ms, event.meta.name, bytes(event.input)) == ("w1", NOON, "order", b"\x80")
    assert scene.do(load_definition(scene.keys, 1, "hash")) == b"body"


def test_the_same_request_again_changes_nothing(scene: Scene) -> None:
    scene.start(idempotency_field=FIELD)
    before = scene.everything()
    scene.at(NOON + 60_000)
    assert scene.start(idempotency_field=FIELD) == ("OK", "w1")
    scene.at(NOON)
    assert scene.everything() == before


def test_an_id_of_another_request_is_taken(scene: Scene) -> None:
    scene.start()
    before = scene.everything()
    assert scene.start(request_id="r2") == ("TAKEN", "")
    assert scene.everything() == before


def test_a_key_in_use_gives_the_execution_that_has_it(scene: Scene) -> None:
    scene.start(idempotency_field=FIELD)
    before = scene.everything()
    assert scene.start("w2", "r2", idempotency_field=FIELD) == ("EXISTS", "w1")
    assert scene.everything() == before
    assert scene.start("w3", "r3", idempotency_field=idempotency_field("order", "other")) == ("OK", "w3")


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "TIMED_OUT", "TERMINATED"])
def test_a_key_passes_on_when_the_named_predecessor_has_ended(scene: Scene, status: str) -> None:
    scene.start(idempotency_field=FIELD)
    scene.do(Command(("HSET", scene.keys.workflow(1, "w1"), "s", status)))
    assert scene.start("w2", "r2", idempotency_field=FIELD, expected_other="w1") == ("OK", "w2")
    assert scene.start("w3", "r3", idempotency_field=FIELD) == ("EXISTS", "w2")


def test_a_key_passes_on_when_the_named_predecessor_is_gone(scene: Scene) -> None:
    scene.start(idempotency_field=FIELD)
    scene.do(Command(("DEL", scene.keys.workflow(1, "w1"))))
    assert scene.start("w2", "r2", idempotency_field=FIELD, expected_other="w1") == ("OK", "w2")


@pytest.mark.parametrize("status", ["RUNNING", "PAUSED"])
def test_a_key_stays_while_the_named_predecessor_is_open(scene: Scene, status: str) -> None:
    scene.start(idempotency_field=FIELD)
    scene.do(Command(("HSET", scene.keys.workflow(1, "w1"), "s", status)))
    assert scene.start("w2", "r2", idempotency_field=FIELD, expected_other="w1") == ("EXISTS", "w1")


def test_a_key_stays_when_the_wrong_predecessor_is_named(scene: Scene) -> None:
    scene.start(idempotency_field=FIELD)
    scene.do(Command(("HSET", scene.keys.workflow(1, "w0"), "s", "COMPLETED")))
    assert scene.start("w2", "r2", idempotency_field=FIELD, expected_other="w0") == ("EXISTS", "w1")


def test_an_unknown_definition_is_asked_for_once(scene: Scene) -> None:
    before = scene.everything()
    assert scene.start(definition_body=b"") == ("NODEF", "")
    assert scene.everything() == before
    assert scene.start(definition_body=b"text").verdict == "OK"
    assert scene.start("w2", "r2", definition_body=b"").verdict == "OK"
    scene.start("w3", "r3", definition_body=b"other text")
    assert scene.do(load_definition(scene.keys, 1, "hash")) == b"text"


def test_what_was_buried_does_not_start(scene: Scene) -> None:
    scene.do(tell(scene.keys, 1, "w1", ("cancel", "t", None, "", 0), forbids_start=True))
    before = scene.everything()
    assert scene.start() == ("TOMB", "")
    assert scene.everything() == before
    assert scene.start("w2", "r2").verdict == "OK"


@pytest.mark.parametrize("key", ["inbox", "idempotency", "definitions"])
def test_a_foreign_key_stops_the_start_before_it_writes(scene: Scene, key: str) -> None:
    scene.spoil(getattr(scene.keys, key)(1))
    before = scene.everything()
    with pytest.raises(StoreRefused, match="another namespace"):
        scene.start(idempotency_field=FIELD)
    assert scene.everything() == before


def test_each_of_many_starts_is_answered_for_itself(scene: Scene) -> None:
    scene.start("taken", "r0")
    scene.do(tell(scene.keys, 1, "buried", ("cancel", "t", None, "", 0), forbids_start=True))
    scene.spoil(scene.keys.workflow(1, "foreign"))
    left = scene.everything()
    replies = scene.start_all(
        [
            new("w1", idempotency_field=FIELD),
            new("taken"),
            new("buried"),
            new("foreign"),
            new("w2", definition_hash="unknown", definition_body=b""),
            new("w3", idempotency_field=FIELD),
            new("w1", idempotency_field=FIELD),
            new("w4", definition_body=b""),
        ]
    )
    refused = replies.pop(3)
    assert isinstance(refused, StoreRefused)
    assert "another namespace" in str(refused)
    assert replies == [
        ("OK", "w1"),
        ("TAKEN", ""),
        ("TOMB", ""),
        ("NODEF", ""),
        ("EXISTS", "w1"),
        ("OK", "w1"),
        ("OK", "w4"),
    ]
    assert [entry.workflow_id for entry in scene.inbox() if isinstance(entry.event, Started)] == ["taken", "w1", "w4"]
    after = scene.everything()
    mine = {key for key in after if after[key] != left.get(key)}
    names = [scene.keys.workflow(1, "w1"), scene.keys.workflow(1, "w4"), scene.keys.inbox(1), scene.keys.idempotency(1)]
    assert mine == {name.encode() for name in names}


def test_a_definition_that_a_refused_start_brought_is_not_kept(scene: Scene) -> None:
    scene.start("taken", "r0")
    starts = [new("taken", definition_hash="other", definition_body=b"text")]
    assert scene.start_all(starts) == [("TAKEN", "")]
    assert scene.do(load_definition(scene.keys, 1, "other")) is None
    assert scene.start_all([*starts, new("w1", definition_hash="other", definition_body=b"")]) == [
        ("TAKEN", ""),
        ("OK", "w1"),
    ]
    assert scene.do(load_definition(scene.keys, 1, "other")) == b"text"


def test_a_foreign_key_of_the_named_predecessor_refuses_that_start_only(scene: Scene) -> None:
    scene.start(idempotency_field=FIELD)
    scene.spoil(scene.keys.workflow(1, "w1"))
    follower = new("w2", "r2", idempotency_field=FIELD, expected_other="w1")
    refused, started = scene.start_all([follower, new("w3", "r3")])
    assert isinstance(refused, StoreRefused)
    assert started == ("OK", "w3")


def test_several_predecessors_may_be_named_at_once(scene: Scene) -> None:
    fields = [idempotency_field("order", key) for key in "ab"]
    for number, field in enumerate(fields):
        scene.start(f"old{number}", f"r{number}", idempotency_field=field)
    scene.do(Command(("HSET", scene.keys.workflow(1, "old1"), "s", "COMPLETED")))
    starts = [
        new(f"new{number}", "r", idempotency_field=field, expected_other=f"old{number}")
        for number, field in enumerate(fields)
    ]
    assert scene.start_all(starts) == [("EXISTS", "old0"), ("OK", "new1")]


def test_the_servers_clock_dates_a_start(store: SyncExecutor, keys: Keys) -> None:
    scene = Scene(store, keys)
    scene.start()
    seconds, _ = store.do(Command(("TIME",)))
    loaded = store.do(load_workflow(keys, 1, "w1"))
    assert 0 <= int(seconds) * 1000 + 1000 - loaded.start_ms <= 60_000
