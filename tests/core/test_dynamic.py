"""DYNAMIC: which task a step is shows at run time. HUMAN: until somebody updates it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.model.definitions import WorkflowTask, WorkflowTimeoutPolicy
from orchestrator.model.effects import Enqueue
from tests.support.build import dynamic_fork, fork, join, simple, step, task_def, workflow_def
from tests.support.happenings import claimed, completed, failed, later, operation, reported, started, timer
from tests.support.story import Story


def dynamic(ref: str, **fields: Any) -> WorkflowTask:
    given = {"what": "${workflow.input.what}", "x": 1}
    return step("DYNAMIC", ref, given, dynamic_task_name_param="what", **fields)


def test_a_dynamic_step_is_the_task_that_its_input_names() -> None:
    story = Story(workflow_def(dynamic("d"), simple("z", {"y": "${d.output.y}"})), input={"what": "charge"})
    story.when(started())
    made = story.task("d").record.scheduled
    assert (made.type, made.name, story.task("d").input) == ("charge", "charge", {"what": "charge", "x": 1})
    assert [offer.type for offer in story.sent(Enqueue)] == ["charge"]
    story.when(completed("d", {"y": 2}))
    assert story.task("z").input == {"y": 2}


def test_the_definition_of_the_resolved_task_governs_it() -> None:
    story = Story(
        workflow_def(dynamic("d", name="static")),
        input={"what": "charge"},
        task_defs=[task_def("charge", retry_count=1), task_def("static", retry_count=0)],
    )
    story.when(started(), failed("d")).expect("RUNNING")
    assert (story.task("d").attempt, story.task("d").record.scheduled.type) == (1, "charge")
    story.when(failed("d")).expect("FAILED")


def test_what_the_step_says_itself_goes_before_that_definition() -> None:
    definition = workflow_def(dynamic("d", retry_count=0, optional=True, start_delay=3))
    story = Story(definition, input={"what": "charge"}, task_defs=[task_def("charge", retry_count=5)]).when(started())
    assert story.task("d").record.scheduled.delay_ms == 3000
    story.when(failed("d")).expect("COMPLETED", tasks={"d": "COMPLETED_WITH_ERRORS"})


def test_a_dynamic_step_may_be_a_built_in_task() -> None:
    story = Story(workflow_def(dynamic("d")), input={"what": "WAIT"}).when(started()).expect(open=["d"])
    assert story.sent(Enqueue) == []
    story.when(reported("d", "COMPLETED", {"ok": True}, delivery=-1)).expect("COMPLETED", output={"ok": True})


def test_a_dynamic_step_is_joined_like_any_other() -> None:
    definition = workflow_def(fork("f", [dynamic("d")], [simple("b")]), join("j", "d", "b"))
    story = Story(definition, input={"what": "charge"}).when(started(), completed("b")).expect("RUNNING")
    story.when(completed("d")).expect("COMPLETED", tasks={"j": "COMPLETED"})


def test_a_branch_of_a_dynamic_fork_may_be_a_dynamic_step() -> None:
    one = {"name": "n", "taskReferenceName": "n", "type": "DYNAMIC", "dynamicTaskNameParam": "what"}
    params = {"dynamic_fork_tasks_param": "t", "dynamic_fork_tasks_input_param_name": "i"}
    given = {"t": [one], "i": {"n": {"what": "charge", "y": 2}}}
    story = Story(workflow_def(*dynamic_fork("f", given, **params)), task_defs=[task_def("charge")])
    story.when(started(), failed("n"))
    assert (story.task("n").record.scheduled.type, story.task("n").input) == ("charge", {"what": "charge", "y": 2})
    story.when(completed("n")).expect("COMPLETED", tasks={"f_join": "COMPLETED"})


@pytest.mark.parametrize("name", [None, "", "  ", 3, ["a"]])
def test_a_dynamic_step_without_a_name_fails_the_workflow(name: Any) -> None:
    story = Story(workflow_def(dynamic("d")), input={"what": name}).when(started())
    story.expect(
        "FAILED", reason="Cannot map a dynamic task based on the parameter and input. Parameter= what, input= "
    )


@pytest.mark.parametrize("name", ["SWITCH", "FORK_JOIN", "DO_WHILE", "JOIN", "DYNAMIC"])
def test_a_dynamic_step_cannot_be_a_step_that_holds_others(name: str) -> None:
    story = Story(workflow_def(dynamic("d")), input={"what": name}).when(started())
    story.expect("FAILED", reason=f"A dynamic task cannot be a {name}", tasks={"d": "FAILED"})


def test_a_human_waits_for_an_update_and_takes_no_signal() -> None:
    story = Story(workflow_def(step("HUMAN", "h", {"who": "${workflow.input.who}"})), input={"who": "Ada"})
    story.when(started()).expect("RUNNING", open=["h"])
    assert (story.task("h").status, story.task("h").input) == ("IN_PROGRESS", {"who": "Ada"})
    story.when(operation("signal", name="h"))
    assert story.answers[-1]["error"] == "TASK_NOT_FOUND"
    story.when(reported("h", "COMPLETED", {"ok": True}, delivery=-1)).expect("COMPLETED", output={"ok": True})


def test_other_branches_keep_their_time_outs_beside_a_human_and_so_does_the_workflow() -> None:
    branches = fork("f", [step("HUMAN", "h")], [simple("a")])
    policy = task_def("a", timeout_policy="RETRY", response_timeout_seconds=10, retry_count=1, retry_delay_seconds=0)
    definition = workflow_def(
        branches, join("j", "h", "a"), timeout_seconds=60, timeout_policy=WorkflowTimeoutPolicy.TIME_OUT_WF
    )
    story = Story(definition, task_defs=[policy]).when(started(), claimed("a"), later(10), timer("a"))
    story.expect("RUNNING", open=["j", "h", "a"])
    assert (story.earlier("a", 0).status, story.task("a").attempt) == ("TIMED_OUT", 1)
    story.when(later(50), timer()).expect("TIMED_OUT", tasks={"h": "CANCELED"}, open=[])


def test_a_human_is_cancelled_with_its_workflow() -> None:
    story = Story(workflow_def(step("HUMAN", "h"))).when(started(), operation("terminate", reason="enough"))
    story.expect("TERMINATED", tasks={"h": "CANCELED"}, open=[])


def test_the_time_outs_of_its_definition_hold_for_a_human_but_no_response_time_out() -> None:
    definition = task_def("h", timeout_seconds=60, response_timeout_seconds=10, timeout_policy="RETRY", retry_count=1)
    story = Story(workflow_def(step("HUMAN", "h")), task_defs=[definition]).when(started())
    story.when(later(11), timer("h")).expect("RUNNING", tasks={"h": "IN_PROGRESS"})
    story.when(later(50), timer("h"))
    assert (story.task("h").attempt, story.earlier("h", 0).status) == (1, "TIMED_OUT")
    story.when(later(61), timer("h")).expect("TIMED_OUT", tasks={"h": "TIMED_OUT"})
