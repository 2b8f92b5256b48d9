"""The limits of a queue: concurrency, rate, pause, and how long they have kept a task waiting."""

from __future__ import annotations

import pytest

from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from orchestrator.store.queue import Release
from tests.store.queue_story import QueueStory

LEASE_MS = 15_000
NAMES = [f"t{number:02}" for number in range(20)]


@pytest.fixture
def queue(timed_store: SyncExecutor, keys: Keys) -> QueueStory:
    queue = QueueStory(timed_store, keys, lease_ms=LEASE_MS)
    queue.offer(*NAMES)
    return queue


# --- concurrency ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "granted"), [(2, 2), (3, 3), (4, 3)])
def test_no_more_leases_than_the_limit(queue: QueueStory, asked: int, granted: int) -> None:
    queue.limit(concurrency=3)
    assert len(queue.take(asked)) == granted
    queue.check(concurrency=3)


def test_a_released_slot_is_granted_again(queue: QueueStory) -> None:
    queue.limit(concurrency=2)
    first, _second = queue.take(5)
    assert queue.take(5) == []
    queue.release(Release.DONE, first)
    assert queue.take_ids(5) == ["t02"]
    queue.check(concurrency=2)


def test_the_slot_of_a_silent_worker_is_granted_again(queue: QueueStory) -> None:
    queue.limit(concurrency=1)
    queue.take()
    queue.advance(LEASE_MS)
    assert queue.take_ids(5) == ["t00"]
    queue.check(concurrency=1)


def test_a_postponed_task_keeps_its_slot(queue: QueueStory) -> None:
    queue.limit(concurrency=1)
    (task,) = queue.take()
    queue.release(Release.HOLD, task, delay_ms=1000)
    assert queue.take(5) == []
    queue.check(concurrency=1)


def test_a_postponed_task_comes_back_on_the_slot_it_kept_past_all_that_wait_for_one(queue: QueueStory) -> None:
    queue.limit(concurrency=1)
    (task,) = queue.take()
    queue.release(Release.HOLD, task, delay_ms=1000)
    queue.advance(1000)
    assert queue.take_ids(5) == ["t00"]
    assert queue.check(concurrency=1)["held"] == []


def test_a_postponed_task_and_a_free_slot_are_granted_together(queue: QueueStory) -> None:
    queue.limit(concurrency=2)
    first, second = queue.take(2)
    queue.release(Release.HOLD, first, delay_ms=1000)
    queue.release(Release.DONE, second)
    queue.advance(1000)
    assert queue.take_ids(5) == ["t00", "t02"]
    queue.check(concurrency=2)


def test_a_removed_postponed_task_frees_its_slot_and_wakes_a_waiter(queue: QueueStory) -> None:
    queue.limit(concurrency=1)
    (task,) = queue.take()
    queue.release(Release.HOLD, task, delay_ms=1000)
    queue.claim(wait_ms=2000)
    queue.remove("t00")
    assert queue.tokens() == 1
    assert queue.take_ids(5) == ["t01"]


def test_a_cancelled_running_task_keeps_its_slot_until_it_is_let_go(queue: QueueStory) -> None:
    queue.limit(concurrency=1)
    (task,) = queue.take()
    queue.remove("t00")
    assert queue.take() == []
    queue.release(Release.DONE, task)
    assert queue.take_ids() == ["t01"]


@pytest.mark.parametrize(("released", "woken"), [(1, 1), (2, 2), (3, 2)])
def test_freed_slots_wake_as_many_waiters(queue: QueueStory, released: int, woken: int) -> None:
    queue.limit(concurrency=3)
    tasks = queue.take(3)
    for name in ("w1", "w2"):
        queue.claim(claimant=name, wait_ms=2000)
    queue.release(Release.DONE, *tasks[:released])
    assert queue.tokens() == woken


def test_postponing_frees_no_slot_and_wakes_nobody(queue: QueueStory) -> None:
    queue.limit(concurrency=1)
    (task,) = queue.take()
    queue.claim(wait_ms=2000)
    queue.release(Release.HOLD, task, delay_ms=2500)
    assert queue.tokens() == 0


def test_no_waiter_is_woken_for_a_slot_that_is_only_held(queue: QueueStory) -> None:
    queue.limit(concurrency=1)
    (task,) = queue.take()
    queue.release(Release.HOLD, task, delay_ms=60_000)
    queue.claim(wait_ms=2000)
    queue.offer("new")
    assert queue.tokens() == 0


def test_a_lowered_limit_grants_nothing_until_enough_is_released(queue: QueueStory) -> None:
    tasks = queue.take(5)
    queue.limit(concurrency=2)
    queue.release(Release.DONE, *tasks[:3])
    assert queue.take() == []
    queue.release(Release.DONE, tasks[3])
    assert len(queue.take(5)) == 1


def test_a_raised_limit_wakes_as_many_as_it_lets_go(queue: QueueStory) -> None:
    queue.limit(concurrency=1)
    queue.take()
    for number in range(5):
        queue.claim(claimant=f"w{number}", wait_ms=2000)
    queue.limit(concurrency=3)
    assert queue.tokens() == 2


def test_older_limits_are_refused(queue: QueueStory) -> None:
    assert queue.limit(concurrency=3)
    queue.revision = 0
    assert not queue.limit(concurrency=9)
    assert len(queue.take(10)) == 3


def test_the_limit_counts_all_domains_together(queue: QueueStory) -> None:
    queue.offer("e0", "e1", domain="eu")
    queue.limit(concurrency=2)
    assert len(queue.take(1)) == 1
    assert len(queue.take(5, domain="eu")) == 1


