"""A queue under a clock that the test moves: short verbs for the scripts, and what must hold between any two of them.

``check`` reads the raw keys and compares them with the invariants of a queue: a task is in at most one of ready,
delayed and leased; it has a record exactly while it is in one of them; leases and held slots stay within the limit.
"""

from __future__ import annotations

from typing import Any, TypeVar

from orchestrator.plan import Call, Command, Step
from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from orchestrator.store.queue import (
    Ask,
    Beat,
    Claim,
    Claimed,
    Lend,
    Limits,
    Loan,
    Offer,
    Queues,
    QueueStats,
    Release,
    Removed,
    Settlement,
    claim,
    enqueue,
    expedite,
    lend,
    remove,
    set_limits,
    set_paused,
    settle,
    stats,
)
from orchestrator.store.queue_values import Grant, read_grant

TYPE = "charge"
START_MS = 1_800_000_000_000

T = TypeVar("T")


class QueueStory:
    """One queue, one claimant unless another is named, and the time in the test's hands."""

    def __init__(self, store: SyncExecutor, keys: Keys, **options: int) -> None:
        self.store = store
        self.keys = keys
        self.queues = Queues(keys, **options)
        self.now_ms = START_MS
        self.revision = 0
        self.advance(0)

    def advance(self, ms: int) -> None:
        """Move the queue slot's clock."""
        self.now_ms += ms
        self.do(Command(("SET", self.keys.queue_clock(TYPE), self.now_ms)))

    def do(self, step: Step) -> Any:
        """One step on the store."""
        return self.store.do(step)

    def offer(
        self, *task_ids: str, domain: str | None = None, priority: int = 0, delay_ms: int = 0, keys: str = ""
    ) -> int:
        """Enqueue; gives how many were new."""
        return self.offer_all([Offer(task_id, domain, priority, delay_ms, keys) for task_id in task_ids])

    def offer_all(self, offers: list[Offer], limits: Limits | None = None) -> int:
        """Enqueue offers of all kinds in one batch."""
        reply = self.store.run(enqueue(self.queues, {TYPE: offers}, None if limits is None else {TYPE: limits}))[TYPE]
        return _value(reply)

    def claim(
        self, tasks_max: int = 1, *, domain: str | None = None, claimant: str = "worker-1", wait_ms: int = 0
    ) -> Claim:
        """Claim; the whole answer."""
        (reply,) = self.store.run(claim(self.queues, [Ask(TYPE, claimant, tasks_max, domain, wait_ms)]))
        return _value(reply)

    def take(self, tasks_max: int = 1, *, domain: str | None = None) -> list[Claimed]:
        """Claim; only the leases."""
        return self.claim(tasks_max, domain=domain).tasks

    def take_ids(self, tasks_max: int = 1, *, domain: str | None = None) -> list[str]:
        """Claim; only the task ids, in the order they were granted."""
        return [task.task_id for task in self.take(tasks_max, domain=domain)]

    def release(self, how: Release, *tasks: Claimed, delay_ms: int = 0) -> int:
        """Settle; gives how many were still current."""
        batch = [Settlement(how, task.task_id, task.delivery, task.offer, delay_ms) for task in tasks]
        return _value(self.store.run(settle(self.queues, {TYPE: batch}))[TYPE])

    def beat(self, *tasks: Claimed) -> list[Beat]:
        """Heartbeat."""
        beats: list[Beat] = self.do(self.queues.heartbeat_call(TYPE, [(task.task_id, task.delivery) for task in tasks]))
        return beats

    def lend(self, how: Lend, *tasks: Claimed, delay_ms: int = 0) -> list[Beat]:
        """Lend, or change a loan; gives a word for each."""
        loans = [Loan(how, task.task_id, task.delivery, delay_ms) for task in tasks]
        return self.store.run(lend(self.queues, TYPE, loans))

    def remove(self, *task_ids: str) -> Removed:
        """Cancel."""
        return _value(self.store.run(remove(self.queues, {TYPE: task_ids}))[TYPE])

    def expedite(self, *task_ids: str) -> int:
        """Let delayed tasks go; gives how many did wait."""
        return _value(self.store.run(expedite(self.queues, {TYPE: task_ids}))[TYPE])

    def limit(
        self, *, concurrency: int = 0, rate: int = 0, window_ms: int = 1000, guard_ms: int = 5, per_key: bool = False
    ) -> bool:
        """Write limits under the next revision."""
        self.revision += 1
        limits = Limits(self.revision, concurrency, rate, window_ms, guard_ms, per_key)
        return self.store.run(set_limits(self.queues, TYPE, limits))

    def pause(self, is_paused: bool = True) -> None:
        """Pause or resume."""
        self.store.run(set_paused(self.queues, TYPE, is_paused))

    def stats(self) -> QueueStats:
        """Look."""
        (reply,) = self.store.run(stats(self.queues, [TYPE]))
        return _value(reply)

    def limited_ms(self, task_id: str) -> int:
        """For how long the limits have kept the task."""
        return int(self.do(self.queues.limited_call(TYPE, task_id)))

    def tokens(self, domain: str | None = None) -> int:
        """Wake-up tokens nobody has taken yet."""
        return int(self.do(Command(("LLEN", self.queues.wake_key(TYPE, domain) or ""))))

    def listen(self, domain: str | None = None) -> bytes | None:
        """Take one wake-up token, as a blocked claimant would."""
        token: bytes | None = self.do(Command(("LPOP", self.queues.wake_key(TYPE, domain) or "")))
        return token

    def push(self, token: bytes) -> None:
        """Put a wake-up token in, as an earlier script did."""
        self.do(Command(("RPUSH", self.queues.wake_key(TYPE) or "", token)))

    def hear(self, domain: str | None = None) -> Grant | None:
        """Take one wake-up token; what it hands over, if anything."""
        token = self.listen(domain)
        return None if token is None else read_grant(token)

    def where(self) -> dict[str, list[str]]:
        """Where every task is: place -> task ids."""
        keys, places = self.keys, dict[str, list[str]]()
        ready: list[bytes] = []
        for index in range(len(self.stats().domains)):
            ready += self.do(Command(("ZRANGE", keys.ready(TYPE, index), 0, -1)))
        places["ready"] = _names(ready)
        places["delayed"] = _names(self.do(Command(("ZRANGE", keys.delayed(TYPE), 0, -1))))
        places["leased"] = _names(self.do(Command(("ZRANGE", keys.leases(TYPE), 0, -1))))
        places["held"] = sorted(_names(self.do(Command(("SMEMBERS", keys.held(TYPE))))))
        kept = _names(self.do(Command(("ZRANGE", keys.kept_back(TYPE), 0, -1))))
        places["kept"] = [member.rpartition("\n")[2].split(" ", 2)[2] for member in kept]
        places["records"] = sorted(_names(self.do(Command(("HKEYS", keys.records(TYPE))))))
        return places

    def check(self, concurrency: int = 0) -> dict[str, list[str]]:
        """Assert what holds of any queue at any time; gives where the tasks are."""
        places = self.where()
        queued = places["ready"] + places["delayed"] + places["leased"] + places["kept"]
        assert len(queued) == len(set(queued)), f"a task is in two places: {places}"
        assert sorted(queued) == places["records"], f"records and places differ: {places}"
        assert set(places["held"]) <= set(places["ready"] + places["delayed"] + places["kept"]), (
            f"a held slot has no task: {places}"
        )
        if concurrency:
            assert len(places["leased"]) + len(places["held"]) <= concurrency, f"above {concurrency}: {places}"
        return places


def snapshot(store: SyncExecutor) -> dict[bytes, Any]:
    """Every key with its whole value, on any backend."""
    reads: dict[bytes, tuple[Any, ...]] = {
        b"hash": ("HGETALL",),
        b"zset": ("ZRANGE", 0, -1, "WITHSCORES"),
        b"set": ("SMEMBERS",),
        b"list": ("LRANGE", 0, -1),
        b"string": ("GET",),
        b"stream": ("XRANGE", "-", "+"),
    }
    content: dict[bytes, Any] = {}
    for key in sorted(store.do(Command(("KEYS", "*")))):
        name, *rest = reads[store.do(Command(("TYPE", key)))]
        value = store.do(Command((name, key, *rest)))
        content[key] = sorted(value) if name == "SMEMBERS" else value
    return content


def run_call(store: SyncExecutor, call: Call) -> Any:
    """One script call; an error is given back, not raised."""
    (reply,) = store.do([call])
    return reply


def _value(reply: T | Exception) -> T:
    if isinstance(reply, Exception):
        raise reply
    return reply


def _names(raw: list[bytes]) -> list[str]:
    return [name.decode() for name in raw]
