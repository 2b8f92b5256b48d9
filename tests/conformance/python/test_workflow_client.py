"""What the SDK's ``WorkflowClient`` does to executions, and what it is told of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.python.hand import Model, Raised, Sdk, models
from tests.support.eventually import eventually

pytestmark = [pytest.mark.slow, pytest.mark.alone]

ADD = models.WorkflowTask(
    name="add",
    task_reference_name="add",
    type="INLINE",
    input_parameters={"evaluatorType": "javascript", "expression": "$.a + $.b", "a": "${workflow.input.a}", "b": 1},
)
GATE = models.WorkflowTask(name="gate", task_reference_name="gate", type="WAIT", input_parameters={})
WORK = models.WorkflowTask(name="work_of_sdk", task_reference_name="work", type="SIMPLE", input_parameters={"n": 5})
MAIL = models.WorkflowTask(name="mail", task_reference_name="mail", type="PULL_WORKFLOW_MESSAGES", input_parameters={})


@pytest.fixture(scope="module", autouse=True)
def _definitions(sdk: Sdk) -> None:
    """Flows that end at once, wait for somebody, wait for a worker, and one that follows upon a failure."""
    define(sdk, "sum", ADD, output_parameters={"sum": "${add.output.result}"})
    define(sdk, "gated", GATE, ADD, variables={"color": "red"})
    define(sdk, "worked", WORK, failure_workflow="cleanup")
    define(sdk, "cleanup", ADD)
    define(sdk, "mailbox", MAIL)


def define(sdk: Sdk, name: str, *tasks: Any, **fields: Any) -> None:
    sdk.metadata.register_workflow_def(models.WorkflowDef(name=name, version=1, tasks=list(tasks), **fields), True)


def start(sdk: Sdk, name: str, **fields: Any) -> str:
    workflow_id: str = sdk.workflow.start_workflow(models.StartWorkflowRequest(name=name, version=1, **fields))
    return workflow_id


def standing(sdk: Sdk, workflow_id: str, status: str) -> Model:
    """The execution, once it has that status."""

    def look() -> Model:
        found: Model = sdk.workflow.get_workflow(workflow_id)
        assert found.status == status
        return found

    return eventually(look)


def fail(sdk: Sdk, workflow_id: str) -> None:
    """Let the worker's task fail for good."""
    (task,) = sdk.workflow.get_workflow(workflow_id).tasks
    status, reason = "FAILED_WITH_TERMINAL_ERROR", "out of paper"
    sdk.task.update_task(
        models.TaskResult(
            workflow_instance_id=workflow_id, task_id=task.task_id, status=status, reason_for_incompletion=reason
        )
    )


# --- start and look ---------------------------------------------------------------------------------------------------


def test_a_workflow_is_started_by_a_request_and_looked_at(sdk: Sdk) -> None:
    workflow_id = start(sdk, "sum", input={"a": 4}, correlation_id="order-1", priority=7)
    found = standing(sdk, workflow_id, "COMPLETED")
    assert (found.workflow_id, found.workflow_name, found.workflow_version) == (workflow_id, "sum", 1)
    assert (found.input, found.output) == ({"a": 4}, {"sum": 5})
    assert (found.correlation_id, found.priority) == ("order-1", 7)
    assert 0 < found.start_time <= found.end_time
    (task,) = found.tasks
    assert (task.task_type, task.status, task.reference_task_name) == ("INLINE", "COMPLETED", "add")
    assert (task.output_data, task.seq, task.workflow_instance_id) == ({"result": 5}, 1, workflow_id)
    assert found.workflow_definition.name == "sum"


def test_a_workflow_is_started_by_name(sdk: Sdk) -> None:
    workflow_id = sdk.workflow.start_workflow_by_name("sum", {"a": 1}, version=1, correlationId="by-name", priority=3)
    found = standing(sdk, workflow_id, "COMPLETED")
    assert (found.output, found.correlation_id, found.priority) == ({"sum": 2}, "by-name", 3)


def test_a_start_repeated_under_its_key_is_refused_or_gives_the_first(sdk: Sdk) -> None:
    first = start(sdk, "sum", input={"a": 1}, idempotency_key="once")
    assert start(sdk, "sum", idempotency_key="once", idempotency_strategy="RETURN_EXISTING") == first
    with pytest.raises(Raised) as refused:
        start(sdk, "sum", idempotency_key="once")
    assert (refused.value.kind, refused.value.status) == ("ApiException", 409)


def test_an_unknown_workflow_is_not_found(sdk: Sdk) -> None:
    with pytest.raises(Raised) as refused:
        start(sdk, "nobody_knows_this")
    assert (refused.value.kind, refused.value.status) == ("ApiException", 404)
    assert "nobody_knows_this" in str(refused.value.message)


