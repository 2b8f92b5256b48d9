"""accept: a final word is taken once; progress gives the task back to its queue; touch keeps a silent worker alive."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import StoreRefused
from orchestrator.model.events import TaskReported
from orchestrator.model.records import FORMAT, Outcome, encode
from orchestrator.plan import Command
from orchestrator.store.dispatch import OUTSIDE, Claimed, Report, accept, start_task, touch
from tests.store.scene import DONE, NOON, SUFFIX, Scene

PROGRESS = encode(Outcome(FORMAT, "IN_PROGRESS", callback_after_ms=5_000))


def running(scene: Scene, **options: Any) -> str:
    """A task that worker-1 runs under delivery 1."""
    task = scene.open(**options)
    scene.do(start_task(scene.keys, 1, "worker-1", [Claimed(task, 1)]))
    return task


def say(scene: Scene, task: str, delivery: int = 1, claimant: str = "worker-1", body: bytes = DONE) -> Any:
    """One report: final when it carries DONE."""
    [verdict] = scene.do(accept(scene.keys, 1, claimant, [Report(task, delivery, body == DONE, body)]))
    return verdict


def live(scene: Scene, task: str, delivery: int = 1, claimant: str = "worker-1") -> Any:
    """One sign of life."""
    [verdict] = scene.do(touch(scene.keys, 1, claimant, [Claimed(task, delivery)]))
    return verdict


def test_a_final_word_reaches_the_decider_with_the_dispatch_truth(scene: Scene) -> None:
    task = running(scene, ref="ship it")
    scene.at(NOON + 3_000)
    assert say(scene, task) == "OK"
    assert scene.dispatch() == f"A 1 {NOON} {NOON} 1 0 0 worker-1 ship it"
    [event] = scene.events()
    assert event == TaskReported(
        NOON + 3_000, task, "ship it", Outcome(FORMAT, "COMPLETED"), 1, NOON, 1, worker_id="worker-1"
    )


def test_a_final_word_counts_once(scene: Scene) -> None:
    task = running(scene)
    say(scene, task)
    before = scene.everything()
    scene.at(NOON + 60_000)
    assert say(scene, task) == "DUP"
    assert say(scene, task, OUTSIDE, "operator") == "DUP"
    assert say(scene, task, body=PROGRESS) == "DUP"
    scene.at(NOON)
    assert scene.everything() == before


def test_two_final_words_in_one_batch_count_once(scene: Scene) -> None:
    task = running(scene)
    reports = [Report(task, 1, True, DONE), Report(task, 1, True, DONE), Report("w9-" + SUFFIX, 1, True, DONE)]
    assert scene.do(accept(scene.keys, 1, "worker-1", reports)) == ["OK", "DUP", "GONE"]
    assert len(scene.inbox()) == 1


@pytest.mark.parametrize(("delivery", "claimant"), [(0, "worker-1"), (2, "worker-1"), (1, "worker-2")])
def test_the_word_of_another_delivery_or_claimant_is_stale(scene: Scene, delivery: int, claimant: str) -> None:
    task = running(scene)
    before = scene.everything()
    assert say(scene, task, delivery, claimant) == "STALE"
    assert say(scene, task, delivery, claimant, PROGRESS) == "STALE"
    assert scene.everything() == before


@pytest.mark.parametrize("state", ["S", "W"])
def test_an_outside_word_needs_no_lease(scene: Scene, state: str) -> None:
    task = scene.open(state=state)
    assert say(scene, task, OUTSIDE, "operator") == "OK"
    assert scene.dispatch() == "A 0 0 0 0 0 0 - charge"
    [event] = scene.events()
    assert isinstance(event, TaskReported)
    assert (event.delivery, event.worker_id) == (OUTSIDE, None)


def test_an_outside_word_overrules_a_running_worker(scene: Scene) -> None:
    task = running(scene)
    assert say(scene, task, OUTSIDE, "operator") == "OK"
    assert say(scene, task) == "DUP"


def test_progress_makes_the_task_claimable_again(scene: Scene) -> None:
    task = running(scene)
    scene.at(NOON + 2_000)
    assert say(scene, task, body=PROGRESS) == "OK"
    assert scene.dispatch() == f"S 1 {NOON} {NOON + 2_000} 1 0 0 worker-1 charge"
    [event] = scene.events()
    assert isinstance(event, TaskReported)
    assert event.outcome.callback_after_ms == 5_000
    assert say(scene, task) == "OK"


def test_progress_of_what_waits_for_an_outside_event_leaves_it_waiting(scene: Scene) -> None:
    task = scene.open(state="W")
    assert say(scene, task, OUTSIDE, "operator", PROGRESS) == "OK"
    assert scene.dispatch() == f"W 0 0 {NOON} 0 0 0 - charge"


def test_what_is_not_open_is_gone(scene: Scene) -> None:
    scene.open()
    before = scene.everything()
    assert say(scene, "w1-zzzzzzzzzzzz") == "GONE"
    assert say(scene, "w9-" + SUFFIX, OUTSIDE) == "GONE"
    assert scene.everything() == before


def test_a_foreign_or_damaged_entry_refuses_its_report_only(scene: Scene) -> None:
    tasks = [running(scene), scene.open("w2")]
    scene.spoil(scene.keys.dispatch(1, "w1"))
    reports = [Report(tasks[0], 1, True, DONE), Report(tasks[1], OUTSIDE, True, DONE)]
    assert scene.do(accept(scene.keys, 1, "worker-1", reports)) == ["CORRUPT", "OK"]
    scene.do(Command(("HSET", scene.keys.dispatch(1, "w3"), SUFFIX, "?")))
    before = scene.everything()
    assert say(scene, "w3-" + SUFFIX) == "CORRUPT"
    assert scene.everything() == before


def test_a_foreign_inbox_refuses_the_batch(scene: Scene) -> None:
    task = running(scene)
    scene.spoil(scene.keys.inbox(1))
    before = scene.everything()
    with pytest.raises(StoreRefused):
        say(scene, task)
    assert scene.everything() == before


def test_a_sign_of_life_is_recorded_and_leaves_the_timer_to_whoever_answers_it(scene: Scene) -> None:
    task = running(scene, timeout_ms=90_000, response_ms=30_000)
    for later in (20_000, 40_000, 65_000):
        scene.at(NOON + later)
        assert live(scene, task) == "OK"
        assert live(scene, task) == "OK"
        assert scene.timers() == {f"w1 {SUFFIX} charge": NOON + 30_000}
        assert scene.dispatch() == f"R 1 {NOON} {NOON + later} 1 90000 30000 worker-1 charge"


def test_a_sign_of_life_rearms_a_response_timer_that_has_fired(scene: Scene) -> None:
    task = running(scene, response_ms=30_000)
    scene.do(Command(("ZREM", scene.keys.timers(1), f"w1 {SUFFIX} charge")))
    scene.at(NOON + 31_000)
    assert live(scene, task) == "OK"
    assert scene.timers() == {f"w1 {SUFFIX} charge": NOON + 61_000}


def test_a_sign_of_life_without_response_time_out_arms_nothing(scene: Scene) -> None:
    task = running(scene)
    before = scene.timers()
    assert live(scene, task) == "OK"
    assert scene.timers() == before


def test_a_sign_of_life_counts_for_the_running_delivery_only(scene: Scene) -> None:
    task = running(scene, response_ms=30_000)
    before = scene.everything()
    assert live(scene, task, 2) == "STALE"
    assert live(scene, task, 0) == "STALE"
    assert live(scene, task, 1, "worker-2") == "STALE"
    assert live(scene, "w9-" + SUFFIX) == "GONE"
    assert scene.everything() == before
    say(scene, task)
    assert live(scene, task) == "GONE"


def test_a_sign_of_life_of_a_spoiled_workflow_is_corrupt(scene: Scene) -> None:
    task = running(scene)
    scene.spoil(scene.keys.dispatch(1, "w1"))
    before = scene.everything()
    assert live(scene, task) == "CORRUPT"
    assert scene.everything() == before


def test_progress_of_a_task_that_is_kept_leaves_it_with_whoever_has_it(scene: Scene) -> None:
    task = running(scene)
    kept = Report(task, OUTSIDE, False, PROGRESS, is_kept=True)
    assert scene.do(accept(scene.keys, 1, "operator", [kept])) == ["OK"]
    assert scene.dispatch().startswith("R 1 ")
    assert say(scene, task, 1, "worker-1") == "OK"
    assert scene.dispatch().startswith("A 1 ")


def test_a_parked_task_waits_for_an_outside_word_only(scene: Scene) -> None:
    task = running(scene)
    parked = Report(task, 1, False, PROGRESS, is_parked=True)
    assert scene.do(accept(scene.keys, 1, "worker-1", [parked])) == ["OK"]
    assert scene.dispatch().startswith("W 1 ")
    assert scene.do(start_task(scene.keys, 1, "worker-2", [Claimed(task, 2)])) == ["GONE"]
    assert say(scene, task, OUTSIDE, "operator") == "OK"
    assert scene.dispatch().startswith("A 1 ")
