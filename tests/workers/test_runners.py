"""The places where code runs: threads give results back on the loop, and keep tasks apart from each other."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from orchestrator import codec
from orchestrator.context import TaskContext
from orchestrator.model.records import Outcome
from orchestrator.service.dispatch import Claimed
from orchestrator.task import Task, task
from orchestrator_workers.job import Ending, Job
from orchestrator_workers.registry import RegisteredTask
from orchestrator_workers.runners import Runners

seen: ContextVar[str] = ContextVar("seen", default="nothing")


@task
def remembers(word: str) -> str:
    before = seen.get()
    seen.set(word)
    return f"{before} on {threading.current_thread().name}"


@task
def leaves() -> None:
    raise SystemExit(2)


@task
async def cancels_itself() -> None:
    raise asyncio.CancelledError("by my own hand")


@task
async def waits() -> None:
    await asyncio.Event().wait()


class Results:
    """Collects what comes back."""

    def __init__(self) -> None:
        self.found: list[tuple[Job, Outcome | None]] = []
        self.threads: set[str] = set()
        self.changed = asyncio.Event()

    def done(self, job: Job, outcome: Outcome | None) -> None:
        self.found.append((job, outcome))
        self.threads.add(threading.current_thread().name)
        self.changed.set()

    async def of(self, count: int) -> list[Outcome | None]:
        while len(self.found) < count:
            await self.changed.wait()
            self.changed.clear()
        return [outcome for _, outcome in self.found]


def job_of(task: Task[..., Any], **inputs: object) -> Job:
    claimed = Claimed("w1-abcdefghijkl", task.name, 1, 0)
    context = TaskContext(claimed.task_id, "w1", "order", "step", task.name)
    return Job(claimed, RegisteredTask(task, __name__, task.name), context, codec.pack(inputs), 0.0)


async def test_results_of_threads_come_back_on_the_loop() -> None:
    results = Results()
    runners = Runners(4, results.done)
    for _ in range(200):
        runners.start(job_of(remembers, word="a"))
    outcomes = await results.of(200)
    await runners.close()
    assert {outcome.status for outcome in outcomes if outcome} == {"COMPLETED"}
    assert results.threads == {threading.current_thread().name}


async def test_never_more_threads_run_than_the_size_and_they_are_reused() -> None:
    results = Results()
    runners = Runners(2, results.done)
    for _ in range(20):
        runners.start(job_of(remembers, word="a"))
    outputs = [codec.unpack(bytes(outcome.output))["result"] for outcome in await results.of(20) if outcome]
    await runners.close()
    assert {text.split(" on ")[1] for text in outputs} <= {"orchestrator-task-1", "orchestrator-task-2"}


async def test_what_a_task_sets_in_its_context_does_not_reach_the_next() -> None:
    results = Results()
    runners = Runners(1, results.done)
    for word in ("first", "second"):
        runners.start(job_of(remembers, word=word))
    outputs = [codec.unpack(bytes(outcome.output))["result"] for outcome in await results.of(2) if outcome]
    await runners.close()
    assert [text.split(" on ")[0] for text in outputs] == ["nothing", "nothing"]


@pytest.mark.parametrize(
    ("task", "reason"), [(leaves, "SystemExit: 2"), (cancels_itself, "CancelledError: by my own hand")]
)
async def test_code_that_leaves_or_cancels_itself_has_failed(task: Task[..., Any], reason: str) -> None:
    results = Results()
    runners = Runners(1, results.done)
    runners.start(job_of(task))
    (outcome,) = await results.of(1)
    await runners.close()
    assert outcome is not None
    assert (outcome.status, outcome.reason) == ("FAILED", reason)


@pytest.mark.parametrize("has_begun", [False, True])
async def test_a_task_that_is_stopped_comes_back_once_without_an_outcome(has_begun: bool) -> None:
    results = Results()
    runners = Runners(1, results.done)
    job = job_of(waits)
    runners.start(job)
    if has_begun:
        await asyncio.sleep(0)
    job.end(Ending.HANDED_BACK)
    assert await results.of(1) == [None]
    await runners.close()
    assert len(results.found) == 1
    assert job.context.cancelled


def test_a_lost_lease_overrides_any_other_reason_to_stop() -> None:
    job = job_of(waits)
    job.end(Ending.CANCELLED)
    job.end(Ending.HANDED_BACK)
    after_two = job.ending
    job.end(Ending.LOST)
    assert [after_two, job.ending] == [Ending.CANCELLED, Ending.LOST]
