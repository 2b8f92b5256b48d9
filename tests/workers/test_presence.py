"""Workers are seen: what they are and do is written down every few seconds, and they hear what they are told."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

import orchestrator
from orchestrator.errors import InvalidRequest, NotFound, StoreUnavailable
from orchestrator.model.workers import WorkerInfo, WorkerState
from orchestrator.service import poll_data, workers
from orchestrator.task import task
from orchestrator_workers import presence
from tests.workers.estate import Estate
from tests.workers.process_tasks import tells
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
    monkeypatch.setattr(workers, "beat", lost)
    task_id = estate.add("add", {"left": 2})
    async with worker_of(estate, add):
        assert (await soon(lambda: estate.outcome(task_id))).status == "COMPLETED"


async def listed(estate: Estate) -> list[WorkerInfo]:
    return await asyncio.to_thread(estate.executor.run, workers.list_workers(estate.store))


async def test_a_worker_says_what_it_is_runs_and_holds_and_is_gone_when_it_ends(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "EVERY_S", 0.02)
    begun = asyncio.Event()

    @task
    async def lasts() -> None:
        begun.set()
        await asyncio.Event().wait()

    task_id = estate.add("lasts")
    async with worker_of(estate, lasts, ship, tells, concurrency=3, build="v7") as worker:
        await begun.wait()

        def holding() -> WorkerInfo:
            (found,) = estate.executor.run(workers.list_workers(estate.store))
            assert found.held == [task_id]
            return found

        found = await soon(holding)
        assert (found.name, found.host, found.pid) == (worker.name, socket.gethostname(), os.getpid())
        assert (found.version, found.build, found.state) == (orchestrator.__version__, "v7", WorkerState.RUNNING)
        assert (found.running, found.concurrency) == (1, 3)
        assert [(one.name, one.domain, one.pool) for one in found.task_types] == [
            ("lasts", None, "async"),
            ("ship", "us", "thread"),
            ("tells", None, "process"),
        ]
    assert await listed(estate) == []


async def test_a_paused_worker_runs_what_it_has_claims_nothing_more_and_goes_on_when_resumed(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "EVERY_S", 0.02)
    begun, end = asyncio.Event(), asyncio.Event()

    @task
    async def lasts() -> str:
        begun.set()
        await end.wait()
        return "done"

    def is_now(state: WorkerState) -> None:
        (found,) = estate.executor.run(workers.list_workers(estate.store))
        assert found.state is state

    first = estate.add("lasts")
    async with worker_of(estate, lasts, add, concurrency=3) as worker:
        await begun.wait()
        await soon(lambda: is_now(WorkerState.RUNNING))
        assert estate.executor.run(workers.pause(estate.store, [worker.name])) == [worker.name]
        await soon(lambda: is_now(WorkerState.PAUSED))
        waiting = estate.add("add", {"left": 2})
        end.set()
        assert await soon(lambda: estate.output(first)) == {"result": "done"}
        await soon(lambda: estate.is_empty("lasts"))
        assert estate.reports(waiting) == []
        assert estate.queue("add").ready == 1
        assert estate.executor.run(workers.resume(estate.store, task_type="add")) == [worker.name]
        assert await soon(lambda: estate.output(waiting)) == {"sum": 3}
        await soon(lambda: is_now(WorkerState.RUNNING))


async def test_a_worker_that_is_told_to_drain_ends_after_what_it_has(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "EVERY_S", 0.02)
    begun, end = asyncio.Event(), asyncio.Event()

    @task
    async def lasts() -> str:
        begun.set()
        await end.wait()
        return "done"

    running = estate.add("lasts")
    worker = worker_of(estate, lasts)
    await worker.start()
    await begun.wait()

    def is_now(state: WorkerState) -> None:
        assert [one.state for one in estate.executor.run(workers.list_workers(estate.store))] == [state]

    await soon(lambda: is_now(WorkerState.RUNNING))
    estate.executor.run(workers.drain(estate.store, [worker.name]))
    await soon(lambda: is_now(WorkerState.DRAINING))
    late = estate.add("lasts")
    worker.request_drain()  # the first signal to it, which cuts nothing short
    end.set()
    await worker.wait()
    assert estate.output(running) == {"result": "done"}
    assert (estate.reports(late), estate.queue("lasts").ready) == ([], 1)
    with pytest.raises(NotFound, match="no worker"):
        estate.executor.run(workers.drain(estate.store, [worker.name]))


async def test_who_is_told_must_be_named_or_run_a_type(fake_estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    run = fake_estate.executor.run
    async with worker_of(fake_estate, add) as one, worker_of(fake_estate, add, greet) as other:

        def both() -> None:
            assert len(run(workers.list_workers(fake_estate.store, "add"))) == 2

        await soon(both)
        assert run(workers.pause(fake_estate.store, task_type="add")) == sorted([one.name, other.name])
        assert run(workers.resume(fake_estate.store, task_type="greet")) == [other.name]
        with pytest.raises(NotFound, match="no worker that lives runs tasks of type ship"):
            run(workers.pause(fake_estate.store, task_type="ship"))
        with pytest.raises(NotFound, match="no worker nobody lives"):
            run(workers.pause(fake_estate.store, [one.name, "nobody"]))
        for names, task_type in (([], None), ([one.name], "add")):
            with pytest.raises(InvalidRequest, match="say which workers"):
                run(workers.pause(fake_estate.store, names, task_type))
