"""System tasks as tasks that a worker can serve: what ``orchestrator_workers.Worker`` is given.

A type whose optional package is not installed here is left to processes that have it. Called by the system-task role
and by ``orchestrator.testing``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from orchestrator.context import TaskContext
from orchestrator.engine.extras import missing_extra
from orchestrator.errors import InvalidRequest
from orchestrator.model.definitions import default_task_def
from orchestrator.model.records import Outcome
from orchestrator.systemtasks import SYSTEM_TASKS
from orchestrator.systemtasks.context import Resources, SystemContext
from orchestrator.task import Task


def system_task(task_type: str, shared: Resources) -> Task[..., Any]:
    """The task that carries out one type. Example: ``Worker(connection, tasks=[system_task("HTTP", shared)])``"""
    function = SYSTEM_TASKS[task_type]

    async def carry_out(input: dict[str, Any], context: TaskContext) -> Outcome:
        return await function(input, SystemContext(context, shared))

    return Task(carry_out, default_task_def(task_type, task_type), domain=None, pool=None)


def served_types(only: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """The types to serve here, and those that cannot be with the reason: their package is missing.

    ``only`` restricts them. Raises ``InvalidRequest`` for a name that is no system task.
    Example: ``served_types(["HTTP"]) == (["HTTP"], {})``
    """
    known: Collection[str] = SYSTEM_TASKS
    for name in only:
        if name not in known:
            raise InvalidRequest(f"{name} is no system task; there are {', '.join(sorted(known))}")
    reasons = {name: missing_extra(name) for name in sorted(only or known)}
    return [name for name, why in reasons.items() if not why], {name: str(why) for name, why in reasons.items() if why}
