"""Tasks that run in child processes: results, crashes, being stopped."""

from __future__ import annotations

import os
from typing import Any

import pytest

from orchestrator.errors import InvalidRequest
from orchestrator.task import task
from orchestrator_workers import Worker
from tests.workers.estate import Estate
from tests.workers.process_tasks import dies, exits, hangs, tells
from tests.workers.test_worker import soon, worker_of


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


def test_a_process_task_that_no_import_finds_is_refused(fake_estate: Estate) -> None:
    hidden: Any = task(pool="process", name="hidden")(len_of)
    with pytest.raises(InvalidRequest, match="define it at module level"):
        Worker(fake_estate.settings, tasks=[hidden])


def len_of(text: str) -> int:
    return len(text)
