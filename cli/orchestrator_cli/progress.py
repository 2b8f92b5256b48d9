"""How an execution goes, shown while one waits for its end: a live table on a terminal, else a line a change.

Written to standard error, since standard output is for the result. The end is waited for, not polled: it shows at once;
what happens on the way is looked at a few times a second. Called by ``workflow run`` and ``workflow watch``.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from orchestrator.errors import WaitTimeout
from orchestrator.model.execution import Task, Workflow
from orchestrator_cli.output import COLOURS, say, span, text
from orchestrator_cli.session import Store

TITLES = ("task", "status", "attempt", "duration", "reason")
LOOK_S = 0.2
ROWS_MAX = 30

Show = Callable[[Workflow, int], None]


def follow(store: Store, workflow_id: str, timeout_s: float | None = None) -> None:
    """Show the execution until it has ended.

    Raises ``WorkflowNotFound``, and ``WaitTimeout`` after ``timeout_s`` seconds. Example: ``follow(store, id)``
    """
    from orchestrator.service import workflows

    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    with _display() as show:
        while True:
            found = store.run(workflows.get, workflow_id)
            show(found, _now_ms())
            if found.is_terminal:
                return
            left_s = LOOK_S if deadline is None else min(LOOK_S, deadline - time.monotonic())
            if left_s <= 0:
                store.run(workflows.await_end, workflow_id, timeout_s)  # says it in the service's own words
            with contextlib.suppress(WaitTimeout):
                store.run(workflows.await_end, workflow_id, left_s)


def task_cells(task: Task, now_ms: int) -> list[str]:
    """One task as the cells of a table under ``TITLES``."""
    return [
        text(task.reference_task_name),
        str(task.status),
        str(task.retry_count + 1),
        span((task.end_time or now_ms) - task.start_time) if task.start_time else "-",
        text(task.reason_for_incompletion),
    ]


@contextlib.contextmanager
def _display() -> Iterator[Show]:
    if not sys.stderr.isatty():
        yield _Lines()
        return
    try:
        from rich.console import Console
        from rich.live import Live
    except ImportError:
        yield _Lines()
        return
    with Live(console=Console(stderr=True), refresh_per_second=8, transient=False) as live:
        yield lambda found, now_ms: live.update(_drawn(found, now_ms), refresh=True)


def _drawn(found: Workflow, now_ms: int) -> Any:
    from rich.table import Table
    from rich.text import Text

    title = f"{found.workflow_name} {found.workflow_id}: {found.status}"
    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in TITLES:
        drawn.add_column(name.upper(), overflow="fold")
    for task in found.tasks[-ROWS_MAX:]:
        drawn.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in task_cells(task, now_ms)))
    if len(found.tasks) > ROWS_MAX:
        drawn.caption = f"the last {ROWS_MAX} of {len(found.tasks)} tasks"
    return drawn


class _Lines:
    """A line for every task that is new or has changed, and for every change of the whole."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def __call__(self, found: Workflow, now_ms: int) -> None:
        for task in found.tasks:
            if self._is_new(task.task_id, task.status):
                ref, status, attempt, duration, reason = task_cells(task, now_ms)
                more = [f"attempt {attempt}"] if task.retry_count else []
                more += [duration] if task.end_time and task.start_time else []
                more += [reason] if task.reason_for_incompletion else []
                say("  ".join([f"{ref}: {status}", *more]))
        if self._is_new("", found.status):
            reason = f": {found.reason_for_incompletion}" if found.reason_for_incompletion else ""
            say(f"{found.workflow_name or found.workflow_id} is {found.status}{reason}")

    def _is_new(self, key: str, status: str) -> bool:
        if self._seen.get(key) == status:
            return False
        self._seen[key] = str(status)
        return True


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
