"""What a test asks of an execution: how it ended, what each task gave, what happened when.

A result is a picture of one moment; nothing in it changes afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.model.execution import Task, Workflow
from orchestrator.model.status import TaskStatus, WorkflowStatus


@dataclass(frozen=True)
class TaskResult:
    """One attempt of a task, counted from 0; ``error`` is what its code raised, known to ``call_task`` only."""

    ref: str
    status: TaskStatus
    input: dict[str, Any]
    output: dict[str, Any]
    reason: str | None = None
    attempt: int = 0
    logs: list[str] = field(default_factory=list)
    error: BaseException | None = None


class WorkflowResult:
    """One execution as it stood when the test looked. Example: ``result.assert_completed().task("greet").output``"""

    def __init__(self, workflow: Workflow, missing: Sequence[str] = ()) -> None:
        self.workflow = workflow
        """The whole view, for what has no property here."""
        self.missing = list(missing)
        """The steps that wait for an outcome: they have no mock left and no function."""

    @property
    def id(self) -> str:
        """The workflow's id."""
        return self.workflow.workflow_id

    @property
    def status(self) -> WorkflowStatus:
        """RUNNING when nothing more could happen without something from outside, such as a signal."""
        return self.workflow.status

    @property
    def output(self) -> dict[str, Any]:
        """What the workflow gave back."""
        return self.workflow.output

    @property
    def reason(self) -> str | None:
        """Why it ended as it did."""
        return self.workflow.reason_for_incompletion

    @property
    def tasks(self) -> list[TaskResult]:
        """Every attempt of every task, in the order they were scheduled."""
        return [_task_result(task) for task in self.workflow.tasks]

    def task(self, ref: str) -> TaskResult:
        """The latest attempt of the task with that reference name. Raises ``TaskNotFound`` naming those there are."""
        return _task_result(self.workflow.task(ref))

    def assert_completed(self) -> WorkflowResult:
        """This result, if the workflow COMPLETED; otherwise an ``AssertionError`` that tells its story."""
        if self.status != WorkflowStatus.COMPLETED:
            raise AssertionError(
                f"workflow {self.workflow.workflow_name} is {self.status}, not COMPLETED\n{self.timeline()}"
            )
        return self

    def timeline(self) -> str:
        """What happened, a line for each attempt with its times from the start, and the end: fit for a snapshot.

        Example: ``     0.000     60.000  charge  FAILED (attempt 1): TimeoutError: bank is closed``
        """
        begin = self.workflow.create_time
        width = max((len(task.reference_task_name) for task in self.workflow.tasks), default=0)
        lines = [_line(task, begin, width) for task in self.workflow.tasks]
        end = _seconds(self.workflow.end_time, begin)
        reason = f": {self.reason}" if self.reason else ""
        waiting = [f"{'':21}  no mock left for {', '.join(self.missing)}"] if self.missing else []
        return "\n".join([*lines, *waiting, f"{'':10} {end}  {self.status}{reason}"])

    def __repr__(self) -> str:
        return f"<WorkflowResult {self.workflow.workflow_name} {self.status}>"


def _line(task: Task, begin: int, width: int) -> str:
    attempt = f" (attempt {task.retry_count + 1})" if task.retry_count or task.retried else ""
    reason = f": {task.reason_for_incompletion}" if task.reason_for_incompletion else ""
    began, ended = _seconds(task.start_time or task.scheduled_time, begin), _seconds(task.end_time, begin)
    return f"{began} {ended}  {task.reference_task_name:{width}}  {task.status}{attempt}{reason}"


def _seconds(at_ms: int, begin_ms: int) -> str:
    return f"{(at_ms - begin_ms) / 1000:10.3f}" if at_ms else f"{'-':>10}"


def _task_result(task: Task) -> TaskResult:
    return TaskResult(
        task.reference_task_name,
        task.status,
        task.input_data,
        task.output_data,
        task.reason_for_incompletion,
        task.retry_count,
    )
