"""START_WORKFLOW tasks: what the other workflow starts with, that it starts once, and why it may not start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator import testing
from orchestrator.model.definitions import TaskDef
from orchestrator.model.wire import workflow_def_to_dict
from orchestrator.testing import Environment
from tests.support.build import simple, step, wait, workflow_def


@pytest.fixture
def env() -> Iterator[Environment]:
    with testing.environment() as environment:
        environment.client.register(workflow_def(wait("w"), name="other", input_template={"x": 1}))
        yield environment


def starting(request: Any, **fields: Any) -> Any:
    """The workflow under test: one START_WORKFLOW step."""
    return workflow_def(step("START_WORKFLOW", "begin", {"startWorkflow": request}, **fields))


def others(env: Environment) -> list[str]:
    """The ids of the workflows that were started."""
    return [found.workflow_id for found in env.client.list_workflows(name="other").items]


def test_the_other_workflow_runs_on_its_own(env: Environment) -> None:
    request = {"name": "other", "input": {"sku": "${workflow.input.sku}"}, "priority": 4}
    definition = starting(request)
    client = env.client.with_options(correlation_id="c1", domains={"a": "west"})
    handle = client.start_workflow(definition, sku="x")
    env.drain()
    task = handle.describe().task("begin")
    assert handle.status() == "COMPLETED"
    other = env.client.workflow(task.output_data["workflowId"]).describe()
    assert (other.workflow_name, other.status, other.input) == ("other", "RUNNING", {"x": 1, "sku": "x"})
    assert (other.correlation_id, other.task_to_domain, other.priority) == ("c1", {"a": "west"}, 4)
    assert (other.parent_workflow_id, other.parent_workflow_task_id) == (None, None)


def test_what_the_request_says_goes_before_what_the_workflow_has(env: Environment) -> None:
    request = {"name": "other", "correlationId": "own", "taskToDomain": {"a": "east"}}
    client = env.client.with_options(correlation_id="c1", domains={"a": "west"})
    handle = client.start_workflow(starting(request))
    env.drain()
    other = env.client.workflow(handle.describe().task("begin").output_data["workflowId"]).describe()
    assert (other.correlation_id, other.task_to_domain) == ("own", {"a": "east"})


def test_an_inline_definition_needs_no_registration(env: Environment) -> None:
    inline = workflow_def_to_dict(workflow_def(wait("w"), name="other"))
    handle = env.client.start_workflow(starting({"name": "other", "workflowDef": inline}))
    env.drain()
    assert handle.status() == "COMPLETED"
    assert others(env) == [handle.describe().task("begin").output_data["workflowId"]]


def test_a_task_that_is_delivered_again_starts_nothing_more(env: Environment, monkeypatch: Any) -> None:
    from orchestrator.service import dispatch

    told = dispatch.report_tasks
    monkeypatch.setattr(dispatch, "report_tasks", lambda *_: iter(()))  # the process dies before it reports
    handle = env.client.start_workflow(starting({"name": "other"}))
    with pytest.raises(TypeError):
        env.drain()
    monkeypatch.setattr(dispatch, "report_tasks", told)
    env.clock.advance(60)
    env.drain()
    assert handle.status() == "COMPLETED"
    assert others(env) == [handle.describe().task("begin").output_data["workflowId"]]


def test_another_attempt_starts_what_the_first_could_not(env: Environment) -> None:
    env.client.register(TaskDef(name="begin", retry_count=1, retry_delay_seconds=10))
    handle = env.client.start_workflow(starting({"name": "late"}))
    env.drain()
    env.client.register(workflow_def(simple("a"), name="late"))
    env.clock.advance(10)
    env.drain()
    assert handle.status() == "COMPLETED"


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (None, "Missing 'startWorkflow' in input data."),
        ("other", "Error reading StartWorkflowRequest. It is a str, not an object."),
        ({"name": ""}, "startWorkflow validation failed. 'name' -> Workflow name cannot be null or empty. "),
        ({"name": "other", "priority": 100}, "'priority' -> priority: 100 should be maximum 99. "),
        ({"name": "other", "input": 3}, "startWorkflow validation failed. 'input' -> "),
        ({"name": "nobody", "version": 3}, "No such workflow defined. name=nobody, version=3"),
    ],
)
def test_what_cannot_be_started_fails_the_task_with_the_reason(env: Environment, request_: Any, reason: str) -> None:
    handle = env.client.start_workflow(starting(request_))
    env.drain()
    assert handle.status() == "FAILED"
    assert reason in (handle.describe().task("begin").reason_for_incompletion or "")
    assert others(env) == []


def test_an_idempotency_key_decides_who_starts_it(env: Environment) -> None:
    request = {"name": "other", "idempotencyKey": "k", "idempotencyStrategy": "${workflow.input.strategy}"}
    first = env.client.start_workflow(starting(request), strategy="FAIL")
    env.drain()
    same = env.client.start_workflow(starting(request), strategy="RETURN_EXISTING")
    refused = env.client.start_workflow(starting(request), strategy="FAIL")
    env.drain()
    assert [one.status() for one in (first, same, refused)] == ["COMPLETED", "COMPLETED", "FAILED"]
    assert same.describe().task("begin").output_data == first.describe().task("begin").output_data
    assert len(others(env)) == 1
