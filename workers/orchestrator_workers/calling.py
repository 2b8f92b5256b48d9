"""Calls the function of a task, within its middlewares, and says how that ended. Called wherever a task's code runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from orchestrator import codec
from orchestrator.context import TaskContext, enter
from orchestrator.errors import InvalidPayload, TerminalError
from orchestrator.model.records import Outcome
from orchestrator.task import Task
from orchestrator_workers import outcomes
from orchestrator_workers.middleware import Middleware, MiddlewareFailed, around, around_plain


def call_plain(
    task: Task[..., Any], input: bytes, context: TaskContext, middleware: Sequence[Middleware] = ()
) -> Outcome:
    """Run a plain function to its end, here. SystemExit too ends the task only, not the thread or the child."""
    enter(context)
    try:
        data = _unpacked(input)
        if middleware:
            return outcomes.returned(
                around_plain(middleware, context, data, lambda: _call(task, data, context)), context
            )
        return outcomes.returned(_call(task, data, context), context)
    except BaseException as error:
        return _raised(error, context)


async def call_async(
    task: Task[..., Any], input: bytes, context: TaskContext, middleware: Sequence[Middleware] = ()
) -> Outcome:
    """The same for an ``async def``, on the loop; its cancellation comes through."""

    async def called() -> Any:
        here = os.getpid()
        try:
            return await _call(task, data, context)
        finally:
            _end_if_forked(here)

    enter(context)
    try:
        data = _unpacked(input)
        return outcomes.returned(
            await around(middleware, context, data, called) if middleware else await called(), context
        )
    except (Exception, SystemExit) as error:
        return _raised(error, context)


def _unpacked(input: bytes) -> Any:
    try:
        return codec.unpack(input)
    except InvalidPayload as error:
        raise TerminalError(str(error)) from error


def _call(task: Task[..., Any], data: Any, context: TaskContext) -> Any:
    try:
        args, kwargs = task.binding(data, context)
    except InvalidPayload as error:
        raise TerminalError(str(error)) from error
    here = os.getpid()
    try:
        return task.function(*args, **kwargs)
    finally:
        _end_if_forked(here)


def _end_if_forked(here: int) -> None:
    """A child that the task's code has forked ends where that code does: going on, it would speak in the worker's name."""
    if os.getpid() != here:
        os._exit(0)


def _raised(error: BaseException, context: TaskContext) -> Outcome:
    if not isinstance(error, MiddlewareFailed):
        return outcomes.raised(error, context)
    outcome = outcomes.raised(error.error, context)
    if outcome.reason is None:  # it puts the task off, which is no failure
        return outcome
    return replace(outcome, reason=f"middleware {error.name}: {outcome.reason}"[: outcomes.REASON_CHARS_MAX])
