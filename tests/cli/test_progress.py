"""Progress: a live table where somebody watches, a line for each change where nobody does."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from orchestrator.model.definitions import WorkflowDef
from orchestrator.model.execution import Task, Workflow
from orchestrator.model.status import TaskStatus, WorkflowStatus
from orchestrator_cli import progress

NOW_MS = 10_000


def execution(*tasks: Task, status: WorkflowStatus = WorkflowStatus.RUNNING) -> Workflow:
    return Workflow(workflow_id="w1", status=status, tasks=list(tasks), workflow_definition=WorkflowDef(name="order"))


def attempt(number: int, status: TaskStatus, end_ms: int = 0, reason: str | None = None) -> Task:
    return Task(
        task_id=f"w1-charge-{number}",
        reference_task_name="charge",
        status=status,
        retry_count=number,
        start_time=5_000,
        end_time=end_ms,
        reason_for_incompletion=reason,
    )


def test_a_task_is_a_row_of_name_status_attempt_and_time_so_far() -> None:
    assert progress.task_cells(attempt(1, TaskStatus.IN_PROGRESS), NOW_MS) == [
        "charge",
        "IN_PROGRESS",
        "2",
        "5.0s",
        "-",
    ]
    assert progress.task_cells(Task(task_id="t"), NOW_MS)[3] == "-"


def test_each_change_is_one_line_and_nothing_is_said_twice(capsys: pytest.CaptureFixture[str]) -> None:
    failed = attempt(0, TaskStatus.FAILED, 6_000, "no answer")
    with progress._display() as show:
        show(execution(attempt(0, TaskStatus.IN_PROGRESS)), NOW_MS)
        show(execution(attempt(0, TaskStatus.IN_PROGRESS)), NOW_MS)
        show(execution(failed, attempt(1, TaskStatus.SCHEDULED)), NOW_MS)
        done = attempt(1, TaskStatus.COMPLETED, 7_500)
        show(execution(failed, done, status=WorkflowStatus.COMPLETED), NOW_MS)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "charge: IN_PROGRESS",
        "order is RUNNING",
        "charge: FAILED  1.0s  no answer",
        "charge: SCHEDULED  attempt 2",
        "charge: COMPLETED  attempt 2  2.5s",
        "order is COMPLETED",
    ]


def test_a_terminal_gets_a_table_that_shows_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    with progress._display() as show:
        show(execution(attempt(0, TaskStatus.COMPLETED, 6_000), status=WorkflowStatus.COMPLETED), NOW_MS)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "order w1: COMPLETED" in captured.err
    assert "ATTEMPT" in captured.err


def test_a_table_of_many_tasks_shows_the_last_and_says_so() -> None:
    many = [Task(task_id=str(n), reference_task_name=f"t{n}") for n in range(progress.ROWS_MAX + 5)]
    shown = io.StringIO()
    Console(file=shown, width=100).print(progress._drawn(execution(*many), NOW_MS))
    assert f"the last {progress.ROWS_MAX} of {len(many)} tasks" in shown.getvalue()
    assert "t4 " not in shown.getvalue()
    assert f"t{len(many) - 1} " in shown.getvalue()


def test_without_rich_a_terminal_gets_lines_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for module in ("rich", "rich.console", "rich.live"):
        monkeypatch.setitem(sys.modules, module, None)
    with progress._display() as show:
        show(execution(), NOW_MS)
    assert capsys.readouterr().err == "order is RUNNING\n"
