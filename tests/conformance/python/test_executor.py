"""What the SDK's ``WorkflowExecutor`` does: the same things as ``WorkflowClient`` and ``TaskClient``, under other names."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.python.hand import Model, Raised, Sdk, models
from tests.support.eventually import eventually

pytestmark = [pytest.mark.slow, pytest.mark.alone]

GATE = models.WorkflowTask(name="first", task_reference_name="first", type="WAIT", input_parameters={})
SECOND = models.WorkflowTask(name="second", task_reference_name="second", type="WAIT", input_parameters={})
PULL = models.WorkflowTask(name="pull", task_reference_name="pull", type="PULL_WORKFLOW_MESSAGES", input_parameters={})
COUNT = models.WorkflowTask(
    name="count",
    task_reference_name="count",
    type="INLINE",
    input_parameters={"evaluatorType": "javascript", "expression": "$.n + 1", "n": "${workflow.input.n}"},
)


@pytest.fixture(scope="module", autouse=True)
def _definitions(sdk: Sdk) -> None:
    for name, tasks in {"counting": [COUNT], "two_gates": [GATE, SECOND], "pulling": [PULL]}.items():
        definition = models.WorkflowDef(name=name, version=1, tasks=tasks)
        told = sdk.executor.register_workflow(definition, overwrite=True)
        assert told["bulkSuccessfulResults"] == [name]
        assert told["bulkErrorResults"] == {}


def request(name: str, **fields: Any) -> Any:
    return models.StartWorkflowRequest(name=name, version=1, **fields)


def standing(sdk: Sdk, workflow_id: str, status: str) -> Model:
    """The execution, once it has that status."""

    def look() -> Model:
        found: Model = sdk.executor.get_workflow(workflow_id, include_tasks=True)
        assert found.status == status
        return found

    return eventually(look)


def test_one_or_several_are_started(sdk: Sdk) -> None:
    one = sdk.executor.start_workflow(request("counting", input={"n": 1}))
    two, three = sdk.executor.start_workflows(*(request("counting", input={"n": n}) for n in (2, 3)))
    results = [standing(sdk, workflow_id, "COMPLETED").output for workflow_id in (one, two, three)]
    assert results == [{"result": 2}, {"result": 3}, {"result": 4}]


def test_a_workflow_is_executed(sdk: Sdk) -> None:
    run = sdk.executor.execute_workflow(request("counting", input={"n": 5}), wait_for_seconds=10, request_id="exec-1")
    assert (run.status, run.output, run.request_id) == ("COMPLETED", {"result": 6}, "exec-1")


def test_a_workflow_is_executed_by_name_and_version(sdk: Sdk) -> None:
    run = sdk.executor.execute("counting", version=1, workflow_input={"n": 6}, correlation_id="by-name", domain="eu")
    assert (run.status, run.output, run.correlation_id) == ("COMPLETED", {"result": 7}, "by-name")
    assert sdk.executor.get_workflow(run.workflow_id, include_tasks=True).task_to_domain == {"*": "eu"}


def test_a_signal_is_answered_with_where_the_workflow_stands_then(sdk: Sdk) -> None:
    begun = sdk.executor.execute_workflow_with_return_strategy(
        request("two_gates"), wait_for_seconds=5, return_strategy="BLOCKING_TASK"
    )
    assert (begun.response_type, begun.reference_task_name) == ("BLOCKING_TASK", "first")
    blocked = sdk.executor.signal(begun.workflow_id, "COMPLETED", {"word": 1}, return_strategy="BLOCKING_TASK")
    assert (blocked.reference_task_name, blocked.status) == ("second", "IN_PROGRESS")
    ended = sdk.executor.signal(begun.workflow_id, "COMPLETED", {"word": 2})
    assert (ended.response_type, ended.target_workflow_status) == ("TARGET_WORKFLOW", "COMPLETED")
    assert ended.output == {"word": 2}


def test_a_signal_need_not_be_waited_for(sdk: Sdk) -> None:
    workflow_id = sdk.executor.start_workflow(request("two_gates"))
    sdk.executor.signal_async(workflow_id, "COMPLETED", {"word": 1})
    first, second = standing(sdk, workflow_id, "RUNNING").tasks
    assert (first.status, first.output_data, second.status) == ("COMPLETED", {"word": 1}, "IN_PROGRESS")


def test_tasks_are_updated_by_id_and_by_reference(sdk: Sdk) -> None:
    workflow_id = sdk.executor.start_workflow(request("two_gates"))
    (first,) = standing(sdk, workflow_id, "RUNNING").tasks
    assert sdk.executor.update_task(first.task_id, workflow_id, {"n": 1}, "COMPLETED") == first.task_id
    found = sdk.executor.get_task(first.task_id)
    assert (found.status, found.output_data, found.reference_task_name) == ("COMPLETED", {"n": 1}, "first")
    second_id = sdk.executor.update_task_by_ref_name({"n": 2}, workflow_id, "second", "COMPLETED")
    ended = standing(sdk, workflow_id, "COMPLETED")
    assert (ended.tasks[1].task_id, ended.output) == (second_id, {"n": 2})


def test_an_update_may_be_answered_with_the_workflow(sdk: Sdk) -> None:
    workflow_id = sdk.executor.start_workflow(request("two_gates"))
    found = sdk.executor.update_task_by_ref_name_sync({"n": 1}, workflow_id, "first", "COMPLETED")
    assert [(task.reference_task_name, task.status) for task in found.tasks] == [
        ("first", "COMPLETED"),
        ("second", "IN_PROGRESS"),
    ]


def test_executions_are_paused_resumed_and_terminated(sdk: Sdk) -> None:
    workflow_id = sdk.executor.start_workflow(request("two_gates"))
    sdk.executor.pause(workflow_id)
    assert sdk.executor.get_workflow_status(workflow_id).status == "PAUSED"
    sdk.executor.resume(workflow_id)
    assert sdk.executor.get_workflow_status(workflow_id, include_variables=True).status == "RUNNING"
    sdk.executor.terminate(workflow_id, reason="enough", trigger_failure_workflow=False)
    ended = standing(sdk, workflow_id, "TERMINATED")
    assert ended.reason_for_incompletion == "enough"


def test_ended_executions_are_retried_restarted_rerun_and_removed(sdk: Sdk) -> None:
    workflow_id = sdk.executor.start_workflow(request("two_gates"))
    sdk.executor.terminate(workflow_id)
    standing(sdk, workflow_id, "TERMINATED")
    sdk.executor.retry(workflow_id, resume_subworkflow_tasks=False)
    assert [task.status for task in standing(sdk, workflow_id, "RUNNING").tasks] == ["CANCELED", "IN_PROGRESS"]
    sdk.executor.terminate(workflow_id)
    sdk.executor.restart(workflow_id, use_latest_definitions=True)
    assert [task.status for task in standing(sdk, workflow_id, "RUNNING").tasks] == ["IN_PROGRESS"]
    first_id = sdk.executor.update_task_by_ref_name({}, workflow_id, "first", "COMPLETED")
    sdk.executor.terminate(workflow_id)
    rerun = models.RerunWorkflowRequest(re_run_from_task_id=first_id, task_input={"again": True})
    assert sdk.executor.rerun(rerun, workflow_id) == workflow_id
    found = standing(sdk, workflow_id, "RUNNING")
    assert [(task.reference_task_name, task.input_data) for task in found.tasks] == [("first", {"again": True})]
    sdk.executor.terminate(workflow_id)
    sdk.executor.remove_workflow(workflow_id, archive_workflow=False)
    with pytest.raises(Raised) as refused:
        sdk.executor.get_workflow_status(workflow_id)
    assert refused.value.status == 404


def test_a_step_is_passed_over(sdk: Sdk) -> None:
    workflow_id = sdk.executor.start_workflow(request("two_gates"))
    sdk.executor.skip_task_from_workflow(workflow_id, "second", models.SkipTaskRequest())
    sdk.executor.update_task_by_ref_name({}, workflow_id, "first", "COMPLETED")
    assert [task.status for task in standing(sdk, workflow_id, "COMPLETED").tasks] == ["COMPLETED", "SKIPPED"]


def test_a_message_is_sent(sdk: Sdk) -> None:
    workflow_id = sdk.executor.start_workflow(request("pulling"))
    message_id = sdk.executor.send_message(workflow_id, {"n": 1})
    (message,) = standing(sdk, workflow_id, "COMPLETED").output["messages"]
    assert (message["id"], message["payload"]) == (message_id, {"n": 1})


def test_executions_are_searched_and_found_by_correlation_ids(sdk: Sdk) -> None:
    workflow_id = sdk.executor.start_workflow(request("two_gates", correlation_id="of-executor"))

    def found() -> list[str]:
        results = sdk.executor.search(start=0, size=10, free_text="*", query="correlationId = 'of-executor'").results
        return [line.workflow_id for line in results]

    eventually(lambda: found() == [workflow_id])
    by_id = sdk.executor.get_by_correlation_ids("two_gates", ["of-executor"], include_closed=False, include_tasks=True)
    assert [(one.workflow_id, len(one.tasks)) for one in by_id["of-executor"]] == [(workflow_id, 1)]
