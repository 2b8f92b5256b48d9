"""quarantine, unpark, dead_letter: what cannot be decided waits aside, in order, and nothing is lost."""

from __future__ import annotations

import pytest

from orchestrator.errors import StoreRefused
from orchestrator.model.events import Event
from orchestrator.plan import Command
from orchestrator.store.inbox import Entry, read_parked
from orchestrator.store.ownership import suspect
from orchestrator.store.partition import load_workflow, request
from orchestrator.store.quarantine import dead_letter, park_more, quarantine, unpark
from tests.store.scene import NOON, OWNER, Scene


@pytest.fixture
def stuck(scene: Scene) -> Scene:
    """Workflow w1 with a start and two requests in the inbox."""
    scene.start()
    scene.own()
    for number in (1, 2):
        scene.do(request(scene.keys, 1, "w1", f"req-{number}", "pause", {}))
    return scene


def ids(entries: list[Entry]) -> list[str]:
    """Their ids."""
    return [entry.id for entry in entries]


def told(entries: list[Entry]) -> list[Event]:
    """What they say, without the ids they have where they are."""
    return [entry.event for entry in entries]


def parked(scene: Scene) -> list[Entry]:
    """The parked entries of w1."""
    found: list[Entry] = scene.do(read_parked(scene.keys, 1, "w1"))
    return found


def set_aside(scene: Scene, reason: str = "KeyError: x", count: int = 1) -> object:
    """Quarantine w1 with the first ``count`` events."""
    return scene.do(quarantine(scene.keys, 1, scene.epoch, OWNER, "w1", reason, ids(scene.inbox())[:count]))


def test_the_event_is_parked_and_the_reason_kept(stuck: Scene) -> None:
    events = stuck.inbox()
    stuck.do(suspect(stuck.keys, 1, stuck.epoch, OWNER, [events[0].id]))
    assert set_aside(stuck) == ("OK", 1)
    assert told(parked(stuck)) == told(events[:1])
    assert ids(stuck.inbox()) == ids(events[1:])
    assert stuck.do(load_workflow(stuck.keys, 1, "w1")).quarantine == "KeyError: x"
    fields = stuck.do(Command(("HMGET", stuck.keys.workflow(1, "w1"), "qe", "qt")))
    assert fields == [events[0].id.encode(), str(NOON).encode()]
    assert stuck.do(Command(("HKEYS", stuck.keys.ownership(1)))) == [b"o", b"e", b"x", b"n"]


def test_the_same_again_changes_nothing(stuck: Scene) -> None:
    events = ids(stuck.inbox())
    set_aside(stuck)
    before = stuck.everything()
    again = quarantine(stuck.keys, 1, stuck.epoch, OWNER, "w1", "another reason", events[:1])
    assert stuck.do(again) == ("OK", 0)
    assert stuck.everything() == before


def test_later_events_are_parked_behind_it(stuck: Scene) -> None:
    everything = told(stuck.inbox())
    set_aside(stuck)
    assert stuck.do(park_more(stuck.keys, 1, stuck.epoch, OWNER, "w1", ids(stuck.inbox()))) == ("OK", 2)
    assert told(parked(stuck)) == everything
    assert stuck.inbox() == []


def test_unpark_replays_in_order_and_ends_the_quarantine_with_the_last(stuck: Scene) -> None:
    everything = told(stuck.inbox())
    set_aside(stuck, count=3)
    assert stuck.do(unpark(stuck.keys, 1, "w1", limit=2)) == (2, 1)
    assert stuck.do(load_workflow(stuck.keys, 1, "w1")).quarantine is not None
    assert stuck.do(unpark(stuck.keys, 1, "w1")) == (1, 0)
    assert told(stuck.inbox()) == everything
    assert stuck.do(load_workflow(stuck.keys, 1, "w1")).quarantine is None
    before = stuck.everything()
    assert stuck.do(unpark(stuck.keys, 1, "w1")) == (0, 0)
    assert stuck.everything() == before


