"""Scripts of definitions from end to end: registered, answered inside the decision, or carried out by a task."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import testing
from orchestrator.engine import extras
from orchestrator.errors import DefinitionInvalid, MissingExtra
from orchestrator.model.definitions import WorkflowTask
from orchestrator.scripts import children
from orchestrator.scripts.limits import Limits
from orchestrator.systemtasks import json_jq_transform, script
from orchestrator.testing import WorkflowResult
from tests.support.build import noop, step, workflow_def

# It takes more than a decision has and far less than a task has.
TAKES_LONG = "var n = 0; for (var i = 0; i < 2000000; i++) n += i; n"


def run(*steps: WorkflowTask, **given: Any) -> WorkflowResult:
    with testing.environment() as env:
        handle = env.client.start_workflow(workflow_def(*steps), given)
        env.run_until_quiet()
        return WorkflowResult(handle.describe())


def inline(expression: str, ref: str = "i", **given: Any) -> WorkflowTask:
    return step("INLINE", ref, {"expression": expression, **given})


def test_javascript_and_python_compute_values_for_the_steps_after_them() -> None:
    ended = run(
        inline("({double: $.x * 2, at: typeof Date.now()})", x="${workflow.input.x}"),
        inline("{'sum': double + 1}", "p", evaluatorType="python", double="${i.output.result.double}"),
        step("LAMBDA", "l", {"scriptExpression": "return $.sum.sum", "sum": "${p.output.result}"}),
        x=20,
    )
    assert ended.status == "COMPLETED"
    assert ended.task("i").output == {"result": {"double": 40, "at": "number"}}
    assert ended.task("l").output == {"result": 41}


@pytest.mark.parametrize(
    ("kind", "expression"),
    [("javascript", "$.n > 10 ? 'large' : 'small'"), ("python", "'large' if n > 10 else 'small'")],
)
def test_a_switch_decides_by_script(kind: str, expression: str) -> None:
    cases = {"large": [noop("l")], "small": [noop("s")]}
    choice = step(
        "SWITCH", "c", {"n": "${workflow.input.n}"}, evaluator_type=kind, expression=expression, decision_cases=cases
    )
    assert [task.ref for task in run(choice, n=11).tasks] == ["c", "l"]
    assert [task.ref for task in run(choice, n=1).tasks] == ["c", "s"]


def test_a_script_that_takes_long_is_run_by_a_task_and_the_workflow_goes_on() -> None:
    ended = run(inline(TAKES_LONG), noop("n"))
    assert ended.status == "COMPLETED"
    assert ended.task("i").output == {"result": 1999999000000}
    assert ended.task("i#result").status == "COMPLETED"


def test_a_script_without_end_fails_its_task_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "FULL", Limits(0.2, 64 * 2**20))
    ended = run(inline("while (true);"))
    assert ended.status == "FAILED"
    assert ended.task("i").status == "FAILED"
    assert ended.task("i").reason == "Script not evaluated within 0.2 seconds, interrupted."
    assert ended.task("i#result").status == "FAILED"


@pytest.mark.parametrize(
    ("kind", "expression"),
    [("javascript", "var a = []; for (;;) a.push('x'.repeat(1e5) + a.length)"), ("python", "[0] * 10 ** 12")],
)
def test_a_script_that_wants_too_much_memory_fails_its_task_for_good(kind: str, expression: str) -> None:
    ended = run(inline(expression, evaluatorType=kind))
    assert ended.task("i").status == "FAILED_WITH_TERMINAL_ERROR"
    assert ended.task("i").output == {"error": "Script needs more than 64 MB of memory, interrupted."}


def test_a_result_too_large_to_be_stored_fails_the_task_with_the_reason() -> None:
    ended = run(inline("'x'.repeat(4 * 1024 * 1024)"))
    assert ended.task("i").status == "FAILED_WITH_TERMINAL_ERROR"
    assert "is greater than the permissible limit: 3145728 bytes" in (ended.task("i").reason or "")


# --- JSON_JQ_TRANSFORM ------------------------------------------------------------------------------------------------


def jq(query: Any, **given: Any) -> WorkflowTask:
    return step("JSON_JQ_TRANSFORM", "j", {"queryExpression": query, **given})


@pytest.mark.parametrize(
    ("query", "output"),
    [
        (".xs | map(. * 2)", {"result": [2, 4], "resultList": [[2, 4]]}),
        (".xs[]", {"result": 1, "resultList": [1, 2]}),
        ("empty", {"result": None, "resultList": []}),
        ("keys", {"result": ["queryExpression", "xs"], "resultList": [["queryExpression", "xs"]]}),
    ],
)
def test_a_jq_query_gives_its_first_result_and_all_of_them(query: str, output: Any) -> None:
    ended = run(jq(query, xs=[1, 2]))
    assert ended.status == "COMPLETED"
    assert ended.task("j").output == output


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("${workflow.input.none}", "Missing 'queryExpression' in input parameters"),
        ('error("no stock")', "no stock"),
    ],
)
def test_a_jq_query_that_fails_says_why(query: Any, reason: str) -> None:
    ended = run(jq(query))
    assert (ended.status, ended.task("j").status) == ("FAILED", "FAILED")
    assert ended.task("j").reason == reason
    assert ended.task("j").output in ({}, {"error": reason})


def test_a_jq_query_sees_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    assert run(jq("env.SECRET, $ENV.SECRET")).task("j").output["resultList"] == [None, None]


def test_a_jq_query_without_end_fails_its_task_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_jq_transform, "FULL", Limits(0.2, 64 * 2**20))
    ended = run(jq("def f: f; f"))
    assert ended.task("j").reason == "Script not evaluated within 0.2 seconds, interrupted."
    assert children.shared() is children.shared()


# --- registration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "path"),
    [
        (
            step("SWITCH", "s", evaluator_type="javascript", expression="$.x >", decision_cases={"a": [noop("n")]}),
            "expression",
        ),
        (
            step("SWITCH", "s", evaluator_type="python", expression="import os", decision_cases={"a": [noop("n")]}),
            "expression",
        ),
        (step("DECISION", "s", case_expression="(", decision_cases={"a": [noop("n")]}), "caseExpression"),
        (inline("return 1"), "inputParameters.expression"),
        (inline("x.y", evaluatorType="python"), "inputParameters.expression"),
        (step("LAMBDA", "l", {"scriptExpression": "return ("}), "inputParameters.scriptExpression"),
        (jq(".["), "inputParameters.queryExpression"),
    ],
)
def test_a_script_that_cannot_be_read_is_refused_with_its_definition(task: WorkflowTask, path: str) -> None:
    with testing.environment() as env, pytest.raises(DefinitionInvalid) as caught:
        env.client.register(workflow_def(task))
    (problem,) = caught.value.problems
    assert problem.path == f"tasks[0].{path}"
    assert problem.message.startswith("Expression is not well formatted: ")


def test_a_script_that_is_put_together_at_run_time_is_judged_then() -> None:
    built = inline("$.x + ${workflow.input.n}", x=1)
    assert run(built, n=2).task("i").output == {"result": 3}
    assert run(built, n="(").task("i").status == "FAILED_WITH_TERMINAL_ERROR"


@pytest.mark.parametrize(
    ("task", "extra"),
    [
        (inline("1"), "js"),
        (step("LAMBDA", "l", {"scriptExpression": "return 1"}), "js"),
        (step("SWITCH", "s", evaluator_type="graaljs", expression="1", decision_cases={"a": [noop("n")]}), "js"),
        (step("DECISION", "s", case_expression="1", decision_cases={"a": [noop("n")]}), "js"),
        (jq("."), "jq"),
    ],
)
def test_a_missing_package_is_told_when_the_definition_is_registered(
    task: WorkflowTask, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with testing.environment() as env, pytest.raises(MissingExtra) as caught:
        env.client.register(workflow_def(task))
    assert f"pip install 'redis-orchestrator[{extra}]'" in str(caught.value)


def test_python_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    assert run(inline("1 + 1", evaluatorType="python")).task("i").output == {"result": 2}
