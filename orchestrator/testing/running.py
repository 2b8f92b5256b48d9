"""Runs a task's code right here, in the test's own thread, and says how it ended as a worker would.

Exceptions, retries, results that are not JSON and inputs that do not fit mean the same as in production, because the
same functions judge them. Where the code runs differs: a test wants its breakpoints, mocks and tracebacks.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, NamedTuple

from orchestrator.context import TaskContext, enter
from orchestrator.errors import InvalidPayload
from orchestrator.model.records import Outcome
from orchestrator.task import Task
from orchestrator_workers import outcomes


class Ran(NamedTuple):
    """How a task's code ended; ``error`` is what it raised."""

    outcome: Outcome
    error: BaseException | None = None


def run_task(task: Task[..., Any], data: Mapping[str, Any], context: TaskContext) -> Ran:
    """Run ``task`` once with this stored input. Only ``KeyboardInterrupt`` comes through."""
    try:
        args, kwargs = task.binding(data, context)
    except InvalidPayload as error:
        return Ran(outcomes.terminal(str(error), context), error)
    # In a copied context, so that what one task sets in it never reaches the next.
    return copy_context().run(_call, task, args, kwargs, context)


def _call(task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], context: TaskContext) -> Ran:
    enter(context)
    try:
        value = task.function(*args, **kwargs)
        if inspect.isawaitable(value):
            value = _awaited(value)
        return Ran(outcomes.returned(value, context))
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        return Ran(outcomes.raised(error, context), error)


def _awaited(value: Awaitable[Any]) -> Any:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _on_own_loop(value)
    # A loop runs here already, that of an async test, and loops do not nest.
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(copy_context().run, _on_own_loop, value).result()


def _on_own_loop(value: Awaitable[Any]) -> Any:
    async def main() -> Any:
        return await value

    # Not asyncio.run: that would take away the current loop of whoever set one.
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
