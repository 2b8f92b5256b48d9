"""Tasks that run in child processes: results, crashes, being stopped."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from orchestrator import codec
from orchestrator.context import TaskContext
from orchestrator.errors import InvalidRequest
from orchestrator.model import records
from orchestrator.service.dispatch import Claimed
from orchestrator.task import task
from orchestrator_workers import Worker, children
from orchestrator_workers.children import resident_bytes
from orchestrator_workers.job import Ending, Job
from orchestrator_workers.registry import register
from tests.workers.estate import Estate
from tests.workers.process_tasks import dies, exits, hangs, leaks, tells
from tests.workers.test_worker import soon, worker_of

MIB = 1024 * 1024


async def test_a_child_runs_the_function_with_input_context_and_log(fake_estate: Estate) -> None:
    task_id = fake_estate.add("tells", {"word": "hi"})
    async with worker_of(fake_estate, tells):
        output = await soon(lambda: fake_estate.output(task_id))
    assert output["pid"] != os.getpid()
    assert (output["word"], output["key"], output["delivery"]) == ("hi", "w1:step:0:0", 1)
    assert [text for _, text in fake_estate.outcome(task_id).logs] == ["saying hi"]


async def test_one_child_serves_one_task_after_the_other(fake_estate: Estate) -> None:
    first, second = fake_estate.add("tells"), fake_estate.add("tells")
    async with worker_of(fake_estate, tells, concurrency=1):
        one = await soon(lambda: fake_estate.output(first))
        other = await soon(lambda: fake_estate.output(second))
    assert one["pid"] == other["pid"]


async def test_a_crashed_child_fails_only_its_task_and_is_replaced(fake_estate: Estate) -> None:
    crash, after = fake_estate.add("dies"), fake_estate.add("tells")
    async with worker_of(fake_estate, dies, tells, concurrency=1):
        outcome = await soon(lambda: fake_estate.outcome(crash))
        assert (await soon(lambda: fake_estate.output(after)))["word"] == "hello"
    assert (outcome.status, outcome.reason) == ("FAILED", "the process that ran the task ended with exit code 3")


async def test_sys_exit_ends_the_task_and_not_the_child(fake_estate: Estate) -> None:
    task_id = fake_estate.add("exits")
    async with worker_of(fake_estate, exits):
        outcome = await soon(lambda: fake_estate.outcome(task_id))
    assert (outcome.status, outcome.reason) == ("FAILED", "SystemExit: not like this")


async def test_input_that_does_not_fit_is_a_terminal_failure_in_a_child_too(fake_estate: Estate) -> None:
    task_id = fake_estate.add("tells", {"word": {"not": "text"}})
    async with worker_of(fake_estate, tells):
        outcome = await soon(lambda: fake_estate.outcome(task_id))
    assert outcome.status == "FAILED_WITH_TERMINAL_ERROR"
    assert "word" in (outcome.reason or "")


async def test_a_stopping_worker_kills_the_child_and_hands_the_task_back(fake_estate: Estate) -> None:
    task_id = fake_estate.add("hangs")
    events: list[tuple[str, dict[str, object]]] = []
    worker = worker_of(fake_estate, hangs, observer=lambda event, fields: events.append((event, fields)))
    await worker.start()
    await soon(lambda: "started" in [event for event, _ in events])
    await worker.stop()
    assert (fake_estate.queue("hangs").ready, fake_estate.queue("hangs").leased) == (1, 0)
    assert fake_estate.reports(task_id) == []


async def test_a_cancelled_task_is_stopped_by_killing_its_child(fake_estate: Estate) -> None:
    task_id = fake_estate.add("hangs")
    async with worker_of(fake_estate, hangs, lease_ms=1_000):
        await soon(lambda: fake_estate.dispatch(task_id).startswith("R"))
        fake_estate.cancel("hangs", task_id)
        await soon(lambda: fake_estate.is_empty("hangs"))
    assert fake_estate.reports(task_id) == []


async def test_a_child_is_replaced_after_so_many_tasks_and_none_is_lost(fakeredis_url: str) -> None:
    estate = Estate(fakeredis_url, recycle_tasks=3)
    added = [estate.add("tells", {"word": str(number)}) for number in range(8)]
    async with worker_of(estate, tells, concurrency=1):
        outputs = [await soon(lambda one=one: estate.output(one)) for one in added]  # type: ignore[misc]
    assert [one["word"] for one in outputs] == [str(number) for number in range(8)]
    assert sorted(Counter(one["pid"] for one in outputs).values()) == [2, 3, 3]
    estate.close()


async def test_a_child_that_holds_too_much_memory_is_replaced_when_its_task_has_ended(fakeredis_url: str) -> None:
    estate = Estate(fakeredis_url)
    first = estate.add("leaks", {"megabytes": 0})
    async with worker_of(estate, leaks):
        plain = (await soon(lambda: estate.output(first)))["resident"]
    estate.settings = replace(estate.settings, recycle_memory_bytes=plain + 100 * MIB)
    added = [estate.add("leaks", {"megabytes": 40}) for _ in range(7)]
    async with worker_of(estate, leaks, concurrency=1):
        outputs = [await soon(lambda one=one: estate.output(one)) for one in added]  # type: ignore[misc]
    assert [one["leaked"] for one in outputs] == [40, 80, 120, 40, 80, 120, 40]
    assert len({one["pid"] for one in outputs}) == 3
    estate.close()


def test_a_child_that_is_killed_when_it_had_answered_already_takes_no_other_task_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after a worker was frozen: it finds the answer and the end of the lease at once."""
    decode, child = records.decode_outcome, children.Child()

    def job(number: int) -> Job:
        claimed = Claimed(f"w{number}-abcdefghijkl", "tells", 1, 0)
        context = TaskContext(claimed.task_id, f"w{number}", "order", "step", "tells")
        return Job(claimed, register([tells])["tells"], context, codec.pack({}), 0.0)

    lost, others = job(0), [job(number) for number in range(1, 4)]

    def answered(answer: bytes) -> Any:
        lost.end(Ending.LOST)
        return decode(answer)

    monkeypatch.setattr(records, "decode_outcome", answered)
    child.work(lost)
    monkeypatch.undo()
    found = [child.work(other) for other in others]
    child.close()
    assert [outcome and outcome.status for outcome in found] == ["COMPLETED"] * 3


async def test_the_memory_of_a_child_that_is_let_go_is_free_before_the_next_task(fakeredis_url: str) -> None:
    estate = Estate(fakeredis_url, recycle_tasks=1)
    task_id = estate.add("leaks", {"megabytes": 40})
    async with worker_of(estate, leaks):
        pid = (await soon(lambda: estate.output(task_id)))["pid"]

        def is_gone() -> None:
            assert not resident_bytes(pid)

        await soon(is_gone)
    estate.close()


def test_recycling_by_memory_is_refused_where_memory_cannot_be_read(
    fake_estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "resident_bytes", lambda pid: None)
    with pytest.raises(InvalidRequest, match="recycling by memory needs /proc"):
        Worker(replace(fake_estate.settings, recycle_memory_bytes=MIB), tasks=[leaks])


def test_a_process_task_that_no_import_finds_is_refused(fake_estate: Estate) -> None:
    hidden: Any = task(pool="process", name="hidden")(len_of)
    with pytest.raises(InvalidRequest, match="define it at module level"):
        Worker(fake_estate.settings, tasks=[hidden])


def len_of(text: str) -> int:
    return len(text)
