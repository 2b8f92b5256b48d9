"""The scripts settle, heartbeat and remove_task: how leases end, are extended, and are called off."""

from __future__ import annotations

import pytest

from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from orchestrator.store.queue import Beat, Claimed, Release, Removed
from tests.store.queue_story import QueueStory

LEASE_MS = 15_000


@pytest.fixture
def queue(timed_store: SyncExecutor, keys: Keys) -> QueueStory:
    return QueueStory(timed_store, keys, lease_ms=LEASE_MS)


@pytest.fixture
def task(queue: QueueStory) -> Claimed:
    queue.offer("a")
    (task,) = queue.take()
    return task


def test_a_task_that_is_done_is_forgotten(queue: QueueStory, task: Claimed) -> None:
    assert queue.release(Release.DONE, task) == 1
    assert queue.check()["records"] == []


def test_a_repeated_release_changes_nothing(queue: QueueStory, task: Claimed) -> None:
    queue.release(Release.DONE, task)
    assert queue.release(Release.DONE, task) == 0
    assert queue.release(Release.DONE) == 0


def test_the_same_release_twice_in_one_batch_counts_once(queue: QueueStory, task: Claimed) -> None:
    assert queue.release(Release.DONE, task, task) == 1
    queue.check()


def test_a_release_under_an_older_offer_puts_the_task_back(queue: QueueStory, task: Claimed) -> None:
    queue.offer("a")
    assert queue.release(Release.DONE, task) == 1
    assert queue.check()["ready"] == ["a"]
    assert queue.take() == [Claimed("a", 2, 1, False)]


@pytest.mark.parametrize("how", list(Release))
def test_a_release_of_an_older_delivery_changes_nothing(queue: QueueStory, task: Claimed, how: Release) -> None:
    queue.advance(LEASE_MS)
    (newer,) = queue.take()
    assert queue.release(how, task, delay_ms=100) == 0
    assert queue.check()["leased"] == ["a"]
    assert queue.beat(newer) == [Beat.OK]


def test_a_task_that_is_done_after_its_lease_ended_is_not_handed_out_again(queue: QueueStory, task: Claimed) -> None:
    queue.advance(LEASE_MS)
    queue.take(0)
    assert queue.check()["ready"] == ["a"]
    assert queue.release(Release.DONE, task) == 1
    assert queue.check()["records"] == []


@pytest.mark.parametrize("how", [Release.BACK, Release.HOLD])
def test_a_lease_that_has_ended_cannot_be_handed_back(queue: QueueStory, task: Claimed, how: Release) -> None:
    queue.advance(LEASE_MS)
    queue.take(0)
    assert queue.release(how, task, delay_ms=100) == 0
    assert queue.check()["ready"] == ["a"]


def test_a_task_handed_back_is_ready_at_once_in_its_old_place(queue: QueueStory, task: Claimed) -> None:
    queue.advance(10)
    queue.offer("b")
    assert queue.release(Release.BACK, task) == 1
    assert queue.take_ids(5) == ["a", "b"]


def test_a_task_handed_back_wakes_a_waiter(queue: QueueStory, task: Claimed) -> None:
    queue.claim(claimant="w2", wait_ms=2000)
    queue.release(Release.BACK, task)
    assert queue.tokens() == 1


def test_a_release_wakes_nobody_in_an_unlimited_queue(queue: QueueStory, task: Claimed) -> None:
    queue.offer("b")
    queue.claim(claimant="w2", domain="eu", wait_ms=2000)
    queue.release(Release.DONE, task)
    assert (queue.tokens(), queue.tokens("eu")) == (0, 0)


@pytest.mark.parametrize(("wait_ms", "taken"), [(499, []), (500, ["a"])])
def test_a_postponed_task_comes_back_after_its_delay(
    queue: QueueStory, task: Claimed, wait_ms: int, taken: list[str]
) -> None:
    assert queue.release(Release.HOLD, task, delay_ms=500) == 1
    assert queue.check()["held"] == ["a"]
    queue.advance(wait_ms)
    assert queue.take_ids() == taken
    queue.check()


def test_a_task_postponed_by_nothing_is_ready_behind_the_others_and_holds_no_slot(
    queue: QueueStory, task: Claimed
) -> None:
    queue.offer("b")
    queue.release(Release.HOLD, task)
    assert queue.check()["held"] == []
    assert queue.take_ids(5) == ["b", "a"]


@pytest.mark.parametrize(("delay_ms", "told"), [(1_999, b"1"), (2_000, None)])
def test_a_waiter_is_told_of_a_postponed_task_that_comes_before_it_would_look_again(
    queue: QueueStory, task: Claimed, delay_ms: int, told: bytes | None
) -> None:
    queue.claim(claimant="w2", wait_ms=2_000)
    queue.release(Release.HOLD, task, delay_ms=delay_ms)
    assert queue.listen() == told


def test_a_repeated_postponement_does_not_postpone_again(queue: QueueStory, task: Claimed) -> None:
    queue.release(Release.HOLD, task, delay_ms=500)
    queue.advance(499)
    assert queue.release(Release.HOLD, task, delay_ms=500) == 0
    queue.advance(1)
    assert queue.take_ids() == ["a"]


