"""Tasks from outside: looked at, told how they ended, by id and by reference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import Raw

from orchestrator import RetryPolicy, TaskContext, Workflow, task
from orchestrator.client import WorkflowHandle
from orchestrator.codec import pack
from orchestrator.errors import DefinitionInvalid, InvalidPayload, InvalidRequest, TaskNotFound, WorkflowNotFound
from orchestrator.model.execution import TaskExecLog, TaskResult
from orchestrator.model.records import FORMAT, Outcome
from orchestrator.model.status import TaskStatus
from orchestrator.plan import Plan
from orchestrator.service import dispatch, tasks
from orchestrator.service.dispatch import TaskToRun, Want
from orchestrator.testing import Environment
from tests.support.served import MakeEnvironment, asked


@task(retry=RetryPolicy(limit=1, delay_s=5))
def pay(context: TaskContext) -> str:
    context.log("paying")
    return "paid"


order = Workflow("order").then(pay)


@pytest.fixture
def env(environment: MakeEnvironment) -> Iterator[Environment]:
    """An installation whose worker runs only when told."""
    with environment([pay]) as env:
        yield env


@pytest.fixture
def handle(env: Environment) -> WorkflowHandle:
    """An order that waits for its payment."""
    return env.client.start_workflow(order)


def result_of(handle: WorkflowHandle, status: TaskStatus, **fields: Any) -> TaskResult:
    task_id = handle.describe().task("pay").task_id
    return TaskResult(workflow_instance_id=handle.id, task_id=task_id, status=status, **fields)


def test_the_word_from_outside_ends_a_task(env: Environment, handle: WorkflowHandle) -> None:
    result = result_of(
        handle, TaskStatus.COMPLETED, output_data={"by": "hand"}, worker_id="Ada", logs=[TaskExecLog(log="by hand")]
    )
    assert asked(env, tasks.update_task, result).is_accepted
    assert handle.result() == {"by": "hand"}
    found = asked(env, tasks.get_task, result.task_id)
    assert (found.status, found.worker_id) == ("COMPLETED", "Ada")
    assert [line.log for line in asked(env, tasks.logs, result.task_id)] == ["by hand"]
    assert env.drain() == 0


def test_a_word_that_comes_too_late_changes_nothing(env: Environment, handle: WorkflowHandle) -> None:
    env.drain()
    result = result_of(handle, TaskStatus.FAILED)
    assert not asked(env, tasks.update_task, result).is_accepted
    assert handle.result() == {"result": "paid"}


def test_a_failure_from_outside_is_retried_like_any_other(env: Environment, handle: WorkflowHandle) -> None:
    failed = result_of(handle, TaskStatus.FAILED, reason_for_incompletion="lost the card" * 100)
    asked(env, tasks.update_task, failed)
    assert handle.result() == {"result": "paid"}
    assert [attempt.status for attempt in handle.describe().tasks] == ["FAILED", "COMPLETED"]
    assert handle.describe().tasks[0].reason_for_incompletion == "lost the card" * 100
    assert [line.log for line in asked(env, tasks.logs, handle.describe().tasks[1].task_id)] == ["paying"]


def test_that_a_task_goes_on_is_kept_with_it_and_leaves_it_where_its_queue_has_it(
    env: Environment, handle: WorkflowHandle
) -> None:
    result = result_of(handle, TaskStatus.IN_PROGRESS, callback_after_seconds=30, output_data={"so": "far"})
    assert asked(env, tasks.update_task, result).is_accepted
    env.decide()
    found = handle.describe().task("pay")
    assert (found.status, found.callback_after_seconds, found.output_data) == ("SCHEDULED", 30, {"so": "far"})
    assert env.drain() == 1
    assert handle.result() == {"result": "paid"}


def test_a_task_that_a_worker_of_ours_runs_stays_with_it_whatever_is_said_of_its_progress(
    env: Environment, handle: WorkflowHandle
) -> None:
    claim = env.run(dispatch.claim_tasks(env.store, [Want("pay", None, 1)], "w1"))
    (run,) = env.run(dispatch.start_tasks(env.store, claim.claimed, "w1"))
    assert isinstance(run, TaskToRun)
    result = result_of(handle, TaskStatus.IN_PROGRESS, callback_after_seconds=3, output_data={"so": "far"})
    assert asked(env, tasks.update_task, result).is_accepted
    env.decide()
    found = handle.describe().task("pay")
    assert (found.status, found.callback_after_seconds, found.output_data) == ("IN_PROGRESS", 0, {"so": "far"})
    env.clock.advance(4)
    assert env.drain() == 0  # it is not handed out a second time
    beats = env.run(dispatch.extend_leases(env.store, claim.claimed))
    assert list(beats.values()) == ["OK"]
    ended = dispatch.Report(run.claimed, Outcome(FORMAT, "COMPLETED", output=Raw(pack({"paid": 1}))))
    (judged,) = env.run(dispatch.report_tasks(env.store, [ended], "w1"))
    assert (judged.word, handle.result()) == ("OK", {"paid": 1})


def test_a_task_of_a_worker_that_died_after_such_a_word_is_handed_out_when_its_lease_is_over(
    env: Environment, handle: WorkflowHandle
) -> None:
    claim = env.run(dispatch.claim_tasks(env.store, [Want("pay", None, 1)], "w1"))
    env.run(dispatch.start_tasks(env.store, claim.claimed, "w1"))
    result = result_of(handle, TaskStatus.IN_PROGRESS, callback_after_seconds=3600)
    assert asked(env, tasks.update_task, result).is_accepted
    env.clock.advance(16)
    assert env.drain() == 1
    assert handle.result() == {"result": "paid"}


def test_an_update_by_reference_is_laid_over_what_is_there(env: Environment, handle: WorkflowHandle) -> None:
    asked(env, tasks.update_task_by_ref, handle.id, "pay", "IN_PROGRESS", {"a": 1, "b": 1})
    assert handle.describe().task("pay").output_data == {"a": 1, "b": 1}
    asked(env, tasks.update_task_by_ref, handle.id, "pay", "COMPLETED", {"b": 2}, worker_id="Ada")
    assert handle.result() == {"a": 1, "b": 2}


def test_a_reference_without_an_open_task_is_not_found(env: Environment, handle: WorkflowHandle) -> None:
    with pytest.raises(TaskNotFound, match=r"Found no running task ship .* open tasks: pay"):
        asked(env, tasks.update_task_by_ref, handle.id, "ship", "COMPLETED")


@pytest.mark.parametrize("task_id", ["x", "no-such-workflow-abcdefghijkl"])
def test_an_unknown_task_is_not_found(env: Environment, handle: WorkflowHandle, task_id: str) -> None:
    plans: tuple[Plan[Any], ...] = (tasks.get_task(env.store, task_id), tasks.logs(env.store, task_id))
    for plan in plans:
        with pytest.raises((TaskNotFound, WorkflowNotFound)):
            env.run(plan)
    other = handle.describe().task("pay").task_id[:-12] + "abcdefghijkl"
    with pytest.raises(TaskNotFound, match=other):
        asked(env, tasks.get_task, other)
    unknown = TaskResult(workflow_instance_id=handle.id, task_id=other, status=TaskStatus.COMPLETED)
    with pytest.raises(TaskNotFound, match=other):
        asked(env, tasks.update_task, unknown)


def test_what_nobody_may_report_is_refused(env: Environment, handle: WorkflowHandle) -> None:
    with pytest.raises(DefinitionInvalid, match="TIMED_OUT"):
        asked(env, tasks.update_task, result_of(handle, TaskStatus.TIMED_OUT))
    with pytest.raises(InvalidRequest, match="SKIPPED"):
        asked(env, tasks.update_task_by_ref, handle.id, "pay", "SKIPPED")
    with pytest.raises(InvalidPayload):
        asked(env, tasks.update_task_by_ref, handle.id, "pay", "COMPLETED", {"x": float("nan")})