def test_the_status_comes_with_output_and_variables_if_they_are_asked_for(sdk: Sdk) -> None:
    workflow_id = start(sdk, "gated", correlation_id="order-2")
    bare = sdk.workflow.get_workflow_status(workflow_id)
    assert (bare.status, bare.workflow_id, bare.correlation_id) == ("RUNNING", workflow_id, "order-2")
    assert (bare.output, bare.variables) == (None, None)
    full = sdk.workflow.get_workflow_status(workflow_id, include_output=True, include_variables=True)
    assert (full.output, full.variables) == ({}, {"color": "red"})


def test_executions_are_found_by_correlation_ids(sdk: Sdk) -> None:
    open_one = start(sdk, "gated", correlation_id="c-1")
    ended = start(sdk, "sum", input={"a": 1}, correlation_id="c-1")
    standing(sdk, ended, "COMPLETED")
    found = sdk.workflow.get_by_correlation_ids("gated", ["c-1", "c-2"])
    assert {key: [one.workflow_id for one in each] for key, each in found.items()} == {"c-1": [open_one], "c-2": []}
    found = sdk.workflow.get_by_correlation_ids("sum", ["c-1"], include_completed=True, include_tasks=True)
    assert [(one.workflow_id, len(one.tasks)) for one in found["c-1"]] == [(ended, 1)]


def test_executions_of_several_workflows_are_found_by_correlation_ids(sdk: Sdk) -> None:
    ids = [start(sdk, name, input={"a": 1}, correlation_id="c-3") for name in ("gated", "sum")]
    standing(sdk, ids[1], "COMPLETED")
    asked = models.CorrelationIdsSearchRequest(correlation_ids=["c-3"], workflow_names=["gated", "sum"])
    open_ones = sdk.workflow.get_by_correlation_ids_in_batch(asked)
    assert [one.workflow_id for one in open_ones["c-3"]] == ids[:1]
    every = sdk.workflow.get_by_correlation_ids_in_batch(asked, include_completed=True, include_tasks=True)
    assert sorted(one.workflow_id for one in every["c-3"]) == sorted(ids)
    assert [len(one.tasks) for one in every["c-3"]] == [1, 1]


def test_executions_are_searched(sdk: Sdk) -> None:
    ids = [start(sdk, "sum", input={"a": n, "word": "zebra"}, correlation_id="searched") for n in range(3)]
    query = 'correlationId = "searched" AND status IN (COMPLETED)'
    page = eventually(lambda: _found(sdk, 3, query=query))
    assert sorted(line.workflow_id for line in page) == sorted(ids)
    assert {(line.workflow_type, line.version, line.status) for line in page} == {("sum", 1, "COMPLETED")}
    assert len(_found(sdk, 1, start=2, size=100, query=query)) == 1
    assert len(_found(sdk, 2, size=2, query=query)) == 2
    assert sorted(line.workflow_id for line in _found(sdk, 3, free_text="zebra")) == sorted(ids)


def _found(sdk: Sdk, count: int, **asked: Any) -> list[Model]:
    results: list[Model] = sdk.workflow.search(**asked).results
    assert len(results) == count
    return results


# --- execute ----------------------------------------------------------------------------------------------------------


def test_a_workflow_is_executed_until_it_ends(sdk: Sdk) -> None:
    request = models.StartWorkflowRequest(name="sum", version=1, input={"a": 41}, correlation_id="run")
    run = sdk.workflow.execute_workflow(request, request_id="run-1", wait_for_seconds=10)
    assert (run.status, run.output, run.correlation_id, run.request_id) == ("COMPLETED", {"sum": 42}, "run", "run-1")
    assert [task.reference_task_name for task in run.tasks] == ["add"]
    again = sdk.workflow.execute_workflow(request, request_id="run-1", wait_for_seconds=10)
    assert again.workflow_id == run.workflow_id


