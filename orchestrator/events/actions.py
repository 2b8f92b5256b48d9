"""The five things a handler can do for a message, each a plan that may be repeated without a second effect.

Every request carries an id that follows from the message, the handler and the action, so the partition recognises a
repetition: a workflow is started once, an operation carried out once. A task is chosen once and remembered by its caller.
What cannot succeed raises one of our errors; ``Unavailable`` ones are worth another try.
"""

from __future__ import annotations

import hashlib
from typing import Any

from msgspec import Raw

from orchestrator.codec import pack
from orchestrator.core.payload_templates import rendered, text_of
from orchestrator.engine import loading
from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.ids import TASK_SUFFIX_LENGTH, workflow_id_of
from orchestrator.model.event_handlers import (
    ActionKind,
    EventAction,
    EventExecution,
    StartWorkflowDetail,
    TaskDetail,
    TerminateWorkflowDetail,
    UpdateVariablesDetail,
)
from orchestrator.model.execution import StartWorkflowRequest
from orchestrator.model.records import FORMAT, Outcome, encode
from orchestrator.plan import Command, Plan
from orchestrator.service import actions, starting
from orchestrator.service.starting import Launch
from orchestrator.store import dispatch
from orchestrator.store.context import StoreContext

MESSAGE_ID, EVENT_NAME = "conductor.event.messageId", "conductor.event.name"

Output = dict[str, Any]


def choose(store: StoreContext, action: EventAction, payload: Any) -> Plan[str | None]:
    """The id of the task that an action on a task is about; None when there is no such task or the action has none.

    Done before the action is recorded, so that a second try, perhaps after the task has ended and its loop gone on, is
    about the same attempt.
    """
    detail = action.detail
    if not isinstance(detail, TaskDetail):
        return None
    task_id = text_of(detail.task_id, payload)
    if task_id:
        return task_id
    workflow_id, ref = text_of(detail.workflow_id, payload), text_of(detail.task_ref_name, payload)
    if not workflow_id or not ref:
        return None
    number = store.keys.partition_of(workflow_id)
    open_tasks = yield from loading.open_tasks(store.keys, number, workflow_id, everything=True)
    found = [(_iteration(task.ref, ref), task.suffix) for task in open_tasks]
    iterations = [(iteration, suffix) for iteration, suffix in found if iteration is not None]
    return f"{workflow_id}-{max(iterations)[1]}" if iterations else None


def perform(store: StoreContext, action: EventAction, execution: EventExecution, payload: Any) -> Plan[Output]:
    """Do it; gives the output of its execution. Raises what it is refused with.

    Example: ``executor.run(perform(store, action, execution, payload))``
    """
    detail = action.detail
    if isinstance(detail, StartWorkflowDetail):
        return (yield from _start(store, detail, execution, payload))
    if isinstance(detail, TaskDetail):
        return (yield from _end_task(store, action.action, detail, execution, payload))
    if isinstance(detail, TerminateWorkflowDetail):
        return (yield from _terminate(store, detail, execution, payload))
    return (yield from _update_variables(store, detail, execution, payload))


def request_id_of(execution: EventExecution) -> str:
    """The id under which an action asks for its effect: the same at every try."""
    seed = f"{execution.event}\n{execution.name}\n{execution.id}"
    return f"event-{hashlib.sha256(seed.encode()).hexdigest()[:24]}"


def _start(store: StoreContext, detail: StartWorkflowDetail, execution: EventExecution, payload: Any) -> Plan[Output]:
    given = rendered(detail.input, payload)
    domains = rendered(detail.task_to_domain, payload)
    if not domains and isinstance(payload, dict) and isinstance(payload.get("taskToDomain"), dict):
        domains = payload["taskToDomain"]
    name = text_of(detail.name, payload)
    if not name:
        raise InvalidRequest(f"the workflow to start has no name: {detail.name} is empty")
    request = StartWorkflowRequest(
        name=name,
        version=_version(detail.version, payload),
        correlation_id=text_of(detail.correlation_id, payload),
        input={**given, MESSAGE_ID: execution.message_id, EVENT_NAME: execution.event},
        task_to_domain={str(key): str(value) for key, value in domains.items()},
        idempotency_key=text_of(detail.idempotency_key, payload),
        idempotency_strategy=detail.idempotency_strategy,
    )
    launch = Launch(request, request_id=request_id_of(execution), event=execution.event)
    started = yield from starting.start(store, launch, wait_commit=False)
    return {"workflowId": started.workflow_id}


