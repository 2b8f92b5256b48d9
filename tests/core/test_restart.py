"""Restart: an ended workflow starts over; what it leaves behind, what it keeps, and when it is refused."""

from __future__ import annotations

import pytest

from orchestrator.core.program import Program
from orchestrator.model.effects import StartWorkflow
from tests.support.build import forked, noop, simple, step, wait, workflow_def
from tests.support.happenings import accepted, claimed, completed, failed, later, operation, started, timer
from tests.support.story import START_MS, Story

CHAIN = workflow_def(simple("a", retry_count=0), simple("b", retry_count=0), timeout_seconds=60)


def failed_chain() -> Story:
    story = Story(CHAIN, input={"x": 1}).when(started(), completed("a", {"y": 2}), later(5), failed("b"))
    return story.expect("FAILED")


def test_a_restarted_workflow_has_nothing_of_its_former_run() -> None:
    story = failed_chain()
    former = story.id_of("a")
    story.when(later(10), operation("restart")).expect("RUNNING", open=["a"], statuses={"a": "SCHEDULED"}, output={})
    assert story.answers == [{"ok": True, "status": "RUNNING"}]
    core = story.core
    assert (core.generation, core.sequence, core.created_ms, core.ended_ms) == (1, 1, START_MS + 15_000, 0)
    assert (core.reason, core.failed_task_id, core.failed_refs) == (None, None, [])
    assert story.id_of("a") != former
    assert story.timers["-", ""] == START_MS + 75_000
    story.when(completed("a"), completed("b", {"z": 3})).expect("COMPLETED", output={"z": 3})


def test_the_result_of_a_task_of_the_former_run_changes_nothing() -> None:
    story = Story(CHAIN).when(started(), claimed("a"))
    stale = completed("a", {"from": "the former run"})(story)
    story.when(operation("terminate"), operation("restart"))
    assert stale is not None
    story.take(stale).expect("RUNNING", statuses={"a": "SCHEDULED"}, open=["a"])


def test_a_timer_of_the_former_run_changes_nothing() -> None:
    story = Story(workflow_def(wait("w", duration="9s"), simple("a"))).when(started())
    stale = timer("w")(story)
    story.when(operation("terminate"), later(20), operation("restart"))
    assert stale is not None
    story.take(stale).expect("RUNNING", open=["w"])


@pytest.mark.parametrize("action", ["pause", None])
def test_a_workflow_that_has_not_ended_is_not_restarted(action: str | None) -> None:
    story = Story(CHAIN).when(started(), *([operation(action)] if action else []), operation("restart"))
    assert story.answers[-1]["error"] == "CONFLICT"
    story.expect("PAUSED" if action else "RUNNING", open=["a"])


def test_a_completed_workflow_that_is_not_restartable_stays_as_it_is_and_a_failed_one_does_not() -> None:
    once = workflow_def(simple("a", retry_count=0), restartable=False)
    done = Story(once).when(started(), completed("a"), operation("restart")).expect("COMPLETED")
    assert "non-restartable" in done.answers[-1]["message"]
    Story(once).when(started(), failed("a"), operation("restart")).expect("RUNNING", open=["a"])


def test_variables_are_those_of_the_definition_again() -> None:
    definition = workflow_def(
        step("SET_VARIABLE", "set", {"x": 2, "y": 3}), simple("a", retry_count=0), variables={"x": 1}
    )
    story = Story(definition).when(started()).expect(variables={"x": 2, "y": 3})
    story.when(failed("a"), operation("restart")).expect("RUNNING", variables={"x": 2, "y": 3})
    bare = Story(workflow_def(simple("a"))).when(started(), operation("update_variables", variables={"x": 1}))
    bare.when(operation("terminate"), operation("restart")).expect("RUNNING", variables={})


def test_a_workflow_restarts_by_another_definition() -> None:
    story = failed_chain()
    story.programs["new"] = Program(workflow_def(simple("c"), version=7))
    story.when(operation("restart", definition_hash="new")).expect("RUNNING", open=["c"])
    assert (story.meta.version, story.meta.definition_hash, story.timers) == (7, "new", story.timers)
    story.when(completed("c")).expect("COMPLETED")


def test_a_definition_that_is_not_there_is_refused() -> None:
    story = failed_chain().when(operation("restart", definition_hash="lost")).expect("FAILED")
    assert story.answers[-1]["error"] == "NOT_FOUND"


def test_what_comes_behind_the_restart_in_its_batch_is_decided_by_the_new_definition() -> None:
    story = failed_chain()
    story.programs["new"] = Program(workflow_def(simple("c"), version=7))
    story.together(operation("restart", definition_hash="new"), operation("skip", ref="b"))
    assert story.answers[-1]["error"] == "NOT_FOUND"


def test_each_run_has_its_own_failure_workflow() -> None:
    story = Story(workflow_def(simple("a", retry_count=0), failure_workflow="mend"))
    story.when(started(), failed("a"), operation("restart"), failed("a")).expect("FAILED")
    ids = [start.workflow_id for start in story.sent(StartWorkflow)]
    assert len(set(ids)) == 2


def test_a_restart_waits_until_an_accepted_outcome_of_the_former_run_is_in() -> None:
    story = Story(workflow_def(*forked("f", [simple("a", retry_count=0)], [simple("b")]))).when(started())
    story.when(accepted("b"), failed("a"), operation("restart")).expect("FAILED")
    assert story.answers == []
    story.when(completed("b")).expect("RUNNING", open=["f_join", "a", "b"])
    assert story.answers == [{"ok": True, "status": "RUNNING"}]


def test_what_is_asked_behind_a_restart_that_waits_is_decided_after_it() -> None:
    story = Story(workflow_def(*forked("f", [simple("a", retry_count=0)], [simple("b")]))).when(started())
    story.when(accepted("b"), failed("a"), operation("restart"), operation("pause"), completed("b")).expect("PAUSED")
    assert story.answers == [{"ok": True, "status": "RUNNING"}, {"ok": True, "status": "PAUSED"}]


def test_terminate_calls_off_a_restart_that_waits() -> None:
    story = Story(workflow_def(*forked("f", [simple("a", retry_count=0)], [simple("b")]))).when(started())
    story.when(accepted("b"), failed("a"), operation("restart"), operation("terminate"), completed("b"))
    story.expect("TERMINATED")
    assert [answer.get("error") for answer in story.answers] == ["CONFLICT", None]


def test_a_workflow_of_ten_thousand_tasks_restarts_after_its_open_tasks_are_cancelled() -> None:
    refs = [f"b{number:05}" for number in range(10_000)]
    definition = workflow_def(*forked("f", *([simple(ref)] for ref in refs)))
    story = Story(definition).when(started(), operation("terminate"), operation("restart"))
    assert story.answers == [{"ok": True, "status": "TERMINATED"}, {"ok": True, "status": "RUNNING"}]
    restarts = [draft for draft in story.drafts if draft.is_wiped]
    assert (len(restarts), len(restarts[0].scheduled) <= 300, len(story.open)) == (1, True, 10_001)


def test_a_workflow_without_steps_completes_again() -> None:
    story = Story(workflow_def(noop("n"))).when(started(), later(3), operation("restart")).expect("COMPLETED")
    assert story.core.generation == 1
