"""Task definitions are live: limits reach the queues, a new policy governs the next attempt of what already runs."""

from __future__ import annotations

import pytest

from orchestrator.model.definitions import TaskDef
from orchestrator.plan import Command
from orchestrator.service import metadata
from orchestrator.store import catalog, queue
from tests.engine.stage import Stage, flow, step


def test_new_limits_reach_the_queue_with_the_next_hand_off(stage: Stage) -> None:
    decider = stage.decider()
    stage.do(catalog.put_task_definition(stage.keys, "a", b'{"name": "a", "concurrentExecLimit": 2}'))
    stage.run(decider.beat())
    for _ in range(3):
        stage.start(flow(step("a")))
    stage.settle(decider)
    assert len(stage.claim("a")) == 2
    (stats,) = stage.run(queue.stats(stage.store.queues, ["a"]))
    assert stats.limits.concurrency == 2


def test_the_limits_of_a_deleted_definition_are_lifted(stage: Stage) -> None:
    stage.register(TaskDef(name="a", concurrent_exec_limit=1))
    decider = stage.decider()
    stage.start(flow(step("a")))
    stage.settle(decider)
    stage.do(catalog.delete_task_definition(stage.keys, "a"))
    stage.run(decider.beat())
    for _ in range(2):
        stage.start(flow(step("a")))
    stage.settle(decider)
    assert len(stage.claim("a")) == 3


def test_a_new_retry_policy_governs_the_next_attempt(stage: Stage) -> None:
    stage.register(TaskDef(name="a", retry_count=0))
    workflow_id = stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    stage.register(TaskDef(name="a", retry_count=1, retry_delay_seconds=7))
    stage.run(decider.beat())
    stage.work("a", status="FAILED")
    stage.settle(decider)
    assert [task.status for task in stage.tasks(workflow_id, "a")] == ["FAILED", "SCHEDULED"]
    assert stage.claim("a") == []
    stage.tick(7_000, decider)
    assert stage.work("a") == 1
    stage.settle(decider)
    assert stage.status(workflow_id) == "COMPLETED"


def test_many_definitions_are_read_in_portions_and_then_only_what_changed(stage: Stage) -> None:
    for number in range(300):
        stage.do(catalog.put_task_definition(stage.keys, f"t{number}", b'{"name": "t%d"}' % number))
    decider = stage.decider()
    assert len(decider.definitions.task_defs) == 300
    commands = stage.commands
    stage.run(decider.definitions.refresh())
    assert stage.commands == commands + 2  # the changes, and the environment values


def test_a_damaged_definition_keeps_what_was_known_before(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.run(metadata.put_task_def(stage.store, TaskDef(name="a", retry_count=7)))
    decider = stage.decider()
    stage.do(catalog.put_task_definition(stage.keys, "a", b"{"))
    stage.run(decider.definitions.refresh())
    assert decider.definitions.task_defs["a"].retry_count == 7
    assert "task_definition_unreadable" in caplog.messages


def test_facts_are_the_same_object_until_something_changes(stage: Stage) -> None:
    decider = stage.decider()
    facts = decider.facts()
    stage.run(decider.beat())
    assert decider.facts() is facts
    stage.register(TaskDef(name="a"))
    stage.run(decider.beat())
    assert decider.facts() is not facts


def test_definitions_live_in_the_partition_and_not_in_the_catalog(stage: Stage) -> None:
    workflow_id = stage.start(flow(step("a"), step("b")))
    stage.settle(stage.decider())
    stage.do(Command(("DEL", stage.keys.workflow_names())))
    stage.work("a")
    fresh = stage.decider()
    stage.settle(fresh)
    assert stage.work("b") == 1
    stage.settle(fresh)
    assert stage.status(workflow_id) == "COMPLETED"
