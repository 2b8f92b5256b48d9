"""What callers see of an execution: Workflow, Task, TaskResult, logs and the request that starts one.

These are views: built from the store's records when somebody asks, sent over HTTP, read by clients. The engine does
not decide on them. Times are epoch milliseconds, 0 for "not yet"; names are Conductor's in snake case.
The rules for what callers send (``TaskResult``, ``StartWorkflowRequest``) stand here, next to the fields they judge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from orchestrator.errors import Problem, TaskNotFound
from orchestrator.model.definitions import IdempotencyStrategy, TaskDef, WorkflowDef, WorkflowTask
from orchestrator.model.status import RESULT_STATUSES, TaskStatus, WorkflowStatus, is_terminal
from orchestrator.model.validation import validate_workflow_def

PRIORITY_MIN = 0
PRIORITY_MAX = 99


class TaskExecLog(msgspec.Struct, kw_only=True):
    """One line that a task logged. Example: ``TaskExecLog(log="half way", created_time=1_700_000_000_000)``."""

    log: str = ""
    task_id: str | None = None
    created_time: int = 0


class Task(msgspec.Struct, kw_only=True):
    """One attempt of one task in an execution.

    ``reference_task_name`` carries ``__N`` inside loops, ``retry_count`` is the attempt from 0, ``seq`` the order of
    scheduling from 1. Example: ``workflow.task("charge").output_data["receipt"]``
    """

    task_id: str
    task_type: str = ""
    task_def_name: str = ""
    status: TaskStatus = TaskStatus.SCHEDULED
    reference_task_name: str = ""
    input_data: dict[str, Any] = {}
    output_data: dict[str, Any] = {}
    retry_count: int = 0
    seq: int = 0
    correlation_id: str | None = None
    poll_count: int = 0
    scheduled_time: int = 0
    start_time: int = 0
    end_time: int = 0
    update_time: int = 0
    start_delay_in_seconds: int = 0
    retried_task_id: str | None = None
    retried: bool = False
    executed: bool = False
    callback_from_worker: bool = True
    response_timeout_seconds: int = 0
    workflow_instance_id: str = ""
    workflow_type: str = ""
    reason_for_incompletion: str | None = None
    callback_after_seconds: int = 0
    worker_id: str | None = None
    workflow_task: WorkflowTask | None = None
    domain: str | None = None
    rate_limit_per_frequency: int = 0
    rate_limit_frequency_in_seconds: int = 0
    external_input_payload_storage_path: str | None = None
    external_output_payload_storage_path: str | None = None
    workflow_priority: int = 0
    execution_name_space: str | None = None
    isolation_group_id: str | None = None
    iteration: int = 0
    sub_workflow_id: str | None = None
    subworkflow_changed: bool = False
    first_start_time: int = 0
    execution_metadata: dict[str, Any] | None = None
    parent_task_id: str | None = None
    runtime_metadata: dict[str, str] | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether this attempt has ended."""
        return is_terminal(self.status)

    @property
    def loop_over_task(self) -> bool:
        """Whether this task runs inside a DO_WHILE."""
        return self.iteration > 0

    @property
    def task_definition(self) -> TaskDef | None:
        """The TaskDef embedded in the step, if any."""
        return self.workflow_task.task_definition if self.workflow_task else None

    def queue_wait_ms(self, now_ms: int) -> int:
        """Milliseconds spent waiting for a worker, or since a pending callback fell due (then ``now_ms`` counts)."""
        if self.start_time <= 0 or self.scheduled_time <= 0:
            return 0
        if self.update_time > 0 and self.callback_after_seconds > 0:
            return max(0, now_ms - (self.update_time + self.callback_after_seconds * 1000))
        return self.start_time - self.scheduled_time


