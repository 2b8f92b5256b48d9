"""due_timers and fire_timers: a timer fires once, when it is due, with the truth about its task."""

from __future__ import annotations

import pytest

from orchestrator.errors import StoreRefused
from orchestrator.model.events import TimerFired
from orchestrator.plan import Command
from orchestrator.store.dispatch import Claimed, start_task
from orchestrator.store.timers import DueTimers, Fired, Timer, due_timers, fire_timers, timer_member
from tests.store.scene import NOON, OWNER, SUFFIX, Scene


def due(scene: Scene) -> DueTimers:
    """What is due now."""
    found: DueTimers = scene.do(due_timers(scene.keys, 1))
    return found


def fire(scene: Scene, timers: list[Timer]) -> Fired:
    """Fire these as the present owner."""
    fired: Fired = scene.do(fire_timers(scene.keys, 1, scene.epoch, OWNER, timers))
    return fired


def test_nothing_is_due_before_its_time(scene: Scene) -> None:
    scene.open()
    scene.at(NOON + 59_999)
    assert due(scene) == (NOON + 59_999, NOON + 60_000, [])
    scene.at(NOON + 60_000)
    timer = Timer(f"w1 {SUFFIX} charge", NOON + 60_000, "w1", SUFFIX, "charge")
    assert due(scene) == (NOON + 60_000, None, [timer])


def test_a_fired_timer_carries_the_dispatch_truth(scene: Scene) -> None:
    task = scene.open(ref="ship it")
    scene.at(NOON + 1_000)
    scene.do(start_task(scene.keys, 1, "worker-1", [Claimed(task, 1)]))
    scene.at(NOON + 60_000)
    assert fire(scene, due(scene).timers) == (False, 1, None, NOON + 60_000)
    [event] = scene.events()
    assert event == TimerFired(NOON + 60_000, "ship it", task, "R", NOON + 1_000, NOON + 1_000, 1, worker_id="worker-1")


def test_a_timer_fires_once(scene: Scene) -> None:
    scene.open()
    scene.at(NOON + 60_000)
    timers = due(scene).timers
    assert fire(scene, [*timers, *timers]).fired == 1
    before = scene.everything()
    assert fire(scene, timers).fired == 0
    assert scene.everything() == before


def test_a_timer_of_a_closed_task_says_so(scene: Scene) -> None:
    scene.open()
    scene.do(Command(("DEL", scene.keys.dispatch(1, "w1"))))
    scene.at(NOON + 60_000)
    fire(scene, due(scene).timers)
    [event] = scene.events()
    assert isinstance(event, TimerFired)
    assert (event.ref, event.task_id, event.state, event.worker_id) == ("charge", f"w1-{SUFFIX}", "", None)


def test_a_timer_of_a_spoiled_workflow_fires_too(scene: Scene) -> None:
    scene.open()
    scene.spoil(scene.keys.dispatch(1, "w1"))
    scene.at(NOON + 60_000)
    assert fire(scene, due(scene).timers).fired == 1


def test_a_workflows_own_timer_names_no_task(scene: Scene) -> None:
    scene.own()
    scene.do(Command(("ZADD", scene.keys.timers(1), NOON, timer_member("w1"))))
    assert fire(scene, due(scene).timers).fired == 1
    [entry] = scene.inbox()
    assert (entry.workflow_id, entry.event) == ("w1", TimerFired(NOON, "", ""))


def test_a_timer_that_was_put_off_in_between_is_left_alone(scene: Scene) -> None:
    scene.open()
    scene.at(NOON + 60_000)
    timers = due(scene).timers
    scene.do(Command(("ZADD", scene.keys.timers(1), NOON + 90_000, timers[0].member)))
    before = scene.everything()
    assert fire(scene, timers) == (False, 0, NOON + 90_000, NOON + 60_000)
    assert fire(scene, [timers[0]._replace(due_ms=NOON + 90_000)]).fired == 0
    assert scene.everything() == before


def test_due_timers_come_in_order_and_no_more_than_asked(scene: Scene) -> None:
    for number in range(5):
        scene.do(Command(("ZADD", scene.keys.timers(1), NOON - number, f"w{number} - ")))
    scene.do(Command(("ZADD", scene.keys.timers(1), NOON + 5, "later - ")))
    found = scene.do(due_timers(scene.keys, 1, limit=2))
    assert [timer.workflow_id for timer in found.timers] == ["w4", "w3"]
    assert found.next_due_ms == NOON + 5


def test_a_fenced_owner_fires_nothing(scene: Scene) -> None:
    scene.open()
    scene.at(NOON + 60_000)
    timers = due(scene).timers
    before = scene.everything()
    assert scene.do(fire_timers(scene.keys, 1, scene.epoch + 1, OWNER, timers)).fenced
    assert scene.do(fire_timers(scene.keys, 1, scene.epoch, "decider-2", timers)).fenced
    assert scene.everything() == before


@pytest.mark.parametrize("key", ["inbox", "timers", "ownership"])
def test_a_foreign_key_of_the_partition_stops_firing(scene: Scene, key: str) -> None:
    scene.open()
    scene.at(NOON + 60_000)
    timers = due(scene).timers
    scene.spoil(getattr(scene.keys, key)(1))
    before = scene.everything()
    with pytest.raises(StoreRefused):
        fire(scene, timers)
    assert scene.everything() == before
