"""Scripts in decisions: answered at once by the facts, or by a script task whose end hands the answer to the operator."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.facts import Scripts
from orchestrator.model.definitions import WorkflowTask
from orchestrator.model.effects import Enqueue, Remove
from orchestrator.model.evaluation import Evaluation
from tests.support.build import fork, join, loop, noop, simple, step, switch, workflow_def
from tests.support.happenings import accepted, completed, failed, later, operation, reported, started
from tests.support.story import START_MS, Story


class Answers:
    """Answers every script with the same evaluation and notes what it was asked."""

    def __init__(self, evaluation: Evaluation | None) -> None:
        self.evaluation = evaluation
        self.asked: list[tuple[Any, ...]] = []

    def evaluate(
        self, language: str, script: str, input: dict[str, Any], *, now_ms: int, seed: str
    ) -> Evaluation | None:
        self.asked.append((language, script, input, now_ms, seed))
        return self.evaluation


def scripted(kind: str = "javascript", **fields: Any) -> WorkflowTask:
    """A SWITCH by script with the cases ``a`` and ``b`` and a default."""
    cases = {"a": [simple("is_a")], "b": [simple("is_b")]}
    return step(
        "SWITCH",
        "s",
        {"x": "${workflow.input.x}"},
        evaluator_type=kind,
        expression="$.x",
        decision_cases=cases,
        default_case=[simple("other")],
        **fields,
    )


def story(*steps: WorkflowTask, scripts: Scripts | None = None, x: Any = 1) -> Story:
    return Story(workflow_def(*(steps or (scripted(),))), input={"x": x}, scripts=scripts)


def answered(value: Any, ref: str = "s#case") -> Any:
    return completed(ref, {"result": value})


def test_a_retried_switch_takes_the_branch_its_late_script_computes() -> None:
    told = story().when(started(), operation("terminate")).expect("TERMINATED").when(operation("retry"))
    told.when(answered("a", "s#case.1")).expect(open=["is_a"])


def test_a_rerun_forgets_the_scripts_of_all_attempts() -> None:
    told = story().when(started(), operation("terminate"), operation("retry"), operation("terminate"))
    assert {"s#case", "s#case.1"} <= set(told.scheduled)
    told.when(operation("rerun", ref="s")).expect("RUNNING", open=["s", "s#case"])
    assert set(told.scheduled) == {"s", "s#case"}


def test_a_rerun_inside_a_loop_forgets_the_conditions_that_are_asked_for_again() -> None:
    told = story(loop("l", "$.slow", simple("a")), simple("z")).when(started())
    told.when(completed("a__1"), answered(True, "l#condition-1"), completed("a__2"), answered(False, "l#condition-2"))
    told.when(operation("terminate"), operation("rerun", ref="a__1")).expect("RUNNING", open=["l", "a__1"])
    assert set(told.scheduled) == {"l", "a__1"}


def test_a_rerun_forgets_what_a_join_before_it_waited_with() -> None:
    judged = join("j", "a", expression="$.slow")
    told = story(fork("f", [simple("a")], [simple("b")]), judged, simple("z")).when(started())
    told.when(answered(False, "j#join-0"), completed("a"), answered(True, "j#join-1")).expect(open=["b", "z"])
    told.when(operation("terminate"), operation("rerun", ref="a")).expect("RUNNING")
    assert [ref for ref in told.scheduled if "#" in ref] == ["j#join-0"]  # it is asked once more


# --- at once ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "language"), [("javascript",) * 2, ("graaljs", "javascript"), ("python",) * 2])
def test_a_switch_takes_the_branch_its_script_computes(kind: str, language: str) -> None:
    scripts = Answers(Evaluation("b"))
    told = story(scripted(kind), scripts=scripts).when(started()).expect(open=["is_b"])
    assert told.task("s").input == {"x": 1, "case": "b", "hasChildren": "true"}
    assert told.task("s").output == {"evaluationResult": ["b"], "selectedCase": "b"}
    assert [ask[:4] for ask in scripts.asked] == [(language, "$.x", {"x": 1}, START_MS)] * len(scripts.asked)


def test_a_decision_made_again_asks_with_the_same_seed_which_is_the_task_s_own() -> None:
    scripts = Answers(Evaluation("b"))
    told = story(scripts=scripts).when(started())
    assert len(scripts.asked) > 1
    assert {ask[4] for ask in scripts.asked} == {told.id_of("s") + "#case"}


def test_a_switch_whose_script_fails_fails_the_workflow_with_the_script_s_words() -> None:
    told = story(scripts=Answers(Evaluation(error="x is not defined"))).when(started()).expect("FAILED")
    assert told.task("s").reason == "x is not defined"
    assert list(told.scheduled) == ["s"]


def test_an_optional_switch_whose_script_fails_takes_no_branch_and_holds_up_no_join() -> None:
    steps = fork("f", [scripted(optional=True)], [simple("n")]), join("j", "is_a", "n"), noop("last")
    told = story(*steps, scripts=Answers(Evaluation(error="no"))).when(started(), completed("n"))
    told.expect("COMPLETED", tasks={"s": "COMPLETED_WITH_ERRORS", "last": "COMPLETED"})


@pytest.mark.parametrize(
    ("value", "label"), [(None, "null"), (True, "true"), (3.0, "3"), ([1, "x"], '[1,"x"]'), ({"k": 1}, '{"k":1}')]
)
def test_a_computed_value_becomes_a_label_like_any_other(value: Any, label: str) -> None:
    told = story(scripts=Answers(Evaluation(value))).when(started()).expect(open=["other"])
    assert told.task("s").output["selectedCase"] == label


# --- by a script task -------------------------------------------------------------------------------------------------


def test_a_script_beyond_the_budget_becomes_a_task_of_its_own_and_its_answer_goes_on() -> None:
    told = story().when(started()).expect(open=["s", "s#case"])
    task = told.task("s#case")
    assert (task.record.scheduled.type, task.status) == ("SCRIPT", "SCHEDULED")
    seed = task.input.pop("seed")
    assert seed == told.id_of("s") + "#case"
    assert task.input == {"language": "javascript", "script": "$.x", "input": {"x": 1}, "nowMs": START_MS}
    assert [handoff.type for handoff in told.sent(Enqueue)] == ["SCRIPT"]
    told.when(later(50), answered("a")).expect(open=["is_a"])
    assert told.task("s").input == {"x": 1, "case": "a", "hasChildren": "true"}
    assert told.core.evaluating == []
    told.when(completed("is_a", {"y": 1})).expect("COMPLETED", output={"y": 1})


def test_a_script_task_that_fails_fails_the_switch_and_is_not_retried() -> None:
    told = story().when(started(), failed("s#case", "no such luck", terminal=True)).expect("FAILED")
    assert told.statuses == {"s": "FAILED", "s#case": "FAILED_WITH_TERMINAL_ERROR"}
    assert told.task("s").reason == "no such luck"
    assert told.core.failed_refs == ["s"]


def test_a_script_task_that_was_stopped_fails_the_switch_too() -> None:
    told = story().when(started(), reported("s#case", "TIMED_OUT")).expect("FAILED", tasks={"s": "FAILED"})
    assert told.task("s").reason == "the script ended TIMED_OUT"


def test_a_workflow_that_ends_meanwhile_cancels_the_switch_and_its_script() -> None:
    told = story().when(started(), operation("terminate")).expect("TERMINATED")
    assert told.statuses == {"s": "CANCELED", "s#case": "CANCELED"}
    assert [handoff.type for handoff in told.sent(Remove)] == ["SCRIPT"]


def test_an_answer_that_was_accepted_before_the_end_stands_and_moves_nothing() -> None:
    told = story().when(started(), accepted("s#case"), operation("terminate"), answered("a")).expect("TERMINATED")
    assert told.statuses == {"s": "CANCELED", "s#case": "COMPLETED"}
    assert told.core.open == 0


def test_an_answer_that_comes_in_a_pause_is_taken_at_its_end() -> None:
    told = story().when(started(), operation("pause"), answered("a")).expect("PAUSED", tasks={"s": "IN_PROGRESS"})
    told.when(operation("resume")).expect("RUNNING", open=["is_a"])


def test_a_workflow_terminated_in_a_pause_with_an_answer_in_hand_cancels_the_switch() -> None:
    told = story().when(started(), operation("pause"), answered("a"), operation("terminate")).expect("TERMINATED")
    assert told.statuses == {"s": "CANCELED", "s#case": "COMPLETED"}


def test_a_join_waits_for_the_branch_that_a_script_has_yet_to_choose() -> None:
    members = fork("f", [simple("n"), join("inner", "is_a"), noop("after")], [scripted()]), join("j", "after")
    told = story(*members).when(started(), completed("n")).expect(open=["j", "s", "s#case", "inner"])
    told.when(answered("b")).expect(open=["is_b"], tasks={"inner": "COMPLETED", "j": "COMPLETED"})


def test_branches_by_script_in_parallel_do_not_disturb_each_other() -> None:
    def one(ref: str) -> WorkflowTask:
        made = switch(ref, "x", {"a": [noop(f"{ref}_a")]})
        made.evaluator_type, made.expression = "python", "return 'a'"
        return made

    told = story(fork("f", [one("s")], [one("t")]), join("j", "s_a", "t_a")).when(started())
    assert told.core.evaluating == ["s", "t"]
    told.together(answered("a", "t#case"), answered("b", "s#case")).expect("COMPLETED")
    assert told.statuses["t_a"] == "COMPLETED"
    assert "s_a" not in told.statuses
