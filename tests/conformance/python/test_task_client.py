"""What the SDK's ``TaskClient`` does for a worker that is written by hand, and for whoever watches the queues."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.python.hand import Model, Raised, Sdk, models
from tests.support.eventually import eventually

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def start(sdk: Sdk, task_type: str, count: int = 1, **fields: Any) -> list[str]:
    """Start workflows of one task of that type; the definition has its name."""
    task = models.WorkflowTask(
        name=task_type, task_reference_name="only", type="SIMPLE", input_parameters={"n": "${workflow.input.n}"}
    )
    sdk.metadata.update_workflow_def(models.WorkflowDef(name=task_type, version=1, tasks=[task]))
    request = models.StartWorkflowRequest(name=task_type, version=1, input={"n": 3}, **fields)
    return [sdk.workflow.start_workflow(request) for _ in range(count)]


def ended(sdk: Sdk, workflow_id: str) -> Model:
    def look() -> Model:
        found: Model = sdk.workflow.get_workflow(workflow_id)
        assert found.status == "COMPLETED"
        return found

    return eventually(look)


def test_a_task_is_polled_and_completed(sdk: Sdk) -> None:
    (workflow_id,) = start(sdk, "by_hand")
    task = sdk.task.poll_task("by_hand", worker_id="me")
    assert (task.status, task.input_data, task.workflow_instance_id) == ("IN_PROGRESS", {"n": 3}, workflow_id)
    assert (task.worker_id, task.poll_count, task.task_def_name) == ("me", 1, "by_hand")
    result = models.TaskResult(
        workflow_instance_id=workflow_id,
        task_id=task.task_id,
        worker_id="me",
        status="COMPLETED",
        output_data={"square": 9},
        logs=[models.TaskExecLog(log="squared", task_id=task.task_id, created_time=1)],
    )
    assert sdk.task.update_task(result) == task.task_id
    assert ended(sdk, workflow_id).output == {"square": 9}
    done = sdk.task.get_task(task.task_id)
    assert (done.status, done.output_data, done.worker_id) == ("COMPLETED", {"square": 9}, "me")
    assert done.scheduled_time <= done.start_time <= done.end_time
    assert [line.log for line in sdk.task.get_task_logs(task.task_id)] == ["squared"]
    assert sdk.task.update_task(result) == task.task_id  # too late is no error


def test_a_poll_without_a_task_is_a_task_without_anything(sdk: Sdk) -> None:
    assert sdk.task.poll_task("nobody_starts_this").task_id is None


def test_tasks_of_a_domain_are_polled_in_batches(sdk: Sdk) -> None:
    ids = start(sdk, "by_batch", 3, task_to_domain={"by_batch": "eu"})
    assert sdk.task.batch_poll_tasks("by_batch", worker_id="me", count=5, timeout_in_millisecond=100) == []
    found: list[Model] = []

    def poll() -> None:
        found.extend(sdk.task.batch_poll_tasks("by_batch", "me", count=5, timeout_in_millisecond=500, domain="eu"))
        assert len(found) == 3

    eventually(poll)
    assert sorted(task.workflow_instance_id for task in found) == sorted(ids)
    assert {task.domain for task in found} == {"eu"}


def test_a_worker_says_that_it_goes_on_and_gets_the_task_again(sdk: Sdk) -> None:
    (workflow_id,) = start(sdk, "by_steps")
    task = sdk.task.poll_task("by_steps", worker_id="me")
    going_on = models.TaskResult(
        workflow_instance_id=workflow_id,
        task_id=task.task_id,
        status="IN_PROGRESS",
        output_data={"step": 1},
        callback_after_seconds=0,
    )
    sdk.task.update_task(going_on)

    def again() -> Model:
        found: Model = sdk.task.poll_task("by_steps", worker_id="me")
        assert found.task_id == task.task_id
        return found

    second = eventually(again)
    assert (second.poll_count, second.output_data) == (2, {"step": 1})


def test_a_lease_is_extended(sdk: Sdk) -> None:
    (workflow_id,) = start(sdk, "by_lease")
    task = sdk.task.poll_task("by_lease", worker_id="me")
    extension = models.TaskResult(
        workflow_instance_id=workflow_id, task_id=task.task_id, status="IN_PROGRESS", extend_lease=True
    )
    assert sdk.task.update_task(extension) == task.task_id
    assert sdk.task.get_task(task.task_id).status == "IN_PROGRESS"


def test_an_update_by_reference_wraps_the_output_as_the_client_does(sdk: Sdk) -> None:
    (workflow_id,) = start(sdk, "by_ref")
    task_id = sdk.task.update_task_by_ref_name(workflow_id, "only", "COMPLETED", {"n": 1})
    found = ended(sdk, workflow_id)
    assert found.tasks[0].task_id == task_id
    assert found.output == {"result": {"n": 1}}


def test_an_update_is_answered_with_the_workflow(sdk: Sdk) -> None:
    (workflow_id,) = start(sdk, "by_sync")
    found = sdk.task.update_task_sync(workflow_id, "only", "COMPLETED", "text")
    assert (found.workflow_id, found.status, found.output) == (workflow_id, "COMPLETED", {"result": "text"})


def test_an_unknown_task_is_not_found(sdk: Sdk) -> None:
    with pytest.raises(Raised) as refused:
        sdk.task.get_task("00000000-0000-0000-0000-000000000000")
    assert (refused.value.kind, refused.value.status) == ("ApiException", 404)


def test_lines_are_added_to_the_log_of_a_task(sdk: Sdk) -> None:
    start(sdk, "by_log")
    task = sdk.task.poll_task("by_log", worker_id="me")
    lines = ["plain", 'a "quoted" one', "two\nlines", "ünïcode"]
    for line in lines:
        sdk.task.add_task_log(task.task_id, line)
    found = sdk.task.get_task_logs(task.task_id)
    assert [line.log for line in found] == lines
    assert {line.task_id for line in found} == {task.task_id}
    assert all(line.created_time > 1_600_000_000_000 for line in found)


def test_sizes_of_queues_and_last_polls_are_told(sdk: Sdk) -> None:
    start(sdk, "by_size", 2)
    eventually(lambda: sdk.task.get_queue_size_for_task("by_size") == 2)
    sdk.task.poll_task("by_size", worker_id="me")
    assert sdk.task.get_queue_size_for_task("by_size") == 1
    (poll,) = eventually(lambda: _polls(sdk, "by_size"))
    assert (poll.queue_name, poll.worker_id, poll.domain) == ("by_size", "me", None)
    assert poll.last_poll_time > 1_600_000_000_000
    assert sdk.task.get_queue_size_for_task("nobody_starts_this") == 0


def _polls(sdk: Sdk, task_type: str) -> list[Model]:
    found: list[Model] = sdk.task.get_task_poll_data(task_type)
    assert found
    return found
