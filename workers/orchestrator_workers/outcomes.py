"""What a task's code returned or raised, as the outcome its workflow is told.

Return: COMPLETED, or IN_PROGRESS for ``in_progress(...)``. ``TerminalError``, inputs that do not fit and results that
are not JSON: FAILED_WITH_TERMINAL_ERROR, because another attempt would end the same. Any other exception: FAILED, with
its type and text as the reason and the traceback in the task's log. Pure; called by every runner.
"""

from __future__ import annotations

import traceback
from typing import Any

from msgspec import Raw
from msgspec.structs import replace

from orchestrator import codec
from orchestrator.context import InProgress, TaskContext
from orchestrator.errors import InvalidPayload, Retry, TerminalError
from orchestrator.model.records import FORMAT, Outcome
from orchestrator.task import encode_output

REASON_CHARS_MAX = 2_000


def returned(value: Any, context: TaskContext) -> Outcome:
    """The outcome of code that returned ``value``."""
    if type(value) is InProgress:
        return in_progress(value, context)
    if type(value) is Outcome:  # a system task says itself how it ended
        return replace(value, logs=context.logs)
    try:
        packed = codec.pack(encode_output(value), "output")
    except InvalidPayload as error:
        return terminal(f"the result of task {context.task_type} cannot be stored: {error}", context)
    return Outcome(FORMAT, "COMPLETED", logs=context.logs, output=Raw(packed))


def raised(error: BaseException, context: TaskContext) -> Outcome:
    """The outcome of code that raised ``error``."""
    if isinstance(error, InProgress):
        return in_progress(error, context)
    if isinstance(error, TerminalError):
        return terminal(str(error) or "TerminalError", context)
    if isinstance(error, Retry):
        after_ms = None if error.after_s is None else max(0, round(error.after_s * 1_000))
        return Outcome(FORMAT, "FAILED", reason=_cut(str(error)), retry_after_ms=after_ms, logs=context.logs)
    context.log("".join(traceback.format_exception(error)[-30:]))
    text = str(error)
    reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return Outcome(FORMAT, "FAILED", reason=_cut(reason), logs=context.logs)


def in_progress(value: InProgress, context: TaskContext) -> Outcome:
    """The outcome of code that is to be called again."""
    try:
        packed = codec.pack(encode_output(value.output), "output")
    except InvalidPayload as error:
        return terminal(f"the result of task {context.task_type} cannot be stored: {error}", context)
    after_ms = max(0, round(value.callback_after_s * 1_000))
    return Outcome(FORMAT, "IN_PROGRESS", callback_after_ms=after_ms, logs=context.logs, output=Raw(packed))


def terminal(reason: str, context: TaskContext) -> Outcome:
    """A failure that no retry can mend."""
    return Outcome(FORMAT, "FAILED_WITH_TERMINAL_ERROR", reason=_cut(reason), logs=context.logs)


def failure(reason: str, context: TaskContext) -> Outcome:
    """A failure that is the worker's word, not the code's: a crashed child, a cancelled task."""
    return Outcome(FORMAT, "FAILED", reason=_cut(reason), logs=context.logs)


def _cut(text: str) -> str:
    # A reason is part of the workflow's hot state and must have a UTF-8 form, whatever an exception holds.
    return text[:REASON_CHARS_MAX].encode("utf-8", "replace").decode()
