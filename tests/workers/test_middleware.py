"""What a team puts around its tasks: the order, what each sees and changes, and what comes of one that raises."""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import pytest

from orchestrator.context import TaskContext, in_progress
from orchestrator.errors import InvalidRequest, TerminalError
from orchestrator.model.records import Outcome
from orchestrator.task import Task, task
from orchestrator_workers import Worker
from orchestrator_workers.middleware import Middleware
from tests.workers.estate import Estate
from tests.workers.horse_tasks import rides
from tests.workers.middlewares import Steps, greets_everybody, inner, outer, refuses, spoils
from tests.workers.process_tasks import tells
from tests.workers.test_worker import soon, worker_of


@task
async def on_the_loop(word: str = "hello") -> str:
    return word


@task
def in_a_thread(word: str = "hello") -> str:
    return word


@task
def fails() -> None:
    raise LookupError("nothing there")


@task
async def fails_on_the_loop() -> None:
    raise LookupError("nothing there")


async def ran(
    estate: Estate, tried: Task[..., Any], *middleware: Middleware | str, input: dict[str, Any] | None = None
) -> Outcome:
    task_id = estate.add(tried.name, input)
    async with worker_of(estate, tried, middleware=middleware):
        outcome: Outcome = await soon(lambda: estate.outcome(task_id))
    return outcome


def told(outcome: Outcome) -> list[str]:
    return [text for _, text in outcome.logs if "Traceback" not in text]


@pytest.mark.parametrize("tried", [on_the_loop, in_a_thread], ids=lambda one: one.name)
async def test_middlewares_plain_and_async_are_around_the_task_the_first_outermost(
    fake_estate: Estate, tried: Task[..., Any]
) -> None:
    outcome = await ran(fake_estate, tried, outer, inner, input={"word": "hi"})
    assert outcome.status == "COMPLETED"
    assert told(outcome) == ["outer before", "inner before {'word': 'hi'}", "inner after", "outer after hi"]


@pytest.mark.parametrize("tried", [tells, rides], ids=["process", "rq"])
async def test_they_are_around_tasks_in_other_processes_too(fake_estate: Estate, tried: Task[..., Any]) -> None:
    outcome = await ran(fake_estate, tried, outer, "tests.workers.middlewares:inner", input={"word": "hi"})
    assert outcome.status == "COMPLETED"
    said = told(outcome)
    assert said[:2] == ["outer before", "inner before {'word': 'hi'}"]
    assert said[-2] == "inner after"
    assert said[-1].startswith("outer after {")
    assert str(os.getpid()) not in said[-1]


@pytest.mark.parametrize("tried", [fails, fails_on_the_loop], ids=lambda one: one.name)
async def test_an_error_comes_to_those_around_it_and_stays_the_tasks_own(
    fake_estate: Estate, tried: Task[..., Any]
) -> None:
    outcome = await ran(fake_estate, tried, outer, inner)
    assert (outcome.status, outcome.reason) == ("FAILED", "LookupError: nothing there")
    assert told(outcome) == ["outer before", "inner before {}", "inner error LookupError('nothing there')"]


async def test_a_middleware_that_keeps_an_error_to_itself_hides_nothing(fake_estate: Estate) -> None:
    def swallows(context: TaskContext, input: dict[str, Any]) -> Steps:
        try:
            yield
        except LookupError:
            context.log("never mind")

    outcome = await ran(fake_estate, fails, swallows)
    assert (outcome.status, outcome.reason) == ("FAILED", "LookupError: nothing there")
    assert told(outcome) == ["never mind"]


async def test_one_may_make_another_error_of_an_error(fake_estate: Estate) -> None:
    def ends(context: TaskContext, input: dict[str, Any]) -> Steps:
        try:
            yield
        except LookupError as error:
            raise TerminalError("no use in trying again") from error

    outcome = await ran(fake_estate, fails, ends)
    assert (outcome.status, outcome.reason) == ("FAILED_WITH_TERMINAL_ERROR", "middleware ends: no use in trying again")


async def test_one_that_raises_before_fails_the_attempt_and_the_task_does_not_run(fake_estate: Estate) -> None:
    outcome = await ran(fake_estate, in_a_thread, outer, refuses, inner)
    assert (outcome.status, outcome.reason) == ("FAILED", "middleware refuses: PermissionError: not you")
    assert told(outcome) == ["outer before"]


async def test_one_that_raises_after_fails_the_attempt_although_the_task_was_done(fake_estate: Estate) -> None:
    outcome = await ran(fake_estate, on_the_loop, inner, spoils)
    assert (outcome.status, outcome.reason) == ("FAILED", "middleware spoils: ValueError: spoiled afterwards")
    assert told(outcome) == ["inner before {}", "inner error ValueError('spoiled afterwards')"]


async def test_what_one_changes_in_the_input_is_what_the_task_gets(fake_estate: Estate) -> None:
    task_id = fake_estate.add("in_a_thread", {"word": "hi"})
    async with worker_of(fake_estate, in_a_thread, middleware=[greets_everybody]):
        assert await soon(lambda: fake_estate.output(task_id)) == {"result": "hi, everybody"}


