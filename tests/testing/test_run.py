"""``testing.run``: a whole workflow in one call, fakes in place of tasks, no time spent on waiting."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest

from orchestrator import Retry, RetryPolicy, TaskContext, TerminalError, Workflow, in_progress, task, testing
from orchestrator.errors import InvalidRequest, TaskNotFound


@task(retry=RetryPolicy(limit=2, delay_s=60))
async def charge(amount: int) -> dict[str, int]:
    await asyncio.sleep(0)
    return {"id": amount}


@task
def ship(payment: int, note: str = "no note") -> str:
    return f"{payment} shipped, {note}"


order = (
    Workflow("order")
    .then(charge, amount="${workflow.input.amount}")
    .wait(for_s=3600)
    .then(ship, payment="${charge.output.id}")
)


def test_a_workflow_runs_with_the_tasks_it_was_written_with() -> None:
    result = testing.run(order, input={"amount": 3}).assert_completed()
    assert result.output == {"result": "3 shipped, no note"}
    assert result.task("charge").output == {"id": 3}
    assert result.task("ship").input == {"payment": 3}
    assert [one.ref for one in result.tasks] == ["charge", "wait", "ship"]


def test_a_list_gives_one_outcome_per_call_and_retries_take_no_time() -> None:
    outcomes = [TimeoutError("bank is closed"), Retry("try later", after_s=5), {"id": 9}]
    result = testing.run(order, {"amount": 3}, tasks={"charge": outcomes})
    assert result.timeline().splitlines() == [
        "     0.000      0.000  charge  FAILED (attempt 1): TimeoutError: bank is closed",
        "    60.000     60.000  charge  FAILED (attempt 2): try later",
        "    65.000     65.000  charge  COMPLETED (attempt 3)",
        "    65.000   3665.000  wait    COMPLETED",
        "  3665.000   3665.000  ship    COMPLETED",
        "             3665.000  COMPLETED",
    ]


def test_a_failing_execution_tells_its_story_when_success_was_asserted() -> None:
    result = testing.run(order, {"amount": 3}, tasks={"charge": TerminalError("no money")})
    assert result.status == "FAILED"
    assert "no money" in (result.reason or "")
    with pytest.raises(AssertionError, match=r"order is FAILED(.|\n)*charge  FAILED_WITH_TERMINAL_ERROR"):
        result.assert_completed()


def test_a_list_that_is_too_short_is_told() -> None:
    result = testing.run(order, {"amount": 3}, tasks={"charge": [ValueError]})
    assert "called 2 times and has 1 outcomes" in (result.reason or "")


async def fake_charge(amount: int, context: TaskContext) -> dict[str, int]:
    await asyncio.sleep(0)
    return {"id": amount * 10 + context.attempt}


@pytest.mark.parametrize(
    ("fake", "payment"),
    [
        (lambda amount: {"id": amount + 1}, 4),
        (lambda: {"id": 7}, 7),
        (fake_charge, 30),
        (task(name="other")(fake_charge), 30),
        ({"id": 5}, 5),
        ([lambda amount: {"id": -amount}], -3),
        (Mock(return_value={"id": 6}), 6),
    ],
)
def test_whatever_stands_in_for_a_task(fake: object, payment: int) -> None:
    assert testing.run(order, {"amount": 3}, tasks={"charge": fake}).task("ship").input == {"payment": payment}


async def test_async_tasks_run_inside_an_async_test_too() -> None:
    testing.run(order, {"amount": 3}).assert_completed()


def test_a_task_in_progress_is_called_again() -> None:
    result = testing.run(order, {"amount": 3}, tasks={"charge": [in_progress(30), in_progress(30), {"id": 1}]})
    assert result.assert_completed().timeline().splitlines()[-1].strip() == "3660.000  COMPLETED"


def test_a_workflow_that_waits_for_the_outside_world_is_left_running() -> None:
    result = testing.run(Workflow("approval").wait(signal="approved").then(ship, payment=1))
    assert result.status == "RUNNING"
    with pytest.raises(TaskNotFound, match="ship"):
        result.task("ship")


def test_a_task_without_a_function_is_named() -> None:
    with pytest.raises(InvalidRequest, match=r"no function in this test: nobody"):
        testing.run(Workflow("x").then("nobody"))


def test_tasks_may_be_given_as_objects() -> None:
    workflow = Workflow.from_dict(
        {"name": "json", "tasks": [{"name": "ship", "taskReferenceName": "s", "inputParameters": {"payment": 1}}]}
    )
    assert testing.run(workflow, tasks=[ship]).output == {"result": "1 shipped, no note"}


def test_limits_hold_and_take_no_time_either() -> None:
    started: list[int] = []

    @task(concurrency=1)
    def one_at_a_time(context: TaskContext) -> None:
        started.append(context.delivery)

    workflow = Workflow("limited").fork([one_at_a_time], [one_at_a_time], [one_at_a_time]).join()
    testing.run(workflow).assert_completed()
    assert started == [1, 1, 1]


def test_a_workflow_on_failure_is_started_when_it_is_given_too() -> None:
    seen: list[str] = []

    @task
    def refund(reason: str) -> None:
        seen.append(reason)

    rescue = Workflow("rescue").then(refund, reason="${workflow.input.reason}")
    failing = Workflow("failing", on_failure=rescue).then(charge, amount=1)
    testing.run(failing, tasks={"charge": TerminalError("no money")}, others=[rescue])
    assert len(seen) == 1
    assert "no money" in seen[0]


def test_one_task_alone_is_called_as_a_worker_would() -> None:
    result = testing.call_task(ship, payment=3.0)
    assert (result.status, result.output) == ("COMPLETED", {"result": "3 shipped, no note"})
    refused = testing.call_task(ship, payment="x")
    assert refused.status == "FAILED_WITH_TERMINAL_ERROR"
    assert "cannot take input 'payment' as int" in (refused.reason or "")


def test_what_a_called_task_raised_and_logged_is_in_the_result() -> None:
    @task
    def stumble(context: TaskContext) -> None:
        context.log("about to fall")
        raise KeyError("step")

    result = testing.call_task(stumble)
    assert (result.status, result.reason, result.logs[0]) == ("FAILED", "KeyError: 'step'", "about to fall")
    assert isinstance(result.error, KeyError)