# --- rate -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "granted"), [(4, 4), (5, 5), (6, 5)])
def test_no_more_grants_than_the_rate(queue: QueueStory, asked: int, granted: int) -> None:
    queue.limit(rate=5)
    assert len(queue.take(asked)) == granted
    assert queue.stats().spent == granted


@pytest.mark.parametrize(("after_ms", "granted"), [(1004, 0), (1005, 5), (1006, 5)])
def test_a_token_is_back_one_window_and_the_guard_after_it_was_spent(
    queue: QueueStory, after_ms: int, granted: int
) -> None:
    queue.limit(rate=5, window_ms=1000, guard_ms=5)
    queue.take(5)
    queue.advance(after_ms)
    assert len(queue.take(9)) == granted
    assert queue.stats().spent == 5


def test_tokens_come_back_one_by_one_as_they_were_spent(queue: QueueStory) -> None:
    queue.limit(rate=2, guard_ms=0)
    queue.take(1)
    queue.advance(400)
    queue.take(1)
    assert queue.claim(5).hint_ms == 600
    queue.advance(600)
    assert len(queue.take(5)) == 1
    queue.advance(400)
    assert len(queue.take(5)) == 1


def test_every_delivery_costs_a_token_and_a_release_gives_none_back(queue: QueueStory) -> None:
    queue.limit(rate=2, window_ms=60_000)
    (task,) = queue.take()
    queue.release(Release.BACK, task)
    assert queue.take_ids(5) == ["t00"]
    assert queue.take(5) == []


def test_a_postponed_task_needs_a_token_to_come_back(queue: QueueStory) -> None:
    queue.limit(rate=1, concurrency=1)
    (task,) = queue.take()
    queue.release(Release.HOLD, task, delay_ms=10)
    queue.advance(10)
    assert queue.take(5) == []
    queue.advance(995)
    assert queue.take_ids(5) == ["t00"]


def test_tokens_spent_before_the_clock_stepped_back_do_not_block_the_queue_until_then(queue: QueueStory) -> None:
    queue.limit(rate=5)
    queue.take(5)
    queue.advance(-3_600_000)
    assert queue.claim(5).hint_ms == 1005
    queue.advance(1005)
    assert len(queue.take(9)) == 5


def test_a_rate_that_is_turned_off_holds_nothing_back(queue: QueueStory) -> None:
    queue.limit(rate=1)
    queue.take(5)
    queue.limit()
    assert len(queue.take(9)) == 9


def test_many_small_grants_are_returned_together(queue: QueueStory) -> None:
    queue.offer(*[f"m{number}" for number in range(480)])
    queue.limit(rate=400, guard_ms=0)
    for _ in range(250):
        queue.take(1)
    queue.advance(1000)
    assert sum(len(queue.take(100)) for _ in range(5)) == 250
    assert queue.stats().spent == 250


# --- waiting for a limit is not waiting for a worker ------------------------------------------------------------------


def test_without_a_limit_no_waiting_counts_as_limited(queue: QueueStory) -> None:
    queue.take()
    queue.advance(5000)
    queue.take()
    assert queue.limited_ms("t05") == 0


def test_waiting_for_a_slot_counts_as_limited_while_no_slot_is_free(queue: QueueStory) -> None:
    queue.limit(concurrency=1)
    (task,) = queue.take(5)
    queue.advance(4000)
    assert queue.limited_ms("t05") == 4000
    queue.release(Release.DONE, task)
    queue.advance(1000)
    assert queue.limited_ms("t05") == 4000


def test_waiting_for_a_slot_ends_when_its_lease_ends_although_nobody_claims(queue: QueueStory) -> None:
    queue.limit(concurrency=1)
    queue.take(5)
    queue.advance(LEASE_MS + 60_000)
    assert queue.limited_ms("t05") == LEASE_MS
    queue.take(0)
    assert queue.limited_ms("t05") == LEASE_MS


def test_waiting_for_a_token_counts_as_limited_until_it_is_back(queue: QueueStory) -> None:
    queue.limit(rate=1, guard_ms=0)
    queue.take(5)
    queue.advance(60_000)
    assert queue.limited_ms("t05") == 1000


def test_limited_times_add_up(queue: QueueStory) -> None:
    queue.limit(rate=1, guard_ms=0)
    for _ in range(3):
        queue.take(5)
        queue.advance(1000)
    assert queue.limited_ms("t05") == 3000


def test_a_task_that_came_later_has_waited_less(queue: QueueStory) -> None:
    queue.limit(concurrency=1)
    queue.take(5)
    queue.advance(4000)
    queue.offer("late")
    queue.advance(500)
    assert (queue.limited_ms("late"), queue.limited_ms("t05")) == (500, 4500)


def test_a_delay_is_not_limited_time(queue: QueueStory) -> None:
    queue.limit(concurrency=1)
    (task,) = queue.take(5)
    queue.offer("late", delay_ms=4000)
    queue.advance(4000)
    queue.beat(task)
    queue.take(5)
    queue.advance(300)
    assert queue.limited_ms("late") == 300


def test_changed_limits_end_the_limited_time(queue: QueueStory) -> None:
    queue.limit(concurrency=1)
    queue.take(5)
    queue.advance(700)
    queue.limit(concurrency=5)
    queue.advance(700)
    assert queue.limited_ms("t05") == 700


def test_a_task_that_is_not_queued_has_waited_for_nothing(queue: QueueStory) -> None:
    assert queue.limited_ms("stranger") == 0
