"""Who wants to hear of it: listeners of workflows and tasks, and the events of a step's ``onStateChange``.

News is a hand-off like any other: the commit that makes it true writes it, the relay passes it on. It tells who and what,
never a payload of the workflow: those can be large, and secret. What is wrong with a listener is said where the
definition is registered; here it only means that nobody hears. The kinds of news are Conductor's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.codec import pack
from orchestrator.core.expressions import compile_template
from orchestrator.errors import InvalidPayload
from orchestrator.model.effects import Notify
from orchestrator.model.sinks import SinkInvalid, listener_of
from orchestrator.model.status import is_terminal

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord

STATES = {
    "SCHEDULED": "onScheduled",
    "IN_PROGRESS": "onStart",
    "COMPLETED": "onSuccess",
    "COMPLETED_WITH_ERRORS": "onFailed",
    "FAILED": "onFailed",
    "FAILED_WITH_TERMINAL_ERROR": "onFailed",
    "TIMED_OUT": "onFailed",
    "CANCELED": "onCancelled",
}
"""The state of ``onStateChange`` that a task's status is, in the names of Orkes."""

OPERATIONS = {
    "pause": "PAUSED",
    "rerun": "RERAN",
    "restart": "RESTARTED",
    "resume": "RESUMED",
    "retry": "RETRIED",
}
"""What is told of an operator's action that was carried out."""

PAYLOAD_BYTES_MAX = 64 * 1024
"""What the payload of a state change may take; a larger one is left out and said to be."""


# --- workflows --------------------------------------------------------------------------------------------------------


def workflow(d: Draft, kind: str) -> None:
    """Tell the workflow's listener, if it has one, what happened: STARTED, COMPLETED, PAUSED ..."""
    definition = d.program.definition
    if not definition.workflow_status_listener_enabled:
        return
    sink = definition.workflow_status_listener_sink or d.facts.listeners.workflow
    if sink:
        # Within a version everything that is told has a number, so a decision that is made again tells the same.
        d.news += 1
        news_id = f"{d.workflow_id}:{kind}:{d.before.version + 1}.{d.news}"
        _tell(d, sink, news_id, {"event": kind, **_workflow_facts(d)})


def operation(d: Draft, action: str, arguments: dict[str, Any]) -> None:
    """Tell the workflow's listener what an operator did; a rerun from a task counts as a retry, as in Conductor."""
    kind = OPERATIONS.get(action)
    if kind is not None:
        workflow(d, "RETRIED" if action == "rerun" and arguments.get("ref") else kind)


def finalized(d: Draft) -> bool:
    """Whether the workflow has ended and nothing of it is open any more."""
    return is_terminal(d.core.status) and d.core.open == 0


def _workflow_facts(d: Draft) -> dict[str, Any]:
    core, meta = d.core, d.state.meta
    return {
        "workflowId": d.workflow_id,
        "workflowType": meta.name,
        "version": meta.version,
        "correlationId": meta.correlation_id,
        "status": str(core.status),
        "reasonForIncompletion": core.reason,
        "startTime": core.created_ms,
        "updateTime": d.now,
        "endTime": core.ended_ms,
        "parentWorkflowId": meta.parent_workflow_id,
        "failedReferenceTaskNames": list(core.failed_refs),
    }


# --- tasks ------------------------------------------------------------------------------------------------------------


def hears(d: Draft, node: Node, status: str) -> bool:
    """Whether anybody wants to know that a task of this step came to this status."""
    return bool(node.task.on_state_change.get(STATES.get(status, ""))) or _is_listened_to(d, node)


def task(d: Draft, node: Node, record: TaskRecord, status: str) -> None:
    """Tell the listeners of tasks that this attempt came to this status."""
    if _is_listened_to(d, node):
        news = {"event": status, **_task_facts(d, record, status)}
        _tell(d, d.facts.listeners.task, f"{d.task_id(record)}:{status}", news)
    state = STATES.get(status, "")
    for index, change in enumerate(node.task.on_state_change.get(state) or ()):
        news = {"event": state, **_task_facts(d, record, status), **_payload(d, change.payload)}
        _tell(d, change.type, f"{d.task_id(record)}:{state}:{index}", news)


def _is_listened_to(d: Draft, node: Node) -> bool:
    return bool(d.facts.listeners.task) and d.task_def(node).task_status_listener_enabled


def _task_facts(d: Draft, record: TaskRecord, status: str) -> dict[str, Any]:
    made, result, meta = record.scheduled, record.result, d.state.meta
    return {
        "workflowInstanceId": d.workflow_id,
        "workflowType": meta.name,
        "workflowVersion": meta.version,
        "correlationId": meta.correlation_id,
        "taskId": d.task_id(record),
        "referenceTaskName": made.ref,
        "taskType": made.type,
        "taskDefName": made.name,
        "status": status,
        "retryCount": made.attempt,
        "iteration": made.iteration,
        "reasonForIncompletion": result.reason if result is not None else None,
        "workerId": result.worker_id if result is not None else None,
        "scheduledTime": made.scheduled_ms,
        "updateTime": d.now,
    }


def _payload(d: Draft, template: dict[str, Any] | None) -> dict[str, Any]:
    """The payload of a state change with its expressions replaced, as they are at this moment."""
    if not template:
        return {"payload": {}}
    compiled = compile_template(template)
    value = d.render(compiled, d.program.reads_of(compiled))
    try:
        pack(value, "payload", PAYLOAD_BYTES_MAX)
    except InvalidPayload as error:
        return {"payload": {}, "payloadOmitted": str(error)}
    return {"payload": value}


def _tell(d: Draft, sink: str, news_id: str, news: dict[str, Any]) -> None:
    try:
        place = listener_of(sink, d.state.meta.name)
    except SinkInvalid:
        return
    d.handoffs.append(Notify(place, news_id, pack(news)))
