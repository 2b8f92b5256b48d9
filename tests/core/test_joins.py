"""JOINs that go by more than their counter: scripts and joinStatus; and EXCLUSIVE_JOIN."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.model.definitions import WorkflowTask
from orchestrator.model.evaluation import Evaluation
from tests.support.build import dynamic_fork, fork, join, loop, noop, simple, step, switch, workflow_def
from tests.support.conditions import Conditions
from tests.support.happenings import completed, failed, operation, started
from tests.support.story import Story


def pending(given: dict[str, Any]) -> Any:
    """The script that Orkes gives as an example."""
    waits = {
        ref: given[ref]["status"] for ref in given["joinOn"] if ref in given and given[ref]["status"] != "COMPLETED"
    }
    if waits:
        return {"status": "IN_PROGRESS", "reasonForIncompletion": "Pending", "outputData": {"scriptResults": waits}}
    return True


SCRIPTS = {
    "all($)": pending,
    "any($)": lambda given: any(given.get(ref, {}).get("status") == "COMPLETED" for ref in given["joinOn"]),
    "enough($)": lambda given: {"status": "COMPLETED", "outputData": {"n": given["need"]}},
}


def scripted(script: str, *on: str, given: dict[str, Any] | None = None, **fields: Any) -> WorkflowTask:
    return step("JOIN", "j", given, join_on=list(on), expression=script, evaluator_type="js", **fields)


def told(*steps: WorkflowTask, scripts: Any = None, **options: Any) -> Story:
    options.setdefault("scripts", scripts or Conditions(SCRIPTS))
    return Story(workflow_def(*steps), **options).when(started())


TWO = fork("f", [simple("a", optional=True, retry_count=0)], [simple("b", optional=True, retry_count=0)])


# --- scripts ----------------------------------------------------------------------------------------------------------


def test_a_script_decides_when_a_join_is_over() -> None:
    story = told(TWO, scripted("any($)", "a", "b"), simple("z", {"all": "${j.output}"}))
    story.expect(open=["j", "a", "b"]).when(completed("b", {"v": 1})).expect(open=["a", "z"], tasks={"j": "COMPLETED"})
    assert story.task("z").input == {"all": {"b": {"v": 1}}}
    story.when(completed("z")).expect("RUNNING", open=["a"]).when(completed("a")).expect("COMPLETED")


def test_a_script_that_waits_shows_why_and_is_asked_again_with_every_member() -> None:
    story = told(TWO, scripted("all($)", "a", "b"), noop("z")).when(completed("a"))
    assert (story.task("j").status, story.task("j").reason) == ("IN_PROGRESS", "Pending")
    assert story.task("j").output == {"scriptResults": {"b": "SCHEDULED"}}
    story.when(completed("b")).expect("COMPLETED", tasks={"j": "COMPLETED"})


def test_a_script_sees_the_inputs_of_its_join_and_the_outputs_of_its_members() -> None:
    seen = Conditions(SCRIPTS)
    story = told(
        TWO, scripted("enough($)", "a", "b", given={"need": 2}), simple("z", {"n": "${j.output.n}"}), scripts=seen
    )
    story.expect(tasks={"j": "COMPLETED"})
    assert story.task("z").input == {"n": 2}
    assert seen.asked[0]["need"] == 2
    assert seen.asked[0]["joinOn"] == ["a", "b"]
    assert seen.asked[0]["a"]["status"] == "SCHEDULED"


def test_a_script_that_still_waits_when_all_members_have_ended_fails_its_join() -> None:
    story = told(TWO, scripted("all($)", "a", "b")).when(failed("a"), completed("b"))
    story.expect(
        "FAILED", tasks={"j": "FAILED"}, reason="All tasks have ended and the join script still waits: Pending"
    )


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (Evaluation({"status": "FAILED", "reasonForIncompletion": "no"}), "FAILED", "no"),
        (Evaluation({"status": "DONE"}), "FAILED_WITH_TERMINAL_ERROR", "answered with the status DONE"),
        (Evaluation(error="x is not defined"), "FAILED_WITH_TERMINAL_ERROR", "exception x is not defined"),
        (
            Evaluation({"status": "COMPLETED", "outputData": {"x": "y" * 4_000_000}}),
            "FAILED_WITH_TERMINAL_ERROR",
            "greater",
        ),
    ],
)
def test_a_script_may_fail_its_join_or_be_wrong(answer: Evaluation, status: str, reason: str) -> None:
    class Answers(Conditions):
        def evaluate(self, *_: Any, **__: Any) -> Evaluation:
            return answer

    story = told(TWO, scripted("x", "a", "b"), scripts=Answers())
    story.expect("FAILED", tasks={"j": status}, open=[])
    assert reason in (story.task("j").reason or "")


def test_a_script_sees_the_last_steps_of_branches_that_have_not_come_there_but_none_that_never_will() -> None:
    branches = fork("f", [simple("a"), simple("b")], [switch("s", "no", {"yes": [simple("c")]})])
    seen = Conditions(SCRIPTS)
    story = told(branches, scripted("all($)", "b", "c"), noop("z"), scripts=seen).expect(open=["j", "a"])
    assert story.task("j").output == {"scriptResults": {"b": "SCHEDULED"}}
    assert "c" not in seen.asked[-1]
    story.when(completed("a"), completed("b")).expect("COMPLETED", tasks={"j": "COMPLETED"})


def test_a_script_may_be_answered_by_a_task_and_an_answer_that_is_overtaken_is_asked_for_again() -> None:
    story = told(TWO, scripted("slow()", "a", "b"), noop("z")).expect(open=["j", "a", "b", "j#join-0"])
    story.when(completed("a")).expect(open=["j", "b", "j#join-0"])
    story.when(completed("j#join-0", {"result": False})).expect(open=["j", "b", "j#join-1"])
    story.when(completed("b"), completed("j#join-1", {"result": True})).expect("COMPLETED", tasks={"j": "COMPLETED"})


def test_the_join_of_a_dynamic_fork_may_have_a_script() -> None:
    steps = dynamic_fork("f", {"forkTaskName": "t", "forkTaskInputs": [{"optional": True}] * 3})
    steps[1].expression = "any($)"
    story = told(*steps, simple("z")).when(completed("_t_1")).expect(tasks={"f_join": "COMPLETED"})
    assert story.open == ["_t_0", "_t_2", "z"]


def test_a_join_in_a_loop_is_judged_on_its_own_round() -> None:
    body = [fork("f", [simple("a")], [simple("b")]), scripted("any($)", "a", "b")]
    story = told(loop("l", "$.l.iteration < 2", *body)).when(completed("a__1")).expect(open=["l", "b__1"])
    story.when(completed("b__1")).expect(open=["l", "j__2", "a__2", "b__2"])
    story.when(completed("b__2"), completed("a__2")).expect("COMPLETED")


def test_members_that_end_while_the_workflow_is_paused_are_judged_when_it_goes_on() -> None:
    story = told(TWO, scripted("all($)", "a", "b"), noop("z")).when(operation("pause"), completed("a"), completed("b"))
    story.expect("PAUSED", open=["j"]).when(operation("resume")).expect("COMPLETED")


# --- joinStatus -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "status"),
    [(None, "COMPLETED_WITH_ERRORS"), ("COMPLETED", "FAILED"), ("COMPLETED, COMPLETED_WITH_ERRORS", "COMPLETED")],
)
def test_join_status_says_which_ends_of_a_member_are_good_ones(accepted: str | None, status: str) -> None:
    story = told(TWO, join("j", "a", "b", join_status=accepted)).when(failed("a"), completed("b"))
    story.expect("FAILED" if status == "FAILED" else "COMPLETED", tasks={"j": status})


# --- EXCLUSIVE_JOIN ---------------------------------------------------------------------------------------------------


def exclusive(*on: str, default: list[str] | None = None, **fields: Any) -> WorkflowTask:
    return step("EXCLUSIVE_JOIN", "x", join_on=list(on), default_exclusive_join_task=default or [], **fields)


def choice(kind: str) -> WorkflowTask:
    return switch("s", kind, {"p": [noop("n"), simple("a")], "q": [simple("b")]})


@pytest.mark.parametrize(("kind", "last"), [("p", "a"), ("q", "b")])
def test_an_exclusive_join_passes_on_the_output_of_the_branch_that_was_taken(kind: str, last: str) -> None:
    story = told(choice(kind), exclusive("a", "b"), simple("z", {"v": "${x.output.v}"}))
    story.when(completed(last, {"v": kind}))
    assert story.task("z").input == {"v": kind}


def test_an_exclusive_join_passes_on_all_that_a_loop_shows() -> None:
    rounds = loop("l", "$.l.iteration < 2", simple("a"))
    story = told(switch("s", "p", {"p": [rounds]}), exclusive("l"))
    story.when(completed("a__1", {"v": 1}), completed("a__2", {"v": 2})).expect("COMPLETED")
    assert story.task("x").output == {"iteration": 2, "1": {"a": {"v": 1}}, "2": {"a": {"v": 2}}}


def test_an_exclusive_join_fails_when_the_output_it_takes_over_cannot_be_stored() -> None:
    rounds = loop("l", "$.l.iteration < 3", simple("a"))
    story = told(switch("s", "p", {"p": [rounds]}), exclusive("l"))
    story.facts.payload_bytes_max = 200
    story.when(*(completed(f"a__{number}", {"v": "x" * 60}) for number in (1, 2, 3))).expect("FAILED")
    assert story.task("x").status == "FAILED_WITH_TERMINAL_ERROR"
    assert "The task's output cannot be stored" in (story.task("x").reason or "")


def test_an_exclusive_join_looks_at_its_default_tasks_when_no_branch_has_one() -> None:
    story = told(
        simple("before"), choice("none"), exclusive("a", "b", default=["before"]), simple("z", {"v": "${x.output.v}"})
    )
    story.when(completed("before", {"v": 3}))
    assert story.task("z").input == {"v": 3}


def test_an_exclusive_join_of_which_no_task_has_run_is_over_without_an_output() -> None:
    told(choice("none"), exclusive("a", "b", default=["a"])).expect("COMPLETED", tasks={"x": "COMPLETED"}, output={})


def test_an_exclusive_join_waits_for_the_first_of_its_tasks_that_has_begun() -> None:
    branches = fork("f", [simple("a")], [simple("b")], [exclusive("a", "b"), simple("z")])
    story = told(branches, join("j", "z")).expect(open=["j", "a", "b", "x"]).when(completed("b"))
    story.expect(tasks={"x": "IN_PROGRESS"}).when(completed("a", {"v": 1})).expect(
        tasks={"x": "COMPLETED"}, open=["z", "j"][::-1]
    )
    assert story.task("x").output == {"v": 1}


def test_an_exclusive_join_waits_for_a_task_that_has_not_begun_yet() -> None:
    branches = fork("f", [simple("first"), choice("q")], [exclusive("a", "b"), simple("z")])
    story = told(branches, join("j", "z")).when(completed("first")).expect(tasks={"x": "IN_PROGRESS"})
    story.when(completed("b")).expect(tasks={"x": "COMPLETED"})


def test_an_exclusive_join_fails_with_the_task_it_waited_for() -> None:
    bad = simple("a", retry_count=0, permissive=True)
    story = told(bad, exclusive("a")).when(failed("a", "no luck"))
    story.expect("FAILED", tasks={"x": "FAILED"}, reason="no luck")
