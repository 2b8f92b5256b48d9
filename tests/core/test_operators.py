"""SWITCH, SET_VARIABLE, TERMINATE, WAIT and NOOP: what each does with its input, and how it fails."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.draft import TASKS_PER_DECISION
from orchestrator.core.operators.switch import case_text
from orchestrator.model.effects import Enqueue, Remove, StartWorkflow
from orchestrator.model.validation import validate_workflow_def
from tests.support.build import (
    fork,
    forked,
    join,
    noop,
    set_variable,
    simple,
    step,
    switch,
    task_def,
    terminate,
    wait,
    workflow_def,
)
from tests.support.happenings import accepted, completed, failed, later, operation, reported, started, timer
from tests.support.story import START_MS, Story

# --- SWITCH -----------------------------------------------------------------------------------------------------------

CASES = {name: [noop(f"is_{name or 'blank'}")] for name in ("null", "true", "3", "1.5", "text", "")}


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        (None, "is_null"),
        (True, "is_true"),
        (3, "is_3"),
        (3.0, "is_3"),
        (1.5, "is_1.5"),
        ("text", "is_text"),
        ("", "is_blank"),
        ("none of them", "fallback"),
        (False, "fallback"),
        ([3], "fallback"),
    ],
)
def test_a_switch_takes_the_case_its_value_names_as_text(value: Any, taken: str) -> None:
    definition = workflow_def(switch("s", "${workflow.input.v}", CASES, [noop("fallback")]))
    story = Story(definition, input={"v": value}).when(started()).expect("COMPLETED")
    assert list(story.scheduled) == ["s", taken]
    assert story.task("s").output == {"evaluationResult": [case_text(value)], "selectedCase": case_text(value)}
    assert story.task("s").input == {"value": value, "case": case_text(value), "hasChildren": "true"}


def test_an_empty_case_runs_nothing_and_does_not_take_the_default() -> None:
    definition = workflow_def(switch("s", "a", {"a": []}, [noop("fallback")]), noop("next"))
    story = Story(definition).when(started()).expect("COMPLETED")
    assert list(story.scheduled) == ["s", "next"]
    assert "hasChildren" not in story.task("s").input


def test_a_switch_without_a_fitting_branch_goes_on_after_itself() -> None:
    story = Story(workflow_def(switch("s", "x", {"a": [noop("b")]}), noop("next"))).when(started())
    assert list(story.scheduled) == ["s", "next"]


def test_a_switch_inside_a_switch_goes_on_after_both() -> None:
    inner = switch("t", "b", {"b": [simple("x")]})
    story = Story(workflow_def(switch("s", "a", {"a": [inner]}), simple("y"))).when(started()).expect(open=["x"])
    story.when(completed("x")).expect(open=["y"]).when(completed("y")).expect("COMPLETED")


def test_a_switch_whose_evaluator_is_unknown_fails_the_workflow() -> None:
    choice = step("SWITCH", "s", evaluator_type="cobol", expression="1", decision_cases={"1": [noop("a")]})
    story = Story(workflow_def(choice)).when(started()).expect("FAILED", tasks={"s": "FAILED"})
    assert story.core.reason == "No evaluator registered for type: cobol"


def test_an_optional_switch_that_fails_takes_no_branch_and_holds_up_no_join() -> None:
    choice = switch("s", "${workflow.input.v}", {"a": [simple("m")]}, optional=True)
    story = Story(workflow_def(fork("f", [choice, noop("n")]), join("j", "m", "n")), input={"v": "y" * 100})
    story.facts.payload_bytes_max = 60
    story.when(started()).expect("COMPLETED", tasks={"s": "COMPLETED_WITH_ERRORS", "j": "COMPLETED"})


# --- SET_VARIABLE -----------------------------------------------------------------------------------------------------


def test_variables_start_as_defined_and_each_step_lays_its_inputs_over_them() -> None:
    definition = workflow_def(
        set_variable("one", a="${workflow.variables.b}", n=None),
        simple("x", {"a": "${workflow.variables.a}"}),
        set_variable("two", b=7),
        variables={"b": 1},
        output_parameters={"all": "${workflow.variables}"},
    )
    story = Story(definition).when(started()).expect(variables={"a": 1, "b": 1, "n": None})
    assert story.task("x").input == {"a": 1}
    story.when(completed("x")).expect("COMPLETED", output={"all": {"a": 1, "b": 7, "n": None}})
    assert definition.variables == {"b": 1}


def test_variables_beyond_the_limit_are_not_set_and_fail_the_task_for_good() -> None:
    big = set_variable("v", x="${workflow.input.x}")
    big.optional, big.retry_count = True, 3
    story = Story(workflow_def(big, noop("n"), variables={"x": 0}), input={"x": "y" * 2000})
    story.facts.variables_bytes_max = 1024
    story.when(started()).expect("COMPLETED", variables={"x": 0}, tasks={"v": "COMPLETED_WITH_ERRORS"})
    assert "is greater than the permissible limit: 1 kilobytes" in (story.task("v").reason or "")


# --- TERMINATE --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "TERMINATED"])
def test_terminate_ends_the_workflow_at_once_with_its_status(status: str) -> None:
    branches = forked("f", [simple("a")], [simple("b"), terminate("stop", status, workflowOutput={"x": 1})])
    story = Story(workflow_def(*branches, simple("late"), failure_workflow="clean")).when(started(), completed("b"))
    story.expect(status, tasks={"a": "CANCELED", "f_join": "CANCELED", "stop": "COMPLETED"}, open=[])
    assert story.core.reason == f"Workflow is {status} by TERMINATE task: {story.id_of('stop')}"
    assert [handoff.task_id for handoff in story.sent(Remove)] == [story.id_of("a")]
    assert len(story.sent(StartWorkflow)) == (status != "COMPLETED")
    assert story.core.failed_task_id == (story.id_of("stop") if status != "COMPLETED" else None)
    assert {name: value for name, value in story.output.items() if name == "x"} == {"x": 1}


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ({"workflowOutput": {"a": 1}}, {"a": 1}),
        ({"workflowOutput": 5}, {"output": 5}),
        ({"workflowOutput": None}, {}),
        ({}, {}),
    ],
)
def test_the_output_of_terminate_is_the_workflows_whatever_its_mapping_says(given: Any, output: Any) -> None:
    definition = workflow_def(terminate("stop", **given), output_parameters={"not": "this"})
    Story(definition).when(started()).expect("COMPLETED", output=output)


def test_the_reason_of_terminate_is_the_workflows() -> None:
    definition = workflow_def(terminate("stop", "FAILED", terminationReason="no ${workflow.input.x}"))
    story = Story(definition, input={"x": "stock"}).when(started())
    assert story.core.reason == "no stock"


def test_the_status_of_a_termination_may_be_an_expression() -> None:
    definition = workflow_def(terminate("stop", "${workflow.input.how}", terminationReason="${workflow.input.why}"))
    assert validate_workflow_def(definition) == []
    story = Story(definition, input={"how": "TERMINATED", "why": "enough"}).when(started())
    story.expect("TERMINATED", tasks={"stop": "COMPLETED"}, reason="enough")


@pytest.mark.parametrize("status", ["DONE", None, 3, ["COMPLETED"]])
def test_a_termination_status_that_is_none_fails_the_task(status: Any) -> None:
    story = Story(workflow_def(terminate("stop", "${workflow.input.s}")), input={"s": status}).when(started())
    story.expect("FAILED", tasks={"stop": "FAILED"}, reason="given termination status is not valid")


def test_a_termination_that_is_retried_without_end_is_cut_into_slices() -> None:
    story = Story(workflow_def(terminate("stop", "DONE")), task_defs=[task_def("stop", retry_count=1000)])
    story.when(started()).expect("FAILED")
    assert story.task("stop").attempt == 1000
    assert max(len(draft.superseded) for draft in story.drafts) <= TASKS_PER_DECISION


def test_tasks_that_the_same_decision_made_are_cancelled_without_having_been_offered() -> None:
    story = Story(workflow_def(*forked("f", [simple("a")], [terminate("stop")]))).when(started())
    story.expect("COMPLETED", tasks={"a": "CANCELED"})
    assert (story.sent(Enqueue), story.sent(Remove), story.dispatch, story.timers) == ([], [], {}, {})


# --- WAIT -------------------------------------------------------------------------------------------------------------


def test_a_wait_ends_when_its_duration_is_over() -> None:
    story = Story(workflow_def(wait("w", duration="1m 30s"), noop("n"))).when(started()).expect("RUNNING", open=["w"])
    assert list(story.timers.values()) == [START_MS + 90_000]
    story.when(later(60), timer("w")).expect("RUNNING", open=["w"])
    assert list(story.timers.values()) == [START_MS + 90_000]
    story.when(later(30), timer("w")).expect("COMPLETED")
    assert story.drafts[-1].guarded, "an outcome that was accepted meanwhile must not be overwritten"


def test_a_wait_until_a_moment_ends_then_and_one_for_the_past_at_once() -> None:
    story = Story(workflow_def(wait("w", until="2023-11-14 23:13 UTC"))).when(started()).expect("RUNNING")
    assert list(story.timers.values()) == [1_700_003_580_000]
    story.when(later(3580), timer("w")).expect("COMPLETED")
    Story(workflow_def(wait("w", until="2020-01-01"))).when(started()).expect("COMPLETED")
    Story(workflow_def(wait("w", wait_until="2020-01-01"))).when(started()).expect("COMPLETED")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"duration": "soon"}, "invalid duration"),
        ({"duration": 30}, "invalid duration"),
        ({"duration": 0}, "invalid duration"),
        ({"duration": {"s": 3}}, "invalid duration"),
        ({"until": "tomorrow"}, "Invalid/Unsupported Wait Until format"),
        ({"duration": "3s", "until": "2030-01-01"}, "Both 'duration' and 'until' specified"),
    ],
)
def test_a_wait_that_cannot_be_read_fails_for_good(given: dict[str, Any], reason: str) -> None:
    story = Story(workflow_def(wait("w", **given)), task_defs=[task_def("w", retry_count=3)]).when(started())
    story.expect("FAILED", tasks={"w": "FAILED_WITH_TERMINAL_ERROR"}, reason=reason)


@pytest.mark.parametrize("given", [{}, {"duration": None}, {"duration": " ", "until": ""}])
def test_a_wait_for_nothing_in_particular_waits_for_somebody_outside(given: dict[str, Any]) -> None:
    story = Story(workflow_def(wait("w", **given), simple("a", {"x": "${w.output.x}"}))).when(started())
    assert story.timers == {}
    story.when(reported("w", "IN_PROGRESS", {"y": 1}), completed("w", {"x": 2}, merge=True, delivery=-1))
    assert (story.task("w").output, story.task("a").input) == ({"y": 1, "x": 2}, {"x": 2})


def test_the_timer_of_a_wait_leaves_alone_what_has_been_accepted() -> None:
    story = Story(workflow_def(wait("w", duration="5s"), simple("a"))).when(started(), later(5), accepted("w"))
    story.when(timer("w")).expect("RUNNING", open=["w"])
    story.when(failed("w", "changed my mind")).expect("FAILED")


def test_what_was_reported_to_a_wait_is_its_output_when_time_is_up() -> None:
    story = Story(workflow_def(wait("w", duration="5s"))).when(started(), reported("w", "IN_PROGRESS", {"y": 1}))
    story.when(later(5), timer("w")).expect("COMPLETED", output={"y": 1})


# --- NOOP -------------------------------------------------------------------------------------------------------------


def test_a_long_chain_of_steps_that_wait_for_nothing_runs_in_slices_and_in_order() -> None:
    refs = [f"n{number}" for number in range(5000)]
    story = Story(workflow_def(*map(noop, refs))).when(started()).expect("COMPLETED")
    assert list(story.scheduled) == refs
    assert story.decisions == 5000 / TASKS_PER_DECISION
    assert all(len(draft.scheduled) <= TASKS_PER_DECISION for draft in story.drafts)


def test_a_chain_that_is_paused_between_two_slices_goes_on_where_it_was() -> None:
    refs = [f"n{number}" for number in range(500)]
    story = Story(workflow_def(*map(noop, refs)), in_one_go=False).when(started(), operation("pause"))
    story.continue_once().expect("PAUSED")
    assert len(story.scheduled) == TASKS_PER_DECISION
    story.in_one_go = True
    story.when(operation("resume")).expect("COMPLETED")
    assert list(story.scheduled) == refs