class Workflow(msgspec.Struct, kw_only=True):
    """One execution of a workflow, with its tasks in order of scheduling.

    ``workflow_definition`` is the snapshot the execution runs on. Example: ``client.workflow(id).describe().status``
    """

    workflow_id: str
    status: WorkflowStatus = WorkflowStatus.RUNNING
    create_time: int = 0
    update_time: int = 0
    end_time: int = 0
    parent_workflow_id: str | None = None
    parent_workflow_task_id: str | None = None
    tasks: list[Task] = []
    input: dict[str, Any] = {}
    output: dict[str, Any] = {}
    correlation_id: str | None = None
    re_run_from_workflow_id: str | None = None
    reason_for_incompletion: str | None = None
    event: str | None = None
    task_to_domain: dict[str, str] = {}
    failed_reference_task_names: list[str] = []
    failed_task_names: list[str] = []
    workflow_definition: WorkflowDef | None = None
    external_input_payload_storage_path: str | None = None
    external_output_payload_storage_path: str | None = None
    priority: int = 0
    variables: dict[str, Any] = {}
    last_retried_time: int = 0
    history: list[Workflow] = []
    idempotency_key: str | None = None
    rate_limit_key: str | None = None
    rate_limited: bool = False
    aggregate_token_usage: dict[str, int] | None = None
    owner_app: str | None = None
    created_by: str | None = None
    updated_by: str | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether this execution has ended."""
        return is_terminal(self.status)

    @property
    def workflow_name(self) -> str:
        """Name of the definition; empty when the view was made without it."""
        return self.workflow_definition.name if self.workflow_definition else ""

    @property
    def workflow_version(self) -> int:
        """Version of the definition; 0 when the view was made without it."""
        return self.workflow_definition.version if self.workflow_definition else 0

    def task(self, ref: str) -> Task:
        """The latest attempt of the task called ``ref``.

        Inside a loop both ``body__2`` and plain ``body`` (the latest iteration) are understood. Raises
        ``TaskNotFound`` when nothing of that name has been scheduled. Example: ``workflow.task("ship").status``
        """
        found = self.find_task(ref)
        if found is None:
            known = ", ".join(dict.fromkeys(task.reference_task_name for task in self.tasks)) or "none"
            raise TaskNotFound(
                f"workflow {self.workflow_id} has no task {ref!r}; tasks scheduled so far: {known[:500]}"
            )
        return found

    def find_task(self, ref: str) -> Task | None:
        """Like ``task``, but None when there is no such task. Example: ``workflow.find_task("ship") is None``."""
        # The list is ordered by scheduling, so the last match is the latest attempt of the latest iteration.
        for task in reversed(self.tasks):
            if task.reference_task_name == ref:
                return task
        for task in reversed(self.tasks):
            if task.loop_over_task and task.reference_task_name == f"{ref}__{task.iteration}":
                return task
        return None


class TaskResult(msgspec.Struct, kw_only=True):
    """What a worker reports about one attempt; ``status`` is one of ``RESULT_STATUSES``.

    Example: ``TaskResult(workflow_instance_id=w, task_id=t, status=TaskStatus.COMPLETED, output_data={"sum": 3})``
    """

    workflow_instance_id: str
    task_id: str
    status: TaskStatus
    reason_for_incompletion: str | None = None
    callback_after_seconds: int = 0
    worker_id: str | None = None
    output_data: dict[str, Any] = {}
    logs: list[TaskExecLog] = []
    external_output_payload_storage_path: str | None = None
    sub_workflow_id: str | None = None
    extend_lease: bool = False
    execution_metadata: dict[str, Any] | None = None
    supports_cancellation: bool = False


class PollData(msgspec.Struct, kw_only=True):
    """The last poll for the tasks of one queue: who asked and when."""

    queue_name: str
    domain: str | None = None
    worker_id: str | None = None
    last_poll_time: int = 0


class StartWorkflowRequest(msgspec.Struct, kw_only=True):
    """Everything that may be said when starting a workflow; ``version`` None means the latest.

    ``workflow_def`` runs an inline definition that is not stored in the catalog.
    Example: ``StartWorkflowRequest(name="order", input={"sku": "x"}, priority=5)``
    """

    name: str
    version: int | None = None
    correlation_id: str | None = None
    input: dict[str, Any] = {}
    task_to_domain: dict[str, str] = {}
    workflow_def: WorkflowDef | None = None
    external_input_payload_storage_path: str | None = None
    priority: int = 0
    created_by: str | None = None
    idempotency_key: str | None = None
    idempotency_strategy: IdempotencyStrategy | None = None


def validate_task_result(result: TaskResult) -> list[Problem]:
    """What is wrong with a worker's report; empty when nothing is.

    Example: ``validate_task_result(TaskResult(workflow_instance_id="", task_id="t", status="FAILED"))``
    """
    problems = []
    if not result.workflow_instance_id:
        problems.append(
            Problem("workflowInstanceId", "Workflow Id cannot be null or empty", result.workflow_instance_id)
        )
    if not result.task_id:
        problems.append(Problem("taskId", "Task ID cannot be null or empty", result.task_id))
    if result.status not in RESULT_STATUSES:
        allowed = ", ".join(RESULT_STATUSES)
        problems.append(Problem("status", f"{result.status} cannot be reported; use one of {allowed}", result.status))
    if result.callback_after_seconds < 0:
        message = f"callbackAfterSeconds: {result.callback_after_seconds} should be minimum 0"
        problems.append(Problem("callbackAfterSeconds", message, result.callback_after_seconds))
    return problems


def validate_start_request(
    request: StartWorkflowRequest,
    check: Callable[[WorkflowDef], list[Problem]] = validate_workflow_def,
) -> list[Problem]:
    """What is wrong with a start request; ``check`` judges an inline definition, whose problems get its path in front.

    Example: ``validate_start_request(StartWorkflowRequest(name="a", priority=100))[0].path == "priority"``
    """
    problems = []
    if not request.name:
        problems.append(Problem("name", "Workflow name cannot be null or empty", request.name))
    if request.priority < PRIORITY_MIN:
        problems.append(
            Problem("priority", f"priority: {request.priority} should be minimum {PRIORITY_MIN}", request.priority)
        )
    if request.priority > PRIORITY_MAX:
        problems.append(
            Problem("priority", f"priority: {request.priority} should be maximum {PRIORITY_MAX}", request.priority)
        )
    if request.workflow_def is not None:
        problems += [
            Problem(f"workflowDef.{problem.path}", problem.message, problem.value)
            for problem in check(request.workflow_def)
        ]
    return problems
