"""Jump and update state: a workflow under way goes on elsewhere, or is told several things at once."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.model.effects import CancelChild, Remove
from tests.support.build import forked, loop, noop, simple, sub_workflow, switch, wait, workflow_def
from tests.support.conditions import Conditions
from tests.support.happenings import Happening, accepted, claimed, completed, operation, started
from tests.support.story import Story

CHAIN = workflow_def(simple("a"), simple("b", {"x": "${a.output.x}"}), simple("c"), simple("d"))


def jump(ref: str, **arguments: Any) -> Happening:
    return operation("jump", ref=ref, **arguments)


def test_a_jump_forward_cancels_what_is_open_and_passes_what_lies_between() -> None:
    story = Story(CHAIN).when(started(), claimed("a"), jump("c", input={"y": 1}))
    assert story.answers == [{"ok": True, "status": "RUNNING", "ref": "c"}]
    story.expect("RUNNING", statuses={"a": "CANCELED", "c": "SCHEDULED"}, open=["c"], reason="")
    assert (story.task("c").input, len(story.sent(Remove))) == ({"y": 1}, 1)
    story.when(completed("c"), completed("d", {"z": 1})).expect("COMPLETED", output={"z": 1})


def test_a_jump_back_does_the_target_and_what_follows_it_anew() -> None:
    story = Story(CHAIN).when(started(), completed("a", {"x": 1}), completed("b"), jump("b"))
    story.expect("RUNNING", statuses={"a": "COMPLETED", "b": "SCHEDULED"}, open=["b"])
    assert story.task("b").record.scheduled.generation == 1
    story.when(*map(completed, "bcd")).expect("COMPLETED")


def test_a_jump_leaves_forks_loops_and_sub_workflows_behind() -> None:
    inside = [*forked("f", [simple("a")], [sub_workflow("sub")], [loop("l", "true", simple("b"))])]
    story = Story(workflow_def(*inside, simple("z")), scripts=Conditions()).when(started(), jump("z"))
    story.expect("RUNNING", open=["z"], tasks={"f_join": "CANCELED", "l": "CANCELED", "sub": "CANCELED"})
    assert len(story.sent(CancelChild)) == 1
    story.when(completed("z")).expect("COMPLETED")


def test_a_jump_into_the_branch_of_a_switch_goes_on_behind_it() -> None:
    definition = workflow_def(simple("a"), switch("s", "x", {"y": [simple("b")]}), simple("z"))
    Story(definition).when(started(), jump("b"), completed("b")).expect("RUNNING", open=["z"])


def test_a_jump_waits_for_outcomes_that_are_accepted_and_does_not_follow_them() -> None:
    story = Story(workflow_def(*forked("f", [simple("a")], [simple("b"), simple("b2")]), simple("z"))).when(started())
    story.when(accepted("b"), jump("z"), operation("pause"))
    assert story.answers == []
    story.when(completed("b", {"x": 1})).expect("PAUSED", tasks={"a": "CANCELED", "b": "COMPLETED"}, open=["z"])
    assert "b2" not in story.scheduled


def test_a_jump_out_of_a_wide_fork_cancels_it() -> None:
    branches = [[simple(f"b{number}")] for number in range(900)]
    story = Story(workflow_def(*forked("f", *branches), simple("z"))).when(started(), jump("z"))
    story.expect("RUNNING", open=["z"])
    assert story.dispatch.keys() == {story.task("z").record.suffix}


@pytest.mark.parametrize(
    ("ref", "code"), [("nobody", "NOT_FOUND"), ("a", "CONFLICT"), ("b", "CONFLICT"), ("c", "CONFLICT")]
)
def test_a_place_that_cannot_be_jumped_to_is_refused_and_nothing_is_cancelled(ref: str, code: str) -> None:
    inside = [*forked("f", [simple("a")], [switch("s", "x", {"x": [simple("b")]})]), loop("l", "true", simple("c"))]
    story = Story(workflow_def(wait("w"), *inside), scripts=Conditions()).when(started(), jump(ref))
    assert story.answers[-1]["error"] == code
    story.expect("RUNNING", open=["w"])


def test_what_has_ended_does_not_jump() -> None:
    story = Story(workflow_def(noop("n"))).when(started(), jump("n")).expect("COMPLETED")
    assert story.answers[-1]["error"] == "CONFLICT"


def test_a_workflow_that_is_paused_jumps_and_goes_on_when_it_is_resumed() -> None:
    story = Story(CHAIN).when(started(), operation("pause"), jump("c")).expect("PAUSED", open=[])
    story.when(operation("resume")).expect("RUNNING", open=["c"])


# --- update state -----------------------------------------------------------------------------------------------------


def state(**arguments: Any) -> Happening:
    return operation("update_state", **arguments)


def test_variables_and_the_end_of_a_task_are_taken_together() -> None:
    story = Story(workflow_def(wait("w"), simple("b", {"x": "${workflow.variables.x}", "y": "${w.output.y}"})))
    story.when(started(), state(variables={"x": 1}, ref="w", output={"y": 2}))
    assert story.answers[-1]["ref"] == "w"
    story.expect("RUNNING", open=["b"])
    assert story.task("b").input == {"x": 1, "y": 2}


def test_a_running_worker_is_told_to_stop_when_its_task_is_ended_from_outside() -> None:
    story = Story(CHAIN).when(started(), claimed("a"), state(ref="a", status="FAILED", reason="by hand"))
    assert len(story.sent(Remove)) == 1
    assert set(story.drafts[-1].guarded) == set(story.drafts[-1].closed)
    assert story.earlier("a", 0).reason == "by hand"


def test_a_task_that_goes_on_keeps_what_is_reported_of_it() -> None:
    story = Story(CHAIN).when(started(), state(ref="a", status="IN_PROGRESS", output={"x": 1}))
    story.expect("RUNNING", open=["a"]).when(state(ref="a", output={"y": 2}))
    assert story.task("a").output == {"x": 1, "y": 2}


def test_inside_a_loop_the_task_of_the_present_round_is_meant() -> None:
    story = Story(workflow_def(loop("l", "$.l.iteration < 2", simple("a"))), scripts=Conditions()).when(started())
    story.when(state(ref="a"), state(ref="a__2")).expect("COMPLETED")


@pytest.mark.parametrize(
    ("happenings", "arguments", "code"),
    [
        ([], {"ref": "nobody"}, "TASK_NOT_FOUND"),
        ([], {"ref": "b"}, "TASK_NOT_FOUND"),
        ([accepted("a")], {"ref": "a"}, "TASK_NOT_FOUND"),
        ([], {"ref": "a", "status": "TIMED_OUT"}, "INVALID_REQUEST"),
        ([], {"ref": "a", "output": {"x": "y" * 90}}, "INVALID_PAYLOAD"),
        ([], {"ref": "a", "variables": {"x": "y" * 90}}, "INVALID_PAYLOAD"),
        ([operation("terminate")], {"variables": {"x": 1}}, "CONFLICT"),
    ],
)
def test_what_is_wrong_with_one_part_leaves_the_other_undone(
    happenings: list[Happening], arguments: dict[str, Any], code: str
) -> None:
    story = Story(CHAIN)
    story.facts.payload_bytes_max = 60
    story.facts.variables_bytes_max = 60
    story.when(started(), *happenings, state(**{"variables": {"v": 1}, **arguments})).expect(variables={})
    assert story.answers[-1]["error"] == code
