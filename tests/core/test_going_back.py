"""Retry and rerun in detail: inputs, attempts and ids, what is reopened and what is dropped, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.model.definitions import WorkflowDef, WorkflowTask
from orchestrator.model.effects import StartWorkflow
from tests.support.build import (
    dynamic_fork,
    fork,
    forked,
    join,
    loop,
    noop,
    set_variable,
    simple,
    sub_workflow,
    switch,
    terminate,
    wait,
    workflow_def,
)
from tests.support.conditions import Conditions
from tests.support.happenings import Happening, accepted, completed, failed, later, operation, started, timer
from tests.support.story import START_MS, Story


def once(ref: str, given: dict[str, Any] | None = None, **fields: Any) -> WorkflowTask:
    """A step without automatic retries."""
    return simple(ref, given, retry_count=0, **fields)


def rerun(ref: str, **arguments: Any) -> Happening:
    return operation("rerun", ref=ref, **arguments)


def retry() -> Happening:
    return operation("retry")


def refusal(story: Story) -> tuple[str, str]:
    answer = story.answers[-1]
    return answer["error"], answer["message"]


# --- retry ------------------------------------------------------------------------------------------------------------


def test_a_retried_task_gets_one_more_attempt_under_a_new_id_and_the_same_idempotency_key() -> None:
    story = Story(workflow_def(once("a", {"x": "${workflow.variables.x}"}), variables={"x": 1}), task_defs=[])
    story.when(started(), failed("a"))
    former = story.id_of("a")
    story.when(later(60), retry()).expect("RUNNING", open=["a"])
    made = story.task("a").record.scheduled
    assert (made.attempt, made.generation, made.retried_task_id, made.delay_ms) == (1, 0, former, 0)
    assert (story.core.generation, story.core.last_retried_ms) == (1, START_MS + 60_000)
    assert story.id_of("a") != former
    story.when(failed("a")).expect("FAILED").when(retry(), completed("a")).expect("COMPLETED")
    assert story.task("a").attempt == 2


def test_a_retry_that_the_end_of_the_workflow_overtook_is_not_delayed() -> None:
    definition = workflow_def(*forked("f", [simple("a", retry_count=5)], [once("b")]))
    story = Story(definition).when(started(), operation("pause"), failed("a", retry_after_ms=60_000), failed("b"))
    story.expect("FAILED").when(retry()).expect("RUNNING", open=["f_join", "a", "b"])
    assert story.task("a").record.scheduled.delay_ms == 0


@pytest.mark.parametrize(
    ("happenings", "message"),
    [
        ([], "Workflow is still running. status=RUNNING"),
        ([operation("pause")], "Workflow is still running. status=PAUSED"),
        ([completed("a")], "There are no retryable tasks"),
    ],
)
def test_what_cannot_be_retried_is_refused(happenings: list[Happening], message: str) -> None:
    story = Story(workflow_def(once("a"))).when(started(), *happenings, retry())
    assert refusal(story)[0] == "CONFLICT"
    assert message in refusal(story)[1]


def test_a_workflow_that_failed_although_every_task_was_done_has_nothing_to_retry() -> None:
    definition = workflow_def(once("a"), output_parameters={"x": "${a.output.x}"})
    story = Story(definition).when(started())
    story.facts.payload_bytes_max = 40
    story.when(completed("a", {"x": "y" * 200})).expect("FAILED").when(retry()).expect("FAILED")
    assert "no retryable tasks" in refusal(story)[1]


def test_one_that_timed_out_without_a_failed_task_just_goes_on() -> None:
    definition = workflow_def(set_variable("v", x=1), once("a"), timeout_seconds=9, timeout_policy="TIME_OUT_WF")
    story = Story(definition).when(started(), operation("pause"), completed("a"), later(9))
    story.when(timer()).expect("TIMED_OUT")
    story.when(retry()).expect("COMPLETED")


def test_a_terminate_step_that_ended_the_workflow_is_not_taken_back() -> None:
    definition = workflow_def(*forked("f", [once("a")], [terminate("stop", "FAILED")]))
    story = Story(definition).when(started()).expect("FAILED", tasks={"a": "CANCELED", "stop": "COMPLETED"})
    story.when(retry()).expect("RUNNING", open=["f_join", "a"]).when(completed("a")).expect("COMPLETED")


def test_a_retry_waits_for_an_outcome_that_has_been_accepted() -> None:
    definition = workflow_def(*forked("f", [once("a")], [once("b")]), noop("z"))
    story = Story(definition).when(started(), accepted("b"), failed("a"), retry())
    assert story.answers == []
    story.when(completed("b")).expect("RUNNING", open=["f_join", "a"])
    assert story.answers == [{"ok": True, "status": "RUNNING"}]
    story.when(completed("a")).expect("COMPLETED")


def test_an_outcome_that_was_accepted_in_a_loop_when_its_workflow_ended_is_kept() -> None:
    body = [fork("f", [once("a")], [once("b")]), join("j", "a", "b")]
    story = Story(workflow_def(loop("l", "$.l.iteration < 2", *body)), scripts=Conditions()).when(started())
    story.when(accepted("b__1"), failed("a__1"), completed("b__1"), retry())
    story.expect("RUNNING", open=["l", "j__1", "a__1"]).when(completed("a__1"))
    story.expect("RUNNING", open=["l", "j__2", "a__2", "b__2"])
    story.when(completed("a__2"), completed("b__2")).expect("COMPLETED")


def test_the_child_to_be_resumed_is_named_and_nothing_changed() -> None:
    story = Story(workflow_def(sub_workflow("sub"), noop("z")))
    story.when(started(), failed("sub", delivery=-1)).expect("FAILED")
    story.when(operation("retry", resume_subworkflow_tasks=True)).expect("FAILED")
    assert story.answers[-1]["child_workflow_id"] == story.sent(StartWorkflow)[0].workflow_id
    story.when(retry()).expect("RUNNING", open=["sub"])
    assert len({one.workflow_id for one in story.sent(StartWorkflow)}) == 2


def test_ten_thousand_cancelled_tasks_are_retried_in_slices() -> None:
    refs = [f"b{number:05}" for number in range(10_000)]
    definition = workflow_def(*forked("f", *([once(ref)] for ref in refs)), noop("z"))
    story = Story(definition).when(started(), *(completed(ref) for ref in refs[:50]), failed(refs[50]), retry())
    story.expect("RUNNING")
    assert story.core.joins["f_join"].remaining == 9_950
    revived = [draft for draft in story.drafts if draft.core.generation == 1]
    assert max(len(draft.scheduled) for draft in revived) <= 201
    assert (len(story.open), story.core.agenda) == (9_951, [])
    story.when(*(completed(ref) for ref in refs[50:])).expect("COMPLETED")


# --- rerun ------------------------------------------------------------------------------------------------------------

CHAIN = workflow_def(once("a"), once("b", {"x": "${a.output.x}"}), once("c"))


def done(definition: WorkflowDef, *refs: str, **options: Any) -> Story:
    return Story(definition, **options).when(started(), *map(completed, refs)).expect("COMPLETED")


def test_a_rerun_task_is_made_anew_and_what_came_after_it_is_gone() -> None:
    story = done(CHAIN, "a", "b", "c")
    former = story.id_of("b")
    story.when(later(5), rerun("b"))
    story.expect("RUNNING", statuses={"a": "COMPLETED", "b": "SCHEDULED"}, open=["b"])
    assert story.id_of("b") != former
    made = story.task("b").record.scheduled
    assert (made.attempt, made.generation, story.core.last_retried_ms) == (0, 1, START_MS + 5000)
    assert set(story.results) == {"a"}
    story.when(completed("b"), completed("c", {"y": 1})).expect("COMPLETED", output={"y": 1})


def test_former_attempts_of_a_rerun_task_are_gone_too() -> None:
    story = Story(workflow_def(simple("a", retry_count=1))).when(started(), failed("a", retry_after_ms=0), failed("a"))
    story.expect("FAILED").when(rerun("a")).expect("RUNNING", statuses={"a": "SCHEDULED"})
    assert (story.aside, story.results, story.task("a").attempt) == ({}, {}, 0)
    story.when(failed("a", retry_after_ms=0)).expect("RUNNING", open=["a"])
    assert story.task("a").attempt == 1


def test_a_rerun_task_takes_the_input_that_it_is_given_and_only_the_first_attempt_does() -> None:
    definition = workflow_def(simple("a", {"x": 1}, retry_count=1), once("b"))
    story = done(definition, "a", "b").when(rerun("a", input={"y": 2}))
    assert story.task("a").input == {"y": 2}
    story.when(failed("a", retry_after_ms=0))
    assert story.task("a").input == {
        "y": 2,
        "x": 1,
    }  # Conductor: the parameters anew, over the input of the attempt before


def test_a_rerun_may_change_the_input_and_the_correlation_id_of_the_workflow() -> None:
    definition = workflow_def(once("a", {"x": "${workflow.input.x}"}), once("b", {"c": "${workflow.correlationId}"}))
    story = done(definition, "a", "b", input={"x": 1}, correlation_id="old")
    story.when(rerun("a", workflow_input={"x": 2}, correlation_id="new"), completed("a"))
    assert (story.task("a").input, story.task("b").input) == ({"x": 2}, {"c": "new"})
    assert story.meta.correlation_id == "new"


def test_without_a_task_it_begins_anew_with_its_variables_and_its_time_of_creation() -> None:
    definition = workflow_def(once("a"), variables={"x": 1, "y": 1}, timeout_seconds=50)
    story = Story(definition).when(started(), operation("update_variables", variables={"x": 2}), completed("a"))
    story.when(later(40), operation("rerun", workflow_input={"z": 3})).expect("RUNNING", open=["a"])
    story.expect(variables={"x": 2, "y": 1})
    assert (story.core.created_ms, story.timers["-", ""]) == (START_MS, START_MS + 90_000)
    assert story.core.generation == 1


def test_a_task_can_be_named_by_the_id_of_any_of_its_attempts_but_by_no_other() -> None:
    story = Story(workflow_def(simple("a", retry_count=1))).when(started(), failed("a", retry_after_ms=0), failed("a"))
    first, second = story.id_of("a", 0), story.id_of("a", 1)
    story.when(rerun("a", task_id=f"{first[:-3]}aaa"))
    assert refusal(story)[0] == "TASK_NOT_FOUND"
    for task_id in (first, second)[:1]:
        story.when(rerun("a", task_id=task_id)).expect("RUNNING")
    story.when(operation("terminate"), rerun("a", task_id=second))
    assert refusal(story)[0] == "TASK_NOT_FOUND"


@pytest.mark.parametrize(
    ("happening", "code"),
    [(rerun("b"), "CONFLICT"), (operation("rerun"), "CONFLICT")],
)
def test_a_workflow_under_way_is_not_rerun(happening: Happening, code: str) -> None:
    story = Story(CHAIN).when(started(), happening).expect("RUNNING", open=["a"])
    assert refusal(story)[0] == code


def test_a_task_that_never_ran_or_an_input_that_does_not_fit_is_refused() -> None:
    story = Story(CHAIN).when(started(), failed("a"), rerun("b"))
    assert refusal(story)[0] == "TASK_NOT_FOUND"
    story.facts.payload_bytes_max = 20
    story.when(rerun("a", input={"x": "y" * 50})).expect("FAILED")
    assert refusal(story)[0] == "INVALID_PAYLOAD"
    story.when(operation("rerun", workflow_input={"x": "y" * 50})).expect("FAILED")
    assert refusal(story)[0] == "INVALID_PAYLOAD"


def test_a_fork_that_is_rerun_runs_all_its_branches_again() -> None:
    definition = workflow_def(*forked("f", [once("a")], [once("b"), once("c")]), once("z"))
    story = done(definition, "a", "b", "c", "z").when(rerun("f")).expect("RUNNING", open=["f_join", "a", "b"])
    story.when(*map(completed, "abcz")).expect("COMPLETED")


def test_a_join_that_is_rerun_waits_for_nothing_that_is_done_and_goes_on() -> None:
    definition = workflow_def(*forked("f", [once("a")], [once("b")]), once("z"))
    story = done(definition, "a", "b", "z").when(rerun("f_join")).expect("RUNNING", open=["z"])
    assert story.task("f_join").status == "COMPLETED"


def test_in_nested_forks_the_joins_around_wait_again_and_the_others_stay() -> None:
    inner = [*forked("g", [once("a")], [once("b")]), once("c")]
    definition = workflow_def(*forked("f", inner, [*forked("h", [once("d")])]), once("z"))
    definition.tasks[1].join_on = ["c", "h_join"]
    story = done(definition, "a", "b", "c", "d", "z").when(rerun("a"))
    story.expect("RUNNING", open=["f_join", "g_join", "a"], tasks={"h_join": "COMPLETED", "b": "COMPLETED"})
    assert {"c", "z"}.isdisjoint(story.scheduled)
    story.when(*map(completed, "acz")).expect("COMPLETED")


def test_a_join_elsewhere_that_waited_for_the_task_waits_again_and_what_followed_it_is_gone() -> None:
    definition = workflow_def(
        fork("f", [once("a")], [once("b"), join("k", "a"), once("c")], [once("d")]), join("j", "c", "d"), once("z")
    )
    story = done(definition, "a", "b", "c", "d", "z").when(rerun("a"))
    story.expect("RUNNING", open=["j", "k", "a"], tasks={"b": "COMPLETED", "d": "COMPLETED"})
    story.when(*map(completed, "acz")).expect("COMPLETED")


def test_a_switch_that_is_rerun_decides_anew() -> None:
    cases = {"x": [once("a")], "y": [once("b")]}
    definition = workflow_def(switch("s", "${workflow.variables.v}", cases), once("z"), variables={"v": "x"})
    story = Story(definition).when(started(), completed("a"), operation("update_variables", variables={"v": "y"}))
    story.when(completed("z"), rerun("s")).expect("RUNNING", open=["b"])
    assert "a" not in story.scheduled
    story.when(completed("b"), completed("z")).expect("COMPLETED")


def looped(*refs: str) -> Story:
    definition = workflow_def(loop("l", "", once("a"), once("b"), given={"_items": ["x", "y", "z"]}), once("e"))
    return done(definition, *refs, scripts=Conditions())


ROUNDS = ("a__1", "b__1", "a__2", "b__2", "a__3", "b__3", "e")


def test_a_loop_goes_back_to_the_round_of_the_task_that_is_rerun() -> None:
    story = looped(*ROUNDS).when(rerun("b__2")).expect("RUNNING", open=["l", "b__2"])
    assert {"a__3", "b__3", "e"}.isdisjoint(story.scheduled)
    assert story.task("l").output == {"iteration": 2, "loopIndex": 1, "loopItem": "y"}
    story.when(*map(completed, ("b__2", "a__3", "b__3", "e"))).expect("COMPLETED")
    assert story.task("l").output["iteration"] == 3


def test_a_loop_that_is_rerun_begins_with_its_first_round() -> None:
    story = looped(*ROUNDS).when(rerun("l")).expect("RUNNING", open=["l", "a__1"])
    assert set(story.scheduled) == {"l", "a__1"}
    story.when(*map(completed, ROUNDS)).expect("COMPLETED")


def test_a_loop_behind_the_task_that_is_rerun_begins_anew() -> None:
    definition = workflow_def(once("s"), loop("l", "$.l.iteration < 2", once("a")), once("e"))
    story = done(definition, "s", "a__1", "a__2", "e", scripts=Conditions()).when(rerun("s"), completed("s"))
    story.expect("RUNNING", open=["l", "a__1"])
    story.when(*map(completed, ("a__1", "a__2", "e"))).expect("COMPLETED")


def test_in_nested_loops_the_outer_one_goes_back_too() -> None:
    inner = loop("m", "", once("a"), given={"_items": [1, 2]})
    definition = workflow_def(loop("l", "", inner, once("b"), given={"_items": [1, 2]}), once("e"))
    refs = ("a__1", "a__2", "b__1", "a__3", "a__4", "b__2", "e")
    story = done(definition, *refs, scripts=Conditions()).when(rerun("a__2"))
    story.expect("RUNNING", open=["l", "m__1", "a__2"])
    assert {"b__1", "m__2", "a__3", "b__2", "e"}.isdisjoint(story.scheduled)
    story.when(*map(completed, refs[1:])).expect("COMPLETED")


def test_a_loop_in_a_fork_is_retried_in_the_round_it_was_in() -> None:
    body = [*forked("g", [once("a")], [once("b")]), once("c")]
    definition = workflow_def(*forked("f", [loop("l", "$.l.iteration < 2", *body)], [once("d")]), once("e"))
    story = Story(definition, scripts=Conditions()).when(started(), *map(completed, ("a__1", "b__1", "c__1", "a__2")))
    story.when(failed("b__2")).expect("FAILED", tasks={"l": "CANCELED", "d": "CANCELED", "g_join__2": "CANCELED"})
    story.when(retry()).expect("RUNNING")
    assert set(story.open) == {"l", "f_join", "g_join__2", "b__2", "d"}
    story.when(*map(completed, ("b__2", "c__2", "d", "e"))).expect("COMPLETED")


BRANCHES = {"forkTaskName": "x", "forkTaskInputs": [1, 2, 3]}


def test_a_branch_of_a_dynamic_fork_is_rerun_alone() -> None:
    definition = workflow_def(*dynamic_fork("f", BRANCHES), once("z"))
    story = Story(definition).when(started(), *(completed(f"_x_{n}") for n in range(3)), completed("z"))
    story.expect("COMPLETED").when(rerun("_x_1")).expect("RUNNING", open=["f_join", "_x_1"])
    assert story.task("_x_1").input == {"input": 2, "__index": 1}
    story.when(completed("_x_1"), completed("z")).expect("COMPLETED")


def test_a_dynamic_fork_that_is_rerun_begins_with_nothing_of_its_branches() -> None:
    definition = workflow_def(*dynamic_fork("f", BRANCHES), once("z"))
    story = Story(definition).when(started(), *(completed(f"_x_{n}") for n in range(3)), failed("z"), rerun("f"))
    story.expect("RUNNING", open=["f_join", "_x_0", "_x_1", "_x_2"])


def test_a_skipped_step_behind_the_task_stays_skipped_and_one_that_is_rerun_does_not() -> None:
    story = Story(CHAIN).when(started(), operation("skip", ref="b"), completed("a"), completed("c"))
    story.expect("COMPLETED").when(rerun("a"), completed("a")).expect("RUNNING", open=["c"], tasks={"b": "SKIPPED"})
    story.when(completed("c"), rerun("b")).expect("RUNNING", open=["b"])
    story.when(completed("b"), completed("c")).expect("COMPLETED")


def test_a_wait_is_rerun_with_a_time_of_its_own() -> None:
    story = Story(workflow_def(wait("w", duration="9s"), once("a"))).when(started(), operation("signal"), failed("a"))
    story.when(later(30), rerun("w")).expect("RUNNING", open=["w"])
    assert story.timers[story.task("w").record.suffix, "w"] == START_MS + 39_000


def test_what_is_asked_in_the_batch_of_the_end_is_decided_on_it() -> None:
    story = Story(CHAIN).when(started(), completed("a"))
    story.together(failed("b"), rerun("a"), completed("a", {"x": 9}))
    story.expect("RUNNING", open=["a"])
    story.when(completed("a", {"x": 9})).expect("RUNNING", open=["b"])
    assert story.task("b").input == {"x": 9}
