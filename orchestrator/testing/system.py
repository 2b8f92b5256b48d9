"""The system tasks of a test environment: the real functions, except those that would talk to the world outside.

HTTP and its like run only when the test allows it, otherwise a test gives a fake for them, as for any other task type.
Each call has resources of its own, because in a test every call has an event loop of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from orchestrator.context import TaskContext
from orchestrator.model.definitions import default_task_def
from orchestrator.model.records import Outcome
from orchestrator.plan import Plan
from orchestrator.store.context import StoreContext
from orchestrator.systemtasks import REACHING_OUTSIDE, SYSTEM_TASKS, SystemTask
from orchestrator.systemtasks.context import Resources, SystemContext
from orchestrator.task import Task

T = TypeVar("T")


def system_tasks(
    store: StoreContext, drive: Callable[[Plan[Any]], Any], *, allow_http: bool
) -> dict[str, Task[..., Any]]:
    """The system tasks of an environment by type; ``drive`` carries out a plan on its store."""

    async def run(plan: Plan[T]) -> T:
        done: T = drive(plan)
        return done

    def inline(task_type: str, function: SystemTask) -> Task[..., Any]:
        async def carry_out(input: dict[str, Any], context: TaskContext) -> Outcome:
            async with Resources(store, run) as shared:
                return await function(input, SystemContext(context, shared))

        return Task(carry_out, default_task_def(task_type, task_type), domain=None, pool=None)

    return {
        task_type: inline(task_type, function)
        for task_type, function in SYSTEM_TASKS.items()
        if allow_http or task_type not in REACHING_OUTSIDE
    }
