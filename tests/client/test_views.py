"""What a view shows: every field of an execution and of its tasks, as Conductor's JSON has them."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import TerminalError, Workflow, task, testing
from orchestrator.errors import DefinitionNotFound
from orchestrator.model.definitions import TaskDef, WorkflowDef
from orchestrator.model.wire import workflow_to_dict
from orchestrator.testing.clock import START
from tests.support.build import loop, simple, step, workflow_def
from tests.support.served import MakeEnvironment

BEGAN_MS = int(START.timestamp() * 1000)


@task
def charge(n: int) -> int:
    """Pay."""
    return n


FLOW: WorkflowDef = workflow_def(
    loop("turns", "$.turns.iteration < 2", simple("pay", {"n": "${workflow.input.n}"}, name="charge", start_delay=5)),
    step("WAIT", "w"),
    name="seen",
    version=3,
    variables={"v": 1},
    output_parameters={"by": "${w.output.by}"},
)

COMMON: dict[str, Any] = {
    "correlationId": "c1",
    "workflowInstanceId": "w1",
    "workflowType": "seen",
    "workflowPriority": 7,
    "retryCount": 0,
    "retried": False,
    "callbackFromWorker": True,
    "callbackAfterSeconds": 0,
    "responseTimeoutSeconds": 0,
    "rateLimitPerFrequency": 0,
    "rateLimitFrequencyInSeconds": 0,
    "subworkflowChanged": False,
    "firstStartTime": 0,
}


def shown(env: testing.Environment) -> dict[str, Any]:
    """The execution after its loop, waiting, as JSON."""
    env.client.register(
        TaskDef(
            name="charge", response_timeout_seconds=30, rate_limit_per_frequency=5, rate_limit_frequency_in_seconds=60
        )
    )
    client = env.client.with_options(
        workflow_id="w1", correlation_id="c1", priority=7, domains={"charge": "eu"}, created_by="Ada"
    )
    handle = client.start_workflow(FLOW, n=4)
    env.run_until_quiet()
    env.clock.advance(60)
    handle.signal("w", {"by": "Bob"})
    return workflow_to_dict(handle.describe())


def test_an_execution_shows_what_it_was_started_with_and_how_it_went(environment: MakeEnvironment) -> None:
    with environment([charge]) as env:
        found = shown(env)
    assert [one["referenceTaskName"] for one in found.pop("tasks")] == ["turns", "pay__1", "pay__2", "w"]
    assert found.pop("workflowDefinition")["tasks"][0]["taskReferenceName"] == "turns"
    assert found == {
        "workflowId": "w1",
        "workflowName": "seen",
        "workflowVersion": 3,
        "status": "COMPLETED",
        "createTime": BEGAN_MS,
        "startTime": BEGAN_MS,
        "updateTime": BEGAN_MS + 70_000,
        "endTime": BEGAN_MS + 70_000,
        "correlationId": "c1",
        "priority": 7,
        "taskToDomain": {"charge": "eu"},
        "createdBy": "Ada",
        "input": {"n": 4},
        "output": {"by": "Bob"},
        "variables": {"v": 1},
        "failedReferenceTaskNames": [],
        "failedTaskNames": [],
        "lastRetriedTime": 0,
        "history": [],
        "rateLimited": False,
    }


def test_a_task_shows_every_field(environment: MakeEnvironment) -> None:
    with environment([charge]) as env:
        tasks = shown(env)["tasks"]
    steps = [one.pop("workflowTask")["taskReferenceName"] for one in tasks]
    ids = [one.pop("taskId") for one in tasks]
    assert steps == ["turns", "pay", "pay", "w"]
    assert len(set(ids)) == 4
    worked, waited = tasks[2], tasks[3]
    assert worked == {
        **COMMON,
        "taskType": "charge",
        "taskDefName": "charge",
        "status": "COMPLETED",
        "referenceTaskName": "pay__2",
        "inputData": {"n": 4},
        "outputData": {"result": 4},
        "seq": 3,
        "iteration": 2,
        "loopOverTask": True,
        "pollCount": 1,
        "workerId": "test-worker",
        "domain": "eu",
        "startDelayInSeconds": 5,
        "scheduledTime": BEGAN_MS + 5_000,
        "startTime": BEGAN_MS + 10_000,
        "endTime": BEGAN_MS + 10_000,
        "updateTime": BEGAN_MS + 10_000,
        "queueWaitTime": 5_000,
        "executed": True,
    }
    assert (waited["seq"], waited["iteration"], waited["loopOverTask"], waited["outputData"]) == (
        4,
        0,
        False,
        {"by": "Bob"},
    )
    assert (waited["scheduledTime"], waited["endTime"]) == (BEGAN_MS + 10_000, BEGAN_MS + 70_000)


def test_an_execution_keeps_the_definition_that_it_began_with(environment: MakeEnvironment) -> None:
    with environment() as env:
        env.client.register(Workflow("kept").wait(signal="go").set(x="old"))
        handle = env.client.start_workflow("kept")
        env.client.register(Workflow("kept").set(x="new"))
        env.client.delete_workflow_version("kept", 1)
        definition = handle.describe().workflow_definition
        assert definition is not None
        assert [one.task_reference_name for one in definition.tasks] == ["go", "set"]
        handle.signal("go")
        assert handle.describe().variables == {"x": "old"}
        with pytest.raises(DefinitionNotFound):
            env.client.start_workflow("kept")


def test_an_execution_that_failed_shows_why_what_failed_and_when_it_went_on(environment: MakeEnvironment) -> None:
    with environment(fakes={"charge": [TerminalError("bank is closed"), {"n": 1}]}) as env:
        handle = env.client.start_workflow(workflow_def(simple("pay", name="charge")))
        env.run_until_quiet()
        failed = workflow_to_dict(handle.describe())
        env.clock.advance(60)
        handle.retry()
        env.run_until_quiet()
        mended = workflow_to_dict(handle.describe())
    assert "failed with status: FAILED and reason: 'bank is closed'" in failed["reasonForIncompletion"]
    assert (failed["failedReferenceTaskNames"], failed["failedTaskNames"]) == (["pay"], ["charge"])
    assert failed["tasks"][0]["reasonForIncompletion"] == "bank is closed"
    assert (failed["lastRetriedTime"], mended["lastRetriedTime"]) == (0, BEGAN_MS + 60_000)
    assert "reasonForIncompletion" not in mended
