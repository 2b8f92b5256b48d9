"""Changes from outside to a workflow that is under way: variables, steps to be skipped, delays that are cut short."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.model.definitions import WorkflowDef
from orchestrator.model.effects import Enqueue, Expedite
from tests.support.build import fork, forked, join, noop, simple, step, switch, task_def, wait, workflow_def
from tests.support.happenings import Happening, completed, failed, operation, reported, started
from tests.support.story import Story

CHAIN = workflow_def(simple("a"), simple("b", {"x": "${a.output.x}"}), simple("c", {"x": "${b.output.x}"}))

# --- variables --------------------------------------------------------------------------------------------------------


def test_variables_are_laid_over_those_there_are() -> None:
    definition = workflow_def(simple("a"), simple("b", {"x": "${workflow.variables.x}"}), variables={"x": 1, "y": 2})
    story = Story(definition).when(started(), operation("update_variables", variables={"x": 5, "z": [1]}))
    assert story.answers == [{"ok": True, "status": "RUNNING"}]
    story.expect(variables={"x": 5, "y": 2, "z": [1]}).when(completed("a"))
    assert story.task("b").input == {"x": 5}


def test_a_list_can_be_put_behind_the_list_that_is_there() -> None:
    definition = workflow_def(simple("a"), variables={"x": [1], "y": 2})
    story = Story(definition).when(started())
    story.when(operation("update_variables", variables={"x": [2, 3], "y": [4], "z": [5]}, append_array=True))
    story.when(operation("update_variables", variables={"x": 6}, append_array=True))
    story.expect(variables={"x": [1, 2, 3, 6], "y": [4], "z": [5]})


def test_variables_that_would_grow_too_large_are_refused_and_stay() -> None:
    story = Story(CHAIN)
    story.facts.variables_bytes_max = 30
    story.when(started(), operation("update_variables", variables={"x": "y" * 50})).expect(variables={})
    assert story.answers[-1]["error"] == "INVALID_PAYLOAD"


# --- skip -------------------------------------------------------------------------------------------------------------


def skip(ref: str, **arguments: Any) -> Happening:
    return operation("skip", ref=ref, **arguments)


def test_a_skipped_step_is_passed_over_and_read_like_any_other() -> None:
    story = Story(CHAIN).when(started(), skip("b", input={"i": 1}, output={"x": 9}))
    assert story.answers == [{"ok": True, "status": "RUNNING", "ref": "b"}]
    story.expect(tasks={"b": "SKIPPED"}, open=["a"])
    assert (story.task("b").input, story.task("b").output) == ({"i": 1}, {"x": 9})
    story.when(completed("a")).expect(open=["c"])
    assert story.task("c").input == {"x": 9}
    assert story.core.skips == []


def test_the_output_of_the_workflow_is_not_that_of_a_step_skipped_ahead() -> None:
    story = Story(CHAIN).when(started(), skip("c"), completed("a"), completed("b", {"x": 1}))
    story.expect("COMPLETED", output={"x": 1})


@pytest.mark.parametrize(
    ("ref", "code", "message"),
    [
        ("a", "CONFLICT", "The task referenced a has already been processed, cannot be skipped"),
        ("nobody", "NOT_FOUND", "The task referenced by nobody does not exist in the WorkflowDefinition flow"),
        ("b__2", "NOT_FOUND", "b__2 does not exist"),
        ("", "NOT_FOUND", "does not exist"),
    ],
)
def test_a_step_that_cannot_be_skipped_is_refused(ref: str, code: str, message: str) -> None:
    story = Story(CHAIN).when(started(), skip(ref))
    assert story.answers[-1]["error"] == code
    assert message in story.answers[-1]["message"]


def test_skipping_twice_or_after_the_end_is_refused() -> None:
    story = Story(CHAIN).when(started(), skip("b"), skip("b"), operation("terminate"), skip("c"))
    assert [answer.get("error") for answer in story.answers] == [None, "CONFLICT", None, "CONFLICT"]


def test_what_a_skipped_step_is_given_must_fit() -> None:
    story = Story(CHAIN)
    story.facts.payload_bytes_max = 30
    story.when(started(), skip("b", output={"x": "y" * 50}))
    assert story.answers[-1]["error"] == "INVALID_PAYLOAD"
    assert "b" not in story.statuses


BRANCHES = forked("f", [simple("a")], [simple("b"), simple("c")])
LATE_JOIN = workflow_def(fork("f", [simple("a")], [simple("b")]), join("j", "a", "b"), join("k", "c", "a"), simple("c"))
INNER = workflow_def(
    fork("f", [switch("s", "x", {"x": [simple("a")]}), simple("b")], [*forked("g", [simple("c")]), simple("d")]),
    join("j", "a", "b", "c", "d"),
    simple("end"),
)


@pytest.mark.parametrize(
    ("definition", "happenings", "open_"),
    [
        (workflow_def(simple("s"), *BRANCHES, simple("e")), [skip("c"), *map(completed, "sab")], ["e"]),
        (workflow_def(simple("s"), *BRANCHES, simple("e")), [skip("a"), completed("s")], ["f_join", "b"]),
        (workflow_def(*BRANCHES, simple("e")), [skip("c"), completed("b"), completed("a")], ["e"]),
        (workflow_def(simple("s"), *BRANCHES, simple("e")), [skip("f"), completed("s")], ["e"]),
        (workflow_def(simple("s"), *BRANCHES, simple("e")), [skip("f_join"), completed("s")], ["a", "b", "e"]),
        (workflow_def(simple("z"), *INNER.tasks), [skip("s"), completed("z")], ["j", "b", "g_join", "c"]),
        (INNER, [], ["j", "a", "g_join", "c"]),
        (workflow_def(simple("z"), *INNER.tasks), [skip("g"), completed("z")], ["j", "a", "d"]),
        (
            workflow_def(simple("z"), *INNER.tasks),
            [skip("g"), skip("s"), *map(completed, "zbd")],
            ["end"],
        ),
        (LATE_JOIN, [skip("c"), *map(completed, "ab")], []),
    ],
)
def test_joins_do_not_wait_for_what_is_skipped(
    definition: WorkflowDef, happenings: list[Happening], open_: list[str]
) -> None:
    Story(definition).when(started(), *happenings).expect(open=open_)


def test_a_join_beside_a_skipped_step_waits_until_the_flow_passes_it() -> None:
    definition = workflow_def(
        fork("f", [simple("a"), simple("b")], [simple("c"), *forked("g", [simple("d")])]),
        join("j", "b", "g_join"),
        simple("end"),
    )
    definition.tasks[0].fork_tasks[1][2].join_on = ["d", "b"]
    story = Story(definition).when(started(), operation("skip", ref="b"), completed("c"), completed("d"))
    story.expect(open=["j", "a", "g_join"]).when(completed("a")).expect(open=["end"])


def test_a_skip_waits_while_the_workflow_is_paused() -> None:
    story = Story(CHAIN).when(started(), operation("pause"), skip("b"), completed("a")).expect("PAUSED", open=[])
    story.when(operation("resume")).expect(open=["c"])


# --- callbacks --------------------------------------------------------------------------------------------------------


def test_delayed_tasks_and_postponed_ones_are_let_go_and_nothing_else() -> None:
    delayed = simple("a", start_delay=60)
    definition = workflow_def(*forked("f", [delayed], [simple("b")], [simple("c")], [wait("w", duration="9s")]))
    story = Story(definition).when(started(), reported("b", "IN_PROGRESS", {"x": 1}, callback_after_ms=60_000))
    story.when(operation("reset_callbacks"))
    assert story.answers == [{"ok": True, "status": "RUNNING", "tasks": 2}]
    assert {one.task_id for one in story.sent(Expedite)} == {story.id_of("a"), story.id_of("b")}
    result = story.task("b").record.result
    assert result is not None
    assert (result.callback_after_ms, story.task("b").output) == (0, {"x": 1})
    story.when(operation("reset_callbacks"))
    assert story.answers[-1]["tasks"] == 1  # whether the first is still delayed is known to its queue alone


def test_a_retry_that_waits_for_its_delay_is_let_go() -> None:
    retried = task_def("a", retry_count=1, retry_delay_seconds=60)
    story = Story(workflow_def(simple("a")), task_defs=[retried]).when(started(), failed("a"))
    assert story.sent(Enqueue)[-1].delay_ms == 60_000
    story.when(operation("reset_callbacks"))
    assert [one.task_id for one in story.sent(Expedite)] == [story.id_of("a")]


def test_a_workflow_that_has_ended_has_no_callbacks() -> None:
    story = Story(workflow_def(noop("n"))).when(started(), operation("reset_callbacks"))
    assert story.answers[-1]["error"] == "CONFLICT"
    paused = Story(workflow_def(simple("a"))).when(started(), operation("pause"), completed("a"))
    paused.when(operation("reset_callbacks"))
    assert paused.answers[-1] == {"ok": True, "status": "PAUSED", "tasks": 0}


def test_a_step_that_sets_variables_can_be_skipped() -> None:
    definition = workflow_def(simple("a"), step("SET_VARIABLE", "set", {"x": 1}), simple("b"))
    Story(definition).when(started(), skip("set"), completed("a")).expect(open=["b"], variables={})


def test_a_dynamic_fork_can_be_skipped() -> None:
    fan = step("FORK_JOIN_DYNAMIC", "f", {"forkTaskName": "x", "forkTaskInputs": [1, 2]})
    definition = workflow_def(simple("a"), fan, join("f_join"), simple("b"))
    Story(definition).when(started(), skip("f"), completed("a")).expect(open=["b"], tasks={"f_join": "COMPLETED"})
