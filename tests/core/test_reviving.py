"""An ended workflow goes on: by an operator, or because a child of it does; late and repeated words change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core import operations
from orchestrator.core.draft import Draft
from orchestrator.core.reviving import revive
from orchestrator.model.effects import CancelChild, NotifyParent, ReviveParent, StartWorkflow
from orchestrator.model.records import decode_outcome
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
    sub_workflow,
    task_def,
    terminate,
    wait,
    workflow_def,
)
from tests.support.conditions import Conditions
from tests.support.happenings import (
    accepted,
    child_revived,
    claimed,
    completed,
    failed,
    later,
    operation,
    reported,
    started,
    timer,
)
from tests.support.story import ID, START_MS, Story

ONCE = task_def("a", retry_count=0)
PARENT: dict[str, Any] = {"parent_workflow_id": "p", "parent_task_id": "p-task", "parent_ref": "sub"}


@pytest.fixture(autouse=True)
def _go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operation that lets an ended workflow go on and nothing else."""

    def go_on(d: Draft, arguments: dict[str, Any]) -> dict[str, Any]:
        revive(d)
        return {"ok": True}

    monkeypatch.setitem(operations.OPERATIONS, "go_on", go_on)


def ended(ref: str, status: str = "COMPLETED", *, run: int = 0, **fields: Any) -> Any:
    """The child of a task has ended in its ``run``-th run after the first, as the relay reports it."""
    output = fields.pop("output", {})
    return reported(ref, status, output, delivery=-1, merge=True, child_workflow_id="child", child_run=run, **fields)


# --- a workflow that goes on -------------------------------------------------------------------------------------------


def test_what_failed_and_what_was_cancelled_gets_another_attempt() -> None:
    definition = workflow_def(*forked("f", [simple("a")], [simple("b")], [simple("c")]), simple("after"))
    story = Story(definition, task_defs=[ONCE]).when(started(), completed("c"), failed("a"))
    story.expect("FAILED", tasks={"a": "FAILED", "b": "CANCELED", "c": "COMPLETED", "f_join": "CANCELED"})
    story.when(later(5), operation("go_on"))
    story.expect("RUNNING", open=["f_join", "a", "b"], reason="", output={})
    assert [story.task(ref).attempt for ref in ("a", "b", "c", "f_join")] == [1, 1, 0, 0]
    assert (story.core.generation, story.core.last_retried_ms, story.core.ended_ms) == (1, START_MS + 5000, 0)
    assert (story.core.failed_refs, story.core.failed_names, story.core.failed_task_id) == ([], [], None)
    assert story.aside.keys() == {"a\n0.0", "b\n0.0"}
    story.when(completed("b"), completed("a"), completed("after")).expect("COMPLETED")


def test_a_worker_that_comes_too_late_with_the_old_attempt_is_not_heard() -> None:
    story = Story(workflow_def(*forked("f", [simple("a")], [simple("b")])), task_defs=[ONCE])
    story.when(started(), failed("a"))
    story.now += 1
    late = completed("b")(story)
    assert late is not None
    story.when(operation("go_on")).take(late)
    story.expect("RUNNING", open=["f_join", "a", "b"])


def test_it_fails_again_for_what_fails_again() -> None:
    story = Story(workflow_def(simple("a"), noop("after")), task_defs=[ONCE])
    story.when(started(), failed("a", "first"), operation("go_on"), failed("a", "second"))
    story.expect("FAILED", reason="second")
    story.when(operation("go_on"), completed("a")).expect("COMPLETED", tasks={"after": "COMPLETED"})
    assert story.core.generation == 2


def test_an_outcome_that_came_in_after_the_end_counts_when_it_goes_on() -> None:
    definition = workflow_def(*forked("f", [simple("a")], [simple("b"), simple("b2")]), noop("after"))
    story = Story(definition, task_defs=[ONCE]).when(
        started(), claimed("b"), accepted("b"), failed("a"), completed("b")
    )
    story.expect("FAILED", tasks={"a": "FAILED", "b": "COMPLETED"})
    story.when(operation("go_on")).expect("RUNNING", open=["f_join", "b2", "a"])
    story.when(completed("a"), completed("b2")).expect("COMPLETED")


def test_a_join_whose_last_member_ended_after_the_end_is_done_at_once() -> None:
    definition = workflow_def(*forked("f", [simple("b")]), noop("after"))
    story = Story(definition).when(started(), claimed("b"), accepted("b"), operation("terminate"), completed("b"))
    story.expect("TERMINATED", tasks={"b": "COMPLETED", "f_join": "CANCELED"})
    story.when(operation("go_on")).expect("COMPLETED", tasks={"f_join": "COMPLETED", "after": "COMPLETED"})


