"""start_task: the partition confirms a claim, or says why not."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.model.events import TaskBegan
from orchestrator.model.records import decode_scheduled
from orchestrator.plan import Command
from orchestrator.store.dispatch import OUTSIDE, Claimed, Report, Started, accept, attempt, parse_dispatch, start_task
from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from tests.store.scene import DONE, META, NOON, SUFFIX, Scene

TIMER = f"w1 {SUFFIX} charge"


def begin(scene: Scene, task: str, delivery: int = 1, claimant: str = "worker-1") -> Any:
    """Confirm one claim."""
    [answer] = scene.do(start_task(scene.keys, 1, claimant, [Claimed(task, delivery)]))
    return answer


def test_a_claimed_task_starts_with_its_input_and_a_running_clock(scene: Scene) -> None:
    task = scene.open(timeout_ms=90_000, response_ms=30_000)
    scene.at(NOON + 500)
    answer = begin(scene, task)
    assert isinstance(answer, Started)
    assert decode_scheduled(answer.scheduled).ref == "charge"
    assert (answer.meta, answer.started_ms) == (META, NOON + 500)
    assert (answer.polls, answer.response_ms) == (1, 30_000)
    text = scene.dispatch()
    assert text == f"R 1 {NOON + 500} {NOON + 500} 1 90000 30000 worker-1 charge"
    assert parse_dispatch(text.encode()).text == text
    assert scene.timers() == {TIMER: NOON + 30_500}


def test_an_open_attempt_is_seen_with_what_it_was_made_with(scene: Scene) -> None:
    task = scene.open(response_ms=30_000)
    found = scene.do(attempt(scene.keys, 1, task))
    assert (found.dispatch.state, found.dispatch.ref, found.dispatch.response_ms) == ("S", "charge", 30_000)
    assert decode_scheduled(found.scheduled).ref == "charge"
    before = scene.everything()
    assert scene.do(attempt(scene.keys, 1, "w1-zzzzzzzzzzzz")) is None
    assert scene.do(attempt(scene.keys, 1, "w2-zzzzzzzzzzzz")) is None
    assert scene.everything() == before


def test_the_repeat_of_a_lost_answer_changes_nothing(scene: Scene) -> None:
    task = scene.open(timeout_ms=90_000)
    first = begin(scene, task)
    before = scene.everything()
    assert begin(scene, task) == first
    assert scene.everything() == before


def test_a_later_delivery_takes_over_and_the_first_start_is_kept(scene: Scene) -> None:
    task = scene.open(timeout_ms=90_000, response_ms=60_000)
    begin(scene, task)
    scene.at(NOON + 70_000)
    assert begin(scene, task, 2, "worker-2").started_ms == NOON
    assert scene.dispatch() == f"R 2 {NOON} {NOON + 70_000} 2 90000 60000 worker-2 charge"
    assert scene.timers() == {TIMER: NOON + 60_000}


@pytest.mark.parametrize(("delivery", "claimant"), [(2, "worker-2"), (1, "worker-1"), (0, "worker-1")])
def test_an_older_or_anothers_delivery_is_stale(scene: Scene, delivery: int, claimant: str) -> None:
    task = scene.open()
    begin(scene, task, 2)
    before = scene.everything()
    assert begin(scene, task, delivery, claimant) == "STALE"
    assert scene.everything() == before


def test_a_task_that_is_not_open_is_gone(scene: Scene) -> None:
    task = scene.open()
    before = scene.everything()
    assert begin(scene, "w1-zzzzzzzzzzzz") == "GONE"
    assert begin(scene, "w9-" + SUFFIX) == "GONE"
    assert scene.everything() == before
    scene.do(accept(scene.keys, 1, "outside", [Report(task, OUTSIDE, True, DONE)]))
    before = scene.everything()
    assert begin(scene, task) == "GONE"
    assert scene.everything() == before


def test_a_task_that_waits_for_an_outside_event_cannot_be_claimed(scene: Scene) -> None:
    task = scene.open(state="W")
    before = scene.everything()
    assert begin(scene, task) == "GONE"
    assert scene.everything() == before


def test_a_postponed_task_keeps_its_first_start_and_counts_polls(scene: Scene) -> None:
    task = scene.open()
    begin(scene, task)
    scene.do(accept(scene.keys, 1, "worker-1", [Report(task, 1, False, DONE)]))
    scene.at(NOON + 1_000)
    assert begin(scene, task, 2).started_ms == NOON
    assert scene.dispatch() == f"R 2 {NOON} {NOON + 1_000} 2 0 0 worker-1 charge"


def test_a_start_never_puts_a_timer_off(scene: Scene) -> None:
    task = scene.open()
    assert scene.timers() == {TIMER: NOON + 60_000}
    begin(scene, task)
    assert scene.timers() == {TIMER: NOON + 60_000}


@pytest.mark.parametrize(("timeout_ms", "wakes"), [(2_000, 1), (2_001, 0)])
def test_the_owner_is_woken_for_a_timer_it_would_sleep_over(scene: Scene, timeout_ms: int, wakes: int) -> None:
    task = scene.open(timeout_ms=timeout_ms)
    begin(scene, task)
    assert (len(scene.wakes()), scene.inbox()) == (wakes, [])


def test_the_owner_is_not_woken_behind_an_earlier_timer(scene: Scene) -> None:
    task = scene.open(timeout_ms=1_500)
    scene.do(Command(("ZADD", scene.keys.timers(1), NOON + 1_500, "w0 - ")))
    begin(scene, task)
    assert scene.inbox() == []


def test_a_batch_answers_every_task_in_order(scene: Scene) -> None:
    tasks = [scene.open("w1"), scene.open("w1", "bbbbbbbbbbbb", "ship it"), scene.open("w2")]
    claims = [Claimed(tasks[0], 1), Claimed("w9-" + SUFFIX, 1), Claimed(tasks[2], 1), Claimed(tasks[1], 1)]
    answers = scene.do(start_task(scene.keys, 1, "worker-1", [*claims, claims[0]]))
    refs = [decode_scheduled(answer.scheduled).ref if answer != "GONE" else "GONE" for answer in answers]
    assert refs == ["charge", "GONE", "charge", "ship it", "charge"]
    assert scene.dispatch("w1", "bbbbbbbbbbbb").endswith("worker-1 ship it")
    assert parse_dispatch(scene.dispatch().encode()).polls == 1


@pytest.mark.parametrize("key", ["dispatch", "workflow"])
def test_a_foreign_key_refuses_its_task_only(scene: Scene, key: str) -> None:
    tasks = [scene.open("w1"), scene.open("w2")]
    scene.spoil(getattr(scene.keys, key)(1, "w1"))
    first, second = scene.do(start_task(scene.keys, 1, "worker-1", [Claimed(task, 1) for task in tasks]))
    assert first == "CORRUPT"
    assert isinstance(second, Started)


def test_a_damaged_entry_or_a_missing_record_is_corrupt(scene: Scene) -> None:
    task = scene.open()
    scene.do(Command(("HDEL", scene.keys.workflow(1, "w1"), "Scharge")))
    assert begin(scene, task) == "CORRUPT"
    scene.do(Command(("HSET", scene.keys.dispatch(1, "w1"), SUFFIX, "R one")))
    before = scene.everything()
    assert begin(scene, task) == "CORRUPT"
    assert scene.everything() == before


def test_a_claimants_name_cannot_break_the_entry(scene: Scene) -> None:
    task = scene.open()
    begin(scene, task, claimant="host one 7")
    assert parse_dispatch(scene.dispatch().encode()).claimant == "host_one_7"
    assert isinstance(begin(scene, task, claimant="host one 7"), Started)


def test_the_servers_clock_starts_a_task(store: SyncExecutor, keys: Keys) -> None:
    scene = Scene(store, keys)
    task = scene.open(timeout_ms=5_000)
    answer = begin(scene, task)
    assert scene.timers() == {TIMER: answer.started_ms + 5_000}


def test_the_first_start_of_a_task_that_is_to_be_told_is_put_into_the_inbox_once(scene: Scene) -> None:
    task = scene.open(tells_start=True)
    assert parse_dispatch(scene.dispatch().encode()).claimant == "-"
    scene.do(Command(("DEL", scene.keys.inbox(1))))
    begin(scene, task)
    begin(scene, task)  # its answer was lost
    begin(scene, task, 2, "worker-2")
    assert scene.events() == [TaskBegan(NOON, task, "charge")]