def test_it_is_executed_until_a_task_has_ended(sdk: Sdk) -> None:
    define(sdk, "sum_then_gate", ADD, GATE)
    request = models.StartWorkflowRequest(name="sum_then_gate", version=1, input={"a": 1})
    run = sdk.workflow.execute_workflow(request, wait_until_task_ref="add")
    assert run.status == "RUNNING"
    assert run.tasks[0].output_data == {"result": 2}


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("TARGET_WORKFLOW", {"status": "RUNNING", "variables": {"color": "red"}}),
        ("BLOCKING_WORKFLOW", {"status": "RUNNING", "variables": {"color": "red"}}),
        ("BLOCKING_TASK", {"task_type": "WAIT", "reference_task_name": "gate", "status": "IN_PROGRESS"}),
        ("BLOCKING_TASK_INPUT", {"task_type": "WAIT", "reference_task_name": "gate", "status": "IN_PROGRESS"}),
    ],
)
def test_an_execution_is_answered_by_its_return_strategy(sdk: Sdk, strategy: str, expected: dict[str, Any]) -> None:
    answer = sdk.workflow.execute_workflow_with_return_strategy(
        models.StartWorkflowRequest(name="gated", version=1),
        request_id=f"strategy-{strategy}",
        wait_for_seconds=5,
        consistency="SYNCHRONOUS",
        return_strategy=strategy,
    )
    assert (answer.response_type, answer.target_workflow_status) == (strategy, "RUNNING")
    assert answer.target_workflow_id == answer.workflow_id
    assert {name: getattr(answer, name) for name in expected} == expected


# --- act --------------------------------------------------------------------------------------------------------------


def test_a_paused_workflow_schedules_nothing_until_it_is_resumed(sdk: Sdk) -> None:
    workflow_id = start(sdk, "gated", input={"a": 1})
    sdk.workflow.pause_workflow(workflow_id)
    assert sdk.workflow.get_workflow(workflow_id).status == "PAUSED"
    sdk.task.update_task_by_ref_name(workflow_id, "gate", "COMPLETED", "go")
    found = sdk.workflow.get_workflow(workflow_id)
    assert [(task.reference_task_name, task.status) for task in found.tasks] == [("gate", "COMPLETED")]
    assert found.tasks[0].output_data == {"result": "go"}
    sdk.workflow.resume_workflow(workflow_id)
    assert standing(sdk, workflow_id, "COMPLETED").output == {"result": 2}
    with pytest.raises(Raised) as refused:
        sdk.workflow.resume_workflow(workflow_id)
    assert refused.value.status == 409


def test_a_terminated_workflow_keeps_the_reason(sdk: Sdk) -> None:
    workflow_id = start(sdk, "worked")
    sdk.workflow.terminate_workflow(workflow_id, reason="changed my mind")
    found = standing(sdk, workflow_id, "TERMINATED")
    assert found.reason_for_incompletion == "changed my mind"
    assert [task.status for task in found.tasks] == ["CANCELED"]
    assert "conductor.failure_workflow" not in found.output


def test_terminating_starts_the_failure_workflow_if_that_is_asked_for(sdk: Sdk) -> None:
    workflow_id = start(sdk, "worked", correlation_id="to-be-cleaned")
    sdk.workflow.terminate_workflow(workflow_id, reason="no more", trigger_failure_workflow=True)
    cleaner = standing(sdk, workflow_id, "TERMINATED").output["conductor.failure_workflow"]
    found = eventually(lambda: standing(sdk, cleaner, "COMPLETED"), retry_on=(Raised,))
    assert (found.workflow_name, found.correlation_id) == ("cleanup", "to-be-cleaned")
    assert (found.input["workflowId"], found.input["reason"]) == (workflow_id, "no more")


def test_a_failed_workflow_is_retried_where_it_failed(sdk: Sdk) -> None:
    workflow_id = start(sdk, "worked")
    fail(sdk, workflow_id)
    found = standing(sdk, workflow_id, "FAILED")
    assert "out of paper" in found.reason_for_incompletion
    assert found.failed_reference_task_names == ["work"]
    sdk.workflow.retry_workflow(workflow_id, resume_subworkflow_tasks=True)
    again = standing(sdk, workflow_id, "RUNNING")
    assert [(task.status, task.retry_count) for task in again.tasks] == [
        ("FAILED_WITH_TERMINAL_ERROR", 0),
        ("SCHEDULED", 1),
    ]


def test_an_ended_workflow_is_restarted_by_the_latest_definition(sdk: Sdk) -> None:
    define(sdk, "changing", ADD, output_parameters={"was": "old"})
    workflow_id = start(sdk, "changing", input={"a": 1})
    assert standing(sdk, workflow_id, "COMPLETED").output == {"was": "old"}
    define(sdk, "changing", ADD, output_parameters={"was": "new"})
    sdk.workflow.restart_workflow(workflow_id)
    assert standing(sdk, workflow_id, "COMPLETED").output == {"was": "old"}
    sdk.workflow.restart_workflow(workflow_id, use_latest_def=True)
    assert standing(sdk, workflow_id, "COMPLETED").output == {"was": "new"}


def test_an_ended_workflow_is_rerun_with_another_input(sdk: Sdk) -> None:
    workflow_id = start(sdk, "sum", input={"a": 1})
    assert standing(sdk, workflow_id, "COMPLETED").output == {"sum": 2}
    request = models.RerunWorkflowRequest(workflow_input={"a": 10}, correlation_id="second")
    assert sdk.workflow.rerun_workflow(workflow_id, request) == workflow_id
    found = eventually(lambda: _with_correlation(sdk, workflow_id, "second"))
    assert found.output == {"sum": 11}