def test_steps_that_were_held_back_when_it_ended_are_entered() -> None:
    story = Story(workflow_def(simple("a"), simple("b"))).when(started(), operation("pause"), completed("a"))
    story.when(operation("terminate"), operation("go_on")).expect("RUNNING", open=["b"])
    story.when(completed("b")).expect("COMPLETED")


def test_a_fork_that_was_cut_short_starts_its_other_branches() -> None:
    definition = workflow_def(
        *forked("f", [simple("b")], [terminate("stop", "${workflow.variables.end}")], [simple("c")]), noop("after")
    )
    story = Story(definition).when(started())  # the step's input is no status, so it fails, every time
    story.expect("FAILED", tasks={"b": "CANCELED", "stop": "FAILED"})
    assert "c" not in story.scheduled
    story.when(operation("go_on")).expect("FAILED", tasks={"c": "CANCELED", "stop": "FAILED"})
    assert [story.task(ref).attempt for ref in ("b", "stop", "c")] == [1, 1, 0]


@pytest.mark.parametrize("kind", ["SWITCH", "DECISION"])
def test_the_branch_a_switch_had_taken_is_entered_once(kind: str) -> None:
    chosen: dict[str, Any] = {"evaluator_type": "value-param", "expression": "value", "case_value_param": "value"}
    cases = {"x": [simple("a"), noop("a2")]}
    choice = step(kind, "s", {"value": "x"}, decision_cases=cases, default_case=[noop("other")], **chosen)
    definition = workflow_def(choice, noop("after"))
    story = Story(definition, task_defs=[ONCE]).when(started(), failed("a"), operation("go_on"))
    story.expect("RUNNING", open=["a"])
    story.when(completed("a")).expect("COMPLETED", tasks={"a2": "COMPLETED", "after": "COMPLETED"})
    assert "other" not in story.scheduled


def test_a_step_that_ran_behind_a_permissive_failure_does_not_run_again() -> None:
    definition = workflow_def(simple("a", permissive=True), set_variable("count", n=1), noop("after"))
    story = Story(definition, task_defs=[ONCE]).when(started(), failed("a")).expect("FAILED")
    sequence = story.core.sequence
    story.when(operation("go_on"), completed("a")).expect("COMPLETED")
    assert story.core.sequence == sequence + 1


def test_its_time_out_begins_anew() -> None:
    definition = workflow_def(simple("a"), timeout_seconds=10, timeout_policy="TIME_OUT_WF")
    story = Story(definition).when(started(), later(10), timer()).expect("TIMED_OUT")
    story.when(later(60), operation("go_on"), later(9), timer()).expect("RUNNING")
    story.when(later(1), timer()).expect("TIMED_OUT")


RETRIED = [("go_on", {}), ("rerun", {"ref": "b"})]
LIMITS = ["timeout_seconds", "total_timeout_seconds"]


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(("action", "arguments"), RETRIED)
def test_a_join_that_waits_again_times_out_as_one_that_was_just_reached(
    action: str, arguments: dict[str, Any], limit: str
) -> None:
    story = Story(
        workflow_def(*forked("f", [simple("a")], [simple("b")])),
        task_defs=[ONCE, task_def("f_join", timeout_policy="TIME_OUT_WF", **{limit: 30})],
    )
    story.when(started(), later(20), completed("b"), failed("a")).expect("FAILED")
    story.when(later(60), operation(action, **arguments)).expect("RUNNING")
    again_ms = story.now
    assert story.timers[story.task("f_join").record.suffix, "f_join"] == again_ms + 30_000
    story.when(later(29), timer("f_join")).expect("RUNNING")
    story.when(later(1), timer("f_join")).expect("TIMED_OUT", tasks={"f_join": "TIMED_OUT"})


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(("action", "arguments"), [("go_on", {}), ("rerun", {"ref": "b__1"})])
def test_a_loop_that_goes_on_times_out_as_one_that_was_just_reached(
    action: str, arguments: dict[str, Any], limit: str
) -> None:
    story = Story(
        workflow_def(loop("l", "$.l.iteration < 3", simple("b"), simple("a"))),
        task_defs=[ONCE, task_def("l", timeout_policy="TIME_OUT_WF", **{limit: 30})],
        scripts=Conditions(),
    )
    story.when(started(), later(20), completed("b__1"), failed("a__1")).expect("FAILED")
    story.when(later(60), operation(action, **arguments)).expect("RUNNING")
    story.when(later(29), timer("l")).expect("RUNNING")
    story.when(later(1), timer("l")).expect("TIMED_OUT", tasks={"l": "TIMED_OUT"})


def test_a_join_that_is_over_as_soon_as_it_goes_on_leaves_no_timer() -> None:
    story = Story(
        workflow_def(*forked("f", [simple("a")], [simple("b")])),
        task_defs=[ONCE, task_def("f_join", timeout_seconds=30)],
    )
    story.when(started(), completed("b"), failed("a"), operation("go_on"), completed("a")).expect("COMPLETED")
    assert not story.timers


