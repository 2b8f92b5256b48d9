"""Workflow and task statuses and the three questions asked about them: terminal? successful? retriable?

The literal tables below are the truth, one entry for every member; the frozen sets are the same tables turned into
fast lookups. A status is a ``str``, so text read from Redis or JSON can be asked about without converting it first.
Called by every floor above; changes nothing and knows no transitions.
"""

from __future__ import annotations

from enum import StrEnum


class WorkflowStatus(StrEnum):
    """Where a workflow execution stands. Example: ``WorkflowStatus("RUNNING") == "RUNNING"``."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    TERMINATED = "TERMINATED"


class TaskStatus(StrEnum):
    """Where one attempt of a task stands. Example: ``TaskStatus.SCHEDULED in OPEN_TASK_STATUSES``."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    COMPLETED_WITH_ERRORS = "COMPLETED_WITH_ERRORS"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    FAILED_WITH_TERMINAL_ERROR = "FAILED_WITH_TERMINAL_ERROR"
    CANCELED = "CANCELED"


WORKFLOW_TERMINAL: dict[WorkflowStatus, bool] = {
    WorkflowStatus.RUNNING: False,
    WorkflowStatus.PAUSED: False,
    WorkflowStatus.COMPLETED: True,
    WorkflowStatus.FAILED: True,
    WorkflowStatus.TIMED_OUT: True,
    WorkflowStatus.TERMINATED: True,
}

# PAUSED counts as successful, as SCHEDULED and IN_PROGRESS do for tasks: "successful" means "has not gone wrong".
# Whoever needs "finished well" asks for terminal too.
WORKFLOW_SUCCESSFUL: dict[WorkflowStatus, bool] = {
    WorkflowStatus.RUNNING: False,
    WorkflowStatus.PAUSED: True,
    WorkflowStatus.COMPLETED: True,
    WorkflowStatus.FAILED: False,
    WorkflowStatus.TIMED_OUT: False,
    WorkflowStatus.TERMINATED: False,
}

TASK_TERMINAL: dict[TaskStatus, bool] = {
    TaskStatus.SCHEDULED: False,
    TaskStatus.IN_PROGRESS: False,
    TaskStatus.COMPLETED: True,
    TaskStatus.COMPLETED_WITH_ERRORS: True,
    TaskStatus.SKIPPED: True,
    TaskStatus.FAILED: True,
    TaskStatus.TIMED_OUT: True,
    TaskStatus.FAILED_WITH_TERMINAL_ERROR: True,
    TaskStatus.CANCELED: True,
}

TASK_SUCCESSFUL: dict[TaskStatus, bool] = {
    TaskStatus.SCHEDULED: True,
    TaskStatus.IN_PROGRESS: True,
    TaskStatus.COMPLETED: True,
    TaskStatus.COMPLETED_WITH_ERRORS: True,
    TaskStatus.SKIPPED: True,
    TaskStatus.FAILED: False,
    TaskStatus.TIMED_OUT: False,
    TaskStatus.FAILED_WITH_TERMINAL_ERROR: False,
    TaskStatus.CANCELED: False,
}

TASK_RETRIABLE: dict[TaskStatus, bool] = {
    TaskStatus.SCHEDULED: True,
    TaskStatus.IN_PROGRESS: True,
    TaskStatus.COMPLETED: True,
    TaskStatus.COMPLETED_WITH_ERRORS: True,
    TaskStatus.SKIPPED: False,
    TaskStatus.FAILED: True,
    TaskStatus.TIMED_OUT: True,
    TaskStatus.FAILED_WITH_TERMINAL_ERROR: False,
    TaskStatus.CANCELED: False,
}

# The two kinds of status share a name only where they share the answer, so one set serves both.
_TERMINAL: frozenset[str] = frozenset(
    str(status) for table in (WORKFLOW_TERMINAL, TASK_TERMINAL) for status, holds in table.items() if holds
)
_SUCCESSFUL: frozenset[str] = frozenset(
    str(status) for table in (WORKFLOW_SUCCESSFUL, TASK_SUCCESSFUL) for status, holds in table.items() if holds
)
_RETRIABLE: frozenset[str] = frozenset(str(status) for status, holds in TASK_RETRIABLE.items() if holds)

OPEN_TASK_STATUSES: frozenset[str] = frozenset(str(status) for status, holds in TASK_TERMINAL.items() if not holds)
"""The task statuses in which work may still happen."""

RESULT_STATUSES: tuple[TaskStatus, ...] = (
    TaskStatus.IN_PROGRESS,
    TaskStatus.FAILED,
    TaskStatus.FAILED_WITH_TERMINAL_ERROR,
    TaskStatus.COMPLETED,
    TaskStatus.CANCELED,
)
"""The statuses a worker may report; all others are given by the engine."""


def is_terminal(status: str) -> bool:
    """Whether a workflow or task in ``status`` has ended. Example: ``is_terminal("FAILED")`` is True."""
    return status in _TERMINAL


def is_successful(status: str) -> bool:
    """Whether nothing has gone wrong so far; open tasks and PAUSED count. Example: ``is_successful("SKIPPED")``."""
    return status in _SUCCESSFUL


def is_retriable(status: str) -> bool:
    """Whether a task that ended in ``status`` may get another attempt. Example: ``is_retriable("TIMED_OUT")``."""
    return status in _RETRIABLE
