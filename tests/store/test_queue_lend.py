"""The script lend: tasks with workers that send no heartbeats keep their slot, and come back when their time is over."""

from __future__ import annotations

import pytest

from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from orchestrator.store.queue import Beat, Claimed, Lend, Release, Removed
from tests.store.queue_story import QueueStory

LEASE_MS, RESPONSE_MS = 15_000, 60_000


@pytest.fixture
def queue(timed_store: SyncExecutor, keys: Keys) -> QueueStory:
    return QueueStory(timed_store, keys, lease_ms=LEASE_MS)


@pytest.fixture
def lent(queue: QueueStory) -> Claimed:
    """A task that was claimed and lent for a minute."""
    queue.offer("a")
    (task,) = queue.take()
    assert queue.lend(Lend.OUT, task, delay_ms=RESPONSE_MS) == [Beat.OK]
    return task


def test_a_lent_task_outlives_the_lease_and_comes_back_when_its_time_is_over(queue: QueueStory, lent: Claimed) -> None:
    assert queue.check()["held"] == ["a"]
    queue.advance(RESPONSE_MS - 1)
    assert queue.take() == []
    queue.advance(1)
    assert queue.take() == [Claimed("a", 2, 0, False)]
    assert queue.check()["held"] == []


def test_a_lent_task_that_comes_back_takes_its_old_place(queue: QueueStory, lent: Claimed) -> None:
    queue.offer("b")
    queue.advance(RESPONSE_MS)
    assert queue.take_ids(9) == ["a", "b"]


def test_a_lent_task_is_lent_for_longer_from_the_moment_it_was_heard_of(queue: QueueStory, lent: Claimed) -> None:
    queue.advance(RESPONSE_MS - 1)
    assert queue.lend(Lend.LONGER, lent, delay_ms=RESPONSE_MS) == [Beat.OK]
    queue.advance(RESPONSE_MS - 1)
    assert queue.take() == []
    queue.advance(1)
    assert queue.take_ids() == ["a"]


def test_progress_queues_up_anew_when_its_delay_is_over_and_keeps_its_slot(queue: QueueStory, lent: Claimed) -> None:
    queue.limit(concurrency=1)
    queue.offer("b")
    assert queue.lend(Lend.LATER, lent, delay_ms=5_000) == [Beat.OK]
    assert queue.check(concurrency=1)["held"] == ["a"]
    queue.advance(5_000)
    assert queue.take_ids(9) == ["a"]
    queue.limit()
    (task,) = queue.take()
    assert (task.task_id, queue.where()["held"]) == ("b", [])


def test_progress_without_a_delay_stands_behind_those_that_are_ready(queue: QueueStory, lent: Claimed) -> None:
    queue.offer("b")
    queue.lend(Lend.LATER, lent)
    assert queue.take_ids(9) == ["b", "a"]


@pytest.mark.parametrize("was_lent", [True, False])
def test_a_task_that_no_worker_has_seen_goes_back_at_once_and_wakes_a_waiter(queue: QueueStory, was_lent: bool) -> None:
    queue.offer("a", "b")
    (task,) = queue.take()
    if was_lent:
        queue.lend(Lend.OUT, task, delay_ms=RESPONSE_MS)
    assert queue.take_ids() == ["b"]
    assert queue.claim(wait_ms=5_000).tasks == []
    assert queue.lend(Lend.BACK, task) == [Beat.OK]
    assert queue.listen()
    assert queue.take() == [Claimed("a", 2, 0, False)]


def test_a_cancelled_loan_frees_its_slot_at_once(queue: QueueStory, lent: Claimed) -> None:
    queue.limit(concurrency=1)
    queue.offer("b")
    assert queue.claim(wait_ms=5_000).tasks == []
    assert queue.remove("a") == Removed(1, 0)
    assert queue.listen()
    assert queue.take_ids() == ["b"]
    assert queue.lend(Lend.LONGER, lent, delay_ms=RESPONSE_MS) == [Beat.LOST]


def test_a_task_cancelled_before_it_was_lent_frees_its_slot_with_the_loan(queue: QueueStory) -> None:
    queue.limit(concurrency=1)
    queue.offer("a", "b")
    (task,) = queue.take()
    assert queue.claim(wait_ms=5_000).tasks == []
    assert queue.remove("a") == Removed(0, 1)
    assert queue.lend(Lend.OUT, task, delay_ms=RESPONSE_MS) == [Beat.CANCELLED]
    assert queue.listen()
    assert queue.take_ids() == ["b"]
    assert queue.check(concurrency=1)["records"] == ["b"]


def test_a_lent_task_that_is_done_is_forgotten(queue: QueueStory, lent: Claimed) -> None:
    assert queue.release(Release.DONE, lent) == 1
    assert queue.check()["records"] == []


def test_a_loan_under_an_older_delivery_or_without_a_lease_changes_nothing(queue: QueueStory, lent: Claimed) -> None:
    before = queue.where()
    assert queue.lend(Lend.OUT, lent, delay_ms=1) == [Beat.LOST]
    queue.advance(RESPONSE_MS)
    (newer,) = queue.take()
    assert newer.delivery == 2
    for how in Lend:
        assert queue.lend(how, lent, delay_ms=1) == [Beat.LOST]
    assert queue.lend(Lend.LATER, newer) == queue.lend(Lend.LONGER, newer) == [Beat.LEASED]  # it sends heartbeats
    assert queue.check()["leased"] == before["held"] == ["a"]


def test_a_task_that_was_only_offered_with_a_delay_is_not_lent(queue: QueueStory) -> None:
    queue.offer("a", delay_ms=500)
    never = Claimed("a", 0, 0, False)
    assert [queue.lend(how, never, delay_ms=1) for how in Lend] == [[Beat.LOST]] * len(Lend)
    assert queue.lend(Lend.OUT) == []


def test_a_lent_task_is_not_hurried_and_a_postponed_one_is(queue: QueueStory, lent: Claimed) -> None:
    assert queue.expedite("a") == 0
    queue.lend(Lend.LATER, lent, delay_ms=60_000)
    assert queue.expedite("a") == 1
    assert queue.take_ids() == ["a"]


def test_a_worker_that_is_heard_of_is_not_counted_as_lost(timed_store: SyncExecutor, keys: Keys) -> None:
    queue = QueueStory(timed_store, keys, lease_ms=LEASE_MS, deliveries_max=2)
    queue.offer("a")
    for _ in range(5):
        (task,) = queue.take()
        assert not task.is_lost
        queue.lend(Lend.OUT, task, delay_ms=RESPONSE_MS)
        queue.lend(Lend.LATER, task)
    for _ in range(2):
        (task,) = queue.take()
        queue.lend(Lend.OUT, task, delay_ms=RESPONSE_MS)
        queue.advance(RESPONSE_MS)
    assert [task.is_lost for task in queue.take()] == [True]
