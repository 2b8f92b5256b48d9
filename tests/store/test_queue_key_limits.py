"""Limits that hold for each key of a type: exact for each, and none that is at its limit keeps another waiting."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from orchestrator.plan import Command
from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from orchestrator.store.queue import Claimed, Lend, Limits, Offer, Queues, Release
from tests.store.queue_story import TYPE, QueueStory

LEASE_MS = 15_000


@pytest.fixture
def queue(timed_store: SyncExecutor, keys: Keys) -> QueueStory:
    return QueueStory(timed_store, keys, lease_ms=LEASE_MS)


def of(key: str, count: int, *, first: int = 0, priority: int = 0, delay_ms: int = 0) -> list[Offer]:
    """Tasks under one key, named after it."""
    return [Offer(f"{key}-{n:05}", None, priority, delay_ms, f"\n{key}") for n in range(first, first + count)]


def keys_of(tasks: list[str]) -> Counter[str]:
    return Counter(task_id.split("-")[0] for task_id in tasks)


def test_no_key_has_more_at_once_than_its_limit(queue: QueueStory) -> None:
    queue.limit(concurrency=2, per_key=True)
    queue.offer_all(of("a", 5) + of("b", 3) + of("c", 1))
    tasks = queue.take(100)
    assert keys_of([task.task_id for task in tasks]) == {"a": 2, "b": 2, "c": 1}
    queue.release(Release.DONE, tasks[0])
    assert queue.take_ids(100) == ["a-00002"]
    queue.check()


def test_a_key_at_its_limit_keeps_no_other_waiting(queue: QueueStory) -> None:
    queue.limit(concurrency=1, per_key=True)
    queue.offer_all(of("a", 3000) + of("b", 1))
    assert queue.take_ids() == ["a-00000"]
    assert queue.take_ids() == ["b-00000"]
    queue.offer_all(of("c", 1))
    assert queue.take_ids() == ["c-00000"]
    assert (queue.stats().ready, queue.stats().kept) == (0, 2999)


def test_tasks_without_a_key_have_one_limit_together(queue: QueueStory) -> None:
    queue.limit(concurrency=2, per_key=True)
    queue.offer_all(of("", 4) + of("b", 1))
    assert keys_of(queue.take_ids(9)) == {"": 2, "b": 1}


def test_a_freed_place_goes_to_the_next_of_its_key_by_priority_and_age(queue: QueueStory) -> None:
    queue.limit(concurrency=1, per_key=True)
    queue.offer_all(of("a", 3) + of("a", 1, first=3, priority=9))
    order = []
    while tasks := queue.take():
        order.append(tasks[0].task_id)
        queue.release(Release.DONE, *tasks)
    assert order == ["a-00000", "a-00003", "a-00001", "a-00002"]


def test_whoever_waits_is_woken_when_a_place_of_a_key_is_free(queue: QueueStory) -> None:
    queue.limit(concurrency=1, per_key=True)
    queue.offer_all(of("a", 2))
    (first,) = queue.take()
    assert queue.claim(claimant="w2", wait_ms=2_000).tasks == []
    assert queue.tokens() == 0
    queue.release(Release.DONE, first)
    assert queue.listen() == b"1"
    assert queue.take_ids() == ["a-00001"]


def test_the_place_of_a_worker_that_died_is_free_and_its_task_goes_first(queue: QueueStory) -> None:
    queue.limit(concurrency=1, per_key=True)
    queue.offer_all(of("a", 2))
    (first,) = queue.take()
    queue.advance(LEASE_MS + 1)
    (again,) = queue.take(5)
    assert (again.task_id, again.delivery) == (first.task_id, 2)


def test_a_postponed_task_keeps_its_place(queue: QueueStory) -> None:
    queue.limit(concurrency=1, per_key=True)
    queue.offer_all(of("a", 2) + of("b", 1))
    (first,) = queue.take()
    queue.release(Release.HOLD, first, delay_ms=500)
    assert queue.take_ids(5) == ["b-00000"]
    queue.advance(500)
    (again,) = queue.take(5)
    assert again.task_id == first.task_id
    queue.release(Release.DONE, again)
    assert queue.take_ids(5) == ["a-00001"]
    queue.check()


def test_a_lent_task_keeps_its_place_until_it_is_cancelled(queue: QueueStory) -> None:
    queue.limit(concurrency=1, per_key=True)
    queue.offer_all(of("a", 2))
    (first,) = queue.take()
    queue.lend(Lend.OUT, first, delay_ms=60_000)
    assert queue.take_ids(5) == []
    queue.remove(first.task_id)
    assert queue.take_ids(5) == ["a-00001"]


def test_a_cancelled_task_that_waits_leaves_no_trace(queue: QueueStory) -> None:
    queue.limit(concurrency=1, per_key=True)
    queue.offer_all(of("a", 4) + of("a", 1, first=9, delay_ms=900))
    assert queue.take_ids() == ["a-00000"]
    queue.remove("a-00001", "a-00002", "a-00009")
    places = queue.check()
    assert places["kept"] == ["a-00003"]
    queue.release(Release.DONE, Claimed("a-00000", 1, 0, False))
    queue.release(Release.DONE, *queue.take())
    assert queue.do(Command(("EXISTS", queue.keys.key_uses(TYPE), queue.keys.task_keys(TYPE)))) == 0


def test_a_raised_limit_lets_more_of_each_key_go(queue: QueueStory) -> None:
    queue.limit(concurrency=1, per_key=True)
    queue.offer_all([offer for number in range(120) for offer in of(f"k{number}", 3)])
    assert len(queue.take(100) + queue.take(100)) == 120
    queue.claim(claimant="w2", wait_ms=2_000)
    queue.limit(concurrency=2, per_key=True)
    assert queue.listen() == b"1"
    more: list[str] = []
    for _ in range(6):
        more += queue.take_ids(100)
    assert set(keys_of(more).values()) == {1}
    assert len(more) == 120


def test_a_lowered_limit_holds_for_those_in_line_already(queue: QueueStory) -> None:
    queue.limit(concurrency=3, per_key=True)
    queue.offer_all(of("a", 5) + of("b", 1))
    assert queue.take_ids() == ["a-00000"]
    queue.limit(concurrency=1, per_key=True)
    assert queue.take_ids(5) == ["b-00000"]
    queue.release(Release.DONE, Claimed("a-00000", 1, 0, False))
    assert queue.take_ids(5) == ["a-00001"]
    queue.check()


def test_limits_may_become_ones_for_each_key_and_back(queue: QueueStory) -> None:
    queue.limit(concurrency=2)
    queue.offer("old1", "old2", "old3")
    assert queue.take_ids(5) == ["old1", "old2"]
    queue.limit(concurrency=1, per_key=True)
    queue.offer_all(of("a", 2) + of("b", 2))
    assert keys_of(queue.take_ids(9)) == {"a": 1, "b": 1}  # what has no key is over the limit of those without
    for name in ("old1", "old2"):
        queue.release(Release.DONE, Claimed(name, 1, 0, False))
    assert queue.take_ids(9) == ["old3"]
    assert queue.stats().limits == Limits(2, 1, per_key=True)
    queue.limit(concurrency=4)
    assert len(queue.take(9)) == 1
    queue.limit()
    assert len(queue.take(9)) == 1
    queue.check()


def test_newer_limits_that_come_with_an_offer_let_go_who_was_kept_back(queue: QueueStory) -> None:
    queue.limit(concurrency=1, per_key=True)
    queue.offer_all(of("a", 3))
    queue.take(5)
    queue.claim(claimant="w2", wait_ms=2_000)
    queue.offer_all(of("b", 1), Limits(9, concurrency=3, per_key=True))
    assert queue.listen() == b"1"
    assert keys_of(queue.take_ids(5)) == {"a": 2, "b": 1}


def test_no_key_has_more_grants_in_a_window_than_its_rate(queue: QueueStory) -> None:
    queue.limit(rate=2, window_ms=1000, guard_ms=5, per_key=True)
    queue.offer_all(of("a", 5) + of("b", 1))
    assert keys_of(queue.take_ids(9)) == {"a": 2, "b": 1}
    answer = queue.claim(9, claimant="w2", wait_ms=2_000)
    assert (answer.tasks, answer.hint_ms, answer.is_limited) == ([], 1005, True)
    queue.advance(1004)
    assert queue.take_ids(9) == []
    queue.advance(1)
    assert queue.take_ids(9) == ["a-00002", "a-00003"]


def test_every_delivery_costs_its_key_a_token(queue: QueueStory) -> None:
    queue.limit(rate=1, window_ms=60_000, per_key=True)
    queue.offer_all(of("a", 2) + of("b", 1))
    first, _ = queue.take(5)
    queue.release(Release.BACK, first)
    assert queue.take_ids(5) == []
    queue.advance(60_005)
    assert queue.take_ids(5) == ["a-00000", "b-00000"]  # b's worker is gone


def test_a_postponed_task_needs_a_token_to_go_on_and_is_the_first_to_get_one(queue: QueueStory) -> None:
    queue.limit(concurrency=2, rate=1, window_ms=1000, guard_ms=5, per_key=True)
    queue.offer_all(of("a", 3))
    (first,) = queue.take(5)
    queue.release(Release.HOLD, first, delay_ms=100)
    queue.advance(100)
    assert queue.take_ids(5) == []
    assert queue.check()["held"] == ["a-00000"]
    queue.advance(905)
    assert queue.take_ids(5) == ["a-00000"]


def test_a_clock_that_steps_back_holds_no_key_up_for_longer_than_a_window(queue: QueueStory) -> None:
    queue.limit(rate=1, window_ms=1000, guard_ms=0, per_key=True)
    queue.offer_all(of("a", 2))
    queue.take(5)
    queue.advance(-600_000)
    assert queue.take_ids(5) == []
    queue.advance(1000)
    assert queue.take_ids(5) == ["a-00001"]


def test_waiting_for_the_limit_of_a_key_is_not_waiting_for_a_worker(queue: QueueStory) -> None:
    queue.limit(concurrency=1, per_key=True)
    queue.offer_all(of("a", 2) + of("b", 1))
    (first,) = queue.take()
    queue.advance(700)
    assert [queue.limited_ms(name) for name in ("a-00001", "b-00000", "a-00000")] == [700, 0, 0]
    queue.release(Release.DONE, first)
    queue.advance(300)
    assert queue.limited_ms("a-00001") == 700


def test_nothing_is_handed_over_past_the_limit_of_a_key(queue: QueueStory) -> None:
    queue.limit(concurrency=1, per_key=True)
    for number in range(3):
        queue.claim(claimant=f"w{number}", wait_ms=2_000)
    queue.offer_all(of("a", 2))
    assert queue.check()["leased"] == []
    assert len(queue.take(5)) == 1


def test_limits_of_keys_hold_over_all_domains(queue: QueueStory) -> None:
    queue.limit(concurrency=1, per_key=True)
    queue.offer_all(of("a", 1))
    (first,) = queue.take(5)
    queue.offer_all([offer._replace(domain="eu") for offer in of("a", 1, first=1) + of("b", 1)])
    assert queue.take_ids(5, domain="eu") == ["b-00000"]
    queue.claim(claimant="w2", domain="eu", wait_ms=2_000)
    queue.release(Release.DONE, first)
    assert queue.listen("eu") == b"1"
    assert queue.take_ids(5, domain="eu") == ["a-00001"]


def test_a_queue_is_paused_for_all_keys(queue: QueueStory) -> None:
    queue.limit(concurrency=1, per_key=True)
    queue.offer_all(of("a", 2) + of("b", 1))
    queue.pause()
    assert queue.take_ids(5) == []
    queue.pause(False)
    assert len(queue.take(5)) == 2


def test_owners_take_turns_within_the_limits_of_their_keys(queue: QueueStory) -> None:
    queue.limit(concurrency=3, per_key=True)
    offers = [Offer(f"{owner}-{n:05}", keys=f"={owner}\n{owner}") for owner in ("a", "b") for n in range(20)]
    queue.offer_all(offers)
    assert queue.take_ids(4) in (
        ["a-00000", "b-00000", "a-00001", "b-00001"],
        ["b-00000", "a-00000", "b-00001", "a-00001"],
    )
    assert keys_of(queue.take_ids(9)) == {"a": 1, "b": 1}


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_every_key_keeps_its_limits_and_all_tasks_come(queue: QueueStory, seed: int) -> None:
    rng = random.Random(seed)
    concurrency, rate = rng.choice(((1, 0), (2, 0), (3, 0), (0, 2), (2, 3)))
    queue.limit(concurrency=concurrency, rate=rate, per_key=True)
    names, out, done = ["a", "b", "c", ""], list[Claimed](), set[str]()
    grants: dict[str, list[int]] = {name: [] for name in names}
    offered = 0
    for _ in range(250):
        act = rng.choice(("offer", "claim", "claim", "done", "done", "back", "hold", "lend", "cancel", "wait", "again"))
        if act == "offer":
            queue.offer_all(
                of(rng.choice(names), 2, first=offered, priority=rng.choice((0, 0, 5)), delay_ms=rng.choice((0, 0, 80)))
            )
            offered += 2
        elif act == "claim":
            for task in queue.take(3):
                grants[task.task_id.split("-")[0]].append(queue.now_ms)
                out.append(task)
        elif act == "wait":
            queue.advance(rng.choice((10, 300, 1500, LEASE_MS + 1)))
        elif act == "again" and out:
            known = rng.choice(out).task_id
            if known not in done:
                queue.offer_all([Offer(known, keys=f"\n{known.split('-')[0]}")])
        elif out:
            task = out.pop(rng.randrange(len(out)))
            if act == "lend":
                queue.lend(Lend.OUT, task, delay_ms=200)
            elif act == "cancel":
                queue.remove(task.task_id)
                done.add(task.task_id)
            else:
                queue.release(Release(act), task, delay_ms=rng.choice((0, 50)))
        places = queue.check()
        slots = keys_of(places["leased"] + places["held"])
        assert not concurrency or all(count <= concurrency for count in slots.values()), slots
    for moments in grants.values():
        assert not rate or all(later - moment >= 1005 for moment, later in zip(moments, moments[rate:], strict=False))
    for _ in range(400):
        places = queue.check()
        if not places["records"]:
            break
        queue.advance(LEASE_MS + 1)
        queue.release(Release.DONE, *queue.take(50))
    assert queue.check()["records"] == []
    queue.advance(5_000)
    queue.take()
    assert queue.do(Command(("EXISTS", queue.keys.key_uses(TYPE), queue.keys.kept_back(TYPE)))) == 0


def test_who_does_not_know_of_keys_yet_learns_of_them(queue: QueueStory) -> None:
    stale = QueueStory(queue.store, queue.keys)
    stale.queues = Queues(queue.keys, lease_ms=LEASE_MS)
    queue.limit(concurrency=1, per_key=True)
    queue.offer_all(of("a", 2))
    (first,) = stale.take(5)
    stale.queues = Queues(queue.keys, lease_ms=LEASE_MS)
    assert stale.release(Release.DONE, first) == 1
    assert queue.take_ids(5) == ["a-00001"]
