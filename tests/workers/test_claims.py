"""How free slots are shared over queues, and how wake-ups are used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from orchestrator.plan import Command, Plan, Step
from orchestrator.service import dispatch
from orchestrator.store.executors import AsyncExecutor
from orchestrator.store.queue_values import Release
from orchestrator.store.wake_reads import WakeReads
from orchestrator_workers.claims import Claims, Leased, Source, share
from orchestrator_workers.job import Jobs
from orchestrator_workers.wakes import listen_once
from tests.workers.estate import Estate

LEASE_MS = 15_000


def sources(*appetites: int) -> list[Source]:
    made = []
    for number, appetite in enumerate(appetites):
        source = Source(f"t{number}", None)
        source.appetite = appetite
        made.append(source)
    return made


def counts(free: int, appetites: Sequence[int], turn: int = 0) -> dict[str, int]:
    return {want.type: want.tasks_max for want in share(free, sources(*appetites), turn)}


def test_a_single_queue_is_asked_for_all_free_slots() -> None:
    assert counts(20, [1]) == {"t0": 20}


def test_one_claim_asks_a_queue_for_a_hundred_at_most() -> None:
    assert counts(500, [1]) == {"t0": 100}


def test_a_busy_queue_gets_what_it_gave_lately_and_the_rest_is_spread() -> None:
    assert counts(20, [16, 1, 1]) == {"t0": 17, "t1": 2, "t2": 1}


def test_with_fewer_slots_than_queues_they_are_asked_in_turn() -> None:
    assert [set(counts(2, [1, 1, 1], turn)) for turn in range(3)] == [{"t0", "t1"}, {"t1", "t2"}, {"t2", "t0"}]


@pytest.mark.parametrize("free", [1, 2, 3, 7, 19, 100, 1000])
@pytest.mark.parametrize("appetites", [[1], [1, 1], [50, 1, 9], [200, 200], [1] * 30])
def test_never_more_is_asked_for_than_there_are_slots(free: int, appetites: list[int]) -> None:
    asked = counts(free, appetites, turn=5)
    assert sum(asked.values()) <= free
    assert all(1 <= count <= 100 for count in asked.values())


@pytest.mark.parametrize(("is_useful", "left"), [(True, 0), (False, 1)])
async def test_a_wake_up_that_is_of_no_use_is_put_back_for_another_worker(
    estate: Estate, is_useful: bool, left: int
) -> None:
    name = estate.store.queues.wake_key("greet")
    assert name is not None
    estate.executor.do(Command(("RPUSH", name, "1")))
    executor = estate.connection.blocking_async()
    reads = WakeReads(executor, executor)
    await listen_once(
        reads, {name: "greet"}, lambda task_type, token: is_useful and (task_type, token) == ("greet", b"1")
    )
    await executor.close()
    assert estate.executor.do(Command(("LLEN", name))) == left


# --- what is handed over, and what meets a claim that is under way -------------------------------------------------------


class Clock:
    """A clock in the test's hands."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def now_ms(self) -> int:
        return round(self.now_s * 1000)

    def monotonic_s(self) -> float:
        return self.now_s


class Meanwhile:
    """An executor that lets something happen between the store's answer and its arrival."""

    def __init__(self, executor: AsyncExecutor) -> None:
        self._executor = executor
        self.happens: list[Callable[[], object]] = []
        self.runs = 0

    async def run(self, plan: Plan[Any]) -> Any:
        self.runs += 1
        reply = await self._executor.run(plan)
        while self.happens:
            self.happens.pop()()
        return reply

    async def do(self, step: Step) -> Any:
        return await self._executor.do(step)


class ClaimsOfOne:
    """The claim loop of one worker, turn by turn; what it launches holds its slot until it is told to end."""

    def __init__(self, estate: Estate, *task_types: str, slots: int = 1) -> None:
        self.estate = estate
        self.jobs = Jobs(slots)
        self.clock = Clock()
        self.executor = Meanwhile(estate.connection.asynchronous())
        self.sources = [Source(task_type, None) for task_type in task_types or ("greet",)]
        self.launched: list[Leased] = []
        self.armed: list[bool] = []
        self.claims = Claims(
            estate.store,
            cast(AsyncExecutor, self.executor),
            self.jobs,
            "me",
            LEASE_MS,
            LEASE_MS,
            self.sources,
            self.clock,
            self.launch,
            self.armed.append,
            lambda: None,
        )

    async def launch(self, leased: list[Leased]) -> None:
        self.launched += leased

    def hear(self, token: bytes, task_type: str = "greet") -> bool:
        return self.claims.woken(task_type, token)

    def pop(self, task_type: str = "greet") -> bytes:
        token: bytes = self.estate.executor.do(Command(("LPOP", self.wakes(task_type))))
        return token

    def wakes(self, task_type: str = "greet") -> str:
        return self.estate.store.queues.wake_key(task_type) or ""

    def tokens(self, task_type: str = "greet") -> int:
        return int(self.estate.executor.do(Command(("LLEN", self.wakes(task_type)))))

    def ids(self) -> list[str]:
        return [one.claimed.task_id for one in self.launched]

    async def until_waiting(self) -> None:
        assert await self.claims.run_once() == 0


