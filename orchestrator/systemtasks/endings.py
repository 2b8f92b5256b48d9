"""How a system task ends, in words: the outcomes that its function gives back.

Failures keep an output, so that what was learned on the way (a status code, a partial answer) can be read by the
workflow. Pure; called by every function of this room.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from orchestrator import codec
from orchestrator.model.records import FORMAT, PARKED_MS, Outcome

REASON_CHARS_MAX = 2_000


def completed(output: dict[str, Any]) -> Outcome:
    """The task is done. Raises ``InvalidPayload`` for an output that cannot be stored."""
    return Outcome(FORMAT, "COMPLETED", output=_packed(output))


def failed(reason: str, output: dict[str, Any] | None = None) -> Outcome:
    """The attempt failed; another may follow if the task's definition says so."""
    return Outcome(FORMAT, "FAILED", reason=_cut(reason), output=_packed(output or {}))


def terminal(reason: str, output: dict[str, Any] | None = None) -> Outcome:
    """The task failed and no further attempt can help."""
    return Outcome(FORMAT, "FAILED_WITH_TERMINAL_ERROR", reason=_cut(reason), output=_packed(output or {}))


def again(after_ms: int, output: dict[str, Any]) -> Outcome:
    """Not finished: hand the task out again after ``after_ms``. No slot of the worker is held meanwhile."""
    return Outcome(FORMAT, "IN_PROGRESS", callback_after_ms=max(0, after_ms), output=_packed(output))


def parked(output: dict[str, Any]) -> Outcome:
    """The work is done but somebody outside completes the task (asyncComplete): no worker sees it again."""
    return Outcome(FORMAT, "IN_PROGRESS", callback_after_ms=PARKED_MS, output=_packed(output))


def _packed(output: dict[str, Any]) -> Raw:
    return Raw(codec.pack(output, "output"))


def _cut(text: str) -> str:
    # A reason is part of the workflow's hot state and must have a UTF-8 form, whatever a peer sent.
    return text[:REASON_CHARS_MAX].encode("utf-8", "replace").decode()
