"""The queue scripts as scripts: a wrong type is refused before anything is written; the server's own clock works."""

from __future__ import annotations

import pytest

from orchestrator.errors import StoreRefused
from orchestrator.plan import Call, Command
from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from orchestrator.store.queue import (
    Ask,
    Claim,
    Lend,
    Limits,
    Loan,
    Offer,
    Queues,
    Release,
    Settlement,
    claim,
    enqueue,
)
from tests.store.queue_story import TYPE, QueueStory, run_call, snapshot
from tests.support.eventually import eventually

CALLS = [
    "enqueue",
    "claim",
    "settle",
    "heartbeat",
    "lend",
    "remove",
    "expedite",
    "set_limits",
    "stats",
    "limited",
    "domain",
]


KEYS = pytest.mark.parametrize("keys_of_tasks", ["", "=a\n", "\na"], ids=["no keys", "owners", "limits"])


def _busy(queue: QueueStory, keys: str) -> None:
    """Something in every key: ready, due, silent, leased, held, waiting, spent."""
    queue.limit(concurrency=8, rate=50, per_key=keys == "\na")
    queue.offer("held", "silent", "done", "anew", "back", "hold", "cancelled", keys=keys)
    held, *_ = queue.take(7)
    queue.advance(14_000)
    queue.do(queue.queues.heartbeat_call(TYPE, [(name, 1) for name in ("done", "anew", "back", "hold", "cancelled")]))
    queue.release(Release.HOLD, held, delay_ms=500)
    queue.claim(claimant="w1", wait_ms=60_000)
    queue.claim(claimant="w2", domain="eu", wait_ms=60_000)
    queue.offer("anew", keys=keys)
    queue.offer("due", "soon", delay_ms=800, keys=keys)
    queue.offer("later", delay_ms=60_000, keys=keys)
    queue.offer("ready", "other", keys=keys)
    queue.limit(concurrency=7, rate=50, per_key=keys == "\na")
    queue.advance(1000)


def _call(queues: Queues, name: str, keys: str) -> Call:
    kinds = ((Release.DONE, "done"), (Release.DONE, "anew"), (Release.BACK, "back"), (Release.HOLD, "hold"))
    settlements = [Settlement(how, task_id, 1, 0, 100) for how, task_id in kinds]
    calls = {
        "enqueue": lambda: queues.enqueue_call(
            TYPE,
            [Offer("n", keys=keys), Offer("m", "eu", keys=keys), Offer("l", delay_ms=9, keys=keys), Offer("ready")],
            Limits(99, 9, 60, 1000, 5),
        ),
        "claim": lambda: queues.claim_call(Ask(TYPE, "w3", 50, None, 2000)),
        "settle": lambda: queues.settle_call(TYPE, [*settlements, Settlement(Release.DONE, "held", 1, 0)]),
        "heartbeat": lambda: queues.heartbeat_call(TYPE, [("done", 1)]),
        "lend": lambda: queues.lend_call(
            TYPE,
            [
                Loan(Lend.OUT, "done", 1, 5_000),
                Loan(Lend.OUT, "cancelled", 1, 5_000),
                Loan(Lend.BACK, "back", 1),
                Loan(Lend.LATER, "held", 1, 900),
            ],
        ),
        "remove": lambda: queues.remove_call(TYPE, ["held", "ready", "cancelled", "soon"]),
        "expedite": lambda: queues.expedite_call(TYPE, ["held", "soon", "later", "ready", "unknown"]),
        "set_limits": lambda: queues.set_limits_call(TYPE, Limits(99, 20, 100), is_paused=False),
        "stats": lambda: queues.stats_call(TYPE),
        "limited": lambda: queues.limited_call(TYPE, "ready"),
        "domain": lambda: queues.claim_call(Ask(TYPE, "w3", 1, "us")),
    }
    return calls[name]()


@KEYS
@pytest.mark.parametrize("name", CALLS)
def test_a_key_of_a_wrong_type_is_refused_before_anything_is_written(
    timed_store: SyncExecutor, keys: Keys, name: str, keys_of_tasks: str
) -> None:
    refused = 0
    for index in range(len(_call(QueueStory(timed_store, keys).queues, name, "").keys) + 9):
        for key in timed_store.do(Command(("KEYS", "*"))):
            timed_store.do(Command(("DEL", key)))
        queue = QueueStory(timed_store, keys)
        _busy(queue, keys_of_tasks)
        call = _call(queue.queues, name, keys_of_tasks)
        if index >= len(call.keys):
            break
        timed_store.do(Command(("DEL", call.keys[index])))
        timed_store.do(Command(("SET", call.keys[index], "of another program")))
        before = snapshot(timed_store)
        if isinstance(run_call(timed_store, call), Exception):
            refused += 1
            assert snapshot(timed_store) == before, f"{name} wrote before it met {call.keys[index]}"
    assert refused


@KEYS
@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("stats", "limited", "domain")])
def test_the_busy_queue_of_these_tests_is_changed_by_every_script(
    timed_store: SyncExecutor, keys: Keys, name: str, keys_of_tasks: str
) -> None:
    queue = QueueStory(timed_store, keys)
    _busy(queue, keys_of_tasks)
    before = snapshot(timed_store)
    reply = run_call(timed_store, _call(queue.queues, name, keys_of_tasks))
    assert not isinstance(reply, Exception), reply
    assert snapshot(timed_store) != before
    queue.check(concurrency=20)


def test_a_script_without_a_clock_is_refused_and_writes_nothing(timed_store: SyncExecutor, keys: Keys) -> None:
    reply = run_call(timed_store, Queues(keys).enqueue_call("clockless", [Offer("a")]))
    assert isinstance(reply, StoreRefused)
    assert snapshot(timed_store) == {}


def test_on_the_servers_clock_a_lease_ends_and_the_task_comes_back(store: SyncExecutor, keys: Keys) -> None:
    queues = Queues(keys, lease_ms=30)
    store.run(enqueue(queues, {TYPE: [Offer("a"), Offer("b", delay_ms=30)]}))
    ask = Ask(TYPE, "w", 5)
    first = _claim(store, queues, ask)
    assert [task.task_id for task in first.tasks] == ["a"]
    assert 1 <= first.hint_ms <= 30
    seen: list[tuple[str, int]] = []

    def both_came() -> None:
        seen.extend((task.task_id, task.delivery) for task in _claim(store, queues, ask).tasks)
        assert {("a", 2), ("b", 1)} <= set(seen)

    eventually(both_came)


def test_on_the_servers_clock_a_rate_holds_and_its_tokens_come_back(store: SyncExecutor, keys: Keys) -> None:
    queues = Queues(keys)
    offers = [Offer(f"t{number}") for number in range(4)]
    store.run(enqueue(queues, {TYPE: offers}, {TYPE: Limits(1, rate=2, window_ms=150)}))
    grants: list[int] = []

    def all_came() -> None:
        answer = _claim(store, queues, Ask(TYPE, "w", 5))
        grants.extend([answer.now_ms] * len(answer.tasks))
        assert len(grants) == 4

    eventually(all_came)
    assert grants[2] - grants[0] >= 150
    assert grants[3] - grants[1] >= 150


def _claim(store: SyncExecutor, queues: Queues, ask: Ask) -> Claim:
    (answer,) = store.run(claim(queues, [ask]))
    assert isinstance(answer, Claim)
    return answer
