"""Domains of a task type: how a process learns their numbers, and what happens to calls built on an old list."""

from __future__ import annotations

import pytest

from orchestrator.errors import Conflict, StoreUnavailable
from orchestrator.plan import Call, Command
from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from orchestrator.store.queue import (
    DOMAINS_MAX,
    RELEARNED,
    ROUNDS_MAX,
    Ask,
    Lend,
    Loan,
    Offer,
    Queues,
    Release,
    Settlement,
    claim,
    enqueue,
    send,
)
from tests.store.queue_story import TYPE, QueueStory, run_call, snapshot


@pytest.fixture
def queue(timed_store: SyncExecutor, keys: Keys) -> QueueStory:
    return QueueStory(timed_store, keys)


def test_a_claim_is_served_from_its_own_domain_only(queue: QueueStory) -> None:
    queue.offer("plain")
    queue.offer("eu", domain="eu")
    queue.offer("us", domain="us")
    assert queue.take_ids(5, domain="us") == ["us"]
    assert queue.take_ids(5, domain="eu") == ["eu"]
    assert queue.take_ids(5) == ["plain"]
    assert queue.take_ids(5, domain="mars") == []
    queue.check()


def test_one_batch_may_hold_tasks_of_several_domains(queue: QueueStory) -> None:
    assert queue.offer_all([Offer("a"), Offer("b", "eu"), Offer("c", "us"), Offer("d", "eu")]) == 4
    assert queue.take_ids(5, domain="eu") == ["b", "d"]


def test_tasks_return_to_the_domain_they_came_from(queue: QueueStory) -> None:
    queue.offer("a", domain="eu")
    queue.offer("b", domain="eu", delay_ms=10)
    (task,) = queue.take(domain="eu")
    queue.release(Release.BACK, task)
    queue.advance(10)
    assert queue.take(5) == []
    assert queue.take_ids(5, domain="eu") == ["a", "b"]
    queue.advance(15_000)
    assert queue.take(5) == []
    assert queue.take_ids(5, domain="eu") == ["a", "b"]


def test_a_domain_keeps_its_number_however_often_it_is_asked_for(queue: QueueStory, keys: Keys) -> None:
    for process in (queue.queues, Queues(keys), Queues(keys)):
        queue.store.run(claim(process, [Ask(TYPE, "w", 1, "eu")]))
        assert process.wake_key(TYPE, "eu") == keys.wakes(TYPE, 1)


def test_the_wake_key_of_an_unknown_domain_is_not_known(queue: QueueStory, keys: Keys) -> None:
    assert queue.queues.wake_key(TYPE) == keys.wakes(TYPE, 0)
    assert queue.queues.wake_key(TYPE, "eu") is None


def _calls(queues: Queues) -> dict[str, Call]:
    return {
        "enqueue": queues.enqueue_call(TYPE, [Offer("z")]),
        "claim": queues.claim_call(Ask(TYPE, "w", 5, None, 2000)),
        "settle": queues.settle_call(TYPE, [Settlement(Release.DONE, "a", 1, 0)]),
        "lend": queues.lend_call(TYPE, [Loan(Lend.OUT, "a", 1, 1_000)]),
        "remove": queues.remove_call(TYPE, ["a"]),
        "expedite": queues.expedite_call(TYPE, ["a"]),
        "set_limits": queues.set_limits_call(TYPE, is_paused=True),
        "stats": queues.stats_call(TYPE),
    }


@pytest.mark.parametrize("verb", ["enqueue", "claim", "settle", "lend", "remove", "expedite", "set_limits", "stats"])
def test_a_call_built_on_an_old_list_changes_nothing_and_teaches_the_new_one(
    queue: QueueStory, keys: Keys, verb: str
) -> None:
    stranger = Queues(keys)
    queue.offer("a")
    queue.take()
    queue.offer("b", domain="eu")
    before = snapshot(queue.store)
    assert run_call(queue.store, _calls(stranger)[verb]) is RELEARNED
    assert snapshot(queue.store) == before
    assert stranger.wake_key(TYPE, "eu") is not None
    assert run_call(queue.store, _calls(stranger)[verb]) is not RELEARNED


def test_work_for_many_queues_goes_in_one_pipeline_and_is_repeated_where_needed(queue: QueueStory, keys: Keys) -> None:
    queue.offer("a", domain="eu")
    queue.do([_set_clock(queue, "ship"), _set_clock(queue, "mail")])
    stranger = Queues(keys)
    batches = {TYPE: [Offer("b")], "ship": [Offer("c", "us"), Offer("d")], "mail": []}
    assert queue.store.run(enqueue(stranger, batches)) == {TYPE: 1, "ship": 2, "mail": 0}


def test_a_queue_that_refuses_does_not_hide_the_others(queue: QueueStory) -> None:
    replies = queue.store.run(enqueue(queue.queues, {TYPE: [Offer("a")], "clockless": [Offer("b")]}))
    assert replies[TYPE] == 1
    assert isinstance(replies["clockless"], Exception)


def test_domains_are_bounded_and_the_refusal_says_what_to_do(queue: QueueStory) -> None:
    for number in range(DOMAINS_MAX):
        queue.claim(domain=f"d{number}")
    queue.claim(domain="d3")
    with pytest.raises(Conflict, match="use one of the existing domains"):
        queue.claim(domain="one-too-many")
    assert len(queue.stats().domains) == DOMAINS_MAX + 1


def test_a_list_that_never_settles_ends_in_an_error_instead_of_a_loop() -> None:
    plan = send([lambda: Call("queue_stats", ("k",), ())])
    next(plan)
    for _ in range(ROUNDS_MAX - 1):
        plan.send([RELEARNED])
    with pytest.raises(StopIteration) as stop:
        plan.send([RELEARNED])
    assert isinstance(stop.value.value[0], StoreUnavailable)


def _set_clock(queue: QueueStory, task_type: str) -> Command:
    return Command(("SET", queue.keys.queue_clock(task_type), queue.now_ms))
