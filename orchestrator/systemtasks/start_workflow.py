"""START_WORKFLOW: another workflow is started and left to itself; the task is done when it exists.

The start carries a request id that follows from the step, so a task that is delivered again, or tried again, starts
nothing twice. There is no link back: who wants the result uses SUB_WORKFLOW.
"""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.engine.starts import check_runnable
from orchestrator.errors import DefinitionInvalid, OrchestratorError, StoreUnavailable
from orchestrator.model.execution import StartWorkflowRequest
from orchestrator.model.records import Outcome
from orchestrator.model.wire import start_request_from_dict
from orchestrator.service.starting import Launch, start
from orchestrator.systemtasks import endings
from orchestrator.systemtasks.context import SystemContext

AGAIN_MS = 5_000
"""A store that cannot be reached is tried again after so long."""


async def run(input: dict[str, Any], context: SystemContext) -> Outcome:
    """Start what ``startWorkflow`` asks for; domains and correlation id are the workflow's own unless it says others."""
    asked = input.get("startWorkflow")
    if asked is None:
        return endings.failed("Missing 'startWorkflow' in input data.")
    if not isinstance(asked, dict):
        return endings.failed(f"Error reading StartWorkflowRequest. It is a {type(asked).__name__}, not an object.")
    try:
        request = start_request_from_dict(asked, check=check_runnable)
    except DefinitionInvalid as error:
        problems = "".join(f"'{problem.path}' -> {problem.message}. " for problem in error.problems)
        return endings.failed(f"startWorkflow validation failed. {problems}")
    try:
        meta = await context.meta()
        if meta is None:
            return endings.terminal(f"the workflow of task {context.task.task_id} is gone")
        complete = msgspec.structs.replace(
            request,
            correlation_id=request.correlation_id or meta.correlation_id,
            task_to_domain=request.task_to_domain or meta.task_to_domain,
        )
        started = await context.run(start(context.shared.store, _launch(complete, context), wait_commit=False))
    except StoreUnavailable:
        return endings.again(AGAIN_MS, {})
    except OrchestratorError as error:
        return endings.failed(str(error))
    return endings.completed({"workflowId": started.workflow_id})


def _launch(request: StartWorkflowRequest, context: SystemContext) -> Launch:
    return Launch(request, request_id=f"start:{context.task.idempotency_key}")
