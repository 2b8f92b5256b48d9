"""The slow repair finds what no queue knows of, offers it again, and counts it."""

from __future__ import annotations

from orchestrator.engine.decider import Decider
from orchestrator.engine.sweep import MISSING_AFTER_MS, WORKFLOWS_PER_TURN, sweep
from orchestrator.model.definitions import WorkflowTask
from orchestrator.plan import Command
from tests.engine.stage import Stage, flow, step


def _sweep(stage: Stage, decider: Decider) -> None:
    cursor = 0
    while cursor := stage.run(sweep(decider, decider.estates[0], cursor)):
        continue


def _lose_the_queue(stage: Stage) -> None:
    stage.do(Command(("DEL", stage.keys.records("a"), stage.keys.ready("a"))))


def test_a_task_that_no_queue_knows_is_offered_again_and_counted(stage: Stage) -> None:
    workflow_id = stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    _lose_the_queue(stage)
    stage.tick(MISSING_AFTER_MS + 1, decider)
    _sweep(stage, decider)
    assert decider.repairs == 1
    assert stage.work("a") == 1
    stage.settle(decider)
    assert stage.status(workflow_id) == "COMPLETED"


def test_a_young_task_may_still_be_on_its_way(stage: Stage) -> None:
    stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    _lose_the_queue(stage)
    stage.tick(MISSING_AFTER_MS, decider)
    _sweep(stage, decider)
    assert decider.repairs == 0


def test_what_is_in_its_queue_or_waits_for_nobody_is_left_alone(stage: Stage) -> None:
    stage.start(flow(step("a")))
    stage.start(flow(WorkflowTask(name="w", task_reference_name="w", type="WAIT")))
    decider = stage.decider()
    stage.settle(decider)
    stage.tick(MISSING_AFTER_MS + 1, decider)
    _sweep(stage, decider)
    assert decider.repairs == 0
    assert len(stage.claim("a")) == 1


def test_many_workflows_are_checked_in_a_few_round_trips_each_slice(stage: Stage) -> None:
    for _ in range(3 * WORKFLOWS_PER_TURN):
        stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    _lose_the_queue(stage)
    stage.tick(MISSING_AFTER_MS + 1, decider)
    trips = stage.trips
    _sweep(stage, decider)
    assert decider.repairs == 3 * WORKFLOWS_PER_TURN
    assert stage.trips - trips <= 5 * 10


def test_a_damaged_workflow_does_not_keep_the_others_from_being_repaired(stage: Stage) -> None:
    ill, odd = stage.start(flow(step("a"))), stage.start(flow(step("a")))
    stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    _lose_the_queue(stage)
    stage.spoil(stage.keys.dispatch(0, ill))
    stage.do(Command(("HSET", stage.keys.workflow(0, odd), "Sa", b"\xc1")))
    stage.tick(MISSING_AFTER_MS + 1, decider)
    _sweep(stage, decider)
    assert decider.repairs == 1
