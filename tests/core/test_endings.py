"""How workflows end: output, failure workflow, parent, what is cancelled, and what comes in afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.codec import unpack
from orchestrator.core.closing import CANCEL_AT_ONCE
from orchestrator.ids import failure_workflow_id
from orchestrator.model.definitions import WorkflowTask
from orchestrator.model.effects import NotifyParent, Remove, StartWorkflow
from orchestrator.model.records import decode_outcome
from tests.support.build import fork, forked, join, noop, set_variable, simple, terminate, wait, workflow_def
from tests.support.happenings import accepted, completed, failed, later, operation, reported, started, timer
from tests.support.story import ID, Story


def once(ref: str, **fields: Any) -> WorkflowTask:
    return simple(ref, retry_count=0, **fields)


# --- output -----------------------------------------------------------------------------------------------------------


def test_the_output_is_the_mapping_of_the_definition() -> None:
    mapping = {"sum": "${a.output.x}", "who": "${workflow.input.who}", "nothing": "${b.output.x}", "fixed": 1}
    definition = workflow_def(simple("a"), simple("b"), output_parameters=mapping)
    story = Story(definition, input={"who": "ada"}).when(started(), completed("a", {"x": 3}), completed("b"))
    story.expect("COMPLETED", output={"sum": 3, "who": "ada", "nothing": None, "fixed": 1})


def test_without_a_mapping_it_is_the_output_of_the_task_scheduled_last() -> None:
    definition = workflow_def(*forked("f", [simple("a")], [simple("b")]), set_variable("v", x=1))
    story = Story(definition).when(started(), completed("b", {"b": 1}), completed("a", {"a": 1}))
    story.expect("COMPLETED", output={})
    last = Story(workflow_def(fork("f", [simple("a")], [simple("b")]), join("j", "a", "b")))
    last.when(started(), completed("b", {"b": 1}), completed("a", {"a": 1})).expect("COMPLETED", output={"b": 1})


def test_a_failed_workflow_has_the_mapping_too_or_the_output_of_the_task_that_failed() -> None:
    mapped = Story(workflow_def(simple("a"), once("b"), output_parameters={"x": "${a.output.x}"}))
    mapped.when(started(), completed("a", {"x": 3}), failed("b")).expect("FAILED", output={"x": 3})
    plain = Story(workflow_def(*forked("f", [once("a")], [simple("b")])))
    plain.when(started(), failed("a", output={"why": 1})).expect("FAILED", output={"why": 1})


def test_an_output_that_cannot_be_stored_fails_the_workflow() -> None:
    definition = workflow_def(simple("a"), output_parameters={"x": ["${workflow.input.x}"] * 9})
    story = Story(definition, input={"x": "y" * 20})
    story.facts.payload_bytes_max = 100
    story.when(started(), completed("a")).expect("FAILED", output={}, reason="The workflow output cannot be stored")


# --- failure workflow -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["clean", "$workflow.input.handler", "${workflow.input.handler}"])
def test_a_failure_starts_the_failure_workflow(name: str) -> None:
    definition = workflow_def(once("a"), failure_workflow=name, failure_workflow_version=2)
    story = Story(definition, input={"handler": "clean", "k": 1}, correlation_id="c", task_to_domain={"*": "eu"})
    story.when(started(), failed("a", "no luck", output={"x": 1})).expect("FAILED")
    (start,) = story.sent(StartWorkflow)
    new_id = failure_workflow_id(ID, 0)
    assert (start.workflow_id, start.meta.name, start.meta.version, start.latest) == (new_id, "clean", 2, False)
    assert (start.meta.correlation_id, start.meta.task_to_domain, start.meta.failure_of) == ("c", {"*": "eu"}, ID)
    assert unpack(bytes(start.input)) == {
        "handler": "clean",
        "k": 1,
        "workflowId": ID,
        "reason": story.core.reason,
        "failureStatus": "FAILED",
        "failureTaskId": story.id_of("a"),
    }
    assert story.output == {"x": 1, "conductor.failure_workflow": new_id}
    assert story.core.failure_workflow_id == new_id


def test_without_a_version_the_latest_failure_workflow_is_started() -> None:
    story = Story(workflow_def(once("a"), failure_workflow="clean")).when(started(), failed("a"))
    assert [start.latest for start in story.sent(StartWorkflow)] == [True]


@pytest.mark.parametrize("name", [None, "", "$workflow.input.absent", "$nonsense"])
def test_without_a_name_no_failure_workflow_is_started(name: str | None) -> None:
    story = (
        Story(workflow_def(once("a"), failure_workflow=name)).when(started(), failed("a")).expect("FAILED", output={})
    )
    assert story.sent(StartWorkflow) == []


def test_a_good_end_and_an_operators_end_start_no_failure_workflow_unless_asked() -> None:
    definition = workflow_def(simple("a"), failure_workflow="clean")
    assert Story(definition).when(started(), completed("a")).sent(StartWorkflow) == []
    assert Story(definition).when(started(), operation("terminate")).sent(StartWorkflow) == []
    asked = Story(definition).when(started(), operation("terminate", trigger_failure_workflow=True))
    assert len(asked.sent(StartWorkflow)) == 1


# --- parent -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "status"),
    [
        (completed("a", {"x": 1}), "COMPLETED"),
        (failed("a", "why"), "FAILED"),
        (operation("terminate", reason="stop"), "CANCELED"),
        (reported("a", "TIMED_OUT", reason="slow"), "TIMED_OUT"),
    ],
)
def test_the_parent_learns_how_its_child_ended(last: Any, status: str) -> None:
    story = Story(workflow_def(once("a")), parent_workflow_id="p", parent_task_id="p-t").when(started(), last)
    (told,) = story.sent(NotifyParent)
    outcome = decode_outcome(told.outcome)
    assert (told.parent_workflow_id, told.parent_task_id, outcome.status, outcome.merge) == ("p", "p-t", status, True)
    assert unpack(bytes(outcome.output)) == story.output
    wanted = None if status == "COMPLETED" else f"Sub workflow flow.1/{ID} failure reason: {story.core.reason}"
    assert outcome.reason == wanted


# --- cancelling -------------------------------------------------------------------------------------------------------


def wide(width: int) -> Story:
    refs = [f"b{number}" for number in range(width)]
    branches = [[simple(ref)] for ref in refs]
    return Story(workflow_def(*forked("f", *branches, [wait("w")], [once("bad")])), in_one_go=True).when(started())


@pytest.mark.parametrize("width", [0, 5, CANCEL_AT_ONCE - 2, CANCEL_AT_ONCE - 1, CANCEL_AT_ONCE, 650])
@pytest.mark.parametrize("how", [failed("bad"), operation("terminate")], ids=["failure", "operator"])
def test_everything_that_is_open_is_cancelled_in_slices(width: int, how: Any) -> None:
    story = wide(width)
    story.in_one_go = False
    story.when(how)
    assert story.status in ("FAILED", "TERMINATED")
    story.in_one_go = True
    while story.owed:
        story.continue_once()
    story.check_books()
    assert story.open == []
    assert story.dispatch == {}
    assert all(len(draft.results) <= 205 for draft in story.drafts)
    removed = {handoff.task_id for handoff in story.sent(Remove)} - {story.id_of("bad")}
    assert removed == {story.id_of(f"b{number}") for number in range(width)}
    assert story.task("w").status == "CANCELED"


@pytest.mark.parametrize("width", [3, 450])
def test_an_outcome_that_was_accepted_before_the_end_stands(width: int) -> None:
    story = wide(width)
    for number in range(0, width, 2):
        accepted(f"b{number}")(story)
    story.when(failed("bad")).expect("FAILED")
    assert story.owed == 0
    assert story.open == [f"b{number}" for number in range(0, width, 2)]
    story.when(*(completed(f"b{number}", {"n": number}) for number in range(0, width, 2)))
    assert story.open == []
    assert {story.task(f"b{number}").status for number in range(0, width, 2)} == {"COMPLETED"}
    story.check_books()


def test_accepted_outcomes_in_the_batch_that_ends_the_workflow_do_not_hide_what_is_still_open() -> None:
    story = wide(250)
    early = [f"b{number}" for number in range(60)]
    for ref in early:
        accepted(ref)(story)
    story.in_one_go = False
    story.when(failed("bad"))
    story.take(*[event for event in (completed(ref)(story) for ref in early) if event is not None])
    story.in_one_go = True
    while story.owed:
        story.continue_once()
    assert story.open == []


def test_a_cancelled_task_keeps_what_its_worker_reported() -> None:
    story = Story(workflow_def(*forked("f", [simple("a")], [once("bad")]))).when(started())
    story.when(reported("a", "IN_PROGRESS", {"done": 2}, logs=[(1, "two")]), failed("bad"))
    task = story.task("a")
    assert task.record.result is not None
    assert (task.status, task.output, task.record.result.logs) == ("CANCELED", {"done": 2}, [(1, "two")])
    assert task.reason == story.core.reason


def test_cancelling_is_guarded_against_outcomes_that_come_in_meanwhile() -> None:
    story = Story(workflow_def(*forked("f", [simple("a")], [once("bad")]))).when(started(), failed("bad"))
    assert set(story.drafts[-1].guarded) == {story.id_of("a").removeprefix(f"{ID}-")}


@pytest.mark.parametrize(
    "late", [completed("a"), failed("a"), timer("a"), reported("a", "IN_PROGRESS"), timer(), started()]
)
def test_nothing_moves_a_workflow_that_has_ended(late: Any) -> None:
    story = Story(workflow_def(*forked("f", [simple("a")], [terminate("stop", workflowOutput={"x": 1})]), noop("n")))
    story.when(started(), later(1), late).expect("COMPLETED", output={"x": 1}, open=[])
    assert "n" not in story.scheduled


def test_a_failure_after_the_end_changes_only_its_own_task() -> None:
    story = Story(workflow_def(*forked("f", [once("a")], [once("b")]))).when(
        started(), accepted("b"), failed("a", "one")
    )
    reason = story.core.reason
    story.when(failed("b", "two")).expect("FAILED", tasks={"b": "FAILED"}, open=[])
    assert story.core.reason == reason
    assert story.core.failed_refs == ["a"]
