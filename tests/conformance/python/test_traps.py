"""What cannot work in the SDK itself, whatever a server answers: the error seen, and the endpoint behind it by plain HTTP.

A newer version of the SDK that mends one of these fails its test, which is then to be written anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.conformance.python.hand import Raised, Sdk, models
from tests.support.eventually import eventually

pytestmark = [pytest.mark.slow, pytest.mark.alone]

GATE = models.WorkflowTask(name="trap", task_reference_name="gate", type="WAIT", input_parameters={})
BATCH = models.CorrelationIdsSearchRequest(correlation_ids=["trapped"], workflow_names=["trap"])
BROKEN = {"executor.get_by_correlation_ids_and_names"}
"""The methods that raise whatever they are given."""
TRAPS: dict[str, tuple[Callable[[Sdk, str], Any], str]] = {
    "WorkflowExecutor.get_by_correlation_ids_and_names": (
        lambda sdk, _: sdk.executor.get_by_correlation_ids_and_names(BATCH, include_closed=True),
        r"TypeError: .* unexpected keyword argument 'include_closed'",
    ),
    "TaskClient.update_task_by_ref_name with a worker": (
        lambda sdk, workflow_id: sdk.task.update_task_by_ref_name(workflow_id, "gate", "COMPLETED", {}, worker_id="me"),
        r"TypeError: .* unexpected keyword argument 'workerid'",
    ),
    "TaskClient.update_task_sync with a worker": (
        lambda sdk, workflow_id: sdk.task.update_task_sync(workflow_id, "gate", "COMPLETED", {}, worker_id="me"),
        r"TypeError: .* unexpected keyword argument 'workerid'",
    ),
    "SchedulerClient.search_schedule_executions by free text": (
        lambda sdk, _: sdk.scheduler.search_schedule_executions(free_text="trap"),
        r"TypeError: .* unexpected keyword argument 'freeText'",
    ),
    "WorkflowClient.execute_workflow without a version": (
        lambda sdk, _: sdk.workflow.execute_workflow(models.StartWorkflowRequest(name="trap")),
        r"ValueError: Missing the required parameter `version`",
    ),
}


@pytest.fixture
def workflow_id(sdk: Sdk) -> str:
    """An execution that waits."""
    sdk.metadata.register_workflow_def(models.WorkflowDef(name="trap", version=1, tasks=[GATE]), True)
    request = models.StartWorkflowRequest(name="trap", version=1, correlation_id="trapped")
    workflow_id: str = sdk.workflow.start_workflow(request)
    return workflow_id


@pytest.mark.parametrize("name", TRAPS)
def test_the_client_raises_before_it_asks(sdk: Sdk, workflow_id: str, name: str) -> None:
    call, error = TRAPS[name]
    with pytest.raises(Raised, match=error):
        call(sdk, workflow_id)


def test_executions_of_several_workflows_by_correlation_ids(http: httpx2.Client, workflow_id: str) -> None:
    body = {"correlationIds": ["trapped"], "workflowNames": ["trap"]}
    found = http.post("/workflow/correlated/batch", params={"includeClosed": "True"}, json=body).json()
    assert workflow_id in [one["workflowId"] for one in found["trapped"]]


def test_an_update_by_reference_keeps_the_worker(http: httpx2.Client, workflow_id: str) -> None:
    task_id = http.post(f"/tasks/{workflow_id}/gate/COMPLETED", params={"workerid": "me"}, json={"n": 1}).text
    task = http.get(f"/tasks/{task_id}").json()
    assert (task["workerId"], task["outputData"]) == ("me", {"n": 1})


def test_an_update_that_is_answered_with_the_workflow_keeps_the_worker(http: httpx2.Client, workflow_id: str) -> None:
    answer = http.post(f"/tasks/{workflow_id}/gate/COMPLETED/sync", params={"workerid": "me"}, json={"n": 1}).json()
    assert (answer["status"], answer["tasks"][0]["workerId"], answer["output"]) == ("COMPLETED", "me", {"n": 1})


def test_what_became_of_due_times_is_found_by_free_text(sdk: Sdk, http: httpx2.Client) -> None:
    request = models.StartWorkflowRequest(name="trap", version=1)
    sdk.scheduler.save_schedule(
        models.SaveScheduleRequest(name="trapped", cron_expression="* * * * * ?", start_workflow_request=request)
    )

    def results() -> list[Any]:
        found: list[Any] = http.get("/scheduler/search/executions", params={"freeText": "trapped"}).json()["results"]
        assert found
        return found

    assert {one["scheduleName"] for one in eventually(results)} == {"trapped"}
    sdk.scheduler.delete_schedule("trapped")


def test_without_a_version_the_latest_is_executed(sdk: Sdk, http: httpx2.Client) -> None:
    step = models.WorkflowTask(name="trap", task_reference_name="step", type="NOOP", input_parameters={})
    for version in (1, 2):
        sdk.metadata.update_workflow_def(models.WorkflowDef(name="trap_versions", version=version, tasks=[step]))
    run = http.post("/workflow/execute/trap_versions/0", json={"name": "trap_versions"}).json()
    assert (run["status"], http.get(f"/workflow/{run['workflowId']}").json()["workflowVersion"]) == ("COMPLETED", 2)


def test_the_client_does_not_say_that_it_wants_no_tasks(sdk: Sdk, http: httpx2.Client, workflow_id: str) -> None:
    assert len(sdk.workflow.get_workflow(workflow_id, include_tasks=False).tasks) == 1
    assert http.get(f"/workflow/{workflow_id}", params={"includeTasks": "false"}).json()["tasks"] == []


def test_the_client_reads_a_secret_that_is_json_as_json(sdk: Sdk, http: httpx2.Client) -> None:
    sdk.secret.put_secret("PIN", "0123")
    assert sdk.secret.get_secret("PIN") == "0123"
    sdk.secret.put_secret("PIN", "123")
    assert sdk.secret.get_secret("PIN") == 123
    assert http.get("/secrets/PIN").text == "123"


def test_the_client_loses_what_a_skipped_step_should_give(sdk: Sdk, http: httpx2.Client) -> None:
    steps = [
        GATE,
        models.WorkflowTask(name="never", task_reference_name="step", type="SIMPLE", input_parameters={}),
        models.WorkflowTask(name="never", task_reference_name="other", type="SIMPLE", input_parameters={}),
    ]
    sdk.metadata.register_workflow_def(models.WorkflowDef(name="trap_skip", version=1, tasks=steps), True)
    workflow_id = sdk.workflow.start_workflow(models.StartWorkflowRequest(name="trap_skip", version=1))
    given = models.SkipTaskRequest(task_input={"a": 1}, task_output={"b": 2})
    sdk.workflow.skip_task_from_workflow(workflow_id, "step", given)
    asked = http.put(f"/workflow/{workflow_id}/skiptask/other", json={"taskInput": {"a": 1}, "taskOutput": {"b": 2}})
    assert asked.status_code == 200
    found = http.post(f"/tasks/{workflow_id}/gate/COMPLETED/sync", json={}).json()
    assert [(task["status"], task["outputData"]) for task in found["tasks"][1:]] == [
        ("SKIPPED", {}),
        ("SKIPPED", {"b": 2}),
    ]
