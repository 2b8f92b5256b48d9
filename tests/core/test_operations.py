"""Operations: what pause, resume, terminate and signal do, what each answers, and how wrong arguments are refused."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.model.effects import Enqueue
from tests.support.build import forked, join, noop, simple, task_def, wait, workflow_def
from tests.support.happenings import accepted, completed, failed, later, operation, reported, started
from tests.support.story import ID, START_MS, Story

CHAIN = workflow_def(simple("a"), simple("b"))


def refusal(story: Story) -> tuple[str, str]:
    answer = story.answers[-1]
    return answer["error"], answer["message"]


# --- pause and resume -------------------------------------------------------------------------------------------------


def test_a_paused_workflow_takes_outcomes_and_schedules_nothing() -> None:
    story = Story(CHAIN).when(started(), operation("pause"), completed("a", {"x": 1}))
    story.expect("PAUSED", tasks={"a": "COMPLETED"}, open=[])
    assert story.answers == [{"ok": True, "status": "PAUSED"}]
    story.when(operation("resume")).expect("RUNNING", open=["b"])
    assert story.answers[-1] == {"ok": True, "status": "RUNNING"}


def test_a_workflow_that_finished_its_work_while_paused_completes_on_resume() -> None:
    story = Story(workflow_def(simple("a"))).when(started(), operation("pause"), completed("a", {"x": 1}))
    story.expect("PAUSED").when(later(9), operation("resume")).expect("COMPLETED", output={"x": 1})
    assert story.core.ended_ms == START_MS + 9000


def test_pausing_twice_is_the_same_as_once() -> None:
    story = Story(CHAIN).when(started(), operation("pause"), completed("a"), operation("pause"), operation("resume"))
    story.expect("RUNNING", open=["b"])


def test_joins_are_counted_while_paused_and_what_follows_waits() -> None:
    definition = workflow_def(*forked("f", [simple("a")], [simple("b")]), simple("c"))
    story = Story(definition).when(started(), operation("pause"), completed("a"), completed("b"))
    story.expect("PAUSED", tasks={"f_join": "COMPLETED"}, open=[]).when(operation("resume")).expect(open=["c"])


def test_a_failure_that_stands_ends_a_paused_workflow() -> None:
    story = Story(workflow_def(simple("a", retry_count=0))).when(started(), operation("pause"), failed("a"))
    story.expect("FAILED")


def test_a_wide_fork_that_is_paused_while_it_fans_out_goes_on_where_it_was() -> None:
    refs = [f"b{number}" for number in range(700)]
    definition = workflow_def(*forked("f", *([simple(ref)] for ref in refs)), simple("end"))
    story = Story(definition, in_one_go=False).when(started()).continue_once()
    story.when(operation("pause"), completed("b0"), failed("b1", retry_after_ms=5))
    while story.owed:
        story.continue_once()
    assert len(story.sent(Enqueue)) == 398
    story.in_one_go = True
    story.when(operation("resume"))
    assert len(story.sent(Enqueue)) == 701
    story.when(*(completed(ref) for ref in refs[1:])).expect("RUNNING", open=["end"])


@pytest.mark.parametrize("action", ["pause", "signal"])
def test_what_has_ended_cannot_be_moved(action: str) -> None:
    story = Story(workflow_def(noop("n"))).when(started(), operation(action)).expect("COMPLETED")
    code, message = refusal(story)
    assert (code, ID in message) == ("CONFLICT", True)


def test_only_a_paused_workflow_can_be_resumed() -> None:
    story = Story(CHAIN).when(started(), operation("resume")).expect("RUNNING")
    wanted = f"The workflow {ID} is not PAUSED so cannot resume. Current status is RUNNING"
    assert refusal(story) == ("CONFLICT", wanted)


# --- terminate --------------------------------------------------------------------------------------------------------


def test_terminate_cancels_what_is_open_and_records_the_reason() -> None:
    story = Story(CHAIN).when(started(), operation("terminate", reason="wrong order"))
    story.expect("TERMINATED", tasks={"a": "CANCELED"}, reason="wrong order", open=[])
    assert story.answers == [{"ok": True, "status": "TERMINATED"}]


def test_a_completed_workflow_cannot_be_terminated_and_a_terminated_one_stays_as_it_is() -> None:
    story = Story(workflow_def(noop("n"))).when(started(), operation("terminate")).expect("COMPLETED")
    assert refusal(story) == ("CONFLICT", f"Cannot terminate a COMPLETED workflow. ({ID})")
    twice = Story(CHAIN).when(started(), operation("terminate", reason="1"), operation("terminate", reason="2"))
    twice.expect("TERMINATED", reason="1")
    assert twice.answers[-1] == {"ok": True, "status": "TERMINATED"}


def test_a_failed_workflow_can_be_turned_into_a_terminated_one() -> None:
    story = Story(workflow_def(simple("a", retry_count=0))).when(started(), failed("a"), later(5))
    ended_ms = story.core.ended_ms
    story.when(operation("terminate", reason="given up")).expect("TERMINATED", reason="given up")
    assert story.core.ended_ms == ended_ms


def test_a_paused_workflow_can_be_terminated() -> None:
    story = Story(CHAIN).when(started(), operation("pause"), completed("a"), operation("terminate"))
    story.expect("TERMINATED", open=[])
    assert story.core.held == []


# --- signal -----------------------------------------------------------------------------------------------------------

WAITS = workflow_def(
    *forked("f", [wait("w1")], [wait("w2", signal="approval")], [wait("w3", duration="9s")], [simple("a")]),
    simple("b", {"x": "${w2.output.x}"}),
)


@pytest.mark.parametrize(("arguments", "ref"), [({}, "w1"), ({"name": "w2"}, "w2"), ({"name": "approval"}, "w2")])
def test_a_signal_ends_the_wait_it_is_meant_for(arguments: dict[str, Any], ref: str) -> None:
    story = Story(WAITS).when(started(), operation("signal", payload={"x": 1}, **arguments))
    assert story.answers == [{"ok": True, "status": "RUNNING", "task_id": story.id_of(ref), "ref": ref}]
    assert (story.task(ref).status, story.task(ref).output) == ("COMPLETED", {"x": 1})
    assert set(story.drafts[-1].guarded) == {story.task(ref).record.suffix}
    assert ref not in story.open


def test_signals_without_a_name_end_one_wait_after_the_other_in_order() -> None:
    story = Story(WAITS).when(started(), *[operation("signal")] * 4)
    assert [answer.get("ref") for answer in story.answers] == ["w1", "w2", "w3", None]
    assert refusal(story) == ("TASK_NOT_FOUND", f"Found no blocked task in workflow {ID} to signal")
    assert story.timers == {}


@pytest.mark.parametrize("name", ["nobody", "a", "f_join"])
def test_a_signal_that_nobody_waits_for_is_refused(name: str) -> None:
    story = Story(WAITS).when(started(), operation("signal", name=name))
    assert refusal(story) == ("TASK_NOT_FOUND", f"Found no blocked task for {name!r} in workflow {ID} to signal")


def test_a_signal_is_laid_over_what_was_reported_before() -> None:
    story = Story(workflow_def(wait("w"))).when(started(), reported("w", "IN_PROGRESS", {"a": 1, "b": 1}))
    story.when(operation("signal", payload={"b": 2})).expect("COMPLETED", output={"a": 1, "b": 2})


def test_a_signal_may_fail_the_wait() -> None:
    story = Story(workflow_def(wait("w"))).when(started(), operation("signal", status="FAILED", reason="refused"))
    story.expect("FAILED", tasks={"w": "FAILED"}, reason="'refused'")


@pytest.mark.parametrize("arguments", [{}, {"name": "w"}])
def test_a_wait_whose_outcome_has_been_accepted_takes_no_signal(arguments: dict[str, Any]) -> None:
    story = Story(workflow_def(wait("w"))).when(started(), accepted("w"), operation("signal", **arguments))
    assert refusal(story)[0] == "TASK_NOT_FOUND"
    story.when(completed("w", {"x": 1})).expect("COMPLETED", output={"x": 1})


def test_a_signal_reaches_a_wait_that_began_in_the_same_batch() -> None:
    story = Story(workflow_def(simple("a"), wait("w"))).when(started())
    story.together(completed("a"), operation("signal", name="w")).expect("COMPLETED")
    assert story.dispatch == {}


def test_a_signal_while_paused_ends_the_wait_and_nothing_more() -> None:
    story = Story(workflow_def(wait("w"), simple("a"))).when(started(), operation("pause"), operation("signal"))
    story.expect("PAUSED", tasks={"w": "COMPLETED"}, open=[]).when(operation("resume")).expect("RUNNING", open=["a"])


# --- arguments that do not fit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "arguments", "message"),
    [
        ("dance", {}, "unknown operation 'dance'"),
        ("signal", {"name": ["w"]}, "name must be text, not list"),
        ("signal", {"payload": 3}, "payload must be a map, not int"),
        ("signal", {"status": "IN_PROGRESS"}, "status must be one of FAILED, FAILED_WITH_TERMINAL_ERROR, COMPLETED"),
        ("signal", {"status": "DONE"}, "not DONE"),
        ("terminate", {"reason": 5}, "reason must be text, not int"),
        ("terminate", {"trigger_failure_workflow": "yes"}, "must be true or false, not str"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_and_change_nothing(
    action: str, arguments: dict[str, Any], message: str
) -> None:
    story = Story(workflow_def(wait("w"))).when(started(), operation(action, **arguments)).expect("RUNNING", open=["w"])
    code, text = refusal(story)
    assert code == "INVALID_REQUEST"
    assert message in text


def test_a_signal_whose_payload_is_too_large_is_refused() -> None:
    story = Story(workflow_def(wait("w")))
    story.facts.payload_bytes_max = 20
    story.when(started(), operation("signal", payload={"x": "y" * 50})).expect("RUNNING", open=["w"])
    assert refusal(story)[0] == "INVALID_PAYLOAD"


def test_operations_and_outcomes_of_one_batch_are_taken_in_their_order() -> None:
    definition = workflow_def(simple("a"), join("j", "a"), simple("b"))
    story = Story(definition, task_defs=[task_def("a")]).when(started())
    story.together(operation("pause"), completed("a"), operation("resume"), operation("dance")).expect(open=["b"])
    assert [answer.get("ok") for answer in story.answers] == [True, True, None]
