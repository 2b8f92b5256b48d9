"""Definitions in the catalog: judged before they are stored, found by name and version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.core.kinds import DISPATCH, SYSTEM_TASK_TYPES
from orchestrator.engine.starts import resolve_inline
from orchestrator.errors import Conflict, DefinitionInvalid, DefinitionNotFound
from orchestrator.model.definitions import TaskDef, TaskType, WorkflowDef, WorkflowTask
from orchestrator.plan import Plan
from orchestrator.service import metadata
from orchestrator.service.metadata import Applied
from orchestrator.settings import Settings
from orchestrator.store import queue
from orchestrator.store.connection import connect
from orchestrator.store.context import StoreContext
from orchestrator.store.executors import SyncExecutor

RESOLVED = {TaskType.SIMPLE, TaskType.USER_DEFINED, TaskType.DYNAMIC}


@pytest.fixture
def store() -> StoreContext:
    """The names of the default installation."""
    return StoreContext(Settings())


@pytest.fixture
def executor(store_url: str) -> Iterator[SyncExecutor]:
    """An empty store, once per backend."""
    connection = connect(store_url)
    yield connection.sync()
    connection.close()


def order(version: int = 1, description: str | None = None, **step: Any) -> WorkflowDef:
    task = WorkflowTask(name="pay", task_reference_name="pay", **step)
    return WorkflowDef(name="order", version=version, description=description, tasks=[task])


def test_a_version_is_stored_once_and_the_same_text_is_no_conflict(executor: SyncExecutor, store: StoreContext) -> None:
    assert executor.run(metadata.register_workflow(store, order())) == Applied("workflow", "order", 1, True)
    assert executor.run(metadata.register_workflow(store, order())) == Applied("workflow", "order", 1, False)
    with pytest.raises(Conflict, match=r"order\.1 already exists!"):
        executor.run(metadata.register_workflow(store, order(description="other")))
    assert executor.run(metadata.register_workflow(store, order(description="other"), overwrite=True)).changed
    assert executor.run(metadata.get_workflow(store, "order")).description == "other"


def test_versions_are_listed_and_the_latest_is_the_default(executor: SyncExecutor, store: StoreContext) -> None:
    executor.run(metadata.apply(store, [order(1), order(3), order(2)]))
    assert [found.version for found in executor.run(metadata.workflow_versions(store, "order"))] == [1, 2, 3]
    assert executor.run(metadata.get_workflow(store, "order")).version == 3
    assert executor.run(metadata.get_workflow(store, "order", 2)).version == 2
    assert [found.version for found in executor.run(metadata.list_workflows(store))] == [3]
    executor.run(metadata.delete_workflow(store, "order", 3))
    assert executor.run(metadata.get_workflow(store, "order")).version == 2


def test_what_is_not_there_is_not_found(executor: SyncExecutor, store: StoreContext) -> None:
    plans: tuple[Plan[Any], ...] = (
        metadata.get_workflow(store, "order", 7),
        metadata.workflow_versions(store, "order"),
        metadata.get_task_def(store, "pay"),
        metadata.delete_workflow(store, "order", 7),
    )
    for plan in plans:
        with pytest.raises(DefinitionNotFound):
            executor.run(plan)
    assert not executor.run(metadata.list_workflows(store))
    assert not executor.run(metadata.list_task_defs(store))


@pytest.mark.parametrize("kind", sorted(set(TaskType) - DISPATCH.keys() - SYSTEM_TASK_TYPES - RESOLVED))
def test_a_type_this_engine_does_not_run_is_refused_with_its_place(
    executor: SyncExecutor, store: StoreContext, kind: str
) -> None:
    with pytest.raises(DefinitionInvalid, match="not supported") as caught:
        executor.run(metadata.register_workflow(store, order(type=kind)))
    assert [problem.path for problem in caught.value.problems] == ["tasks[0].type"]


def test_a_definition_of_five_megabytes_is_refused_with_advice(executor: SyncExecutor, store: StoreContext) -> None:
    steps = [
        WorkflowTask(name="a", task_reference_name=f"a{n}", input_parameters={"x": "y" * 500}) for n in range(6_000)
    ]
    large = WorkflowDef(name="large", tasks=steps)
    with pytest.raises(DefinitionInvalid, match="bytes of JSON, at most 4,194,304 are taken; move parts of it into"):
        executor.run(metadata.register_workflow(store, large))
    with pytest.raises(DefinitionInvalid, match="bytes of JSON"):
        resolve_inline(large)


def test_an_expression_that_cannot_be_read_is_refused(executor: SyncExecutor, store: StoreContext) -> None:
    broken = order(input_parameters={"sum": "${workflow.input.sum[}"})
    assert executor.run(metadata.validate(store, broken))


def test_nothing_is_stored_when_one_of_several_is_wrong(executor: SyncExecutor, store: StoreContext) -> None:
    with pytest.raises(DefinitionInvalid) as caught:
        executor.run(metadata.apply(store, [order(), TaskDef(name="pay", retry_count=-1), WorkflowDef(name="empty")]))
    assert {problem.path.split("' ")[0] for problem in caught.value.problems} == {"task 'pay", "workflow 'empty"}
    assert not executor.run(metadata.list_workflows(store))
    assert not executor.run(metadata.list_task_defs(store))


def test_a_task_definition_replaces_the_former_and_its_limits_reach_the_queue(
    executor: SyncExecutor, store: StoreContext
) -> None:
    assert executor.run(metadata.put_task_def(store, TaskDef(name="pay", concurrent_exec_limit=3))).changed
    assert executor.run(metadata.put_task_def(store, TaskDef(name="pay", concurrent_exec_limit=2))).changed
    assert not executor.run(metadata.put_task_def(store, TaskDef(name="pay", concurrent_exec_limit=2))).changed
    assert executor.run(metadata.get_task_def(store, "pay")).concurrent_exec_limit == 2
    rated = TaskDef(name="pay", concurrent_exec_limit=2, rate_limit_per_frequency=5, rate_limit_frequency_in_seconds=60)
    assert executor.run(metadata.put_task_def(store, rated)).changed
    (stats,) = executor.run(queue.stats(store.queues, ["pay"]))
    assert isinstance(stats, queue.QueueStats)
    assert stats.limits is not None
    assert (stats.limits.concurrency, stats.limits.rate, stats.limits.window_ms) == (2, 5, 60_000)


def test_a_task_definition_that_somebody_stored_stays(executor: SyncExecutor, store: StoreContext) -> None:
    executor.run(metadata.put_task_def(store, TaskDef(name="pay", retry_count=9)))
    replies = executor.run(metadata.put_absent_task_defs(store, [TaskDef(name="pay"), TaskDef(name="ship")]))
    assert [reply.result for reply in replies] == ["EXISTS", "OK"]
    assert [found.retry_count for found in executor.run(metadata.list_task_defs(store))] == [9, 3]
