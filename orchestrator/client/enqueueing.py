"""One task from application code: underneath a workflow of one step, so history, retries and limits are the same.

Its definition depends on nothing but the task's name and the names of the inputs, so that many enqueues share one. Each
input is handed through by name: an input that is not given is not there, and the function's default applies. A delayed
task is preceded by a WAIT, because a start delay is part of the definition and in whole seconds: every delay would be a
definition of its own. Delays are so exact to the millisecond, and ``delay_s`` counts on the store's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from orchestrator.engine.starts import Resolved, resolve_inline
from orchestrator.errors import InvalidRequest
from orchestrator.model.definitions import WorkflowDef, WorkflowTask
from orchestrator.references import Reference

DELAY_INPUT = "_delay"
UNTIL_INPUT = "_until"
MARK = {"enqueued": True}
"""The metadata by which a one-task workflow is told from one that somebody wrote."""

_WAITS = {DELAY_INPUT: "duration", UNTIL_INPUT: "until"}
_DELAY_MS_MAX = 100 * 365 * 86_400_000


@lru_cache(maxsize=4_096)
def one_task_workflow(task_name: str, inputs: tuple[str, ...], wait: str | None = None) -> Resolved:
    """The startable workflow of one task with these inputs, after a ``wait`` (one of the two input names) if any.

    Raises ``DefinitionInvalid`` when the name cannot be a task's. Example: ``one_task_workflow("greet", ("name",))``
    """
    given = Reference("workflow.input")
    step = WorkflowTask(
        name=task_name,
        task_reference_name=task_name,
        input_parameters={name: str(given[name]) for name in inputs},
    )
    tasks = [step]
    if wait is not None:
        name = "delay" if task_name != "delay" else "delay_2"
        tasks.insert(
            0,
            WorkflowTask(
                name=name, task_reference_name=name, type="WAIT", input_parameters={_WAITS[wait]: str(given[wait])}
            ),
        )
    return resolve_inline(WorkflowDef(name=task_name, tasks=tasks, metadata=MARK))


def delay_input(task_name: str, delay_s: float | None, at: datetime | None) -> dict[str, str]:
    """The input that delays a task, or nothing when it may start at once. Raises ``InvalidRequest``."""
    if delay_s is not None and at is not None:
        raise InvalidRequest(f"task {task_name}: give delay_s or at, not both")
    if delay_s is not None:
        if not 0 <= delay_s * 1000 <= _DELAY_MS_MAX:
            raise InvalidRequest(f"task {task_name}: delay_s={delay_s} is outside 0 to 100 years")
        delay_ms = round(delay_s * 1000)
        return {DELAY_INPUT: f"PT{delay_ms // 1000}.{delay_ms % 1000:03d}S"} if delay_ms else {}
    if at is not None:
        exact = in_utc(at, f"task {task_name}: at")
        return {UNTIL_INPUT: f"{exact:%Y-%m-%d %H:%M:%S}.{exact.microsecond // 1000:03d} UTC"}
    return {}


def in_utc(at: datetime, what: str) -> datetime:
    """A moment in UTC. Raises ``InvalidRequest``, which says ``what`` it was for, when it names no time zone."""
    if at.tzinfo is None:
        raise InvalidRequest(f"{what}={at} names no time zone; use datetime(..., tzinfo=UTC)")
    return at.astimezone(UTC)


def epoch_ms(at: datetime, what: str) -> int:
    """A moment in epoch milliseconds. Raises ``InvalidRequest`` when it names no time zone."""
    return int(in_utc(at, what).timestamp() * 1000)


def check_inputs(task_name: str, inputs: Sequence[str]) -> None:
    """Refuse inputs whose names are taken. Raises ``InvalidRequest``."""
    taken = [name for name in inputs if name in _WAITS]
    if taken:
        raise InvalidRequest(f"task {task_name}: an input cannot be called {taken[0]}; that name delays the task")
