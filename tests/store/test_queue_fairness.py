"""Tasks of one type that belong to different owners take turns: nobody's long line keeps another's short one waiting."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from orchestrator.plan import Command
from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from orchestrator.store.queue import Claimed, Lend, Limits, Offer, Queues, Release
from tests.store.queue_story import TYPE, QueueStory, snapshot

LEASE_MS = 15_000


@pytest.fixture
def queue(timed_store: SyncExecutor, keys: Keys) -> QueueStory:
    return QueueStory(timed_store, keys, lease_ms=LEASE_MS)


def of(owner: str, count: int, *, first: int = 0, priority: int = 0, delay_ms: int = 0) -> list[Offer]:
    """Tasks of one owner, named after it."""
    numbers = range(first, first + count)
    return [Offer(f"{owner}-{n:05}", None, priority, delay_ms, f"={owner}\n") for n in numbers]


def owners(tasks: list[str]) -> list[str]:
    return [task_id.split("-")[0] for task_id in tasks]


def crowd(queue: QueueStory) -> set[str]:
    """One owner with 10,000 tasks, then ten with 10 each, one at a time; gives the hundred."""
    queue.limit(concurrency=1)
    queue.offer_all(of("big", 10_000))
    hundred = [offer for number in range(10) for offer in of(f"small{number}", 10)]
    queue.offer_all(hundred)
    return {offer.task_id for offer in hundred}


def test_ten_small_owners_are_served_beside_one_that_was_first_with_ten_thousand(queue: QueueStory) -> None:
    hundred = crowd(queue)
    completions = 0
    while hundred:
        (task,) = queue.take()
        queue.release(Release.DONE, task)
        hundred.discard(task.task_id)
        completions += 1
    assert completions <= 220


def test_they_are_served_as_well_when_workers_die_and_tasks_are_postponed_and_retried(queue: QueueStory) -> None:
    hundred, rng = crowd(queue), random.Random(7)
    completions, again = 0, 0
    while hundred:
        queue.advance(10)
        tasks = queue.take()
        fate = rng.random()
        if not tasks:
            continue  # the slot is kept by a postponed task
        if fate < 0.1:
            queue.advance(LEASE_MS + 1)  # its worker is gone
        elif fate < 0.2:
            queue.release(Release.HOLD, *tasks, delay_ms=40)
        elif fate < 0.3:
            queue.release(Release.BACK, *tasks)
        else:
            (task,) = tasks
            queue.release(Release.DONE, task)
            completions += 1
            if task.task_id in hundred and fate < 0.4 and again < 10:
                again += 1  # it failed, and is tried again as another task, after a delay
                retried = of(owners([task.task_id])[0], 1, first=100 + again, delay_ms=30)
                queue.offer_all(retried)
                hundred.add(retried[0].task_id)
            hundred.discard(task.task_id)
    assert again == 10
    assert completions <= 220
    queue.check(concurrency=1)


def test_whoever_comes_later_takes_turns_from_then_on(queue: QueueStory) -> None:
    queue.offer_all(of("a", 20))
    assert queue.take_ids(10) == [f"a-{n:05}" for n in range(10)]
    queue.offer_all(of("b", 5))
    assert Counter(owners(queue.take_ids(6))) == {"a": 3, "b": 3}


def test_who_had_nothing_to_do_for_long_has_saved_up_nothing(queue: QueueStory) -> None:
    queue.offer_all(of("b", 1))
    queue.offer_all(of("a", 300))
    queue.take(100)
    queue.offer_all(of("b", 50, first=1))
    assert Counter(owners(queue.take_ids(20)))["b"] == 10


def test_an_owners_own_tasks_leave_in_the_order_they_came(queue: QueueStory) -> None:
    queue.offer_all(of("b", 5)[::-1] + of("a", 5))
    taken = queue.take_ids(10)
    assert [task_id for task_id in taken if task_id.startswith("b")] == [f"b-{n:05}" for n in (4, 3, 2, 1, 0)]


def test_the_more_urgent_come_first_whosever_they_are(queue: QueueStory) -> None:
    queue.offer_all(of("a", 3) + of("a", 3, first=3, priority=1) + of("b", 1) + of("c", 1, priority=9))
    assert owners(queue.take_ids(4)) == ["c", "a", "a", "a"]
    assert Counter(owners(queue.take_ids(2))) == {"a": 1, "b": 1}


def test_urgent_tasks_do_not_cost_their_owner_turns_among_the_others(queue: QueueStory) -> None:
    queue.offer_all(of("a", 40, priority=5) + of("a", 4, first=40) + of("b", 4))
    assert set(owners(queue.take_ids(40))) == {"a"}
    assert Counter(owners(queue.take_ids(4))) == {"a": 2, "b": 2}


def test_a_task_takes_its_turn_when_its_delay_is_over(queue: QueueStory) -> None:
    queue.offer_all(of("late", 3, delay_ms=1000) + of("a", 50))
    assert set(owners(queue.take_ids(20))) == {"a"}
    queue.advance(1000)
    assert Counter(owners(queue.take_ids(6))) == {"a": 3, "late": 3}


def test_a_task_whose_worker_died_goes_first(queue: QueueStory) -> None:
    queue.offer_all(of("a", 30) + of("b", 30))
    lost = queue.take_ids(3)
    queue.advance(LEASE_MS + 1)
    assert queue.take_ids(3) == lost


def test_a_task_that_is_given_back_keeps_its_place(queue: QueueStory) -> None:
    queue.offer_all(of("a", 3) + of("b", 3))
    first, second = queue.take(2)
    queue.release(Release.BACK, second)
    queue.lend(Lend.OUT, first, delay_ms=500)
    queue.lend(Lend.BACK, first)
    assert set(queue.take_ids(2)) == {first.task_id, second.task_id}


def test_a_postponed_task_takes_another_turn(queue: QueueStory) -> None:
    queue.offer_all(of("a", 1) + of("b", 9))
    (first,) = queue.take()
    assert first.task_id == "a-00000"
    queue.release(Release.HOLD, first)
    assert owners(queue.take_ids(3)).index("a") > 0


def test_cancelled_tasks_give_their_turns_back(queue: QueueStory) -> None:
    queue.offer_all(of("a", 500))
    queue.remove(*(offer.task_id for offer in of("a", 500)[:250]))
    queue.remove(*(offer.task_id for offer in of("a", 500)[250:]))
    queue.offer_all(of("b", 20) + of("a", 20, first=500))
    assert Counter(owners(queue.take_ids(10))) == {"a": 5, "b": 5}


def test_tasks_without_a_value_are_one_owner(queue: QueueStory) -> None:
    queue.offer_all(of("", 50) + of("b", 2))
    assert Counter(owners(queue.take_ids(4))) == {"": 2, "b": 2}


def test_what_was_there_before_tasks_had_owners_goes_first(queue: QueueStory) -> None:
    queue.offer("old1", "old2")
    queue.offer_all(of("a", 3))
    queue.offer("plain")
    assert queue.take_ids(3) == ["old1", "old2", "a-00000"]
    queue.advance(5_000)
    assert queue.take_ids(5) == ["a-00001", "a-00002", "plain"]


def test_owners_take_turns_in_each_domain_by_itself(queue: QueueStory) -> None:
    queue.offer_all([offer._replace(domain="eu") for offer in of("a", 30)])
    queue.offer_all(of("c", 99))
    queue.take(90)
    queue.offer_all([offer._replace(domain="eu") for offer in of("b", 5)])
    assert Counter(owners(queue.take_ids(6, domain="eu"))) == {"a": 3, "b": 3}


def test_a_task_that_is_handed_over_has_had_its_turn(queue: QueueStory) -> None:
    queue.offer_all(of("a", 1))
    queue.take()
    for number in range(1, 4):
        queue.claim(claimant=f"w{number}", wait_ms=2_000)
        queue.offer_all(of("a", 1, first=number))
        grant = queue.hear()
        assert grant is not None
        assert grant.task_id == f"a-{number:05}"
    queue.offer_all(of("a", 3, first=4) + of("b", 3))
    assert Counter(owners(queue.take_ids(4))) == {"a": 2, "b": 2}


def test_nothing_is_kept_of_owners_that_are_gone(queue: QueueStory) -> None:
    for round_ in range(4):
        queue.offer_all([offer for number in range(100) for offer in of(f"tenant{number}r{round_}", 2)])
        while tasks := queue.take(100):
            queue.release(Release.DONE, *tasks)
    queue.offer_all(of("last", 1))
    queue.release(Release.DONE, *queue.take())
    kept = queue.do(Command(("ZRANGE", queue.keys.turns(TYPE), 0, -1)))
    assert len(kept) <= 102  # of the last round, and how far the band has come
    assert queue.do(Command(("EXISTS", queue.keys.task_keys(TYPE)))) == 0


def test_a_queue_whose_tasks_have_no_keys_pays_nothing_for_them(queue: QueueStory) -> None:
    queue.limit(concurrency=3)
    queue.offer("a", "b", "c", priority=2)
    (first, second) = queue.take(2)
    queue.release(Release.HOLD, first, delay_ms=10)
    queue.release(Release.DONE, second)
    queue.remove("c")
    extra = {queue.keys.task_keys(TYPE).encode(), queue.keys.turns(TYPE).encode()}
    assert not extra & snapshot(queue.store).keys()
    call = queue.queues.enqueue_call(TYPE, [Offer("d")], Limits(9, 3))
    assert (len(call.keys), len(call.args)) == (9, 8 + 4)


def test_who_does_not_know_yet_that_tasks_have_keys_learns_it(queue: QueueStory) -> None:
    stale = Queues(queue.keys, lease_ms=LEASE_MS)
    queue.offer("old")
    other = QueueStory(queue.store, queue.keys)
    other.queues = stale
    assert other.take_ids() == ["old"]
    queue.offer_all(of("a", 3) + of("b", 3))
    assert Counter(owners(other.take_ids(4))) == {"a": 2, "b": 2}
    queue.offer_all([offer._replace(domain="eu") for offer in of("a", 3)])
    assert other.take_ids(5) == ["a-00002", "b-00002"] or other.stats().ready == 3


def test_a_doubled_offer_takes_one_turn(queue: QueueStory) -> None:
    queue.offer_all(of("a", 4) + of("a", 4) + of("b", 4))
    queue.offer_all(of("a", 4) + of("b", 4))
    assert sorted(owners(queue.take_ids(9))) == ["a"] * 4 + ["b"] * 4


def test_a_release_of_an_older_offer_leaves_the_task_with_its_keys(queue: QueueStory) -> None:
    queue.offer_all(of("a", 2) + of("b", 2))
    first = queue.take()[0]
    queue.offer_all(of("a", 1))
    queue.release(Release.DONE, Claimed(first.task_id, first.delivery, first.offer, False))
    assert queue.take_ids(1) == [first.task_id]