async def test_a_task_handed_over_while_a_claim_holds_all_slots_starts_when_the_claim_leaves_one(
    fake_estate: Estate,
) -> None:
    one = ClaimsOfOne(fake_estate)
    await one.until_waiting()
    task_id = fake_estate.add("greet")
    token = one.pop()
    one.sources[0].due_s = 0.0
    one.executor.happens.append(lambda: one.hear(token))
    assert await one.claims.run_once() == 0
    assert await one.claims.run_once() == 1
    assert (one.ids(), one.claims.unsettled, one.jobs.free) == ([task_id], 0, 0)


async def test_a_task_handed_over_while_a_claim_takes_all_slots_goes_back(fake_estate: Estate) -> None:
    one = ClaimsOfOne(fake_estate)
    await one.until_waiting()
    fake_estate.add("greet")
    token = one.pop()
    second = fake_estate.add("greet")
    fake_estate.offer("greet", fake_estate.open("greet"))
    one.sources[0].due_s = 0.0
    one.executor.happens.append(lambda: one.hear(token))
    assert await one.claims.run_once() == 1
    assert one.ids() == [second]
    await one.claims.run_once()
    assert fake_estate.queue("greet").ready == 2


async def test_nobody_listens_while_a_claim_holds_the_slots(fake_estate: Estate) -> None:
    one = ClaimsOfOne(fake_estate)
    one.executor.happens.append(lambda: one.armed.append(one.hear(b"1")))
    await one.until_waiting()
    assert one.armed == [False, False]  # told to stop, and the hint of the present read is for others


async def test_each_task_that_was_handed_over_starts_under_its_own_lease(fake_estate: Estate) -> None:
    one = ClaimsOfOne(fake_estate, slots=2)
    await one.until_waiting()
    made = [fake_estate.open("greet"), fake_estate.open("greet")]
    until_ms = fake_estate.queue("greet").now_ms + LEASE_MS
    one.clock.now_s += 10
    for task_id, granted_s in zip(made, (2, 9), strict=True):
        one.hear(f"{task_id} 1 0 {until_ms + granted_s * 1000}".encode())
    assert await one.claims.run_once() == 2
    ages_s = [one.clock.now_s - leased.leased_s for leased in one.launched]
    assert ages_s == [pytest.approx(8, abs=0.5), pytest.approx(1, abs=0.5)]


@pytest.mark.parametrize(
    ("off_s", "is_run"), [(-16, False), (-14, True), (0, True), (0.5, True), (2, False), (3600, False)]
)
async def test_a_hand_over_of_which_nobody_can_tell_how_old_it_is_goes_back(
    fake_estate: Estate, off_s: float, is_run: bool
) -> None:
    one = ClaimsOfOne(fake_estate)
    await one.until_waiting()
    task_id, until_ms = fake_estate.open("greet"), fake_estate.queue("greet").now_ms + LEASE_MS + round(off_s * 1000)
    assert one.hear(f"{task_id} 1 0 {until_ms}".encode())
    assert (one.jobs.free, one.claims.unsettled) == ((0, 0) if is_run else (1, 1))


async def test_a_hint_is_passed_on_when_its_slot_goes_to_another_task(fake_estate: Estate) -> None:
    one = ClaimsOfOne(fake_estate, "greet", "other")
    await one.until_waiting()  # with one slot, one queue is asked at a time
    await one.until_waiting()
    task_id = fake_estate.add("greet")
    assert one.hear(b"1", "other")
    assert one.hear(one.pop())
    assert await one.claims.run_once() == 1
    assert (one.ids(), one.tokens("other")) == ([task_id], 0)
    await one.claims.run_once()
    assert one.tokens("other") == 1
    await one.claims.run_once()
    assert one.tokens("other") == 1


async def test_a_hint_that_comes_while_a_claim_is_under_way_is_followed_by_another(fake_estate: Estate) -> None:
    one = ClaimsOfOne(fake_estate, slots=200)
    one.executor.happens.append(lambda: one.hear(b"1"))
    await one.until_waiting()
    assert one.sources[0].due_s <= one.clock.now_s


async def test_a_task_postponed_without_a_claim_is_looked_for_when_its_time_comes(fake_estate: Estate) -> None:
    one = ClaimsOfOne(fake_estate, slots=2)
    fake_estate.add("greet")
    assert await one.claims.run_once() == 1
    one.jobs.cancel(1)  # it has returned
    one.sources[0].due_s = 0.0
    await one.until_waiting()
    one.jobs.reserve(2)
    (leased,) = one.launched
    one.claims.settle(dispatch.release(leased.claimed, Release.HOLD, 300))
    await one.until_waiting()
    assert one.claims.unsettled == 0
    assert one.sources[0].due_s == pytest.approx(one.clock.now_s + 0.3)


async def test_leases_that_a_queue_refuses_to_take_back_are_offered_again_after_a_pause(fake_estate: Estate) -> None:
    one = ClaimsOfOne(fake_estate)
    fake_estate.add("greet")
    assert await one.claims.run_once() == 1
    meta = fake_estate.store.keys.queue_meta("greet")
    fake_estate.executor.do([Command(("RENAME", meta, meta + "x")), Command(("SET", meta, "foreign"))])
    (leased,) = one.launched
    one.claims.settle(dispatch.release(leased.claimed, Release.BACK))
    one.clock.now_s += 0.02
    await one.claims.run_once()
    turns = asyncio.create_task(one.claims.run())
    for _ in range(300):
        await asyncio.sleep(0)
    turns.cancel()
    assert (one.executor.runs, one.claims.unsettled) == (2, 1)