async def test_input_that_does_not_fit_is_an_error_like_any_other_to_them(fake_estate: Estate) -> None:
    outcome = await ran(fake_estate, in_a_thread, inner, input={"word": {"not": "text"}})
    assert outcome.status == "FAILED_WITH_TERMINAL_ERROR"
    assert "word" in (outcome.reason or "")
    assert told(outcome)[-1].startswith("inner error TerminalError(")


async def test_a_task_that_is_not_finished_is_no_error_to_them(fake_estate: Estate) -> None:
    @task
    def unfinished() -> None:
        raise in_progress(30)

    outcome = await ran(fake_estate, unfinished, outer, inner)
    assert (outcome.status, outcome.callback_after_ms) == ("IN_PROGRESS", 30_000)
    assert told(outcome)[-1] == "outer after in progress, again in 30 s"


async def test_one_may_put_a_task_off(fake_estate: Estate) -> None:
    def later(context: TaskContext, input: dict[str, Any]) -> Steps:
        raise in_progress(5)
        yield

    outcome = await ran(fake_estate, in_a_thread, later)
    assert (outcome.status, outcome.reason, outcome.callback_after_ms) == ("IN_PROGRESS", None, 5_000)


async def test_context_variables_that_a_plain_one_sets_are_the_tasks(fake_estate: Estate) -> None:
    tenant = contextvars.ContextVar[str]("tenant")

    def sets(context: TaskContext, input: dict[str, Any]) -> Steps:
        token = tenant.set("acme")
        yield
        tenant.reset(token)

    @task
    def reads() -> str:
        return tenant.get()

    @task
    async def reads_on_the_loop() -> str:
        return tenant.get()

    for tried in (reads, reads_on_the_loop):
        outcome = await ran(fake_estate, tried, sets)
        assert outcome.status == "COMPLETED", outcome.reason


async def test_a_plain_task_with_an_async_one_around_it_runs_beside_no_loop(fake_estate: Estate) -> None:
    async def fine() -> str:
        return "fine"

    @task
    def has_a_loop_of_its_own() -> str:
        return asyncio.run(fine())

    outcome = await ran(fake_estate, has_a_loop_of_its_own, inner)
    assert outcome.status == "COMPLETED", outcome.reason


async def test_a_task_that_is_stopped_unwinds_them_and_is_handed_back(fake_estate: Estate) -> None:
    seen: list[str] = []
    running = asyncio.Event()

    async def closes(context: TaskContext, input: dict[str, Any]) -> AsyncGenerator[None, Any]:
        try:
            yield
        finally:
            seen.append("closed")

    @task
    async def endless() -> None:
        running.set()
        await asyncio.Event().wait()

    fake_estate.add("endless")
    async with worker_of(fake_estate, endless, middleware=[closes]):
        await running.wait()
    assert seen == ["closed"]
    assert (fake_estate.queue("endless").ready, fake_estate.queue("endless").leased) == (1, 0)


def yields_never(context: TaskContext, input: dict[str, Any]) -> Steps:
    if input is None:
        yield


def yields_twice(context: TaskContext, input: dict[str, Any]) -> Steps:
    yield
    yield


async def yields_never_async(context: TaskContext, input: dict[str, Any]) -> AsyncGenerator[None, Any]:
    if input is None:
        yield


async def yields_twice_async(context: TaskContext, input: dict[str, Any]) -> AsyncGenerator[None, Any]:
    yield
    yield


@pytest.mark.parametrize(
    ("wrong", "how"),
    [
        (yields_never, "and did not"),
        (yields_never_async, "and did not"),
        (yields_twice, "and did so again"),
        (yields_twice_async, "and did so again"),
    ],
    ids=["never", "never-async", "twice", "twice-async"],
)
async def test_one_that_does_not_yield_once_fails_the_attempt(
    fake_estate: Estate, wrong: Callable[..., Generator[None, Any, None]], how: str
) -> None:
    outcome = await ran(fake_estate, in_a_thread, wrong)
    assert outcome.reason == f"middleware {wrong.__name__}: RuntimeError: it must yield once, {how}"


def plain(context: TaskContext, input: dict[str, Any]) -> None: ...


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (plain, "plain is no middleware: that is a generator function"),
        ("tests.workers.middlewares", "say where it is as pkg.module:name"),
        ("tests.workers.middlewares:absent", "the module has no absent"),
        ("tests.workers.middlewares:not_a_middleware", "no middleware"),
        ("nowhere.at.all:timed", "module nowhere.at.all does not import"),
    ],
    ids=["function", "no-name", "absent", "not-one", "no-module"],
)
def test_what_is_no_middleware_is_refused_when_the_worker_is_made(
    fake_estate: Estate, wrong: Any, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        Worker(fake_estate.settings, tasks=[in_a_thread], middleware=[wrong])


def test_one_that_another_process_could_not_import_is_refused_for_tasks_that_run_there(fake_estate: Estate) -> None:
    def hidden(context: TaskContext, input: dict[str, Any]) -> Steps:
        yield

    Worker(fake_estate.settings, tasks=[in_a_thread], middleware=[hidden])
    with pytest.raises(InvalidRequest, match="must be able to import the middleware hidden: define it at module level"):
        Worker(fake_estate.settings, tasks=[tells], middleware=[hidden])
