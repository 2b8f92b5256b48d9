"""What callers ask of a workflow: decided on committed state, answered by the same commit, once per request id."""

from __future__ import annotations

from orchestrator.model.definitions import WorkflowTask
from tests.engine.stage import Stage, flow, step


def test_a_paused_workflow_schedules_nothing_until_it_is_resumed(stage: Stage) -> None:
    workflow_id = stage.start(flow(step("a"), step("b")))
    decider = stage.decider()
    stage.settle(decider)
    paused = stage.ask(workflow_id, "pause")
    stage.settle(decider)
    stage.work("a")
    stage.settle(decider)
    assert stage.answer(workflow_id, paused)["ok"]
    assert (stage.status(workflow_id), stage.claim("b")) == ("PAUSED", [])
    stage.ask(workflow_id, "resume")
    stage.settle(decider)
    assert stage.work("b") == 1
    stage.settle(decider)
    assert stage.status(workflow_id) == "COMPLETED"


def test_a_repeated_request_gets_the_answer_of_the_first_and_acts_once(stage: Stage) -> None:
    workflow_id = stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    stage.ask(workflow_id, "pause", "one")
    stage.settle(decider)
    first, version = stage.answer(workflow_id, "one"), stage.field(workflow_id, "v")
    stage.ask(workflow_id, "resume", "two")
    stage.settle(decider)
    stage.ask(workflow_id, "pause", "one")
    stage.settle(decider)
    assert stage.answer(workflow_id, "one") == first
    assert stage.status(workflow_id) == "RUNNING"
    assert int(stage.field(workflow_id, "v") or 0) == int(version or 0) + 1


def test_what_is_refused_is_answered_and_changes_nothing(stage: Stage) -> None:
    workflow_id = stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    stage.work("a")
    stage.settle(decider)
    asked = stage.ask(workflow_id, "pause")
    nonsense = stage.ask(workflow_id, "explode")
    stage.settle(decider)
    assert stage.answer(workflow_id, asked)["error"] == "CONFLICT"
    assert stage.answer(workflow_id, nonsense)["error"] == "INVALID_REQUEST"
    assert stage.status(workflow_id) == "COMPLETED"


def test_a_signal_ends_the_wait_with_its_payload(stage: Stage) -> None:
    wait = WorkflowTask(name="w", task_reference_name="w", type="WAIT")
    workflow_id = stage.start(flow(wait, output_parameters={"said": "${w.output.word}"}))
    decider = stage.decider()
    stage.settle(decider)
    asked = stage.ask(workflow_id, "signal", name="w", payload={"word": "go"}, status="COMPLETED")
    stage.settle(decider)
    assert stage.answer(workflow_id, asked)["ref"] == "w"
    view = stage.view(workflow_id)
    assert (view.status, view.output) == ("COMPLETED", {"said": "go"})


def test_a_terminated_workflow_cancels_what_is_open_and_takes_no_outcome_any_more(stage: Stage) -> None:
    workflow_id = stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    (task,) = stage.claim("a")
    stage.ask(workflow_id, "terminate", reason="enough")
    stage.settle(decider)
    view = stage.view(workflow_id)
    assert (view.status, view.reason_for_incompletion, view.tasks[0].status) == ("TERMINATED", "enough", "CANCELED")
    assert stage.report([task]) == ["GONE"]
    assert stage.inbox() == 0
