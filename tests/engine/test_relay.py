"""Hand-offs: at least once to receivers that recognise a repetition, never lost, never a stop for anybody else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from orchestrator import codec, ids
from orchestrator.engine.decider import DELIVER_AGAIN_MS, Decider
from orchestrator.model.definitions import TaskDef, WorkflowDef
from orchestrator.plan import Call, Command
from orchestrator.store import polls
from orchestrator.store.inbox import read_outbox
from orchestrator.store.ownership import acquire
from tests.engine.stage import Died, Stage, flow, has_script, once, step

LEASE_MS = 10_000
NO_RETRY = TaskDef(name="a", retry_count=0)


def _known(stage: Stage) -> Decider:
    """A decider that knows the queue ``a`` already."""
    decider = stage.decider()
    stage.start(flow(step("a")))
    stage.settle(decider)
    assert stage.work("a") == 1
    stage.settle(decider)
    return decider


def _successor(stage: Stage) -> Decider:
    stage.before = None
    stage.tick(LEASE_MS + 1)
    decider = stage.decider("d2")
    stage.settle(decider)
    return decider


@pytest.mark.parametrize("word", ["enqueue", "SADD", "XDEL"])
def test_what_a_dead_decider_did_not_hand_off_its_successor_does(stage: Stage, word: str) -> None:
    workflow_id = stage.start(flow(step("a"), step("b")))
    decider = stage.decider()

    def die(steps: Sequence[Call | Command]) -> None:
        if word in {one.script if isinstance(one, Call) else one.words[0] for one in steps}:
            raise Died

    stage.before = die
    with pytest.raises(Died):
        stage.settle(decider)
    assert stage.outbox() == 1
    successor = _successor(stage)
    assert stage.outbox() == 0
    assert len(stage.claim("a")) == 1
    assert stage.claim("a") == []
    stage.accept(stage.task_id(workflow_id, "a"))
    stage.settle(successor)
    assert stage.work("b") == 1


def test_a_death_between_commit_and_its_offers_loses_no_task(stage: Stage) -> None:
    decider = _known(stage)
    stage.start(flow(step("a")))

    def only_the_commit(steps: Sequence[Call | Command]) -> None:
        if has_script(steps, "commit"):
            stage.before = None
            stage.do(steps[0])
            raise Died

    stage.before = only_the_commit
    with pytest.raises(Died):
        stage.settle(decider)
    _successor(stage)
    assert stage.work("a") == 1


def test_offers_of_a_known_queue_travel_with_the_commit(stage: Stage) -> None:
    decider = _known(stage)
    stage.start(flow(step("a")))
    before = stage.trips
    stage.run(decider.advance(stage.run(decider.read())))
    assert stage.trips - before == 2  # the read and the commit
    assert stage.work("a") == 1


def test_a_commit_that_is_refused_after_its_offers_leaves_no_task_to_run(stage: Stage) -> None:
    decider = _known(stage)
    workflow_id = stage.start(flow(step("a"), step("b")))
    inbox = stage.keys.inbox(0)
    first = stage.do(Command(("XRANGE", inbox, "-", "+")))[0][0]
    stage.before = once("commit", lambda: stage.do(Command(("XDEL", inbox, first))))
    stage.retry_all(decider)
    stage.settle(decider)
    assert stage.claim("a") == []
    assert stage.view(workflow_id).tasks == []


def test_a_domain_that_a_refused_commit_chose_by_polls_does_not_get_the_task(stage: Stage) -> None:
    decider = stage.decider()
    for domain in ("us", "eu"):
        stage.start(flow(step("a")), task_to_domain={"a": domain})
        stage.settle(decider)
        stage.report(stage.claim("a", domain=domain))
    stage.settle(decider)
    stage.start(flow(step("a")), task_to_domain={"a": "us,eu"})
    stage.before = once("commit", lambda: stage.do(acquire(stage.keys, 0, "d2", LEASE_MS, force=True)))
    stage.settle(decider)
    stage.tick(LEASE_MS + 1)
    stage.do(polls.note_polls(stage.keys, [polls.PollNote("a", "us", "w1", 0)]))
    successor = stage.decider("d2")
    stage.settle(successor)
    assert len(stage.claim("a", domain="us")) == 1
    assert stage.claim("a", domain="eu") == []


def test_a_queue_that_refuses_gets_its_tasks_later_and_holds_up_no_other(stage: Stage) -> None:
    stage.start(flow(step("a")))
    stage.start(flow(step("b")))
    decider = stage.decider()
    stage.spoil(stage.keys.queue_meta("a"))
    stage.settle(decider)
    assert stage.work("b") == 1
    stage.do(Command(("DEL", stage.keys.queue_meta("a"))))
    trips = stage.trips
    stage.run(decider.redrive())
    assert stage.trips == trips  # not yet
    stage.tick(DELIVER_AGAIN_MS, decider)
    stage.settle(decider)
    assert stage.work("a") == 1
    stage.settle(decider)
    assert stage.outbox() == 0


def test_an_outbox_entry_of_a_newer_release_stays_and_holds_up_nobody(stage: Stage) -> None:
    stage.do(Command(("XADD", stage.keys.outbox(0), "*", "b", codec.pack([["future", 1]]))))
    stage.start(flow(step("a")))
    stage.settle(stage.decider())
    assert stage.work("a") == 1
    assert [body for _, body in stage.do(read_outbox(stage.keys, 0))] == [codec.pack([["future", 1]])]


def test_a_cancelled_task_leaves_its_queue(stage: Stage) -> None:
    workflow_id = stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    stage.ask(workflow_id, "terminate")
    stage.settle(decider)
    assert stage.claim("a") == []
    assert stage.do(Command(("HLEN", stage.keys.records("a")))) == 0


def _failure_pair(stage: Stage, payload: object = "small") -> tuple[str, str]:
    """A workflow that has failed, and the id of its failure workflow."""
    stage.register(NO_RETRY)
    workflow_id = stage.start(
        flow(step("a", input_parameters={"x": "${workflow.input.x}"}), failure_workflow="rescue"), {"x": payload}
    )
    decider = stage.decider()
    stage.settle(decider)
    stage.work("a", {"why": "broken"}, "FAILED")
    stage.settle(decider)
    stage.settle(decider)
    assert stage.status(workflow_id) == "FAILED"
    return workflow_id, ids.failure_workflow_id(workflow_id, 0)


def _rescue() -> WorkflowDef:
    return flow(step("b"), name="rescue")


def test_a_failure_workflow_is_given_the_execution_that_failed(stage: Stage) -> None:
    stage.register(_rescue())
    failed_id, rescue_id = _failure_pair(stage)
    given = stage.view(rescue_id).input
    assert (given["workflowId"], given["failureStatus"], given["x"]) == (failed_id, "FAILED", "small")
    assert given["failureTaskId"] == stage.task_id(failed_id, "a")
    assert given["failedWorkflow"]["tasks"][0]["outputData"] == {"why": "broken"}
    assert stage.work("b") == 1
    assert stage.outbox() == 0


def test_a_failed_execution_that_is_too_large_is_given_without_its_tasks(fakeredis_url: str) -> None:
    stage = Stage(fakeredis_url, payload_bytes_max=20_000)
    stage.register(_rescue())
    failed_id, rescue_id = _failure_pair(stage, "x" * 8_000)
    given = stage.view(rescue_id).input
    assert given["failedWorkflow"]["workflowId"] == failed_id
    assert given["failedWorkflow"]["tasks"] == []
    stage.close()


def test_a_failure_workflow_that_is_not_defined_is_logged_and_nothing_is_stuck(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    failed_id, rescue_id = _failure_pair(stage)
    (record,) = [record for record in caplog.records if record.getMessage() == "workflow_start_failed"]
    assert record.__dict__["workflow_id"] == rescue_id
    assert "rescue" in record.__dict__["reason"]
    assert stage.outbox() == 0
    assert stage.view(failed_id).output["conductor.failure_workflow"] == rescue_id


def test_a_failure_workflow_starts_once_however_often_it_is_handed_off(stage: Stage) -> None:
    stage.register(_rescue())
    stage.register(NO_RETRY)
    workflow_id = stage.start(flow(step("a"), failure_workflow="rescue"))
    decider = stage.decider()
    stage.settle(decider)
    stage.work("a", status="FAILED")

    def die_after_the_start(steps: Sequence[Call | Command]) -> None:
        if has_script(steps, "start"):
            stage.before = None
            stage.do(steps)
            raise Died

    stage.before = die_after_the_start
    with pytest.raises(Died):
        stage.settle(decider)
    _successor(stage)
    assert stage.status(ids.failure_workflow_id(workflow_id, 0)) == "RUNNING"
    assert len(stage.claim("b")) == 1
    assert stage.do(Command(("ZCARD", stage.keys.by_name(stage.keys.partition_of(workflow_id), "flow")))) == 1


def test_the_end_of_a_child_is_an_outcome_of_its_parents_task(stage: Stage) -> None:
    parent = stage.start(flow(step("a"), step("b")))
    decider = stage.decider()
    stage.settle(decider)
    child = stage.start(
        flow(step("c"), name="child", output_parameters={"sum": "${c.output.v}"}),
        number=1,
        parent_workflow_id=parent,
        parent_task_id=stage.task_id(parent, "a"),
    )
    stage.settle(decider)
    stage.work("c", {"v": 7})
    stage.settle(decider)
    assert stage.status(child) == "COMPLETED"
    (task,) = stage.tasks(parent, "a")
    assert (task.status, task.output_data) == ("COMPLETED", {"sum": 7})
    assert stage.work("b") == 1


def test_a_parent_that_cannot_be_told_is_told_later(stage: Stage) -> None:
    parent = stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    stage.start(flow(step("c"), name="child"), number=1, parent_workflow_id=parent, parent_task_id=f"{parent}-x")
    stage.settle(decider)
    stage.work("c")
    decider.estates.pop(0)
    stage.spoil(stage.keys.inbox(0))
    stage.settle(decider)
    assert stage.count(stage.keys.outbox(1)) == 1
    stage.do(Command(("DEL", stage.keys.inbox(0))))
    stage.tick(DELIVER_AGAIN_MS, decider)
    stage.settle(decider)
    assert stage.count(stage.keys.outbox(1)) == 0
