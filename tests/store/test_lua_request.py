"""request: an operation reaches the decider once per request id, and its answer is kept."""

from __future__ import annotations

import pytest

from orchestrator.errors import StoreRefused
from orchestrator.model.events import Operation
from orchestrator.plan import Command
from orchestrator.store.partition import read_answer, request
from tests.store.scene import NOON, Scene


def ask(scene: Scene, request_id: str = "req", workflow_id: str = "w1") -> object:
    """Ask to pause."""
    return scene.do(request(scene.keys, 1, workflow_id, request_id, "pause", {"reason": "lunch"}))


def test_an_operation_is_sent_with_its_arguments(scene: Scene) -> None:
    scene.start()
    assert ask(scene) == ("SENT", b"")
    operation = scene.events()[1]
    assert operation == Operation(NOON, "req", "pause", {"reason": "lunch"})
    assert scene.do(read_answer(scene.keys, 1, "req")) == b""
    assert 0 < scene.do(Command(("PTTL", scene.keys.answer(1, "req")))) <= 600_000


def test_a_repeat_waits_for_the_first(scene: Scene) -> None:
    scene.start()
    ask(scene)
    before = scene.everything()
    assert ask(scene) == ("PENDING", b"")
    assert scene.everything() == before


def test_a_repeat_after_the_answer_gets_the_answer(scene: Scene) -> None:
    scene.start()
    scene.own()
    ask(scene)
    batch = scene.batch()
    scene.section(batch).answer("req", b"refused")
    scene.commit(batch)
    before = scene.everything()
    assert ask(scene) == ("ANSWERED", b"refused")
    assert scene.everything() == before
    assert ask(scene, "req-2") == ("SENT", b"")


def test_an_unknown_workflow_is_not_asked(scene: Scene) -> None:
    before = scene.everything()
    assert ask(scene) == ("UNKNOWN", b"")
    assert scene.everything() == before
    assert scene.do(read_answer(scene.keys, 1, "req")) is None


def test_a_foreign_inbox_stops_the_request_before_it_is_marked(scene: Scene) -> None:
    scene.start()
    scene.spoil(scene.keys.inbox(1))
    before = scene.everything()
    with pytest.raises(StoreRefused):
        ask(scene)
    assert scene.everything() == before
