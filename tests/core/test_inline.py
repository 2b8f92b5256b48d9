"""INLINE, LAMBDA and DECISION: what each makes of its script's answer, and of having none."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.facts import Scripts
from orchestrator.model.definitions import WorkflowTask
from orchestrator.model.evaluation import Evaluation
from tests.core.test_scripting import Answers
from tests.support.build import fork, join, noop, simple, step, task_def, workflow_def
from tests.support.happenings import completed, failed, later, reported, started, timer
from tests.support.story import Story

STOPPED = Evaluation(error="Script not evaluated within 4 seconds, interrupted.", timed_out=True)


def story(*steps: WorkflowTask, scripts: Scripts | None = None, **fields: Any) -> Story:
    return Story(workflow_def(*steps), input={"x": 2}, scripts=scripts, **fields)


def inline(**given: Any) -> WorkflowTask:
    return step("INLINE", "i", {"expression": "$.x * 2", "x": "${workflow.input.x}", **given})


# --- INLINE -----------------------------------------------------------------------------------------------------------


def test_an_inline_task_s_output_is_what_its_script_gives() -> None:
    scripts = Answers(Evaluation({"n": 4}))
    told = story(inline(), scripts=scripts).when(started()).expect("COMPLETED", output={"result": {"n": 4}})
    assert scripts.asked[0][:3] == ("javascript", "$.x * 2", {"expression": "$.x * 2", "x": 2})
    assert told.task("i").input == {"expression": "$.x * 2", "x": 2}


def test_an_inline_task_by_value_param_needs_no_script() -> None:
    story(inline(evaluatorType="value-param", expression="x")).when(started()).expect("COMPLETED", output={"result": 2})


def test_the_input_template_of_the_task_definition_may_hold_the_script() -> None:
    scripts = Answers(Evaluation(1))
    bare = step("INLINE", "i", {"x": 5}, name="sum")
    template = task_def("sum", input_template={"expression": "$.x", "evaluatorType": "python"})
    story(bare, scripts=scripts, task_defs=[template]).when(started()).expect("COMPLETED")
    assert scripts.asked[0][:2] == ("python", "$.x")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"evaluatorType": "cobol"}, "Unknown evaluator 'cobol' in INLINE task."),
        ({"expression": " "}, "Empty 'expression' in Inline task's input parameters."),
        ({"expression": 7}, "Empty 'expression' in Inline task's input parameters."),
    ],
)
def test_an_inline_task_that_cannot_be_evaluated_fails_for_good_and_says_why(
    given: dict[str, Any], reason: str
) -> None:
    told = story(inline(**given), scripts=Answers(Evaluation(1))).when(started()).expect("FAILED")
    assert told.task("i").status == "FAILED_WITH_TERMINAL_ERROR"
    assert (told.task("i").reason or "").startswith(reason)
    assert told.task("i").output["error"] == told.task("i").reason


def test_a_script_that_is_wrong_is_not_retried_one_that_was_stopped_is() -> None:
    wrong, slow = Answers(Evaluation(error="x is not defined")), Answers(STOPPED)
    for scripts, attempts in ((wrong, 0), (slow, 2)):
        told = story(inline(), scripts=scripts, task_defs=[task_def("i", retry_count=2)]).when(started())
        told.expect("FAILED")
        assert told.task("i").attempt == attempts


def test_a_result_that_cannot_be_stored_fails_the_task_with_the_reason() -> None:
    told = story(inline(), scripts=Answers(Evaluation(2**70))).when(started()).expect("FAILED")
    assert (told.task("i").reason or "").startswith("The result cannot be stored: ")


def test_an_inline_task_whose_script_runs_elsewhere_is_open_until_it_has_ended() -> None:
    told = story(inline(), noop("n")).when(started()).expect(open=["i", "i#result"], tasks={"i": "IN_PROGRESS"})
    told.when(completed("i#result", {"result": [1]})).expect("COMPLETED")
    assert told.task("i").output == {"result": [1]}


def test_a_retried_inline_task_asks_anew_under_a_name_of_its_own() -> None:
    told = story(inline(), task_defs=[task_def("i", retry_count=1, retry_delay_seconds=0)]).when(started())
    told.when(failed("i#result", "Script not evaluated within 4 seconds, interrupted."))
    told.expect(open=["i", "i#result.1"]).when(completed("i#result.1", {"result": 3})).expect("COMPLETED")
    assert told.task("i").attempt == 1
    assert told.task("i").output == {"result": 3}
    assert told.earlier("i", 0).output == {"error": "Script not evaluated within 4 seconds, interrupted."}


def test_an_optional_inline_task_that_fails_lets_the_workflow_go_on() -> None:
    optional = inline()
    optional.optional = True
    members = fork("f", [optional], [noop("n")]), join("j", "i", "n")
    told = story(*members, scripts=Answers(Evaluation(error="no"))).when(started()).expect("COMPLETED")
    assert told.task("i").status == "COMPLETED_WITH_ERRORS"


def test_a_script_task_that_times_out_by_its_definition_is_an_answer_too() -> None:
    limits = task_def("SCRIPT", total_timeout_seconds=1, timeout_policy="RETRY")
    told = story(inline(), task_defs=[limits]).when(started(), later(2000), timer("i#result")).expect("FAILED")
    assert "exceeded total timeout of 1 seconds" in (told.task("i").reason or "")


# --- LAMBDA -----------------------------------------------------------------------------------------------------------


def lambda_step(script: Any = "return $.x") -> WorkflowTask:
    return step("LAMBDA", "l", {"scriptExpression": script, "x": "${workflow.input.x}"})


def test_a_lambda_is_a_function_s_body() -> None:
    scripts = Answers(Evaluation(2))
    story(lambda_step(), scripts=scripts).when(started()).expect("COMPLETED", output={"result": 2})
    assert scripts.asked[0][:2] == ("javascript", "(function(){return $.x\n})()")


@pytest.mark.parametrize("script", ["", None, 3])
def test_a_lambda_without_a_script_fails(script: Any) -> None:
    told = story(lambda_step(script)).when(started()).expect("FAILED", tasks={"l": "FAILED"})
    assert (told.task("l").reason or "").startswith("Empty 'scriptExpression' in Lambda task's input parameters.")


def test_a_lambda_that_fails_may_be_retried() -> None:
    told = story(lambda_step(), task_defs=[task_def("l", retry_count=1)])
    told.when(started(), failed("l#result", "no", terminal=True), completed("l#result.1", {"result": 1}))
    told.expect("COMPLETED")
    assert told.earlier("l", 0).output == {"error": "no"}


# --- DECISION ---------------------------------------------------------------------------------------------------------


def decision(**fields: Any) -> WorkflowTask:
    cases = {"2": [simple("two")], "null": [simple("none")], "3": []}
    given = {"v": "${workflow.input.v}"}
    return step("DECISION", "d", given, decision_cases=cases, default_case=[simple("other")], **fields)


@pytest.mark.parametrize(("value", "taken"), [(2, "two"), ("2", "two"), (None, "none"), (3, "other"), (7, "other")])
def test_a_decision_takes_the_case_of_its_input_or_the_default(value: Any, taken: str) -> None:
    told = Story(workflow_def(decision(case_value_param="v")), input={"v": value}).when(started()).expect(open=[taken])
    label = "null" if value is None else str(value)
    assert told.task("d").output == {"caseOutput": [label]}
    assert told.task("d").input == {"v": value, "case": label, "hasChildren": "true"}
    assert told.task("d").record.scheduled.type == "DECISION"


def test_a_decision_may_compute_its_case() -> None:
    scripts = Answers(Evaluation(2))
    told = story(decision(case_expression="$.v + 1"), scripts=scripts).when(started()).expect(open=["two"])
    assert scripts.asked[0][:3] == ("javascript", "$.v + 1", {"v": None})
    told = story(decision(case_expression="$.v + 1")).when(started()).expect(open=["d", "d#case"])
    told.when(completed("d#case", {"result": 2})).expect(open=["two"])


def test_a_decision_whose_script_fails_ends_the_workflow_even_an_optional_one() -> None:
    told = story(decision(case_expression="x", optional=True)).when(
        started(), reported("d#case", "FAILED", reason="no")
    )
    told.expect("FAILED", tasks={"d": "FAILED"})
    assert told.core.reason == "Error while evaluating script: x: no"


def test_a_join_does_not_wait_for_what_a_decision_did_not_take() -> None:
    steps = (
        fork("f", [decision(case_value_param="v")], [noop("n")]),
        join("j", "two", "n"),
        decision(case_value_param="v"),
    )
    told = story(*steps[:2]).when(started()).expect(open=["none"], tasks={"j": "COMPLETED"})
    told.when(completed("none")).expect("COMPLETED")
    late = decision(case_value_param="v"), fork("g", [noop("n")]), join("j", "two", "n")
    story(*late).when(started(), completed("none")).expect("COMPLETED", tasks={"j": "COMPLETED"})
