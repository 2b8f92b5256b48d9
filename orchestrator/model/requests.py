"""What callers send besides starts and reports: how to rerun, skip, change or try a workflow, and tags.

Names and defaults are Conductor's; which of them may stand together is judged by the plans that get them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.model.execution import StartWorkflowRequest, TaskResult
from orchestrator.model.status import TaskStatus


class RerunWorkflowRequest(msgspec.Struct, kw_only=True):
    """Go on from a task, or anew. Example: ``RerunWorkflowRequest(re_run_from_task_id=task_id)``"""

    re_run_from_workflow_id: str | None = None
    re_run_from_task_id: str | None = None
    workflow_input: dict[str, Any] | None = None
    task_input: dict[str, Any] | None = None
    correlation_id: str | None = None


class SkipTaskRequest(msgspec.Struct, kw_only=True):
    """What later steps see of a step that is skipped."""

    task_input: dict[str, Any] = {}
    task_output: dict[str, Any] = {}


class UpgradeWorkflowRequest(msgspec.Struct, kw_only=True):
    """By which version an execution is to go on; ``task_output`` are the outputs of steps that are passed over for it."""

    name: str | None = None
    version: int | None = None
    task_output: dict[str, dict[str, Any]] = {}
    workflow_input: dict[str, Any] = {}


class WorkflowStateUpdate(msgspec.Struct, kw_only=True):
    """New variables, and how the open task ``task_reference_name`` ended, in one step."""

    task_reference_name: str | None = None
    task_result: TaskResult | None = None
    variables: dict[str, Any] = {}


class TaskMock(msgspec.Struct, kw_only=True):
    """One mocked outcome of a step; times in milliseconds."""

    status: TaskStatus = TaskStatus.COMPLETED
    output: dict[str, Any] = {}
    execution_time: int = 0
    queue_wait_time: int = 0


class WorkflowTestRequest(StartWorkflowRequest, kw_only=True):
    """A start that is only tried, with mocked outcomes by reference name, also of the steps of sub-workflows."""

    task_ref_to_mock_output: dict[str, list[TaskMock]] = msgspec.field(default_factory=dict)
    sub_workflow_test_request: dict[str, WorkflowTestRequest] = msgspec.field(default_factory=dict)


class CorrelationIdsSearchRequest(msgspec.Struct, kw_only=True):
    """The executions of any of these workflows under any of these correlation ids."""

    correlation_ids: list[str] = []
    workflow_names: list[str] = []


class Tag(msgspec.Struct, kw_only=True):
    """A word that users hang on something. Example: ``Tag(key="team", value="payments")``"""

    key: str
    type: str = "METADATA"
    value: Any = None
