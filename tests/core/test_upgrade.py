"""Upgrade: a workflow under way goes on by another version of its definition, from where it stands."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.program import Program
from orchestrator.model.definitions import RateLimitConfig, WorkflowDef, WorkflowTask
from tests.support.build import (
    dynamic_fork,
    fork,
    forked,
    join,
    loop,
    noop,
    simple,
    sub_workflow,
    switch,
    wait,
    workflow_def,
)
from tests.support.conditions import Conditions
from tests.support.happenings import child_revived, completed, failed, operation, started, told
from tests.support.story import START_MS, Story

CHAIN = workflow_def(simple("a"), simple("b"), simple("c"))


def version_2(*tasks: WorkflowTask, **more: Any) -> WorkflowDef:
    return workflow_def(*tasks, version=2, **more)


def upgrade(story: Story, definition: WorkflowDef, **arguments: Any) -> Story:
    definition_hash = f"new{len(story.programs)}"
    story.programs[definition_hash] = Program(definition)
    return story.when(operation("upgrade", definition_hash=definition_hash, **arguments))


def refused(story: Story, definition: WorkflowDef, **arguments: Any) -> dict[str, Any]:
    """The refusal; the workflow is as before and goes on by its own definition."""
    before = (story.meta, dict(story.scheduled), story.core.held, story.core.skips)
    upgrade(story, definition, **arguments)
    assert (story.meta, dict(story.scheduled), story.core.held, story.core.skips) == before
    answer: dict[str, Any] = story.answers[-1]
    return answer


def test_what_is_open_goes_on_and_what_follows_it_is_the_new_versions() -> None:
    story = Story(CHAIN).when(started(), completed("a"))
    upgrade(story, version_2(simple("a"), simple("b"), simple("x"), simple("c")))
    assert story.answers == [{"ok": True, "status": "RUNNING", "version": 2, "skipped": []}]
    story.expect("RUNNING", open=["b"])
    assert (story.meta.version, story.meta.definition_hash) == (2, "new0")
    story.when(completed("b")).expect("RUNNING", open=["x"])
    story.when(completed("x"), completed("c", {"y": 1})).expect("COMPLETED", output={"y": 1})


def test_new_steps_before_what_is_open_are_passed_over_with_the_outputs_that_are_given() -> None:
    story = Story(CHAIN).when(started(), completed("a"))
    definition = version_2(simple("x"), simple("a"), noop("y"), simple("b"), simple("c", {"got": "${x.output.z}"}))
    upgrade(story, definition, task_output={"x": {"z": 5}})
    assert story.answers[-1]["skipped"] == ["x", "y"]
    story.expect("RUNNING", tasks={"x": "SKIPPED", "y": "SKIPPED", "b": "SCHEDULED"}, open=["b"])
    story.when(completed("b"))
    assert story.task("c").input == {"got": 5}
    story.when(completed("c")).expect("COMPLETED")


def test_steps_that_have_run_may_be_gone_and_what_they_left_can_still_be_read() -> None:
    story = Story(CHAIN).when(started(), completed("a", {"x": 1}))
    upgrade(story, version_2(simple("b"), simple("d", {"x": "${a.output.x}"})))
    story.when(completed("b"))
    assert story.task("d").input == {"x": 1}
    story.when(completed("d")).expect("COMPLETED").when(operation("rerun", ref="a"))
    assert story.answers[-1]["error"] == "CONFLICT"


def test_a_step_that_was_gone_may_come_back_as_what_it_was() -> None:
    story = Story(CHAIN).when(started(), completed("a"))
    upgrade(story, version_2(simple("b"), simple("c")))
    assert refused(story, version_2(wait("a"), simple("b")))["error"] == "CONFLICT"
    upgrade(story, CHAIN)
    assert story.answers[-1] == {"ok": True, "status": "RUNNING", "version": 1, "skipped": []}


def test_input_is_laid_over_and_the_new_versions_variables_and_time_out_hold() -> None:
    story = Story(workflow_def(simple("a"), variables={"v": 1}, timeout_seconds=60), input={"x": 1, "y": 1})
    story.when(started(), operation("update_variables", variables={"v": 2}))
    reads = {"x": "${workflow.input.x}", "y": "${workflow.input.y}", "v": "${workflow.variables.v}"}
    definition = version_2(simple("a"), simple("b", reads), variables={"v": 9, "w": 3}, timeout_seconds=90)
    upgrade(story, definition, workflow_input={"y": 2})
    story.expect("RUNNING", variables={"v": 2, "w": 3})
    assert story.timers["-", ""] == START_MS + 90_000
    story.when(completed("a"))
    assert story.task("b").input == {"x": 1, "y": 2, "v": 2}


def test_a_fork_under_way_gets_new_branches_and_new_steps_in_old_ones() -> None:
    old = workflow_def(*forked("f", [simple("a")], [simple("b")]), simple("z"))
    story = Story(old).when(started(), completed("a"))
    branches = [simple("n"), simple("a"), simple("a2")], [simple("b"), simple("b2")], [simple("c")]
    upgrade(story, version_2(*forked("f", *branches), simple("z")))
    story.expect("RUNNING", tasks={"n": "SKIPPED"}, open=["f_join", "b", "a2", "c"])
    story.when(completed("a2"), completed("c"), completed("b")).expect("RUNNING", open=["f_join", "b2"])
    story.when(completed("b2")).expect("RUNNING", open=["z"])


def test_a_join_whose_last_open_member_is_no_longer_listed_is_done() -> None:
    old = workflow_def(*forked("f", [simple("a")], [simple("b")]), simple("z"))
    story = Story(old).when(started(), completed("a"))
    upgrade(story, version_2(fork("f", [simple("a")], [simple("b")]), join("f_join", "a"), simple("z")))
    story.expect("RUNNING", open=["b", "z"])
    story.when(completed("b"), completed("z")).expect("COMPLETED")


def test_a_loop_under_way_goes_on_in_its_round() -> None:
    story = Story(workflow_def(loop("l", "$.l.iteration < 3", simple("a"), simple("b"))), scripts=Conditions())
    story.when(started(), *map(completed, ("a__1", "b__1", "a__2")))
    body = simple("x"), simple("a"), simple("b"), simple("y")
    upgrade(story, version_2(loop("l", "$.l.iteration < 3", *body)), task_output={"x": {"n": 1}})
    assert story.answers[-1]["skipped"] == ["x__2"]
    story.when(completed("b__2")).expect("RUNNING", open=["l", "y__2"])
    story.when(completed("y__2")).expect("RUNNING", open=["l", "x__3"])
    story.when(*map(completed, ("x__3", "a__3", "b__3", "y__3"))).expect("COMPLETED")


def test_inside_the_branch_of_a_switch_the_new_branch_goes_on() -> None:
    old = workflow_def(switch("s", "x", {"x": [simple("a")]}), simple("z"))
    story = Story(old).when(started())
    story.expect("RUNNING", open=["a"])
    upgrade(story, version_2(switch("s", "x", {"x": [simple("n"), simple("a"), simple("m")]}), simple("z")))
    story.when(completed("a")).expect("RUNNING", tasks={"n": "SKIPPED"}, open=["m"])
    story.when(completed("m")).expect("RUNNING", open=["z"])


def test_what_has_passed_stays_passed_also_when_the_workflow_fails_and_is_retried() -> None:
    inner = (
        switch("s", "x", {"x": [simple("a")]}),
        *forked("f", [simple("b")]),
        loop("l", "$.l.iteration < 1", simple("c")),
    )
    story = Story(workflow_def(*inner, simple("z", retry_count=0)), scripts=Conditions())
    story.when(started(), *map(completed, ("a", "b", "c__1"))).expect("RUNNING", open=["z"])
    more = (
        switch("s", "x", {"x": [simple("a"), simple("a2")]}),
        *forked("f", [simple("b"), simple("b2")], [simple("n")]),
        loop("l", "$.l.iteration < 1", simple("c"), simple("c2")),
    )
    upgrade(story, version_2(*more, simple("z", retry_count=0)))
    assert story.answers[-1]["skipped"] == ["a2", "b2", "n", "c2__1"]
    story.when(failed("z"), operation("retry")).expect("RUNNING", open=["z"])
    story.when(completed("z")).expect("COMPLETED")


def test_the_branches_of_a_dynamic_fork_go_on() -> None:
    fan = dynamic_fork("f", {"forkTaskName": "resize", "forkTaskInputs": [1, 2]})
    story = Story(workflow_def(*fan, simple("z"))).when(started(), completed("_resize_0"))
    upgrade(story, version_2(*fan, simple("y"), simple("z")))
    story.when(completed("_resize_1")).expect("RUNNING", open=["y"])
    upgrade(story, version_2(simple("y"), simple("z")))
    story.when(completed("y"), failed("z", terminal=True), operation("rerun", ref="_resize_1")).expect("FAILED")
    assert "has no step _resize_1 any more" in story.answers[-1]["message"]
    assert refused(story.when(operation("retry")), version_2(simple("f"), simple("z")))["error"] == "CONFLICT"


def test_a_paused_workflow_goes_on_by_the_new_version_when_it_is_resumed() -> None:
    story = Story(CHAIN).when(started(), operation("pause"), completed("a")).expect("PAUSED", open=[])
    upgrade(story, version_2(simple("a"), simple("n"), simple("b"), simple("d")))
    story.expect("PAUSED", tasks={"n": "SKIPPED"}, open=[]).when(operation("resume"))
    story.expect("RUNNING", open=["b"]).when(completed("b")).expect("RUNNING", open=["d"])


def test_a_step_that_was_to_be_skipped_still_is_unless_it_lies_before_now() -> None:
    story = Story(CHAIN).when(started(), operation("skip", ref="b"), operation("skip", ref="c"))
    upgrade(story, version_2(simple("c"), simple("a"), simple("b"), simple("d")))
    assert story.core.skips == ["b"]
    story.when(completed("a")).expect("RUNNING", open=["d"])


def test_an_upgrade_waits_until_a_wide_fork_is_fanned_out() -> None:
    branches = [[simple(f"b{number}")] for number in range(900)]
    story = Story(workflow_def(*forked("f", *branches), simple("z")))
    story.programs["new"] = Program(version_2(*forked("f", *branches), simple("y"), simple("z")))
    story.together(started(), operation("upgrade", definition_hash="new")).expect("RUNNING")
    assert (len(story.open), story.answers[-1]["skipped"]) == (901, [])


def test_a_workflow_that_waits_for_its_turn_begins_with_the_new_versions_first_step() -> None:
    limit = RateLimitConfig(concurrent_exec_limit=1)
    story = Story(workflow_def(simple("a"), rate_limit_config=limit)).when(started()).expect("RUNNING", open=[])
    assert refused(story, version_2(simple("x"), simple("a"), name="other"))["error"] == "INVALID_REQUEST"
    upgrade(story, version_2(simple("x"), simple("a"), rate_limit_config=limit)).expect("RUNNING", open=[])
    assert story.core.gate is not None
    story.when(told("admitted", story.core.gate.name)).expect("RUNNING", open=["x"])


WIDE = forked("f", *([simple(f"b{number}")] for number in range(900)))
LIST = dynamic_fork("f", {"forkTaskName": "b", "forkTaskInputs": list(range(900))})


@pytest.mark.parametrize("steps", [WIDE, LIST], ids=["static", "dynamic"])
def test_a_fork_that_was_paused_half_way_is_fanned_out_before_the_upgrade(steps: list[WorkflowTask]) -> None:
    story = Story(workflow_def(*steps), in_one_go=False).when(started(), operation("pause"))
    while story.owed:
        story.continue_once()
    answer = refused(story, version_2(*steps, simple("z")))
    assert (answer["error"], "f is being fanned out" in answer["message"]) == ("CONFLICT", True), answer
    story.when(operation("resume"))
    while story.owed:
        story.continue_once()
    upgrade(story, version_2(*steps, simple("z")))
    assert story.answers[-1]["ok"]


SWAPPED = version_2(simple("b"), simple("a"), simple("c"))
LOOPED = version_2(simple("a"), loop("l", "false", simple("b")), simple("c"))


@pytest.mark.parametrize(
    ("definition", "says"),
    [
        (version_2(simple("a"), simple("c")), "it has no step b, which is open"),
        (version_2(simple("a"), wait("b")), "b has run as SIMPLE and is WAIT there"),
        (version_2(wait("a"), simple("b")), "a has run as SIMPLE and is WAIT there"),
        (SWAPPED, "b is under way, and what follows it there has begun"),
        (LOOPED, "b has run as SIMPLE and is SIMPLE in the loop l there"),
        (version_2(simple("a"), switch("s", "x", {"x": [simple("b")]})), "b lies elsewhere in it"),
        (version_2(simple("a"), *forked("f", [simple("b")])), "b lies elsewhere in it"),
    ],
    ids=["gone", "other-type", "other-type-before", "swapped", "in-a-loop", "in-a-switch", "in-a-fork"],
)
def test_what_has_no_place_in_the_new_version_is_refused_and_nothing_changes(
    definition: WorkflowDef, says: str
) -> None:
    story = Story(CHAIN).when(started(), completed("a"))
    answer = refused(story, definition)
    assert (answer["error"], says in answer["message"]) == ("CONFLICT", True), answer
    story.when(completed("b"), completed("c")).expect("COMPLETED")


@pytest.mark.parametrize(
    ("definition", "arguments", "code"),
    [
        (version_2(simple("a"), simple("b")), {"task_output": {"a": {}}}, "INVALID_REQUEST"),
        (version_2(simple("x"), simple("a"), simple("b")), {"task_output": {"x": 1}}, "INVALID_REQUEST"),
        (version_2(simple("x"), simple("a"), simple("b")), {"task_output": {"x": {"t": "y" * 90}}}, "INVALID_PAYLOAD"),
        (version_2(simple("a"), simple("b")), {"workflow_input": {"t": "y" * 90}}, "INVALID_PAYLOAD"),
        (version_2(simple("a"), simple("b"), name="other"), {}, "INVALID_REQUEST"),
        (version_2(simple("a"), simple("b")), {"task_output": []}, "INVALID_REQUEST"),
    ],
    ids=["not-passed", "no-map", "large-output", "large-input", "other-workflow", "no-outputs"],
)
def test_what_is_given_amiss_is_refused(definition: WorkflowDef, arguments: dict[str, Any], code: str) -> None:
    story = Story(CHAIN)
    story.facts.payload_bytes_max = 60
    assert refused(story.when(started(), completed("a")), definition, **arguments)["error"] == code


def test_only_what_is_under_way_is_upgraded_and_only_to_a_definition_that_is_there() -> None:
    story = Story(CHAIN).when(started(), operation("upgrade", definition_hash="lost"))
    assert story.answers[-1]["error"] == "NOT_FOUND"
    assert refused(story.when(operation("terminate")), SWAPPED)["error"] == "CONFLICT"


def test_a_workflow_whose_removed_sub_workflow_goes_on_later_is_left_alone() -> None:
    story = Story(workflow_def(sub_workflow("s"), simple("b"))).when(started(), completed("s"))
    upgrade(story, version_2(simple("b")))
    story.when(completed("b")).expect("COMPLETED").when(child_revived("s")).expect("COMPLETED")