def _with_correlation(sdk: Sdk, workflow_id: str, correlation_id: str) -> Model:
    found: Model = sdk.workflow.get_workflow(workflow_id)
    assert (found.correlation_id, found.status) == (correlation_id, "COMPLETED")
    return found


def test_a_step_is_passed_over_although_the_client_sends_its_input_unreadably(sdk: Sdk) -> None:
    workflow_id = start(sdk, "gated", input={"a": 1})
    request = models.SkipTaskRequest(task_input={"a": 0}, task_output={"result": 99})
    sdk.workflow.skip_task_from_workflow(workflow_id, "add", request)
    sdk.task.update_task_by_ref_name(workflow_id, "gate", "COMPLETED", {})
    found = standing(sdk, workflow_id, "COMPLETED")
    assert found.tasks[1].status == "SKIPPED"


def test_executions_are_removed(sdk: Sdk) -> None:
    ended, under_way = start(sdk, "sum", input={"a": 1}), start(sdk, "gated")
    standing(sdk, ended, "COMPLETED")
    sdk.workflow.delete_workflow(under_way, archive_workflow=False)
    sdk.workflow.remove_workflow(ended)
    for workflow_id in (ended, under_way):
        with pytest.raises(Raised) as refused:
            sdk.workflow.get_workflow(workflow_id)
        assert refused.value.status == 404


def test_variables_are_laid_over(sdk: Sdk) -> None:
    workflow_id = start(sdk, "gated")
    sdk.workflow.update_variables(workflow_id, {"size": 3})
    assert sdk.workflow.get_workflow(workflow_id).variables == {"color": "red", "size": 3}


def test_variables_and_a_task_are_updated_in_one_step(sdk: Sdk) -> None:
    workflow_id = start(sdk, "gated", input={"a": 1})
    update = models.WorkflowStateUpdate(
        task_reference_name="gate",
        task_result=models.TaskResult(status="COMPLETED", output_data={"key": "value"}),
        variables={"color": "blue"},
    )
    run = sdk.workflow.update_state(workflow_id, update, wait_until_task_ref_names=["add"], wait_for_seconds=10)
    assert (run.workflow_id, run.status, run.variables) == (workflow_id, "COMPLETED", {"color": "blue"})
    assert [task.output_data for task in run.tasks] == [{"key": "value"}, {"result": 2}]


def test_a_message_is_pulled_by_the_workflow(sdk: Sdk) -> None:
    workflow_id = start(sdk, "mailbox")
    message_id = sdk.workflow.send_message(workflow_id, {"text": "hello"})
    (message,) = standing(sdk, workflow_id, "COMPLETED").output["messages"]
    assert (message["id"], message["payload"]) == (message_id, {"text": "hello"})


def test_a_workflow_is_tested_with_mocked_outcomes(sdk: Sdk) -> None:
    request = models.WorkflowTestRequest(
        name="worked",
        version=1,
        input={"a": 1},
        task_ref_to_mock_output={"work": [{"status": "COMPLETED", "output": {"done": True}}]},
    )
    played = sdk.workflow.test_workflow(request)
    assert (played.status, played.output) == ("COMPLETED", {"done": True})
    with pytest.raises(Raised) as refused:
        sdk.workflow.get_workflow(played.workflow_id)
    assert refused.value.status == 404


def test_an_execution_goes_on_by_another_version_of_its_workflow(sdk: Sdk) -> None:
    define(sdk, "upgraded", GATE)
    workflow_id = start(sdk, "upgraded", input={"a": 1})
    first = models.WorkflowTask(
        name="first", task_reference_name="first", type="SET_VARIABLE", input_parameters={"x": 1}
    )
    second = models.WorkflowDef(name="upgraded", version=2, tasks=[first, GATE, ADD])
    sdk.metadata.register_workflow_def(second, True)
    body = {"name": "upgraded", "version": 2, "taskOutput": {"first": {"by": "hand"}}, "workflowInput": {"a": 5}}
    sdk.workflow_api.upgrade_running_workflow_to_version(body, workflow_id)
    found = sdk.workflow.get_workflow(workflow_id)
    assert found.workflow_version == 2
    assert {task.reference_task_name: task.status for task in found.tasks} == {
        "gate": "IN_PROGRESS",
        "first": "SKIPPED",
    }
    sdk.task.update_task_sync(workflow_id, "gate", "COMPLETED", {})
    assert standing(sdk, workflow_id, "COMPLETED").output["result"] == 6
