"""Executions over HTTP: start them, look at them, act on them, remove them. Search has a file of its own."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace

from orchestrator.api.routes import Role, Route
from orchestrator.api.signals import signal_response
from orchestrator.api.visits import Visit
from orchestrator.client import trials
from orchestrator.model.execution import StartWorkflowRequest, Workflow
from orchestrator.model.requests import (
    CorrelationIdsSearchRequest,
    RerunWorkflowRequest,
    SkipTaskRequest,
    UpgradeWorkflowRequest,
    WorkflowStateUpdate,
    WorkflowTestRequest,
)
from orchestrator.model.status import TaskStatus
from orchestrator.plan import Plan
from orchestrator.service import actions, halts, listing, messages, starting, workflows
from orchestrator.service.companions import company, company_of
from orchestrator.service.halts import ReturnStrategy
from orchestrator.service.starting import Launch
from orchestrator.store.context import StoreContext

Json = dict[str, Any]
Trace = dict[str, str]

# --- start ------------------------------------------------------------------------------------------------------------


def start(
    store: StoreContext,
    body: StartWorkflowRequest,
    request_id: str | None = None,
    trace: Trace = {},  # noqa: B006
) -> Plan[str]:
    """Start a workflow, registered or given inline; its id, once its first step is decided."""
    started = yield from starting.start(store, Launch(body, request_id=request_id, trace=trace))
    return started.workflow_id


def start_by_name(
    store: StoreContext,
    name: str,
    body: Json = {},  # noqa: B006
    version: int | None = None,
    correlation_id: str | None = None,
    priority: int = 0,
    request_id: str | None = None,
    trace: Trace = {},  # noqa: B006
) -> Plan[str]:
    """Start a registered workflow; the body is its input."""
    request = StartWorkflowRequest(
        name=name, version=version, correlation_id=correlation_id, priority=priority, input=body
    )
    return start(store, request, request_id, trace)


def execute(
    store: StoreContext,
    name: str,
    version: int,
    body: StartWorkflowRequest | None = None,
    wait_until_task_ref: str | None = None,
    wait_for_seconds: int = 0,
    return_strategy: ReturnStrategy = ReturnStrategy.TARGET_WORKFLOW,
    request_id: str | None = None,
    trace: Trace = {},  # noqa: B006
) -> Plan[Json | None]:
    """Start a workflow (version 0: the latest) and answer when it has ended, waits for a signal, or a task has ended.

    ``waitUntilTaskRef`` names such tasks, with commas between. After ``waitForSeconds`` (10) it is answered as it stands.
    """
    request = replace(body or StartWorkflowRequest(name=name), name=name, version=version or None)
    halt = yield from halts.execute(
        store,
        Launch(request, request_id=request_id, trace=trace),
        wait_until_refs=_refs(wait_until_task_ref),
        return_strategy=return_strategy,
        timeout_s=wait_for_seconds or halts.EXECUTE_WAIT_S,
    )
    return signal_response(halt)


def call(
    store: StoreContext,
    name: str,
    body: Json = {},  # noqa: B006
    version: int | None = None,
    wait_until_task_ref: str | None = None,
    wait_for_seconds: int = 0,
    request_id: str | None = None,
    trace: Trace = {},  # noqa: B006
) -> Plan[Json]:
    """Start a workflow with the body as its input and answer with its output; what it has of it when the time is over."""
    halt = yield from halts.execute(
        store,
        Launch(StartWorkflowRequest(name=name, version=version, input=body), request_id=request_id, trace=trace),
        wait_until_refs=_refs(wait_until_task_ref),
        timeout_s=wait_for_seconds or halts.EXECUTE_WAIT_S,
    )
    return halt.output


def call_without_input(
    store: StoreContext,
    name: str,
    version: int | None = None,
    wait_until_task_ref: str | None = None,
    wait_for_seconds: int = 0,
    request_id: str | None = None,
    trace: Trace = {},  # noqa: B006
) -> Plan[Json]:
    """Start a workflow without input and answer with its output; what it has of it when the time is over."""
    return call(store, name, {}, version, wait_until_task_ref, wait_for_seconds, request_id, trace)


async def test(visit: Visit, body: WorkflowTestRequest) -> Workflow:
    """Run a workflow with mocked outcomes, on a clock that jumps; nothing is stored and no worker takes part."""
    if body.workflow_def is not None:
        found = await visit.run(company(visit.store, body.workflow_def))
    else:
        found = await visit.run(company_of(visit.store, body.name, body.version))
    result = await asyncio.to_thread(trials.play, found, body.input, trials.mocks_of(body))
    return result.workflow


# --- look -------------------------------------------------------------------------------------------------------------


def get(store: StoreContext, workflow_id: str, include_tasks: bool = True) -> Plan[Workflow]:
    """An execution as it is committed, with what is known of its open tasks."""
    return workflows.get(store, workflow_id, include_tasks=include_tasks)


def status(
    store: StoreContext, workflow_id: str, include_output: bool = False, include_variables: bool = False
) -> Plan[Json]:
    """Where an execution stands, in few words."""
    found = yield from workflows.get(store, workflow_id, include_tasks=False)
    told: Json = {"workflowId": workflow_id, "status": str(found.status)}
    if found.correlation_id is not None:
        told["correlationId"] = found.correlation_id
    if include_output:
        told["output"] = found.output
    if include_variables:
        told["variables"] = found.variables
    return told


def list_tasks(
    store: StoreContext,
    workflow_id: str,
    start: int = 0,
    count: int = 15,
    status: list[TaskStatus] = [],  # noqa: B006
) -> Plan[Json]:
    """A page of the tasks of an execution in order of scheduling, of these statuses if any are named."""
    page = yield from workflows.list_tasks(store, workflow_id, start=start, size=count, statuses=status)
    return {"totalHits": page.total, "results": page.tasks}


def running(
    store: StoreContext, name: str, version: int | None = None, start_time: int = 0, end_time: int = 0
) -> Plan[list[str]]:
    """Ids of the executions of a workflow that are RUNNING; with both times all that began between, of any status."""
    if start_time and end_time:
        return listing.started_between(store, name, start_time, end_time)
    return listing.running_ids(store, name, version)


def correlated(
    store: StoreContext, name: str, correlation_id: str, include_closed: bool = False, include_tasks: bool = False
) -> Plan[list[Workflow]]:
    """The executions of a workflow under a correlation id, the latest first; without ``includeClosed`` the open ones."""
    found = yield from listing.correlated_workflows(
        store, [name], [correlation_id], include_closed=include_closed, include_tasks=include_tasks
    )
    return found[correlation_id]


def correlated_many(
    store: StoreContext, name: str, body: list[str], include_closed: bool = False, include_tasks: bool = False
) -> Plan[dict[str, list[Workflow]]]:
    """The executions of a workflow under each of these correlation ids."""
    return listing.correlated_workflows(store, [name], body, include_closed=include_closed, include_tasks=include_tasks)


def correlated_batch(
    store: StoreContext, body: CorrelationIdsSearchRequest, include_closed: bool = False, include_tasks: bool = False
) -> Plan[dict[str, list[Workflow]]]:
    """The executions of any of these workflows under each of these correlation ids."""
    return listing.correlated_workflows(
        store, body.workflow_names, body.correlation_ids, include_closed=include_closed, include_tasks=include_tasks
    )


# --- act --------------------------------------------------------------------------------------------------------------


def decide(store: StoreContext, workflow_id: str) -> Plan[None]:
    """Does nothing but find the execution: whatever happens to one is decided at once."""
    yield from workflows.standing(store, workflow_id)


def pause(store: StoreContext, workflow_id: str, request_id: str | None = None) -> Plan[None]:
    """Schedule nothing more until it is resumed; tasks that are out go on."""
    yield from actions.pause(store, workflow_id, request_id=request_id)


def resume(store: StoreContext, workflow_id: str, request_id: str | None = None) -> Plan[None]:
    """Go on after a pause."""
    yield from actions.resume(store, workflow_id, request_id=request_id)


def skip_task(
    store: StoreContext,
    workflow_id: str,
    ref: str,
    body: SkipTaskRequest | None = None,
    request_id: str | None = None,
) -> Plan[None]:
    """Pass over a step when its turn comes; 409 when it has begun."""
    given = body or SkipTaskRequest()
    yield from actions.skip(store, workflow_id, ref, given.task_input, given.task_output, request_id=request_id)


def rerun(
    store: StoreContext, workflow_id: str, body: RerunWorkflowRequest | None = None, request_id: str | None = None
) -> Plan[str]:
    """Let an ended execution go on from one of its tasks, or anew with another input; its id."""
    given = body or RerunWorkflowRequest()
    yield from actions.rerun(
        store,
        workflow_id,
        from_task_id=given.re_run_from_task_id,
        task_input=given.task_input,
        workflow_input=given.workflow_input,
        correlation_id=given.correlation_id,
        request_id=request_id,
    )
    return workflow_id


def restart(
    store: StoreContext, workflow_id: str, use_latest_definitions: bool = False, request_id: str | None = None
) -> Plan[None]:
    """Let an ended execution start over under its id."""
    yield from actions.restart(store, workflow_id, use_latest_definitions=use_latest_definitions, request_id=request_id)


def retry(
    store: StoreContext, workflow_id: str, resume_subworkflow_tasks: bool = False, request_id: str | None = None
) -> Plan[None]:
    """Let an ended execution go on where it failed."""
    yield from actions.retry(
        store, workflow_id, resume_subworkflow_tasks=resume_subworkflow_tasks, request_id=request_id
    )


def reset_callbacks(store: StoreContext, workflow_id: str, request_id: str | None = None) -> Plan[None]:
    """Let its tasks that wait for a delay or a retry be claimed at once."""
    yield from actions.reset_callbacks(store, workflow_id, request_id=request_id)


def terminate(
    store: StoreContext,
    workflow_id: str,
    reason: str | None = None,
    trigger_failure_workflow: bool = False,
    request_id: str | None = None,
) -> Plan[None]:
    """End it now as TERMINATED; its failure workflow starts only if that is asked for."""
    yield from actions.terminate(
        store, workflow_id, reason, trigger_failure_workflow=trigger_failure_workflow, request_id=request_id
    )


def remove(store: StoreContext, workflow_id: str, archive_workflow: bool = True) -> Plan[None]:
    """Delete an execution that has ended, with all that is kept of it; any with ``archiveWorkflow=false``."""
    return workflows.remove(store, workflow_id, force=not archive_workflow)


def terminate_and_remove(store: StoreContext, workflow_id: str, reason: str | None = None) -> Plan[None]:
    """End an execution if it is under way, and delete it."""
    return actions.terminate_and_remove(store, workflow_id, reason)


def update_variables(
    store: StoreContext, workflow_id: str, body: Json, request_id: str | None = None
) -> Plan[Workflow]:
    """Lay variables over those of an execution that has not ended."""
    yield from actions.update_variables(store, workflow_id, body, request_id=request_id)
    return (yield from workflows.get(store, workflow_id))


def update_state(
    store: StoreContext,
    workflow_id: str,
    body: WorkflowStateUpdate,
    wait_until_task_ref: str | None = None,
    wait_for_seconds: int = 0,
    request_id: str | None = None,
) -> Plan[Json | None]:
    """Change variables and end a task in one step, then wait as ``execute`` does."""
    halt = yield from halts.update_state_and_wait(
        store,
        workflow_id,
        variables=body.variables,
        ref=body.task_reference_name,
        result=body.task_result,
        wait_until_refs=_refs(wait_until_task_ref),
        timeout_s=wait_for_seconds or halts.EXECUTE_WAIT_S,
        request_id=request_id,
    )
    return signal_response(halt)


def jump(
    store: StoreContext, workflow_id: str, ref: str, body: Json | None = None, request_id: str | None = None
) -> Plan[None]:
    """Go on at another step; the body, if it is not empty, takes the place of the step's input."""
    yield from actions.jump(store, workflow_id, ref, body or None, request_id=request_id)