@pytest.mark.parametrize("how", list(Release))
def test_a_cancelled_task_is_forgotten_however_it_is_let_go(queue: QueueStory, task: Claimed, how: Release) -> None:
    assert queue.remove("a") == Removed(0, 1)
    assert queue.release(how, task, delay_ms=100) == 1
    assert queue.check()["records"] == []


def test_a_postponed_task_can_be_done_from_outside(queue: QueueStory, task: Claimed) -> None:
    queue.release(Release.HOLD, task, delay_ms=60_000)
    assert queue.release(Release.DONE, task) == 1
    assert queue.check()["held"] == []


def test_many_releases_of_all_kinds_go_in_parts(queue: QueueStory) -> None:
    queue.offer(*[f"t{number}" for number in range(600)])
    tasks = [task for _ in range(6) for task in queue.take(100)]
    assert queue.release(Release.DONE, *tasks) == 600
    assert queue.check()["records"] == []


@pytest.mark.parametrize(("late_ms", "again"), [(LEASE_MS - 1, []), (LEASE_MS, ["a"])])
def test_a_heartbeat_extends_the_lease_from_now(
    queue: QueueStory, task: Claimed, late_ms: int, again: list[str]
) -> None:
    queue.advance(LEASE_MS - 1)
    assert queue.beat(task) == [Beat.OK]
    queue.advance(late_ms)
    assert queue.take_ids() == again


def test_a_heartbeat_after_the_end_saves_a_lease_that_nobody_has_taken_back(queue: QueueStory, task: Claimed) -> None:
    queue.advance(LEASE_MS + 1)
    assert queue.beat(task) == [Beat.OK]
    assert queue.take() == []


def test_a_heartbeat_never_shortens_a_lease(queue: QueueStory, task: Claimed) -> None:
    queue.advance(-5000)
    assert queue.beat(task) == [Beat.OK]
    queue.advance(LEASE_MS + 4999)
    assert queue.take() == []


def test_a_heartbeat_tells_of_cancelled_and_of_lost_tasks(queue: QueueStory) -> None:
    queue.offer(*"abcd")
    fine, cancelled, taken_back, done = queue.take(4)
    queue.remove("b")
    queue.release(Release.BACK, taken_back)
    queue.release(Release.DONE, done)
    stranger = Claimed("x", 1, 0, False)
    older = fine._replace(delivery=0)
    assert queue.beat(fine, cancelled, taken_back, done, stranger, older) == [
        Beat.OK,
        Beat.CANCELLED,
        Beat.LOST,
        Beat.LOST,
        Beat.LOST,
        Beat.LOST,
    ]
    assert queue.beat() == []


def test_a_task_that_nobody_holds_is_removed_wherever_it_is(queue: QueueStory) -> None:
    queue.offer(*"abc")
    queue.offer("d", delay_ms=500)
    queue.offer("e", domain="eu")
    (held,) = queue.take()
    queue.release(Release.HOLD, held, delay_ms=500)
    assert queue.remove("a", "b", "d", "e", "x") == Removed(4, 0)
    assert queue.check()["records"] == ["c"]


def test_removing_twice_and_removing_nothing_are_harmless(queue: QueueStory, task: Claimed) -> None:
    queue.remove(task.task_id)
    assert queue.remove(task.task_id) == Removed(0, 1)
    assert queue.remove() == Removed(0, 0)
    queue.release(Release.DONE, task)
    assert queue.remove(task.task_id) == Removed(0, 0)


# --- expedite ---------------------------------------------------------------------------------------------------------


def test_a_delayed_task_can_be_claimed_as_soon_as_it_is_let_go(queue: QueueStory) -> None:
    queue.offer("a", delay_ms=60_000)
    queue.offer("b", delay_ms=60_000)
    assert queue.take() == []
    assert queue.expedite("b", "nobody") == 1
    assert queue.take_ids(9) == ["b"]
    assert queue.expedite("b") == 0


def test_a_task_that_is_let_go_stands_behind_those_that_are_ready(queue: QueueStory) -> None:
    queue.offer("late", delay_ms=60_000)
    queue.offer("a")
    queue.expedite("late")
    queue.offer("b")
    assert queue.take_ids(9) == ["a", "late", "b"]


def test_a_postponed_task_that_is_let_go_keeps_its_slot_and_wakes_a_waiter(queue: QueueStory) -> None:
    queue.limit(concurrency=1)
    queue.offer("a")
    (task,) = queue.take()
    queue.release(Release.HOLD, task, delay_ms=60_000)
    queue.offer("b")
    assert queue.claim(wait_ms=5_000).tasks == []
    assert queue.expedite("a") == 1
    assert queue.listen()
    assert queue.take_ids(9) == ["a"]


def test_letting_go_twice_or_what_is_out_changes_nothing(queue: QueueStory) -> None:
    queue.offer("a")
    queue.take()
    queue.offer("b", delay_ms=500)
    before = queue.where()
    assert (queue.expedite("a"), queue.expedite()) == (0, 0)
    assert queue.where() == before
    assert (queue.expedite("b"), queue.expedite("b")) == (1, 0)
