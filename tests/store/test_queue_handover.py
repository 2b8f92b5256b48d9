"""A task that comes to an unlimited queue where claimants wait is leased at once and goes along with the wake-up."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.plan import Command
from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from orchestrator.store.queue import Claimed, Offer, Release
from orchestrator.store.queue_values import Grant, read_grant
from tests.store.queue_story import TYPE, QueueStory

LEASE_MS = 15_000


@pytest.fixture
def queue(timed_store: SyncExecutor, keys: Keys) -> QueueStory:
    return QueueStory(timed_store, keys, lease_ms=LEASE_MS)


def wait(queue: QueueStory, *names: str, domain: str | None = None) -> None:
    for name in names:
        queue.claim(claimant=name, domain=domain, wait_ms=2_000)


def test_a_waiting_claimant_is_handed_the_task_itself(queue: QueueStory) -> None:
    wait(queue, "w1")
    queue.offer("a")
    assert queue.hear() == Grant("a", 1, 0, queue.now_ms + LEASE_MS)
    assert queue.check()["leased"] == ["a"]
    assert queue.stats().granted == 1


def test_a_task_that_was_handed_over_is_given_back_and_done_like_any_other(queue: QueueStory) -> None:
    wait(queue, "w1")
    queue.offer("a")
    assert queue.release(Release.BACK, Claimed("a", 1, 0, False)) == 1
    (again,) = queue.take()
    assert (again.task_id, again.delivery) == ("a", 2)
    assert queue.release(Release.DONE, again) == 1
    assert queue.check()["records"] == []


def test_a_receiver_stays_on_the_list_of_those_who_wait(queue: QueueStory) -> None:
    wait(queue, "w1")
    for name in "abc":
        queue.offer(name)
        heard = queue.hear()
        assert heard is not None
        assert heard.task_id == name


def test_what_comes_while_a_hand_over_is_unread_is_ready_and_told_of(queue: QueueStory) -> None:
    wait(queue, "w1", "w2")
    queue.offer("a")
    queue.offer("b")
    assert queue.check()["ready"] == ["b"]
    assert [queue.listen(), queue.listen(), queue.listen()] == [b"a 1 0 %d" % (queue.now_ms + LEASE_MS), b"1", None]


def test_hints_do_not_pile_up_behind_a_hand_over(queue: QueueStory) -> None:
    wait(queue, "w1", "w2", "w3", "w4")
    for name in "abcd":
        queue.offer(name)
    assert queue.tokens() == 2


def test_more_tasks_than_claimants_are_left_to_be_claimed_together(queue: QueueStory) -> None:
    wait(queue, "w1", "w2")
    queue.offer("a", "b", "c")
    assert queue.check()["ready"] == ["a", "b", "c"]
    assert queue.listen() == b"1"


def test_nobody_is_passed_over_who_was_there_before(queue: QueueStory) -> None:
    wait(queue, "w1")
    queue.offer("early", delay_ms=10)
    queue.advance(10)
    queue.claim(0)  # makes it ready
    queue.offer("late")
    assert queue.check()["ready"] == ["early", "late"]


def test_nobody_is_passed_over_whose_time_has_come_and_whom_nobody_has_looked_for(queue: QueueStory) -> None:
    queue.offer("early", delay_ms=10)
    wait(queue, "w1")
    queue.advance(10)
    queue.offer("late")
    assert queue.check() == {
        "ready": ["late"],
        "delayed": ["early"],
        "leased": [],
        "held": [],
        "kept": [],
        "records": ["early", "late"],
    }
    assert queue.listen() == b"1"
    assert queue.take_ids(2) == ["early", "late"]


def test_a_task_whose_worker_fell_silent_is_not_passed_over(queue: QueueStory) -> None:
    queue.offer("early")
    queue.take()
    queue.advance(LEASE_MS - 1)
    wait(queue, "w1")
    queue.advance(1)
    queue.offer("late")
    assert queue.check()["ready"] == ["late"]
    assert queue.listen() == b"1"
    assert queue.take_ids(2) == ["early", "late"]


@pytest.mark.parametrize("limits", [{"concurrency": 9}, {"rate": 9}])
def test_a_queue_with_limits_hands_nothing_over(queue: QueueStory, limits: dict[str, Any]) -> None:
    queue.limit(**limits)
    wait(queue, "w1")
    queue.offer("a")
    assert queue.check()["ready"] == ["a"]
    assert queue.listen() == b"1"


def test_a_paused_queue_hands_nothing_over(queue: QueueStory) -> None:
    wait(queue, "w1")
    queue.pause()
    queue.offer("a")
    assert (queue.tokens(), queue.check()["ready"]) == (0, ["a"])


def test_a_claimant_whose_time_to_wait_is_over_is_handed_nothing(queue: QueueStory) -> None:
    wait(queue, "w1")
    queue.advance(2_000)
    queue.offer("a")
    assert (queue.tokens(), queue.check()["ready"]) == (0, ["a"])


def test_those_whose_time_to_wait_is_over_leave_the_list_of_those_who_wait(queue: QueueStory) -> None:
    wait(queue, "w1", "w2")
    queue.advance(1_000)
    wait(queue, "w3")
    queue.advance(1_000)
    queue.offer("a")
    assert queue.hear() is not None
    assert queue.do(Command(("ZRANGE", queue.keys.waiters(TYPE), 0, -1))) == [b"w3"]


def test_each_domain_hands_over_to_its_own(queue: QueueStory) -> None:
    wait(queue, "w1")
    wait(queue, "w2", domain="eu")
    queue.offer("a", domain="eu")
    heard = queue.hear("eu")
    assert heard is not None
    assert heard.task_id == "a"
    assert queue.hear() is None


def test_the_same_task_twice_in_a_batch_is_handed_over_under_its_last_offer(queue: QueueStory) -> None:
    wait(queue, "w1")
    queue.offer_all([Offer("a"), Offer("a")])
    heard = queue.hear()
    assert heard is not None
    assert (heard.delivery, heard.offer) == (1, 1)
    assert queue.release(Release.DONE, Claimed("a", 1, 1, False)) == 1
    assert queue.check()["records"] == []


def test_a_hand_over_that_nobody_has_read_goes_to_whoever_claims(queue: QueueStory) -> None:
    wait(queue, "w1")
    queue.offer("a")
    queue.advance(10_000)
    answer = queue.claim(claimant="w2")
    assert answer.tasks == [Claimed("a", 1, 0, False)]
    assert (queue.tokens(), queue.stats().granted) == (0, 1)
    queue.advance(10_000)  # its lease began anew
    assert queue.check()["leased"] == ["a"]
    assert queue.take() == []


def test_a_claim_takes_no_more_hand_overs_than_it_asked_for(queue: QueueStory) -> None:
    wait(queue, "w1", "w2", "w3")
    queue.offer("a", "b", "c")
    assert queue.take_ids(2) == ["a", "b"]
    assert queue.take_ids(2) == ["c"]


def test_a_hand_over_whose_lease_is_over_is_delivered_anew(queue: QueueStory) -> None:
    wait(queue, "w1")
    queue.offer("a")
    queue.advance(LEASE_MS)
    assert queue.take() == [Claimed("a", 2, 0, False)]
    assert queue.tokens() == 0


def test_a_stale_hand_over_is_not_taken_for_the_present_lease(queue: QueueStory) -> None:
    wait(queue, "w1")
    queue.offer("a")
    token = queue.listen()
    assert token is not None
    queue.advance(LEASE_MS)
    queue.take()
    queue.push(token)
    assert queue.take() == []
    assert queue.check()["leased"] == ["a"]


def test_a_hand_over_that_nobody_has_read_counts_as_ready(queue: QueueStory) -> None:
    wait(queue, "w1", "w2")
    queue.offer("a")
    queue.advance(5)
    queue.offer("b")
    stats = queue.stats()
    assert (stats.ready, stats.leased, stats.domains[None].head_since_ms) == (2, 0, queue.now_ms)
    token = queue.listen()
    assert token is not None
    stats = queue.stats()
    assert (stats.ready, stats.leased) == (1, 1)
    queue.push(token)
    queue.advance(LEASE_MS)
    queue.take(3)
    queue.push(token)  # of a lease that is over
    stats = queue.stats()
    assert (stats.ready, stats.leased, stats.domains[None].head_since_ms) == (0, 2, None)


def test_a_cancelled_task_under_way_is_only_marked(queue: QueueStory) -> None:
    wait(queue, "w1")
    queue.offer("a")
    assert queue.remove("a") == (0, 1)
    assert queue.release(Release.DONE, Claimed("a", 1, 0, False)) == 1
    assert queue.check()["records"] == []


@pytest.mark.parametrize(("token", "grant"), [(b"1", None), (b"w-x 2 3 4", Grant("w-x", 2, 3, 4))])
def test_a_token_is_a_hint_or_a_lease(token: bytes, grant: Grant | None) -> None:
    assert read_grant(token) == grant