def test_a_cancelled_wait_waits_anew() -> None:
    story = Story(workflow_def(wait("w", duration="10s"))).when(started(), operation("terminate"))
    story.when(later(60), operation("go_on")).expect("RUNNING", open=["w"])
    assert story.timers[story.task("w").record.suffix, "w"] == story.now + 10_000


def test_a_child_that_goes_on_has_its_parent_told() -> None:
    story = Story(workflow_def(simple("a")), task_defs=[ONCE], **PARENT).when(started(), failed("a"))
    story.when(operation("go_on"))
    assert story.sent(ReviveParent) == [ReviveParent("p", "p-task", ID, "sub", 1)]
    story.when(completed("a"))
    first, second = story.sent(NotifyParent)
    assert [(one.run, decode_outcome(one.outcome).child_run) for one in (first, second)] == [(0, 0), (1, 1)]


def test_the_branches_of_a_dynamic_fork_go_on_where_they_stood() -> None:
    inner = {"name": "s", "evaluatorType": "value-param", "expression": "v", "inputParameters": {"v": "x"}}
    cases = {"x": [{"name": "a", "taskReferenceName": "in_case", "type": "SIMPLE"}]}
    branches = [
        {"name": "a", "taskReferenceName": "one", "type": "SIMPLE"},
        {"name": "b", "taskReferenceName": "two", "type": "SIMPLE"},
        {**inner, "taskReferenceName": "three", "type": "SWITCH", "decisionCases": cases},
    ]
    params = {"dynamic_fork_tasks_param": "tasks", "dynamic_fork_tasks_input_param_name": "inputs"}
    given = {"tasks": "${workflow.input.tasks}", "inputs": {}}
    definition = workflow_def(*dynamic_fork("f", given, **params), noop("after"))
    story = Story(definition, input={"tasks": branches}, task_defs=[ONCE]).when(started(), completed("two"))
    story.when(failed("one")).expect("FAILED", tasks={"one": "FAILED", "two": "COMPLETED", "in_case": "CANCELED"})
    story.when(operation("go_on")).expect("RUNNING", open=["f_join", "one", "in_case"])
    story.when(completed("one")).expect("RUNNING").when(completed("in_case"))
    story.expect("COMPLETED", tasks={"f_join": "COMPLETED", "after": "COMPLETED"})


def test_a_wide_dynamic_fork_that_was_cut_short_is_fanned_out_to_its_end() -> None:
    given = {"forkTaskName": "a", "forkTaskInputs": list(range(300))}
    story = Story(workflow_def(*dynamic_fork("f", given)), in_one_go=False).when(started(), operation("terminate"))
    begun = len(story.scheduled)
    assert begun < 300
    story.in_one_go = True
    story.owed += 1
    story.continue_once()
    story.when(operation("go_on")).expect("RUNNING")
    assert len(story.open) == 301
    for ref in [ref for ref in story.open if ref != "f_join"]:
        story.when(completed(ref))
    story.expect("COMPLETED")


def test_a_child_that_is_restarted_has_its_parent_told() -> None:
    story = Story(workflow_def(simple("a")), task_defs=[ONCE], **PARENT)
    story.when(started(), failed("a"), operation("restart"), completed("a")).expect("COMPLETED")
    assert story.sent(ReviveParent) == [ReviveParent("p", "p-task", ID, "sub", 1)]
    assert [notice.run for notice in story.sent(NotifyParent)] == [0, 1]


def test_a_step_that_is_to_be_skipped_is_skipped_when_the_workflow_goes_on() -> None:
    story = Story(workflow_def(simple("a"), simple("b"), noop("c")), task_defs=[ONCE])
    story.when(started(), operation("skip", ref="b"), failed("a"), operation("go_on")).expect("RUNNING", open=["a"])
    story.when(completed("a")).expect("COMPLETED", tasks={"b": "SKIPPED", "c": "COMPLETED"})


# --- its child goes on -------------------------------------------------------------------------------------------------


def test_a_parent_goes_on_with_the_child_it_has() -> None:
    definition = workflow_def(*forked("f", [sub_workflow("sub")], [simple("b")]), noop("after"))
    story = Story(definition, **PARENT).when(started(), ended("sub", "FAILED", reason="broken")).expect("FAILED")
    story.when(later(5), child_revived("sub"))
    story.expect("RUNNING", open=["f_join", "sub", "b"], tasks={"sub": "IN_PROGRESS"}, reason="")
    assert story.task("sub").attempt == 0
    assert len(story.sent(StartWorkflow)) == 1
    assert story.sent(ReviveParent) == [ReviveParent("p", "p-task", ID, "sub", 1)]
    story.when(completed("b"), ended("sub", run=1, output={"x": 1})).expect("COMPLETED")
    assert story.task("sub").output["x"] == 1