def test_an_owner_that_missed_the_unparking_is_told_to_decide(stuck: Scene) -> None:
    set_aside(stuck)
    stuck.do(unpark(stuck.keys, 1, "w1"))
    before = stuck.everything()
    assert stuck.do(park_more(stuck.keys, 1, stuck.epoch, OWNER, "w1", ids(stuck.inbox()))) == ("FREE", 0)
    assert stuck.everything() == before


def test_an_owner_that_holds_an_event_which_unpark_moved_does_not_commit_it(stuck: Scene) -> None:
    held = stuck.inbox()[-1]
    set_aside(stuck)
    stuck.do(unpark(stuck.keys, 1, "w1"))
    before = stuck.everything()
    for is_cut, verdict in ((True, "CONFLICT"), (False, "GONE")):  # the second time it looks whether the event is there
        batch = stuck.batch()
        batch.section("w1", 0, [held.id]).put_workflow("c", b"core")
        if is_cut:
            batch.cut_inbox(held.id)
        assert stuck.commit(batch).verdicts == [(verdict, "")]
        assert stuck.everything() == before
    for expected in (0, 1):  # what is there is committed, and from then on as always
        batch = stuck.batch()
        batch.section("w1", expected, [stuck.inbox()[0].id]).put_workflow("c", b"core")
        if expected:
            batch.cut_inbox(stuck.inbox()[0].id)
        assert stuck.commit(batch).verdicts == [("OK", "")]
    assert len(stuck.inbox()) == 1


def test_a_workflow_without_record_cannot_be_set_aside(stuck: Scene) -> None:
    events = ids(stuck.inbox())
    before = stuck.everything()
    assert stuck.do(quarantine(stuck.keys, 1, stuck.epoch, OWNER, "w9", "why", events)) == ("UNKNOWN", 0)
    assert stuck.do(unpark(stuck.keys, 1, "w9")) is None
    assert stuck.everything() == before
    stuck.spoil(stuck.keys.workflow(1, "w1"))
    before = stuck.everything()
    assert set_aside(stuck) == ("CORRUPT", 0)
    assert stuck.everything() == before


def test_dead_letters_keep_the_event_with_the_reason(stuck: Scene) -> None:
    events = stuck.inbox()
    assert stuck.do(dead_letter(stuck.keys, 1, stuck.epoch, OWNER, "no workflow", ids(events)[:2])) == 2
    assert ids(stuck.inbox()) == ids(events[2:])
    letters = stuck.do(Command(("XRANGE", stuck.keys.dead_letters(1), "-", "+")))
    fields = dict(zip(letters[0][1][::2], letters[0][1][1::2], strict=True))
    assert (fields[b"reason"], fields[b"at"], fields[b"k"]) == (b"no workflow", str(NOON).encode(), b"start")
    before = stuck.everything()
    assert stuck.do(dead_letter(stuck.keys, 1, stuck.epoch, OWNER, "again", ids(events)[:2])) == 0
    assert stuck.everything() == before


def test_a_fenced_owner_moves_nothing(stuck: Scene) -> None:
    events = ids(stuck.inbox())
    before = stuck.everything()
    for epoch, owner in ((stuck.epoch + 1, OWNER), (stuck.epoch, "decider-2")):
        assert stuck.do(quarantine(stuck.keys, 1, epoch, owner, "w1", "why", events)) == ("FENCED", 0)
        assert stuck.do(dead_letter(stuck.keys, 1, epoch, owner, "why", events)) is None
    assert stuck.everything() == before


def test_a_foreign_key_stops_the_move_before_anything_is_written(stuck: Scene) -> None:
    stuck.spoil(stuck.keys.parked(1, "w1"))
    stuck.spoil(stuck.keys.dead_letters(1))
    before = stuck.everything()
    calls = (
        quarantine(stuck.keys, 1, stuck.epoch, OWNER, "w1", "why", ids(stuck.inbox())),
        dead_letter(stuck.keys, 1, stuck.epoch, OWNER, "why", ids(stuck.inbox())),
        unpark(stuck.keys, 1, "w1"),
    )
    for call in calls:
        with pytest.raises(StoreRefused):
            stuck.do(call)
    assert stuck.everything() == before
