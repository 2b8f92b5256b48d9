"""What must hold of a queue whatever happens: random histories under a clock that the test moves, from a seed.

S9 leases and held slots never exceed the concurrency limit; S10 no window ever holds more grants than the rate; S11 a
task is in one place; S13 delivery numbers only grow; S22 equals leave in order. Nothing is lost: in the end all come.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

import pytest

from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from orchestrator.store.queue import Beat, Claimed, Lend, Offer, Release
from orchestrator.store.queue_values import read_grant
from tests.store.queue_story import QueueStory

LEASE_MS = 2000
STEPS = 250
DOMAINS = (None, None, "eu")


@dataclass
class Known:
    """What the test knows of one task: where it stands in line, and what came of it."""

    offer: Offer
    number: int
    due_ms: int
    deliveries: int = 0
    offers: int = 0
    is_gone: bool = False

    @property
    def is_in_line(self) -> bool:
        """Still where its offer put it: never handed out, never removed."""
        return self.deliveries == 0 and not self.is_gone

    @property
    def level_ms(self) -> int:
        return self.due_ms - self.offer.priority * 1000


class History:
    """A random user of one queue that remembers what it has seen."""

    def __init__(self, queue: QueueStory, seed: int) -> None:
        self.queue = queue
        self.random = random.Random(seed)
        self.known: dict[str, Known] = {}
        self.leases: deque[Claimed] = deque()
        self.concurrency = 0

    def step(self) -> None:
        """Do one thing, then check what must always hold."""
        acts = [self.offer, self.offer_again, self.claim, self.settle, self.beat, self.lend, self.remove, self.wait]
        self.random.choices(acts, weights=(2, 1, 4, 3, 2, 2, 1, 2))[0]()
        if self.random.random() < 0.05:
            self.change_limits()
        places = self.queue.where()
        queued = places["ready"] + places["delayed"] + places["leased"]
        assert sorted(queued) == places["records"]
        assert len(queued) == len(set(queued))
        assert set(places["held"]) <= set(places["ready"] + places["delayed"])

    def offer(self) -> None:
        batch = []
        for _ in range(self.random.randint(1, 6)):
            number = len(self.known)
            delay_ms = self.random.choice((0, 0, 0, 50, 700))
            offer = Offer(f"t{number}", self.random.choice(DOMAINS), self.random.choice((0, 0, 0, 3)), delay_ms)
            self.known[offer.task_id] = Known(offer, number, self.queue.now_ms + delay_ms)
            batch.append(offer)
        assert self.queue.offer_all(batch) == len(batch)
        if self.random.random() < 0.5:  # otherwise whoever claims next takes it over
            self.hear()

    def hear(self) -> None:
        """Take what was handed over to claimants that wait."""
        for domain in (None, "eu"):
            while (token := self.queue.listen(domain)) is not None:
                grant = read_grant(token)
                if grant is None:
                    continue
                known = self.known[grant.task_id]
                assert (known.offer.domain, grant.delivery) == (domain, 1)
                known.deliveries = max(known.deliveries, 1)
                self.leases.append(Claimed(grant.task_id, grant.delivery, grant.offer, False))

    def claim(self) -> None:
        domain = self.random.choice(DOMAINS)
        before = self.queue.where()
        wait_ms = self.random.choice((0, 500))
        taken = self.queue.claim(self.random.randint(1, 8), domain=domain, wait_ms=wait_ms).tasks
        if self.concurrency and taken:
            new = [task for task in taken if task.task_id not in before["held"]]
            assert not new or len(self.in_use()) <= self.concurrency
        for task in taken:
            known = self.known[task.task_id]
            assert known.offer.domain == domain
            unheard = known.deliveries == 0 and task.delivery == 2  # handed over to nobody, and its lease ran out
            assert task.delivery == known.deliveries + 1 or unheard
            assert self.queue.now_ms >= known.due_ms
        self.check_order(domain, taken)
        for task in taken:
            self.known[task.task_id].deliveries = task.delivery
            self.leases.append(task)

    def in_use(self) -> list[str]:
        places = self.queue.where()
        return places["leased"] + places["held"]

    def check_order(self, domain: str | None, taken: list[Claimed]) -> None:
        granted = [self.known[task.task_id] for task in taken if self.known[task.task_id].is_in_line]
        ids = {task.task_id for task in taken}
        left = [
            known
            for known in self.known.values()
            if known.is_in_line
            and known.offer.domain == domain
            and known.due_ms <= self.queue.now_ms
            and known.offer.task_id not in ids
        ]
        for early in granted:
            for late in left:
                assert early.level_ms <= late.level_ms
                if early.offer[2:] == late.offer[2:]:
                    assert early.number < late.number

    def settle(self) -> None:
        if not self.leases:
            return
        task = self.leases.popleft()
        how = self.random.choice((Release.DONE, Release.DONE, Release.BACK, Release.HOLD))
        current = self.queue.release(how, task, delay_ms=self.random.choice((0, 300)))
        known = self.known[task.task_id]
        if how == Release.DONE and current and task.offer == known.offers:
            known.is_gone = True
        if self.random.random() < 0.2:
            self.queue.release(how, task, delay_ms=300)
            known.is_gone = known.is_gone or (how == Release.DONE and not self.is_queued(task.task_id))

    def lend(self) -> None:
        """Lend a claimed task; its worker then goes on with it, postpones it, ends it or never saw it."""
        if not self.leases:
            return
        task = self.leases.popleft()
        before = self.queue.where()
        (word,) = self.queue.lend(Lend.OUT, task, delay_ms=self.random.choice((300, LEASE_MS)))
        assert (word is Beat.LOST) == (self.queue.where() == before)
        if self.random.random() < 0.3:
            self.queue.advance(self.random.choice((1, 300)))
        how = self.random.choice((Lend.LONGER, Lend.LATER, Lend.BACK, None))
        if how is not None:
            self.queue.lend(how, task, delay_ms=self.random.choice((0, 300)) if how is Lend.LATER else 300)
        elif self.queue.release(Release.DONE, task) and task.offer == self.known[task.task_id].offers:
            self.known[task.task_id].is_gone = True

    def is_queued(self, task_id: str) -> bool:
        return task_id in self.queue.where()["records"]

    def offer_again(self) -> None:
        names = [name for name, known in self.known.items() if not known.is_gone and self.is_queued(name)]
        if names:
            known = self.known[self.random.choice(names)]
            assert self.queue.offer_all([known.offer]) == 0
            known.offers += 1

    def beat(self) -> None:
        if self.leases:
            self.queue.beat(*list(self.leases)[:10])

    def remove(self) -> None:
        names = [name for name, known in self.known.items() if not known.is_gone]
        if names and self.random.random() < 0.3:
            name = self.random.choice(names)
            self.queue.remove(name)
            self.known[name].is_gone = True

    def wait(self) -> None:
        self.queue.advance(self.random.choice((1, 40, 300, LEASE_MS)))

    def change_limits(self) -> None:
        self.concurrency = self.random.choice((0, 1, 3, 8))
        self.queue.limit(concurrency=self.concurrency)

    def finish(self) -> None:
        """Lift the limits and let every lease run out: whatever was not done or removed must come out once more."""
        self.queue.limit()
        self.queue.advance(LEASE_MS + 1000)
        finished: set[str] = set()
        for _ in range(1000):
            taken = [task for domain in (None, "eu") for task in self.queue.take(100, domain=domain)]
            if not taken:
                break
            self.queue.release(Release.DONE, *taken)
            finished |= {task.task_id for task in taken}
        assert self.queue.check()["records"] == []
        assert finished == {name for name, known in self.known.items() if not known.is_gone}


@pytest.mark.parametrize("seed", range(6))
def test_random_histories_keep_every_task_in_one_place_in_order_and_lose_none(
    timed_store: SyncExecutor, keys: Keys, seed: int
) -> None:
    history = History(QueueStory(timed_store, keys, lease_ms=LEASE_MS, deliveries_max=1000), seed)
    for _ in range(STEPS):
        history.step()
    assert len(history.known) > STEPS // 10
    history.finish()


@pytest.mark.parametrize(("seed", "concurrency"), [(1, 1), (2, 2), (3, 5)])
def test_random_claims_releases_and_postponements_never_exceed_the_concurrency_limit(
    timed_store: SyncExecutor, keys: Keys, seed: int, concurrency: int
) -> None:
    queue, dice = QueueStory(timed_store, keys, lease_ms=LEASE_MS), random.Random(seed)
    queue.limit(concurrency=concurrency)
    queue.offer(*[f"t{number}" for number in range(60)])
    leases: list[Claimed] = []
    fullest = done = 0
    for _ in range(STEPS):
        leases += queue.take(dice.randint(1, 4))
        places = queue.check(concurrency=concurrency)
        fullest = max(fullest, len(places["leased"]) + len(places["held"]))
        if leases and dice.random() < 0.7:
            how = dice.choice((Release.DONE, Release.DONE, Release.HOLD, Release.BACK))
            done += queue.release(how, leases.pop(), delay_ms=dice.choice((0, 10, 500))) * (how == Release.DONE)
        queue.advance(dice.choice((0, 1, 20, LEASE_MS)))
    assert fullest == concurrency
    assert done > 10


@pytest.mark.parametrize(("seed", "rate", "window_ms"), [(1, 1, 50), (2, 7, 100), (3, 20, 1000), (4, 100, 100)])
def test_no_window_anywhere_holds_more_grants_than_the_rate(
    timed_store: SyncExecutor, keys: Keys, seed: int, rate: int, window_ms: int
) -> None:
    queue, dice = QueueStory(timed_store, keys), random.Random(seed)
    queue.limit(rate=rate, window_ms=window_ms, guard_ms=0)
    grants: list[int] = []
    for number in range(STEPS):
        queue.offer(*[f"t{number}-{part}" for part in range(dice.randint(0, 9))])
        grants += [queue.now_ms] * len(queue.take(dice.choice((1, 3, 100))))
        queue.advance(dice.choice((0, 1, 2, window_ms // 10, window_ms - 1)))
    for first, last in zip(grants, grants[rate:], strict=False):
        assert last - first >= window_ms, f"{rate + 1} grants within {last - first} ms"
    assert len(grants) > rate


def test_a_queue_that_is_never_empty_is_granted_its_full_rate(timed_store: SyncExecutor, keys: Keys) -> None:
    queue = QueueStory(timed_store, keys)
    queue.limit(rate=10, window_ms=100, guard_ms=5)
    queue.offer(*[f"t{number}" for number in range(100)])
    granted = 0
    for _ in range(315):  # three times a window and its guard
        granted += len(queue.take(3))
        queue.advance(1)
    assert granted == 30


def test_waiters_that_obey_hints_and_wakes_leave_no_slot_idle(timed_store: SyncExecutor, keys: Keys) -> None:
    """L6: a queue with work, capacity and waiters moves on, although each waiter sleeps until its token or hint."""
    queue = QueueStory(timed_store, keys, lease_ms=60_000)
    queue.limit(concurrency=3, rate=5, window_ms=1000)
    queue.offer(*[f"t{number}" for number in range(30)])
    wake_at = {f"w{number}": queue.now_ms for number in range(6)}
    running: list[tuple[int, Claimed]] = []
    done = 0
    for _ in range(12_000):
        for ends_ms, task in [item for item in running if item[0] <= queue.now_ms]:
            done += queue.release(Release.DONE, task)
            running.remove((ends_ms, task))
        ready = [name for name, at_ms in wake_at.items() if at_ms <= queue.now_ms]
        while not ready and queue.listen():
            ready = [min(wake_at, key=lambda name: wake_at[name])]
        for name in ready:
            answer = queue.claim(1, claimant=name, wait_ms=2000)
            running += [(queue.now_ms + 120, task) for task in answer.tasks]
            wake_at[name] = queue.now_ms + (120 if answer.tasks else answer.hint_ms)
        if done == 30:
            break
        events = [*wake_at.values(), *(ends_ms for ends_ms, _ in running)]
        queue.advance(max(1, min(events) - queue.now_ms))
    assert done == 30
    # Five at once, then five per window and guard: the sixth batch of five starts after five of them.
    assert queue.now_ms <= 1_800_000_000_000 + 5 * 1005 + 1000
