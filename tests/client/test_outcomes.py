"""How executions end, as anybody sees it from outside: retries, time-outs, pauses, children and failure workflows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.client import WorkflowHandle
from orchestrator.errors import Conflict, TerminalError
from orchestrator.model.definitions import TaskDef, TimeoutPolicy, WorkflowDef, WorkflowTimeoutPolicy
from orchestrator.testing import Environment
from tests.support.build import forked, loop, set_variable, simple, sub_workflow, switch, workflow_def
from tests.support.served import MakeEnvironment


@pytest.fixture
def env(environment: MakeEnvironment) -> Iterator[Environment]:
    """An installation that serves nothing yet."""
    with environment() as env:
        yield env


def start(env: Environment, definition: WorkflowDef, **inputs: Any) -> WorkflowHandle:
    """Register a workflow and start it."""
    env.client.register(definition)
    return env.client.start_workflow(definition.name, **inputs)


def statuses(env: Environment, workflow_id: str) -> list[tuple[str, str]]:
    """The attempts of an execution, in order."""
    return [(task.reference_task_name, str(task.status)) for task in env.client.workflow(workflow_id).describe().tasks]


def test_a_task_is_retried_after_its_delay_and_then_the_workflow_fails_for_its_reason(env: Environment) -> None:
    env.serve(pay=[ValueError("first"), ValueError("second")])
    env.client.register(TaskDef(name="pay", retry_count=1, retry_delay_seconds=30), workflow_def(simple("pay")))
    handle = env.client.start_workflow("flow")
    env.drain()
    assert statuses(env, handle.id) == [("pay", "FAILED"), ("pay", "SCHEDULED")]
    env.clock.advance(30)
    env.drain()
    found = handle.describe()
    assert (found.status, "second" in str(found.reason_for_incompletion)) == ("FAILED", True)
    assert (found.failed_reference_task_names, [task.retry_count for task in found.tasks]) == (["pay"], [0, 1])


def test_what_cannot_succeed_is_not_tried_again(env: Environment) -> None:
    env.serve(pay=[TerminalError("no such account")])
    handle = start(env, workflow_def(simple("pay")))
    env.drain()
    assert (handle.status(), statuses(env, handle.id)) == ("FAILED", [("pay", "FAILED_WITH_TERMINAL_ERROR")])


def test_a_task_that_nobody_polls_times_out_and_with_it_the_workflow(env: Environment) -> None:
    policy = TimeoutPolicy.TIME_OUT_WF
    env.client.register(
        TaskDef(name="pay", poll_timeout_seconds=60, timeout_policy=policy, retry_count=0), workflow_def(simple("pay"))
    )
    handle = env.client.start_workflow("flow")
    env.clock.advance(61)
    env.decide()
    assert (handle.status(), statuses(env, handle.id)) == ("TIMED_OUT", [("pay", "TIMED_OUT")])


def test_a_workflow_that_takes_too_long_times_out_and_cancels_what_is_open(env: Environment) -> None:
    flow = workflow_def(simple("pay"), timeout_seconds=100, timeout_policy=WorkflowTimeoutPolicy.TIME_OUT_WF)
    handle = start(env, flow)
    env.clock.advance(101)
    env.decide()
    assert (handle.status(), statuses(env, handle.id)) == ("TIMED_OUT", [("pay", "CANCELED")])


def test_a_paused_workflow_takes_outcomes_and_begins_nothing_until_it_is_resumed(env: Environment) -> None:
    env.serve(a=1, b=2)
    handle = start(env, workflow_def(simple("a"), simple("b")))
    handle.pause()
    env.drain()
    assert (handle.status(), statuses(env, handle.id)) == ("PAUSED", [("a", "COMPLETED")])
    handle.resume()
    env.drain()
    assert handle.status() == "COMPLETED"
    with pytest.raises(Conflict):
        handle.pause()


def test_a_failure_workflow_learns_what_failed(env: Environment) -> None:
    env.serve(pay=[TerminalError("bank is closed")])
    env.client.register(workflow_def(simple("tell"), name="sorry"))
    env.client.register(workflow_def(simple("pay"), failure_workflow="sorry"))
    handle = env.client.with_options(correlation_id="c-1").start_workflow("flow", amount=7)
    env.drain()
    (line,) = env.client.list_workflows(name="sorry").items
    told = env.client.workflow(line.workflow_id).describe()
    assert handle.output()["conductor.failure_workflow"] == told.workflow_id
    assert (told.correlation_id, told.input["workflowId"], told.input["amount"]) == ("c-1", handle.id, 7)
    assert (told.input["failureStatus"], "bank is closed" in told.input["reason"]) == ("FAILED", True)


def test_a_child_gives_its_output_and_its_failure_is_its_parents(env: Environment) -> None:
    env.serve(work=[{"n": 1}, TerminalError("broken")])
    env.client.register(workflow_def(simple("work"), name="child", output_parameters={"n": "${work.output.n}"}))
    good, bad = (start(env, workflow_def(sub_workflow("sub"))) for _ in range(2))
    env.drain()
    assert (good.status(), good.describe().task("sub").output_data["n"]) == ("COMPLETED", 1)
    assert (bad.status(), "broken" in str(bad.describe().reason_for_incompletion)) == ("FAILED", True)


def test_a_parent_that_is_terminated_takes_its_child_along(env: Environment) -> None:
    env.client.register(workflow_def(simple("work"), name="child"))
    handle = start(env, workflow_def(sub_workflow("sub")))
    child = env.client.workflow(str(handle.describe().task("sub").sub_workflow_id))
    handle.terminate("enough")
    assert (handle.status(), child.status()) == ("TERMINATED", "TERMINATED")
    assert "enough" in str(child.describe().reason_for_incompletion)


def test_a_step_that_may_fail_does_not_hold_up_those_behind_it(env: Environment) -> None:
    env.serve(pay=[TerminalError("no")], ship={})
    handle = start(env, workflow_def(simple("pay", optional=True), simple("ship")))
    env.drain()
    assert handle.status() == "COMPLETED"
    assert statuses(env, handle.id) == [("pay", "COMPLETED_WITH_ERRORS"), ("ship", "COMPLETED")]


def test_operators_take_their_way_and_show_it(env: Environment) -> None:
    env.serve(left={"n": 1}, right={"n": 2}, soup={}, stir={})
    steps = [
        *forked("f", [simple("left")], [simple("right")]),
        switch("dish", "${workflow.input.dish}", {"soup": [simple("soup")]}, [simple("other")]),
        loop("twice", "", simple("stir"), given={"_items": [1, 2]}),
        set_variable("count", n="${right.output.n}"),
    ]
    handle = start(env, workflow_def(*steps), dish="soup")
    env.drain()
    found = handle.describe()
    assert (found.status, found.variables["n"]) == ("COMPLETED", 2)
    assert found.task("f_join").output_data == {"left": {"n": 1}, "right": {"n": 2}}
    refs = [task.reference_task_name for task in found.tasks]
    assert [ref for ref in refs if ref.startswith(("soup", "other", "stir"))] == ["soup", "stir__1", "stir__2"]
