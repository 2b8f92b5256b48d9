"""The script claim: leases, redelivery, hints, waiting, and wake-ups that are passed on."""

from __future__ import annotations

import pytest

from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from orchestrator.store.queue import Claimed, Release
from tests.store.queue_story import QueueStory

LEASE_MS = 15_000


@pytest.fixture
def queue(timed_store: SyncExecutor, keys: Keys) -> QueueStory:
    return QueueStory(timed_store, keys, lease_ms=LEASE_MS, deliveries_max=2)


def test_an_empty_queue_grants_nothing_and_hints_two_seconds(queue: QueueStory) -> None:
    answer = queue.claim(10)
    assert (answer.tasks, answer.hint_ms, answer.now_ms) == ([], 2000, queue.now_ms)


@pytest.mark.parametrize(("asked", "granted"), [(0, 0), (4, 4), (5, 5), (6, 5), (1000, 5)])
def test_a_claim_grants_what_is_asked_for_and_there(queue: QueueStory, asked: int, granted: int) -> None:
    queue.offer(*"abcde")
    assert queue.take(asked) == [Claimed(name, 1, 0, False) for name in "abcde"[:granted]]
    assert len(queue.check()["leased"]) == granted


def test_one_claim_grants_no_more_than_a_hundred(queue: QueueStory) -> None:
    queue.offer(*[f"t{number}" for number in range(150)])
    assert len(queue.take(150)) == 100


def test_a_task_is_granted_once(queue: QueueStory) -> None:
    queue.offer("a")
    assert queue.take_ids(5) == ["a"]
    assert queue.take_ids(5) == []


@pytest.mark.parametrize(("silence_ms", "again"), [(LEASE_MS - 1, []), (LEASE_MS, ["a"]), (LEASE_MS + 1, ["a"])])
def test_a_lease_that_ends_brings_the_task_back(queue: QueueStory, silence_ms: int, again: list[str]) -> None:
    queue.offer("a")
    queue.take()
    queue.advance(silence_ms)
    assert queue.take_ids() == again
    queue.check()


def test_every_delivery_has_a_higher_number_and_too_many_make_the_task_lost(queue: QueueStory) -> None:
    queue.offer("a")
    seen = []
    for _ in range(3):
        seen += queue.take()
        queue.advance(LEASE_MS)
    assert seen == [Claimed("a", 1, 0, False), Claimed("a", 2, 0, False), Claimed("a", 3, 0, True)]
    assert queue.stats().expired == 2


@pytest.mark.parametrize(("how", "delay_ms"), [(Release.HOLD, 1_000), (Release.HOLD, 0), (Release.BACK, 0)])
def test_a_delivery_that_its_worker_spoke_of_does_not_count_as_lost(
    queue: QueueStory, how: Release, delay_ms: int
) -> None:
    queue.offer("a")
    for delivery in range(1, 10):
        (taken,) = queue.take()
        assert (taken.delivery, taken.is_lost) == (delivery, False)
        queue.release(how, taken, delay_ms=delay_ms)
        queue.advance(delay_ms)
    lost = []
    for _ in range(3):
        lost += [taken.is_lost for taken in queue.take()]
        queue.advance(LEASE_MS)
    assert lost == [False, False, True]


def test_a_redelivered_task_takes_its_old_place_because_its_timeouts_have_been_running(queue: QueueStory) -> None:
    queue.offer("a")
    queue.take()
    queue.advance(LEASE_MS - 1)
    queue.offer("b")
    queue.advance(1)
    assert queue.take_ids(5) == ["a", "b"]


def test_a_cancelled_task_whose_lease_ends_is_forgotten(queue: QueueStory) -> None:
    queue.offer("a")
    queue.take()
    queue.remove("a")
    queue.advance(LEASE_MS)
    assert queue.take(5) == []
    assert queue.check()["records"] == []


def test_the_hint_is_the_time_to_the_next_delayed_task(queue: QueueStory) -> None:
    queue.offer("a", delay_ms=700)
    assert queue.claim().hint_ms == 700
    queue.advance(699)
    assert queue.claim().hint_ms == 1


def test_the_hint_is_the_time_to_the_end_of_the_next_lease(queue: QueueStory) -> None:
    queue.offer("a")
    queue.take()
    queue.advance(LEASE_MS - 300)
    assert queue.claim().hint_ms == 300


def test_a_paused_queue_grants_nothing_until_it_is_resumed(queue: QueueStory) -> None:
    queue.offer("a")
    queue.pause()
    assert queue.take() == []
    assert queue.stats().is_paused
    queue.pause(False)
    assert queue.take_ids() == ["a"]


def test_resuming_wakes_who_waits(queue: QueueStory) -> None:
    queue.offer("a")
    queue.pause()
    queue.claim(wait_ms=2000)
    assert queue.tokens() == 0
    queue.pause(False)
    assert queue.tokens() == 1


def test_a_claimant_that_got_something_does_not_wait(queue: QueueStory) -> None:
    queue.claim(wait_ms=2000)
    queue.offer("a", "b")
    assert queue.claim(wait_ms=2000).tasks
    assert queue.stats().domains[None].waiting == 0


def test_a_claim_without_waiting_does_not_register(queue: QueueStory) -> None:
    queue.claim()
    assert queue.stats().domains[None].waiting == 0


def test_a_woken_claimant_that_leaves_work_over_wakes_the_next(queue: QueueStory) -> None:
    queue.limit(concurrency=9)
    for name in ("w1", "w2"):
        queue.claim(claimant=name, wait_ms=60_000)
    queue.offer("a")
    queue.offer("b")  # no second token: the first is still unread
    assert queue.tokens() == 1
    assert queue.listen()
    queue.claim(claimant="w1", wait_ms=60_000)
    assert queue.tokens() == 1


def test_the_last_task_wakes_nobody_else(queue: QueueStory) -> None:
    queue.limit(concurrency=9)
    for name in ("w1", "w2"):
        queue.claim(claimant=name, wait_ms=60_000)
    queue.offer("a")
    assert queue.listen()
    queue.claim(claimant="w1", wait_ms=60_000)
    assert queue.tokens() == 0


def test_a_claim_that_finds_due_tasks_of_another_domain_wakes_that_domain(queue: QueueStory) -> None:
    queue.offer("a", domain="eu", delay_ms=5000)
    queue.claim(claimant="eu", domain="eu", wait_ms=60_000)
    queue.advance(5000)
    assert queue.take() == []
    assert queue.tokens("eu") == 1
    assert queue.check()["ready"] == ["a"]


def test_a_hundred_due_tasks_are_promoted_per_claim_and_none_is_forgotten(queue: QueueStory) -> None:
    names = [f"t{number:03}" for number in range(250)]
    queue.offer(*names, delay_ms=10)
    queue.advance(10)
    assert [task for _ in range(3) for task in queue.take_ids(100)] == names


def test_granted_tasks_are_counted(queue: QueueStory) -> None:
    queue.offer(*"abc")
    queue.take(2)
    queue.take(2)
    assert queue.stats().granted == 3


def test_stats_tell_what_is_where(queue: QueueStory) -> None:
    queue.offer(*"abc")
    queue.offer("d", domain="eu")
    queue.offer("e", delay_ms=60_000)
    first, _second = queue.take(2)
    queue.release(Release.HOLD, first, delay_ms=60_000)
    queue.advance(250)
    look = queue.stats()
    assert (look.ready, look.delayed, look.leased, look.held) == (2, 2, 1, 1)
    assert {name: domain.ready for name, domain in look.domains.items()} == {None: 1, "eu": 1}
    assert look.domains[None].head_since_ms == look.now_ms - 250