def test_a_parent_fails_again_with_its_child() -> None:
    story = Story(workflow_def(sub_workflow("sub"))).when(started(), ended("sub", "FAILED", reason="first"))
    story.when(child_revived("sub"), ended("sub", "FAILED", run=1, reason="second")).expect("FAILED", reason="second")
    story.when(child_revived("sub", 2), ended("sub", run=2)).expect("COMPLETED")


def test_siblings_that_were_children_get_new_ones() -> None:
    definition = workflow_def(fork("f", [sub_workflow("one")], [sub_workflow("two")]), join("j", "one", "two"))
    story = Story(definition).when(started(), ended("one", "FAILED", reason="broken"))
    assert len(story.sent(CancelChild)) == 1
    story.when(child_revived("one")).expect("RUNNING", tasks={"one": "IN_PROGRESS", "two": "IN_PROGRESS"})
    assert len({start.workflow_id for start in story.sent(StartWorkflow)}) == 3
    story.when(ended("two"), ended("one", run=1)).expect("COMPLETED")


def test_the_word_that_a_child_goes_on_counts_once() -> None:
    story = Story(workflow_def(sub_workflow("sub"))).when(started(), ended("sub", "FAILED", reason="broken"))
    story.when(child_revived("sub"), child_revived("sub")).expect("RUNNING")
    assert story.core.generation == 1
    story.when(ended("sub", "FAILED", run=1, reason="again"), child_revived("sub")).expect("FAILED")


def test_both_words_may_come_in_one_batch() -> None:
    story = Story(workflow_def(sub_workflow("sub"), noop("after"))).when(started(), accepted("sub"))
    story.together(ended("sub", "FAILED", reason="broken"), child_revived("sub")).expect("RUNNING", open=["sub"])
    story.when(ended("sub", run=1)).expect("COMPLETED")


def test_an_end_that_a_later_run_has_overtaken_is_not_taken_for_the_last_word() -> None:
    story = Story(workflow_def(sub_workflow("sub"))).when(started(), child_revived("sub"), accepted("sub"))
    story.when(ended("sub", "FAILED", reason="broken")).expect("RUNNING", open=["sub"])
    entry = story.entry("sub")
    assert entry is not None
    assert entry.state == "W"
    story.when(ended("sub", run=1)).expect("COMPLETED")


def test_a_later_run_may_have_ended_before_anybody_heard_of_it() -> None:
    story = Story(workflow_def(sub_workflow("sub"))).when(started(), ended("sub", "FAILED", run=1, reason="second"))
    story.expect("FAILED", reason="second").when(child_revived("sub")).expect("FAILED")


@pytest.mark.parametrize("permissive", [False, True])
def test_a_parent_that_went_on_without_its_child_is_not_called_back(permissive: bool) -> None:
    story = Story(workflow_def(sub_workflow("sub", optional=True, permissive=permissive), simple("b")))
    story.when(started(), ended("sub", "FAILED", reason="broken"), child_revived("sub")).expect("RUNNING", open=["b"])
    story.when(completed("b")).expect("COMPLETED")
    story.when(child_revived("sub", 2)).expect("COMPLETED", tasks={"sub": "COMPLETED_WITH_ERRORS"})
    assert story.task("sub").record.result.child_run == 2  # type: ignore[union-attr]


def test_a_task_that_has_another_child_by_now_does_not_take_the_old_one_back() -> None:
    retried = task_def("sub", retry_count=1)
    story = Story(workflow_def(sub_workflow("sub")), task_defs=[retried])
    story.when(started(), ended("sub", "FAILED", reason="broken"), child_revived("sub", attempt=0))
    story.when(ended("sub", "FAILED", run=1, attempt=0)).expect("RUNNING")
    story.when(ended("sub")).expect("COMPLETED")


def test_a_paused_parent_gives_up_the_retry_it_has_in_store() -> None:
    retried = task_def("sub", retry_count=1)
    story = Story(workflow_def(sub_workflow("sub")), task_defs=[retried]).when(started(), operation("pause"))
    story.when(ended("sub", "FAILED", reason="broken"), child_revived("sub")).expect("PAUSED", open=["sub"])
    story.when(operation("resume"), ended("sub", run=1)).expect("COMPLETED")
    assert story.task("sub").attempt == 0


def test_a_workflow_that_a_step_ended_stays_ended() -> None:
    definition = workflow_def(*forked("f", [sub_workflow("sub")], [simple("a"), terminate("stop", "FAILED")]))
    story = Story(definition).when(started(), completed("a")).expect("FAILED", tasks={"sub": "CANCELED"})
    story.when(child_revived("sub")).expect("FAILED", tasks={"sub": "CANCELED"})