def upgrade(
    store: StoreContext, workflow_id: str, body: UpgradeWorkflowRequest, request_id: str | None = None
) -> Plan[None]:
    """Go on by another version of the workflow; steps that it has before what is open are passed over."""
    yield from actions.upgrade(
        store,
        workflow_id,
        body.version,
        name=body.name,
        task_output=body.task_output,
        workflow_input=body.workflow_input,
        request_id=request_id,
    )


def push_message(store: StoreContext, workflow_id: str, body: Json, request_id: str | None = None) -> Plan[str]:
    """Give a RUNNING workflow a message for its PULL_WORKFLOW_MESSAGES tasks; the message's id."""
    return messages.push(store, workflow_id, body, message_id=request_id)


def _refs(text: str | None) -> list[str]:
    return [ref.strip() for ref in (text or "").split(",") if ref.strip()]


ROUTES = (
    Route("POST", "/workflow", start, Role.OPERATOR),
    Route("POST", "/workflow/test", test, Role.VIEWER),
    Route("POST", "/workflow/correlated/batch", correlated_batch, Role.VIEWER),
    Route("POST", "/workflow/execute/{name}/{version}", execute, Role.OPERATOR),
    Route("POST", "/workflow/execute/{name}", call, Role.OPERATOR),
    Route("GET", "/workflow/execute/{name}", call_without_input, Role.OPERATOR),
    Route("GET", "/workflow/running/{name}", running, Role.VIEWER),
    Route("PUT", "/workflow/decide/{workflow_id}", decide, Role.OPERATOR),
    Route("POST", "/workflow/{name}", start_by_name, Role.OPERATOR),
    Route("GET", "/workflow/{name}/correlated/{correlation_id}", correlated, Role.VIEWER),
    Route("POST", "/workflow/{name}/correlated", correlated_many, Role.VIEWER),
    Route("GET", "/workflow/{workflow_id}", get, Role.VIEWER),
    Route("DELETE", "/workflow/{workflow_id}", terminate, Role.OPERATOR),
    Route("GET", "/workflow/{workflow_id}/status", status, Role.VIEWER),
    Route("GET", "/workflow/{workflow_id}/tasks", list_tasks, Role.VIEWER),
    Route("DELETE", "/workflow/{workflow_id}/remove", remove, Role.OPERATOR),
    Route("DELETE", "/workflow/{workflow_id}/terminate-remove", terminate_and_remove, Role.OPERATOR),
    Route("PUT", "/workflow/{workflow_id}/pause", pause, Role.OPERATOR),
    Route("PUT", "/workflow/{workflow_id}/resume", resume, Role.OPERATOR),
    Route("PUT", "/workflow/{workflow_id}/skiptask/{ref}", skip_task, Role.OPERATOR),
    Route("POST", "/workflow/{workflow_id}/rerun", rerun, Role.OPERATOR),
    Route("POST", "/workflow/{workflow_id}/restart", restart, Role.OPERATOR, status=204),
    Route("POST", "/workflow/{workflow_id}/retry", retry, Role.OPERATOR, status=204),
    Route("POST", "/workflow/{workflow_id}/resetcallbacks", reset_callbacks, Role.OPERATOR, status=204),
    Route("POST", "/workflow/{workflow_id}/variables", update_variables, Role.OPERATOR),
    Route("POST", "/workflow/{workflow_id}/state", update_state, Role.OPERATOR),
    Route("POST", "/workflow/{workflow_id}/jump/{ref}", jump, Role.OPERATOR),
    Route("POST", "/workflow/{workflow_id}/upgrade", upgrade, Role.OPERATOR),
    Route("POST", "/workflow/{workflow_id}/messages", push_message, Role.OPERATOR),
)
