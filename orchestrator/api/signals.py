"""Where a workflow stood, in the form in which Conductor answers execute and signal (``SignalResponse``)."""

from __future__ import annotations

from typing import Any

from orchestrator.model.execution import Task, Workflow
from orchestrator.service.halts import Halt, ReturnStrategy

_OF_TASK = frozenset({ReturnStrategy.BLOCKING_TASK, ReturnStrategy.BLOCKING_TASK_INPUT})


def signal_response(halt: Halt) -> dict[str, Any] | None:
    """What the return strategy names; ``None`` when it names a task and none blocks."""
    if halt.strategy in _OF_TASK:
        if halt.task is None:
            return None
        named = _of_task(halt.task)
    else:
        named = _of_workflow(halt.workflow)
    answer = {
        "responseType": str(halt.strategy),
        "targetWorkflowId": halt.target.workflow_id,
        "targetWorkflowStatus": str(halt.target.status),
        "requestId": halt.request_id,
        "signalTimeout": halt.timed_out,
        "workflowId": halt.workflow.workflow_id,
        "correlationId": halt.workflow.correlation_id,
        **named,
    }
    return {name: value for name, value in answer.items() if value is not None}


def _of_workflow(workflow: Workflow) -> dict[str, Any]:
    return {
        "input": workflow.input,
        "output": workflow.output,
        "priority": workflow.priority,
        "variables": workflow.variables,
        "tasks": workflow.tasks,
        "createdBy": workflow.created_by,
        "createTime": workflow.create_time,
        "updateTime": workflow.update_time,
        "status": str(workflow.status),
    }


def _of_task(task: Task) -> dict[str, Any]:
    return {
        "input": task.input_data,
        "output": task.output_data,
        "taskType": task.task_type,
        "taskId": task.task_id,
        "referenceTaskName": task.reference_task_name,
        "retryCount": task.retry_count,
        "taskDefName": task.task_def_name,
        "retriedTaskId": task.retried_task_id,
        "workflowType": task.workflow_type,
        "reasonForIncompletion": task.reason_for_incompletion,
        "priority": task.workflow_priority,
        "createdBy": task.worker_id,
        "createTime": task.start_time,
        "updateTime": task.update_time,
        "status": str(task.status),
    }
