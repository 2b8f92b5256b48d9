"""The script enqueue: what it adds, what a repeat does, in which order tasks leave, whom it wakes."""

from __future__ import annotations

import pytest

from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from orchestrator.store.queue import Limits, Offer, Release
from tests.store.queue_story import QueueStory


@pytest.fixture
def queue(timed_store: SyncExecutor, keys: Keys) -> QueueStory:
    return QueueStory(timed_store, keys)


def test_a_new_task_is_ready_at_once_and_counted_as_new(queue: QueueStory) -> None:
    assert queue.offer("a", "b") == 2
    assert queue.check()["ready"] == ["a", "b"]


def test_a_batch_may_be_empty(queue: QueueStory) -> None:
    assert queue.offer() == 0
    assert queue.check()["records"] == []


def test_a_repeat_raises_the_offer_number_and_adds_nothing(queue: QueueStory) -> None:
    queue.offer("a")
    assert queue.offer("a") == 0
    (task,) = queue.take()
    assert (task.delivery, task.offer) == (1, 1)
    queue.check()


def test_the_same_task_twice_in_one_batch_is_one_task(queue: QueueStory) -> None:
    assert queue.offer("a", "a", "a") == 1
    assert [task.offer for task in queue.take(5)] == [2]


def test_a_leased_task_that_is_offered_again_stays_leased(queue: QueueStory) -> None:
    queue.offer("a")
    queue.take()
    assert queue.offer("a") == 0
    assert queue.check()["leased"] == ["a"]


def test_a_task_that_was_cancelled_while_running_and_is_offered_again_is_wanted_again(queue: QueueStory) -> None:
    queue.offer("a")
    (task,) = queue.take()
    queue.remove("a")
    queue.offer("a")
    assert queue.beat(task) == ["OK"]


@pytest.mark.parametrize(("wait_ms", "taken"), [(999, []), (1000, ["a"]), (1001, ["a"])])
def test_a_delayed_task_is_handed_out_when_it_is_due_and_not_before(
    queue: QueueStory, wait_ms: int, taken: list[str]
) -> None:
    queue.offer("a", delay_ms=1000)
    assert queue.check()["delayed"] == ["a"]
    queue.advance(wait_ms)
    assert queue.take_ids(5) == taken
    queue.check()


def test_equals_leave_in_the_order_they_came_even_within_one_millisecond(queue: QueueStory) -> None:
    names = [f"t{number}" for number in range(5000)]
    for start in range(0, len(names), 250):
        queue.offer(*names[start : start + 250])
    taken: list[str] = []
    while batch := queue.take_ids(100):
        taken += batch
    assert taken == names


def test_equals_leave_in_the_order_they_came_when_the_clock_steps_back(queue: QueueStory) -> None:
    queue.offer("a")
    queue.advance(-60_000)
    queue.offer("b")
    assert queue.take_ids(5) == ["a", "b"]


@pytest.mark.parametrize(("later_ms", "order"), [(1999, ["urgent", "plain"]), (2001, ["plain", "urgent"])])
def test_one_level_of_priority_is_worth_one_second_of_waiting(
    queue: QueueStory, later_ms: int, order: list[str]
) -> None:
    queue.offer("plain")
    queue.advance(later_ms)
    queue.offer("urgent", priority=2)
    assert queue.take_ids(5) == order


def test_limits_that_come_with_an_enqueue_hold_from_the_next_claim_on(queue: QueueStory) -> None:
    queue.offer_all([Offer("a"), Offer("b")], Limits(7, concurrency=1))
    assert len(queue.take(5)) == 1
    assert queue.stats().limits == Limits(7, concurrency=1)


@pytest.mark.parametrize(("revision", "concurrency"), [(6, 1), (7, 1), (8, 9)])
def test_only_newer_limits_replace_those_of_the_queue(queue: QueueStory, revision: int, concurrency: int) -> None:
    queue.offer_all([Offer("a")], Limits(7, concurrency=1))
    queue.offer_all([Offer("a")], Limits(revision, concurrency=9))
    limits = queue.stats().limits
    assert limits is not None
    assert limits.concurrency == concurrency


def test_nobody_is_woken_when_nobody_waits(queue: QueueStory) -> None:
    queue.offer("a")
    assert queue.tokens() == 0


@pytest.mark.parametrize(("waiting", "offered", "woken"), [(1, 3, 1), (3, 1, 1), (3, 3, 3)])
def test_as_many_waiters_are_woken_as_there_are_tasks_for(
    queue: QueueStory, waiting: int, offered: int, woken: int
) -> None:
    queue.limit(concurrency=9)
    for number in range(waiting):
        queue.claim(claimant=f"w{number}", wait_ms=2000)
    queue.offer(*[f"t{number}" for number in range(offered)])
    assert queue.tokens() == woken
    assert queue.stats().domains[None].waiting == waiting - woken


@pytest.mark.parametrize(("after_ms", "woken"), [(1999, 1), (2000, 0), (2001, 0)])
def test_a_waiter_whose_time_is_over_is_not_woken(queue: QueueStory, after_ms: int, woken: int) -> None:
    queue.claim(wait_ms=2000)
    queue.advance(after_ms)
    queue.offer("a")
    assert queue.tokens() == woken


def test_tokens_do_not_pile_up_while_nobody_takes_them(queue: QueueStory) -> None:
    queue.limit(concurrency=9)
    for number in range(5):
        queue.claim(claimant=f"w{number}", wait_ms=60_000)
    for number in range(5):
        queue.offer(f"t{number}")
    assert queue.tokens() == 1


@pytest.mark.parametrize(("delay_ms", "woken"), [(1999, 1), (2000, 0)])
def test_a_task_due_before_waiters_look_again_wakes_one_of_them(queue: QueueStory, delay_ms: int, woken: int) -> None:
    queue.claim(claimant="w1", wait_ms=2000)
    queue.claim(claimant="w2", wait_ms=2000)
    queue.offer("a", "b", delay_ms=delay_ms)
    assert queue.tokens() == woken


def test_no_waiter_is_woken_for_a_task_the_limits_hold_back(queue: QueueStory) -> None:
    queue.limit(concurrency=1)
    queue.offer("a")
    queue.take()
    queue.claim(claimant="w2", wait_ms=2000)
    queue.offer("b")
    assert queue.tokens() == 0


def test_a_waiter_of_another_domain_is_left_alone(queue: QueueStory) -> None:
    queue.claim(claimant="plain", wait_ms=2000)
    queue.claim(claimant="eu", domain="eu", wait_ms=2000)
    queue.offer("a", domain="eu")
    assert (queue.tokens(), queue.tokens("eu")) == (0, 1)


def test_raised_limits_that_come_with_an_enqueue_wake_who_waited_for_them(queue: QueueStory) -> None:
    queue.limit(concurrency=1)
    queue.offer("a", "b")
    queue.take()
    queue.claim(claimant="w2", wait_ms=2000)
    queue.offer_all([Offer("a")], Limits(99, concurrency=2))
    assert queue.tokens() == 1


def test_a_sweep_learns_which_tasks_the_queue_does_not_know(queue: QueueStory) -> None:
    queue.offer("a", "b", "c")
    (task,) = queue.take()
    queue.release(Release.DONE, task)
    assert queue.do(queue.queues.missing_command("charge", ["c", "a", "x", "b"])) == ["a", "x"]
