"""DO_WHILE: rounds by condition and over lists, what bodies may hold, what a loop shows and keeps, and how it fails."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.draft import TASKS_PER_DECISION
from orchestrator.core.operators import do_while
from orchestrator.core.script_reads import reads_of
from orchestrator.model.definitions import WorkflowTask
from orchestrator.model.evaluation import Evaluation
from orchestrator.model.records import encode
from tests.support.build import (
    dynamic_fork,
    fork,
    forked,
    join,
    loop,
    noop,
    set_variable,
    simple,
    step,
    switch,
    task_def,
    terminate,
    workflow_def,
)
from tests.support.conditions import Conditions
from tests.support.happenings import completed, failed, operation, started
from tests.support.story import Story


def told(*steps: WorkflowTask, scripts: Any = None, **more: Any) -> Story:
    """A workflow of these steps, started."""
    options = {name: more.pop(name) for name in ("task_defs", "in_one_go") if name in more}
    scripts = scripts if scripts is not None else Conditions()
    return Story(workflow_def(*steps), input=more, scripts=scripts, **options).when(started())


# --- by condition -----------------------------------------------------------------------------------------------------


def test_the_body_runs_while_the_condition_holds_and_at_least_once() -> None:
    story = told(loop("l", "$.l.iteration < 2", simple("a"), simple("b")), simple("z"))
    story.expect(open=["l", "a__1"]).when(completed("a__1")).expect(open=["l", "b__1"])
    story.when(completed("b__1")).expect(open=["l", "a__2"])
    assert story.task("a__2").record.scheduled.iteration == 2
    story.when(completed("a__2"), completed("b__2")).expect(open=["z"], tasks={"l": "COMPLETED"})
    told(loop("l", "$.l.iteration < 0", simple("a"))).when(completed("a__1")).expect("COMPLETED")


def test_a_loop_shows_its_round_while_it_runs_and_all_rounds_to_who_reads_them() -> None:
    reads = {"n": "${l.output.iteration}", "first": "${l.output.1.a.v}", "all": "${l.output}", "last": "${a.output.v}"}
    story = told(loop("l", "$.l.iteration < 2", simple("a", {"round": "${l.output.iteration}"})), simple("z", reads))
    assert story.task("l").output == {"iteration": 1}
    story.when(completed("a__1", {"v": "x"}))
    assert (story.task("a__2").input, story.task("l").output) == ({"round": 2}, {"iteration": 2})
    story.when(completed("a__2", {"v": "y"}))
    rounds = {"iteration": 2, "1": {"a": {"v": "x"}}, "2": {"a": {"v": "y"}}}
    assert story.task("z").input == {"n": 2, "first": "x", "all": rounds, "last": "y"}


def test_expressions_in_the_body_read_this_rounds_tasks() -> None:
    story = told(loop("l", "$.l.iteration < 2", simple("a"), simple("b", {"v": "${a.output.v}"})))
    story.when(completed("a__1", {"v": 1}), completed("b__1"), completed("a__2", {"v": 2}))
    assert story.task("b__2").input == {"v": 2}


def test_the_condition_sees_inputs_rendered_anew_and_what_it_names() -> None:
    given = {"limit": "${workflow.input.limit}", "so_far": "${a.output.v}"}
    seen = Conditions({"$.a.v < $.limit && $.so_far": lambda x: x["a"]["v"] < x["limit"] and x["so_far"] > 0})
    body = [simple("a"), simple("unread")]
    story = told(loop("l", "$.a.v < $.limit && $.so_far", *body, given=given), scripts=seen, limit=2)
    story.when(completed("a__1", {"v": 1}), completed("unread__1"))
    story.when(completed("a__2", {"v": 2}), completed("unread__2")).expect("COMPLETED")
    assert seen.asked[0] == {"limit": 2, "so_far": 1, "a": {"v": 1}}


def test_a_condition_that_names_nothing_in_particular_sees_everything() -> None:
    seen = Conditions({"f($)": lambda x: False})
    story = told(loop("l", "f($)", simple("a"), *forked("f", [simple("b")])), scripts=seen)
    story.when(completed("a__1", {"v": 1}), completed("b__1", {"w": 2})).expect("COMPLETED")
    joined = {"b__1": {"w": 2}}
    assert seen.asked[0] == {
        "l": {"iteration": 1, "1": {"a": {"v": 1}, "f": {}, "f_join": joined, "b": {"w": 2}}},
        "a": {"v": 1},
        "f": {},
        "f_join": joined,
        "b": {"w": 2},
    }


@pytest.mark.parametrize(
    ("value", "more"), [(True, True), (1, True), (0.5, True), (0, False), (-1, False), ("true", False), (None, False)]
)
def test_only_true_and_numbers_above_zero_mean_another_round(value: Any, more: bool) -> None:
    story = told(loop("l", "c", noop("a"), simple("b")), scripts=Conditions({"c": lambda _: value}))
    story.when(completed("b__1")).expect("RUNNING" if more else "COMPLETED")


def test_a_condition_may_be_answered_by_a_script_task() -> None:
    story = told(loop("l", "slow()", simple("a")), simple("z")).when(completed("a__1"))
    story.expect(open=["l", "l#condition-1"])
    story.when(completed("l#condition-1", {"result": True})).expect(open=["l", "a__2"])
    story.when(completed("a__2"), completed("l#condition-2", {"result": False})).expect(open=["z"])


def test_a_condition_that_cannot_be_evaluated_fails_the_loop_for_good() -> None:
    class Broken(Conditions):
        def evaluate(self, *_: Any, **__: Any) -> Evaluation:
            return Evaluation(error="x is not defined")

    story = told(loop("l", "x", simple("a")), scripts=Broken()).when(completed("a__1"))
    story.expect("FAILED", tasks={"l": "FAILED_WITH_TERMINAL_ERROR"})
    story.expect(reason="Unable to evaluate condition x, exception x is not defined")


# --- over a list ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("items", [{"items": "${workflow.input.xs}"}, {"given": {"_items": "${workflow.input.xs}"}}])
def test_a_loop_over_a_list_hands_each_element_to_its_round(items: Any) -> None:
    body = simple("a", {"x": "${l.output.loopItem}", "i": "${l.output.loopIndex}"})
    story = told(loop("l", "", body, **items), simple("z"), xs=["p", {"q": 1}])
    assert story.task("a__1").input == {"x": "p", "i": 0}
    story.when(completed("a__1"))
    assert story.task("a__2").input == {"x": {"q": 1}, "i": 1}
    story.when(completed("a__2")).expect(open=["z"])
    assert story.task("l").output == {"iteration": 2, "loopIndex": 1, "loopItem": {"q": 1}}


def test_the_for_each_of_conductors_python_sdk_is_a_loop_over_a_list() -> None:
    never = "if ( $.l.iteration < 0 ) { true; } else { false; }"
    body = simple("a", {"x": "${l.output.loopItem}"})
    story = told(loop("l", never, body, given={"items": "${workflow.input.xs}"}), xs=["p", "q"])
    story.when(completed("a__1"))
    assert story.task("a__2").input == {"x": "q"}
    story.when(completed("a__2")).expect("COMPLETED")
    told(loop("l", never, body, given={"items": []})).expect("COMPLETED", tasks={"l": "COMPLETED"})


def test_an_input_called_items_alone_makes_no_list_of_a_loop() -> None:
    seen = Conditions({"$.items > 1": lambda _: False})
    story = told(loop("l", "$.items > 1", simple("a"), given={"items": [1, 2]}), scripts=seen)
    story.when(completed("a__1")).expect("COMPLETED")


@pytest.mark.parametrize("xs", [[], None])
def test_a_loop_over_nothing_has_no_round(xs: Any) -> None:
    story = told(loop("l", "", simple("a"), items="${workflow.input.xs}"), noop("z"), xs=xs).expect("COMPLETED")
    assert story.task("l").output == {"iteration": 0}


def test_a_single_value_is_a_list_of_one() -> None:
    story = told(loop("l", "", simple("a", {"x": "${l.output.loopItem}"}), items="${workflow.input.xs}"), xs={"k": 1})
    assert story.task("a__1").input == {"x": {"k": 1}}
    story.when(completed("a__1")).expect("COMPLETED")


def test_a_condition_may_end_a_loop_over_a_list_early() -> None:
    seen = Conditions({"$.loopItem != 2": lambda x: x["loopItem"] != 2})
    story = told(loop("l", "$.loopItem != 2", simple("a"), items="${workflow.input.xs}"), scripts=seen, xs=[1, 2, 3])
    story.when(completed("a__1"), completed("a__2")).expect("COMPLETED")
    assert seen.asked[0] == {"loopIndex": 0, "loopItem": 1}
    assert seen.asked[-1] == {"loopIndex": 1, "loopItem": 2}


# --- bodies -----------------------------------------------------------------------------------------------------------


def test_a_body_may_fork_and_join() -> None:
    body = forked("f", [simple("a")], [simple("b")])
    story = told(loop("l", "$.l.iteration < 2", *body), simple("z", {"v": "${f_join.output.a__2.v}"}))
    story.expect(open=["l", "f_join__1", "a__1", "b__1"]).when(completed("b__1"), completed("a__1"))
    story.expect(open=["l", "f_join__2", "a__2", "b__2"]).when(completed("a__2", {"v": 1}), completed("b__2"))
    assert story.task("z").input == {"v": 1}


def test_a_round_waits_for_branches_that_no_join_waits_for() -> None:
    story = told(loop("l", "$.l.iteration < 2", fork("f", [simple("a")], [simple("b")]), join("j", "a")))
    story.when(completed("a__1")).expect(open=["l", "b__1"]).when(completed("b__1"))
    story.expect(open=["l", "j__2", "a__2", "b__2"])


@pytest.mark.parametrize(("kind", "last"), [("x", "a"), ("y", "b"), ("z", None)])
def test_a_body_may_end_with_a_switch(kind: str, last: str | None) -> None:
    choice = switch("s", "${workflow.input.kind}", {"x": [simple("a")], "y": [noop("n"), simple("b")]})
    story = told(loop("l", "$.l.iteration < 2", simple("first"), choice), kind=kind)
    for number in (1, 2):
        story.expect("RUNNING").when(completed(f"first__{number}"))
        if last:
            story.expect("RUNNING").when(completed(f"{last}__{number}"))
    story.expect("COMPLETED")


def test_a_body_may_fork_dynamically_and_its_branches_are_named_by_round() -> None:
    fans = dynamic_fork("f", {"forkTaskName": "t", "forkTaskInputs": "${workflow.input.xs}"})
    story = told(loop("l", "$.l.iteration < 2", *fans, simple("z", {"v": "${_t_0.output.v}"})), xs=[1, 2])
    story.expect(open=["l", "f_join__1", "_t_0__1", "_t_1__1"])
    story.when(completed("_t_0__1", {"v": 1}), completed("_t_1__1"))
    assert story.task("z__1").input == {"v": 1}
    story.when(completed("z__1")).expect(open=["l", "f_join__2", "_t_0__2", "_t_1__2"])
    story.when(completed("_t_1__2"), completed("_t_0__2", {"v": 2}))
    assert story.task("z__2").input == {"v": 2}
    story.when(completed("z__2")).expect("COMPLETED")


def test_a_dynamic_branch_may_be_a_loop() -> None:
    inner = {"name": "a", "taskReferenceName": "a"}
    one = {"name": "l", "taskReferenceName": "l", "type": "DO_WHILE", "loopCondition": "$.l.iteration < 2"}
    given = {"t": [{**one, "loopOver": [inner]}], "i": {}}
    params = {"dynamic_fork_tasks_param": "t", "dynamic_fork_tasks_input_param_name": "i"}
    story = told(*dynamic_fork("f", given, **params), simple("z", {"n": "${f_join.output.l.iteration}"}))
    story.expect(open=["f_join", "l", "a__1"]).when(completed("a__1"), completed("a__2")).expect(open=["z"])
    assert story.task("z").input == {"n": 2}
    assert story.core.loops == {}


def test_tasks_in_a_body_are_retried_in_their_round() -> None:
    story = told(loop("l", "$.l.iteration < 2", simple("a"), simple("b")), task_defs=[task_def("a"), task_def("b")])
    story.when(completed("a__1"), failed("b__1")).expect(open=["l", "b__1"])
    assert story.task("b__1").attempt == 1
    story.when(completed("b__1"), failed("a__2"), completed("a__2"), completed("b__2")).expect("COMPLETED")


def test_a_terminate_in_a_body_ends_the_workflow() -> None:
    story = told(loop("l", "$.l.iteration < 2", simple("a"), terminate("t", "COMPLETED"))).when(completed("a__1"))
    story.expect("COMPLETED", tasks={"l": "CANCELED"}, open=[])


def test_a_join_that_lists_a_step_of_a_loop_waits_for_the_loop() -> None:
    story = told(fork("f", [loop("l", "$.l.iteration < 2", simple("a"))], [simple("b")]), join("j", "a", "b"))
    story.when(completed("b"), completed("a__1")).expect("RUNNING", tasks={"j": "IN_PROGRESS"})
    story.when(completed("a__2")).expect("COMPLETED", tasks={"j": "COMPLETED"})


def test_loops_stand_in_each_other_and_every_round_of_both_has_names_of_its_own() -> None:
    inner = loop("in", "$.in.iteration < 2", simple("a", {"round": "${in.output.iteration}"}))
    outer = loop("out", "$.out.iteration < 2", inner, simple("b", {"v": "${a.output.v}", "rounds": "${in.output}"}))
    story = told(outer, simple("z", {"all": "${out.output}"})).expect(open=["out", "in__1", "a__1"])
    story.when(completed("a__1", {"v": 1}), completed("a__2", {"v": 2})).expect(open=["out", "b__1"])
    first = {"iteration": 2, "1": {"a": {"v": 1}}, "2": {"a": {"v": 2}}}
    assert story.task("b__1").input == {"v": 2, "rounds": first}
    story.when(completed("b__1")).expect(open=["out", "in__2", "a__3"])
    assert story.task("a__3").input == {"round": 1}
    story.when(completed("a__3", {"v": 3}), completed("a__4", {"v": 4}), completed("b__2"))
    second = {"iteration": 2, "1": {"a": {"v": 3}}, "2": {"a": {"v": 4}}}
    assert story.task("z").input["all"] == {"iteration": 2, "1": {"in": first, "b": {}}, "2": {"in": second, "b": {}}}


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_a_loop_that_keeps_the_last_rounds_forgets_the_tasks_of_the_others() -> None:
    body = [simple("a"), *forked("f", [simple("b")])]
    story = told(loop("l", "$.l.iteration < 4", *body, given={"keepLastN": 2}), simple("z", {"all": "${l.output}"}))
    story.facts.task_defs = {"a": task_def("a")}
    for number in (1, 2, 3, 4):
        story.when(failed(f"a__{number}"), completed(f"a__{number}"), completed(f"b__{number}", {"n": number}))
    output = story.task("z").input["all"]
    assert {key: output[key]["b"] for key in output if key != "iteration"} == {"3": {"n": 3}, "4": {"n": 4}}
    assert [ref for ref in story.scheduled if ref.startswith("a")] == ["a__3", "a__4"]
    assert sorted(ref.partition("\n")[0] for ref in story.aside) == ["a__3", "a__4"]


def test_rounds_of_one_decision_are_forgotten_in_it() -> None:
    story = told(loop("l", "$.l.iteration < 500", noop("a"), given={"keepLastN": 1})).expect("COMPLETED")
    assert list(story.scheduled) == ["l", "a__500"]
    assert (
        max(
            draft.core.sequence - before.core.sequence
            for before, draft in zip(story.drafts, story.drafts[1:], strict=False)
        )
        <= TASKS_PER_DECISION
    )


def test_what_a_forgotten_round_forked_dynamically_and_looped_is_forgotten_too() -> None:
    fans = dynamic_fork("f", {"forkTaskName": "t", "forkTaskInputs": [1, 2]})
    inner = loop("in", "$.in.iteration < 2", simple("a"))
    story = told(loop("l", "$.l.iteration < 3", *fans, inner, given={"keepLastN": 1}))
    for number in (1, 2, 3):
        story.when(completed(f"_t_0__{number}"), completed(f"_t_1__{number}"))
        story.when(completed(f"a__{2 * number - 1}"), completed(f"a__{2 * number}"))
    story.expect("COMPLETED")
    assert set(story.scheduled) == {"l", "f__3", "f_join__3", "_t_0__3", "_t_1__3", "in__3", "a__5", "a__6"}


def test_the_scripts_that_a_forgotten_round_asked_for_are_forgotten_too() -> None:
    computed = step("INLINE", "i", {"expression": "$.slow"})
    story = told(loop("l", "$.slow", computed, given={"keepLastN": 1}))
    for number in (1, 2, 3):
        story.when(completed(f"i#result__{number}", {"result": number}))
        story.when(completed(f"l#condition-{number}", {"result": number < 3}))
    story.expect("COMPLETED")
    assert set(story.scheduled) == {"l", "i__3", "i#result__3", "l#condition-3"}


# --- how it ends otherwise --------------------------------------------------------------------------------------------


def test_a_failing_body_task_fails_the_workflow_and_cancels_the_loop() -> None:
    story = told(loop("l", "$.l.iteration < 2", simple("a", retry_count=0))).when(failed("a__1", "no luck"))
    story.expect("FAILED", tasks={"a__1": "FAILED", "l": "CANCELED"}, reason="'no luck'", open=[])
    assert story.task("l").output == {"iteration": 1}


def test_an_optional_body_task_that_failed_does_not_end_its_loop() -> None:
    story = told(loop("l", "$.l.iteration < 2", simple("a", retry_count=0, optional=True))).when(failed("a__1"))
    story.expect(open=["l", "a__2"])


def test_a_permissive_body_task_that_failed_fails_the_loop_when_its_round_is_over() -> None:
    bad = simple("a", retry_count=0, permissive=True)
    story = (
        told(loop("l", "$.l.iteration < 2", bad, simple("b"))).when(failed("a__1", "one")).expect(open=["l", "b__1"])
    )
    story.when(completed("b__1")).expect("FAILED", tasks={"l": "FAILED"}, reason="'one'")
    mild = told(loop("l", "$.l.iteration < 2", bad, optional=True), simple("z")).when(failed("a__1", "one"))
    mild.expect(open=["z"], tasks={"l": "COMPLETED_WITH_ERRORS"})


def test_a_paused_workflow_begins_no_further_round() -> None:
    story = told(loop("l", "$.l.iteration < 2", simple("a"))).when(operation("pause"), completed("a__1"))
    story.expect("PAUSED", open=["l"]).when(operation("resume")).expect("RUNNING", open=["l", "a__2"])


def test_a_loop_is_cancelled_with_its_workflow() -> None:
    story = told(loop("l", "slow()", simple("a"))).when(completed("a__1"), operation("terminate"))
    story.expect("TERMINATED", open=[], tasks={"l": "CANCELED", "l#condition-1": "CANCELED"})


def test_joins_in_a_body_that_wait_for_each_other_fail_the_workflow_instead_of_hanging() -> None:
    one, two = [join("j1", "b"), simple("a")], [join("j2", "a"), simple("b")]
    story = told(loop("l", "$.l.iteration < 2", fork("f", one, two), join("j", "a", "b")))
    story.expect("FAILED", reason="wait for steps that can only run after them", open=[])


def test_a_loop_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(do_while, "ROUNDS_MAX", 1_000)
    story = told(loop("l", "for ever", noop("a")), scripts=Conditions({"for ever": lambda _: True}))
    story.expect("FAILED", reason="The loop has run 1000 rounds; one that is to run longer needs keepLastN")
    assert len(story.scheduled) == 1_001


# --- size -------------------------------------------------------------------------------------------------------------


def test_ten_thousand_rounds_of_work_that_ends_at_once_take_fifty_tasks_and_more_a_decision() -> None:
    story = told(loop("l", "$.l.iteration < 10000", noop("a"), set_variable("v", n="${l.output.iteration}")))
    story.expect("COMPLETED", variables={"n": 10_000})
    assert story.decisions <= 20_000 / TASKS_PER_DECISION + 2
    assert max(len(draft.scheduled) for draft in story.drafts) <= TASKS_PER_DECISION
    assert max(len(encode(draft.core)) for draft in story.drafts) < 1000


def test_a_late_round_loads_and_writes_no_more_than_an_early_one() -> None:
    def cost(rounds: int) -> tuple[int, int]:
        story = told(loop("l", "$.l.iteration < 2000", simple("a", {"before": "${l.output.iteration}"})))
        story.when(*(completed(f"a__{n}", {"v": n}) for n in range(1, rounds)))
        story.records_loaded = story.bytes_written = 0
        story.when(*(completed(f"a__{n}", {"v": n}) for n in range(rounds, rounds + 5)))
        return story.records_loaded, story.bytes_written

    (few, little), (many, much) = cost(130), cost(1_900)
    assert many == few
    assert much == pytest.approx(little, rel=0.05)


# --- what a condition can read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "reads"),
    [
        ("$.l.iteration < $.limit", {"l": {"iteration"}, "limit": None}),
        ("$['l']['iteration'] < 3 || $.l['3'].a", {"l": {"iteration", "3"}}),
        ("if ($.l.iteration < 3) { $.a.v } else { $.l[2] }", {"l": {"iteration", "2"}, "a": {"v"}}),
        ("$.l[$.l.iteration]", {"l": None}),
        ("$?.l?.iteration", {"l": {"iteration"}}),
        ("Object.keys($)", None),
        ("$[name]", None),
        ("true", {}),
    ],
)
def test_what_a_script_reads_is_seen_in_its_text(script: str, reads: Any) -> None:
    assert reads_of("javascript", script) == reads


def test_a_python_condition_reads_the_names_in_it() -> None:
    found = reads_of("python", "return l['iteration'] < limit")
    assert found is not None
    assert found["l"] is None
    assert "limit" in found
    assert "other" not in found


def test_a_step_of_a_body_that_is_skipped_in_one_round_runs_in_the_next() -> None:
    story = told(loop("l", "$.l.iteration < 2", simple("a"), simple("b"))).when(operation("skip", ref="b"))
    story.when(completed("a__1")).expect(open=["l", "a__2"], tasks={"b__1": "SKIPPED"})
    story.when(completed("a__2")).expect(open=["l", "b__2"]).when(completed("b__2")).expect("COMPLETED")


def test_a_restarted_workflow_begins_its_loops_anew() -> None:
    story = told(loop("l", "$.l.iteration < 2", simple("a"))).when(completed("a__1"), completed("a__2"))
    story.expect("COMPLETED").when(operation("restart")).expect("RUNNING", open=["l", "a__1"])