def _version(version: int | str | None, payload: Any) -> int | None:
    if version is None or isinstance(version, int):
        return version
    found = text_of(version, payload)
    if found is None:
        return None
    if not found.isdigit():
        raise InvalidRequest(f"version {found!r} of the workflow to start is not a whole number")
    return int(found)


def _end_task(
    store: StoreContext, kind: ActionKind, detail: TaskDetail, execution: EventExecution, payload: Any
) -> Plan[Output]:
    told = {
        "workflowId": text_of(detail.workflow_id, payload),
        "taskId": text_of(detail.task_id, payload),
        "taskRefName": text_of(detail.task_ref_name, payload),
        "reasonForIncompletion": text_of(detail.reason_for_incompletion, payload),
    }
    output = {
        **{key: value for key, value in told.items() if value is not None},
        **rendered(detail.output, payload),
        MESSAGE_ID: execution.message_id,
        EVENT_NAME: execution.event,
    }
    task_id = execution.target
    if task_id is None or len(task_id) <= TASK_SUFFIX_LENGTH + 1:
        where = f"ref {told['taskRefName']} of workflow {told['workflowId']}" if not told["taskId"] else told["taskId"]
        return {**output, "error": f"No task found with {where} to end"}
    status = "COMPLETED" if kind is ActionKind.COMPLETE_TASK else "FAILED"
    packed = pack(output, "output", store.settings.payload_bytes_max)
    outcome = Outcome(FORMAT, status, told["reasonForIncompletion"], worker_id=execution.event, output=Raw(packed))
    report = dispatch.Report(task_id, dispatch.OUTSIDE, True, encode(outcome))
    number = store.keys.partition_of(workflow_id_of(task_id))
    (verdict,) = yield dispatch.accept(store.keys, number, "event", [report])
    if str(verdict) == "GONE" and not (yield from _is_known(store, task_id)):
        return {**output, "error": f"No task found with id {task_id} to end"}
    return output


def _is_known(store: StoreContext, task_id: str) -> Plan[bool]:
    """Whether the workflow of a task exists: a task that has ended is no error."""
    workflow_id = workflow_id_of(task_id)
    found = yield Command(("EXISTS", store.keys.workflow(store.keys.partition_of(workflow_id), workflow_id)))
    return bool(found)


def _terminate(
    store: StoreContext, detail: TerminateWorkflowDetail, execution: EventExecution, payload: Any
) -> Plan[Output]:
    workflow_id = _workflow(detail.workflow_id, payload)
    reason = text_of(detail.termination_reason, payload)
    yield from actions.terminate(store, workflow_id, reason, request_id=request_id_of(execution))
    return {"workflowId": workflow_id}


def _update_variables(
    store: StoreContext, detail: UpdateVariablesDetail, execution: EventExecution, payload: Any
) -> Plan[Output]:
    workflow_id = _workflow(detail.workflow_id, payload)
    variables = rendered(detail.variables, payload)
    yield from actions.update_variables(
        store, workflow_id, variables, append_array=detail.append_array, request_id=request_id_of(execution)
    )
    return {"workflowId": workflow_id}


def _workflow(template: str, payload: Any) -> str:
    workflow_id = text_of(template, payload)
    if not workflow_id:
        raise NotFound(f"the message names no workflow: {template} is empty")
    return workflow_id


def _iteration(ref: str, name: str) -> int | None:
    """Which round of a loop the task ``ref`` of the step ``name`` is in, 0 outside; None when it is another step's."""
    if ref == name:
        return 0
    rest = ref.removeprefix(f"{name}__")
    return int(rest) if rest != ref and rest.isdigit() else None
