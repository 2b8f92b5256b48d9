"""Workers are seen: which queues they ask is written down every few seconds, for as long as they claim."""

from __future__ import annotations

import pytest

from orchestrator.errors import StoreUnavailable
from orchestrator.service import poll_data
from orchestrator.task import task
from orchestrator_workers import presence
from tests.workers.estate import Estate
from tests.workers.test_worker import add, greet, soon, worker_of


@task(domain="us")
def ship() -> None:
    """Of a domain by itself."""


async def test_a_worker_that_waits_for_tasks_is_seen_with_its_domains(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "EVERY_S", 0.02)

    def noted() -> dict[tuple[str, str | None], tuple[str | None, int]]:
        found = estate.executor.run(poll_data.read(estate.store))
        return {(one.queue_name, one.domain): (one.worker_id, one.last_poll_time) for one in found}

    def seen() -> dict[tuple[str, str | None], tuple[str | None, int]]:
        found = noted()
        assert found
        return found

    async with worker_of(estate, add, ship) as worker:
        first = await soon(seen)
        assert first.keys() == {("add", None), ("ship", "us")}
        assert {name for name, _ in first.values()} == {worker.name}

        def seen_again() -> None:
            assert noted()["add", None][1] > first["add", None][1]

        await soon(seen_again)
    last = noted()
    async with worker_of(estate, greet, domain="eu"):

        def other_seen() -> None:
            assert ("greet", "eu") in noted()

        await soon(other_seen)
    assert {place: note for place, note in noted().items() if place in last} == last


async def test_a_worker_that_is_seen_nowhere_works_all_the_same(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise StoreUnavailable("the store is away")

    monkeypatch.setattr(presence, "EVERY_S", 0.01)
    monkeypatch.setattr(poll_data, "write", lost)
    task_id = estate.add("add", {"left": 2})
    async with worker_of(estate, add):
        assert (await soon(lambda: estate.outcome(task_id))).status == "COMPLETED"
