"""tell: a word from another workflow reaches the inbox, or forbids the start of a workflow that is not there."""

from __future__ import annotations

import pytest

from orchestrator.errors import StoreRefused
from orchestrator.model.events import Told
from orchestrator.plan import Command
from orchestrator.store.partition import tell
from tests.store.scene import NOON, Scene


def cancel(scene: Scene, *, forbids_start: bool = True) -> object:
    """Tell w1 that its parent's task is over."""
    return scene.do(tell(scene.keys, 1, "w1", ("cancel", "task", "enough", "", 0), forbids_start=forbids_start))


def test_a_word_arrives_as_an_event(scene: Scene) -> None:
    scene.start()
    assert cancel(scene) is True
    assert scene.events()[1] == Told(NOON, "cancel", "task", "enough")
    assert scene.do(Command(("EXISTS", scene.keys.tombstone(1, "w1")))) == 0


def test_a_word_to_nobody_forbids_the_start_for_an_hour(scene: Scene) -> None:
    assert cancel(scene) is False
    assert 0 < scene.do(Command(("PTTL", scene.keys.tombstone(1, "w1")))) <= 3_600_000
    assert scene.start() == ("TOMB", "")
    assert scene.events() == []


def test_a_word_that_forbids_nothing_leaves_nothing(scene: Scene) -> None:
    before = scene.everything()
    assert cancel(scene, forbids_start=False) is False
    assert scene.everything() == before


def test_a_foreign_key_stops_a_word_before_it_writes(scene: Scene) -> None:
    scene.start()
    scene.spoil(scene.keys.inbox(1))
    before = scene.everything()
    with pytest.raises(StoreRefused):
        cancel(scene)
    assert scene.everything() == before
