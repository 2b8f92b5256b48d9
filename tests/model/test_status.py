"""The status tables answer for every member, and text is as good as a member."""

from __future__ import annotations

import pytest

from orchestrator.model.status import (
    OPEN_TASK_STATUSES,
    TASK_RETRIABLE,
    TASK_SUCCESSFUL,
    TASK_TERMINAL,
    WORKFLOW_SUCCESSFUL,
    WORKFLOW_TERMINAL,
    TaskStatus,
    WorkflowStatus,
    is_retriable,
    is_successful,
    is_terminal,
)


def test_every_status_has_an_entry_in_every_table() -> None:
    assert set(WORKFLOW_TERMINAL) == set(WORKFLOW_SUCCESSFUL) == set(WorkflowStatus)
    assert set(TASK_TERMINAL) == set(TASK_SUCCESSFUL) == set(TASK_RETRIABLE) == set(TaskStatus)


@pytest.mark.parametrize("status", WorkflowStatus)
def test_lookups_agree_with_the_workflow_tables(status: WorkflowStatus) -> None:
    assert is_terminal(status) == is_terminal(status.value) == WORKFLOW_TERMINAL[status]
    assert is_successful(status) == WORKFLOW_SUCCESSFUL[status]


@pytest.mark.parametrize("status", TaskStatus)
def test_lookups_agree_with_the_task_tables(status: TaskStatus) -> None:
    assert is_terminal(status) == is_terminal(status.value) == TASK_TERMINAL[status]
    assert is_successful(status) == TASK_SUCCESSFUL[status]
    assert is_retriable(status) == TASK_RETRIABLE[status]


@pytest.mark.parametrize(
    ("status", "terminal", "successful", "retriable"),
    [
        ("SCHEDULED", False, True, True),
        ("IN_PROGRESS", False, True, True),
        ("COMPLETED", True, True, True),
        ("COMPLETED_WITH_ERRORS", True, True, True),
        ("SKIPPED", True, True, False),
        ("FAILED", True, False, True),
        ("TIMED_OUT", True, False, True),
        ("FAILED_WITH_TERMINAL_ERROR", True, False, False),
        ("CANCELED", True, False, False),
    ],
)
def test_task_statuses_mean_what_conductor_means(
    status: str, *, terminal: bool, successful: bool, retriable: bool
) -> None:
    assert (is_terminal(status), is_successful(status), is_retriable(status)) == (terminal, successful, retriable)


def test_a_paused_workflow_is_open_and_counts_as_successful() -> None:
    assert not is_terminal("PAUSED")
    assert is_successful("PAUSED")


def test_open_statuses_are_the_ones_that_are_not_terminal() -> None:
    assert {"SCHEDULED", "IN_PROGRESS"} == OPEN_TASK_STATUSES
