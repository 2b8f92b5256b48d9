"""How free slots are shared over queues, and how wake-ups are used."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from orchestrator.plan import Command
from orchestrator_workers.claims import Source, share
from orchestrator_workers.wakes import listen_once
from tests.workers.estate import Estate


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
    await listen_once(
        executor, {name: "greet"}, lambda task_type, token: is_useful and (task_type, token) == ("greet", b"1")
    )
    await executor.close()
    assert estate.executor.do(Command(("LLEN", name))) == left
