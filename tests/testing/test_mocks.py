"""Mocks by reference name: attempts in order, time that passes, waits, children, loops."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import AsyncClient, Branch, Retry, RetryPolicy, Script, Workflow, task, testing
from orchestrator.errors import DefinitionNotFound, InvalidRequest
from orchestrator.model.definitions import TaskDef
from orchestrator.settings import Settings
from orchestrator.testing import MockOutput


@task
def ship(payment: int) -> str:
    return f"{payment} shipped"


def order() -> Workflow:
    flow = Workflow("order")
    flow.then("charge", amount=flow.input.amount, ref="charge").wait(signal="approved")
    return flow.then(ship, payment="${charge.output.id}")


def test_attempts_are_mocked_one_after_the_other_and_what_has_a_function_runs() -> None:
    mocks = {"charge": [MockOutput(status="FAILED", reason="bank is closed"), {"id": 7}], "approved": [{"by": "Ada"}]}
    result = testing.run(order(), {"amount": 3}, mocks=mocks).assert_completed()
    assert result.timeline().splitlines() == [
        "     0.000      0.000  charge    FAILED (attempt 1): bank is closed",
        "    60.000     60.000  charge    COMPLETED (attempt 2)",
        "    60.000     60.000  approved  COMPLETED",
        "    60.000     60.000  ship      COMPLETED",
        "               60.000  COMPLETED",
    ]
    assert result.task("approved").output == {"by": "Ada"}
    assert result.output == {"result": "7 shipped"}


def test_a_mock_may_take_its_time_in_the_queue_and_at_work() -> None:
    flow = Workflow("w").fork(Branch().then("slow"), Branch().then("quick").wait(for_s=10))
    mocks = {"slow": [MockOutput(takes_s=7200, queued_s=3)], "quick": [MockOutput(takes_s=2)]}
    result = testing.run(flow, mocks=mocks).assert_completed()
    timeline = result.timeline().splitlines()
    assert "     3.000   7203.000  slow       COMPLETED" in timeline
    assert "     0.000      2.000  quick      COMPLETED" in timeline
    assert "     2.000     12.000  wait       COMPLETED" in timeline
    slow = result.workflow.task("slow")
    assert (slow.start_time - slow.scheduled_time, slow.end_time - slow.start_time) == (3000, 7_200_000)


def test_a_mock_that_takes_too_long_is_timed_out_and_tried_again() -> None:
    impatient = TaskDef(name="slow", timeout_seconds=5, timeout_policy="RETRY", retry_count=1, retry_delay_seconds=1)  # type: ignore[arg-type] # as JSON has it
    impatient.response_timeout_seconds = 5
    flow = Workflow("w").with_options(task_definition=impatient).then("slow")
    result = testing.run(flow, mocks={"slow": [MockOutput(takes_s=60), {"done": True}]}).assert_completed()
    assert [(one.status, one.attempt) for one in result.tasks] == [("TIMED_OUT", 0), ("COMPLETED", 1)]
    assert result.output == {"done": True}


@task(retry=RetryPolicy(limit=1, delay_s=5))
def charge() -> None: ...


def test_a_mocked_task_keeps_the_policy_it_was_written_with() -> None:
    result = testing.run(Workflow("w").then(charge), mocks={"charge": [ValueError("no"), {}]}).assert_completed()
    assert "     5.000      5.000  charge  COMPLETED (attempt 2)" in result.timeline().splitlines()


def test_a_registered_workflow_is_tested_with_all_it_starts_and_nothing_is_started() -> None:
    inner = Workflow("inner").then("print")
    undo = Workflow("undo").then("step")
    flow = Workflow("outer", on_failure=undo).sub_workflow("inner").then(charge)
    with testing.environment() as env:
        env.client.register(inner, undo, flow)
        mocks = {"inner": {"print": [{"text": "p"}]}, "charge": [ValueError("no"), {"paid": True}]}
        result = env.client.test_workflow("outer", {"id": 7}, mocks=mocks)
        assert result.assert_completed().output == {"paid": True}
        assert "     5.000      5.000  charge  COMPLETED (attempt 2)" in result.timeline().splitlines()
        assert env.client.list_workflows().total == 0
        unregistered = Workflow("other").then(charge)
        assert env.client.test_workflow(unregistered, mocks={"charge": [{}]}).status == "COMPLETED"
        with pytest.raises(DefinitionNotFound, match="gone"):
            env.client.test_workflow("gone", mocks={})


async def test_a_registered_workflow_is_tested_from_asyncio(redis_url: str) -> None:
    async with AsyncClient(settings=Settings(redis_url=redis_url, partitions=1)) as client:
        await client.register(Workflow("w").then(charge))
        result = await client.test_workflow("w", mocks={"charge": [{"paid": True}]})
    assert result.assert_completed().output == {"paid": True}


def test_a_step_without_a_mock_left_stays_open_and_is_named() -> None:
    result = testing.run(order(), {"amount": 3}, mocks={"charge": [ValueError("no")]})
    assert (result.status, result.missing) == ("RUNNING", ["charge"])
    assert [(one.status, one.attempt) for one in result.tasks] == [("FAILED", 0), ("SCHEDULED", 1)]
    with pytest.raises(AssertionError, match="no mock left for charge"):
        result.assert_completed()


def test_what_a_fake_may_do_a_mock_may_do() -> None:
    flow = Workflow("w").then("a", n=1, ref="first").then("a", n="${first.output.result}", ref="second")
    mocks: dict[str, Any] = {"first": [Retry("later", after_s=5), lambda n: n + 1], "second": [lambda n: {"n": n * 10}]}
    assert testing.run(flow, mocks=mocks).assert_completed().output == {"n": 20}


def test_the_turns_of_a_loop_are_mocked_by_number_or_one_after_the_other() -> None:
    until = Script("poll['state'] != 'ready'", language="python")
    flow = Workflow("w").loop(Branch().then("poll").then("note"), while_=until, ref="again")
    mocks = {
        "poll": [{"state": "busy"}, MockOutput(status="FAILED"), {"state": "ready"}],
        "poll__3": [{"state": "never"}],
        "note__1": [{"n": 1}],
        "note": [{"n": 2}],
    }
    result = testing.run(flow, mocks=mocks).assert_completed()
    assert [(one.ref, one.status) for one in result.tasks if one.ref.startswith("poll")] == [
        ("poll__1", "COMPLETED"),
        ("poll__2", "FAILED"),
        ("poll__2", "COMPLETED"),
    ]
    assert (result.task("note__1").output, result.task("note__2").output) == ({"n": 1}, {"n": 2})


def test_the_branches_of_a_dynamic_fork_are_mocked_by_the_names_they_get() -> None:
    flow = Workflow("w").fork_each("ship", over=[{"a": 1}, {"a": 2}]).human(ref="check")
    mocks = {"_ship_0": [{"n": 0}], "_ship_1": [ValueError("no"), {"n": 1}], "check": [MockOutput(takes_s=5)]}
    result = testing.run(flow, mocks=mocks).assert_completed()
    assert result.task("fork_each_join").output == {"_ship_0": {"n": 0}, "_ship_1": {"n": 1}}


def test_system_tasks_are_mocked_like_any_other_and_nothing_reaches_outside() -> None:
    flow = Workflow("w").http("https://bank.example.org", ref="call").event("conductor:paid", ref="tell")
    calls = [MockOutput(status="FAILED", reason="503"), {"response": {"statusCode": 200}}]
    mocks: dict[str, Any] = {"call": calls, "tell": [{}]}
    failed = testing.run(flow, mocks=mocks)
    assert (failed.status, failed.task("call").reason) == ("FAILED", "503")
    again = Workflow("w").with_options(retry=RetryPolicy(limit=1, delay_s=1)).http("https://b.example.org", ref="call")
    assert testing.run(again, mocks={"call": mocks["call"]}).assert_completed().output == {
        "response": {"statusCode": 200}
    }


child = Workflow("child").then("print", page="${workflow.input.page}")


def test_the_steps_of_a_child_are_mocked_below_its_name() -> None:
    grandchild = Workflow("middle").sub_workflow(child, page=2, ref="inner")
    flow = Workflow("top").sub_workflow(grandchild, ref="outer").output(text="${outer.output.text}")
    mocks = {"outer": {"inner": {"print": [MockOutput(status="FAILED"), {"text": "printed"}]}}}
    result = testing.run(flow, mocks=mocks, others=[child, grandchild]).assert_completed()
    assert result.output == {"text": "printed"}


def test_a_child_with_outcomes_of_its_own_is_not_run_and_need_not_exist() -> None:
    flow = Workflow("top").with_options(retry=RetryPolicy(limit=1, delay_s=30)).sub_workflow("gone", ref="outer")
    result = testing.run(flow, mocks={"outer": [MockOutput(status="FAILED", reason="ill"), {"text": "printed"}]})
    first, second = result.assert_completed().tasks
    assert (first.status, second.status) == ("FAILED", "COMPLETED")
    assert "ill" in (first.reason or "")
    assert second.output["text"] == "printed"


def test_a_mocked_child_of_a_child_that_is_carried_along_is_not_run_either() -> None:
    middle = Workflow("middle").sub_workflow("gone", ref="inner").then("note")
    flow = Workflow("top").sub_workflow(middle, inline=True, ref="outer").then("inner", ref="last")
    mocks: dict[str, Any] = {"outer": {"inner": [{"text": "p"}], "note": [{"noted": 1}]}, "last": [{}]}
    result = testing.run(flow, mocks=mocks).assert_completed()
    assert result.task("outer").output["noted"] == 1


def test_the_workflow_that_runs_on_failure_has_its_own_mocks() -> None:
    undo = Workflow("undo").then("step")
    flow = Workflow("w", on_failure=undo).then("step")
    mocks = {"step": [MockOutput(status="FAILED_WITH_TERMINAL_ERROR")], "undo": {"step": [{"undone": True}]}}
    assert testing.run(flow, mocks=mocks, others=[undo]).status == "FAILED"


def test_the_mocks_of_a_request_as_conductor_has_it() -> None:
    request = {
        "name": "order",
        "taskRefToMockOutput": {
            "charge": [
                {"status": "FAILED", "output": {}},
                {"output": {"id": 7}, "executionTime": 1500, "queueWaitTime": 500},
            ],
            "approved": [{"status": "COMPLETED", "output": {}}],
        },
    }
    result = testing.run(order(), {"amount": 1}, mocks=testing.mocks_of_request(request)).assert_completed()
    assert "    60.500     62.000  charge    COMPLETED (attempt 2)" in result.timeline().splitlines()
    nested = {"subWorkflowTestRequest": {"outer": {"taskRefToMockOutput": {"print": [{"output": {"text": "p"}}]}}}}
    flow = Workflow("top").sub_workflow(child, page=1, ref="outer")
    result = testing.run(flow, mocks=testing.mocks_of_request(nested), others=[child]).assert_completed()
    assert result.output["text"] == "p"


@pytest.mark.parametrize(
    ("mocks", "says"),
    [
        ({"chrage": [{}]}, "no step 'chrage' to mock; there are: approved, charge, ship"),
        ({"charge": {"id": 7}}, "must be a list"),
        ({"end": [{}]}, "no step 'end'"),
    ],
)
def test_mocks_that_cannot_be_meant_are_refused(mocks: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        testing.run(order(), {"amount": 3}, mocks=mocks)


def test_a_step_that_is_decided_by_itself_cannot_be_mocked() -> None:
    with pytest.raises(InvalidRequest, match="set is a SET_VARIABLE: it is decided by itself"):
        testing.run(Workflow("w").set(a=1), mocks={"set": [{}]})
    with pytest.raises(InvalidRequest, match="'SKIPPED' cannot be mocked"):
        MockOutput(status="SKIPPED")
    with pytest.raises(InvalidRequest, match=r"taskRefToMockOutput\.a must be a list"):
        testing.mocks_of_request({"taskRefToMockOutput": {"a": {}}})
