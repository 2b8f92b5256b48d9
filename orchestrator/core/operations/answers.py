"""The answers that operations give, and the checks of what they are given.

An answer is a map: ``{"ok": true, "status": ...}`` or ``{"error": code, "message": text}``. Arguments come from outside
and may be anything JSON can say: what does not fit is refused, it never breaks the decision.
"""

from __future__ import annotations

from typing import Any

from orchestrator.core.draft import Draft
from orchestrator.model.status import is_terminal

Answer = dict[str, Any]

_ARGUMENTS: dict[str, type] = {
    "message_id": str,
    "name": str,
    "payload": dict,
    "reason": str,
    "status": str,
    "trigger_failure_workflow": bool,
    "variables": dict,
    "append_array": bool,
    "ref": str,
    "input": dict,
    "output": dict,
    "definition_hash": str,
    "task_id": str,
    "text": str,
    "workflow_input": dict,
    "task_output": dict,
    "correlation_id": str,
    "resume_subworkflow_tasks": bool,
    "child_versions": dict,
    "version": int,
}
_KINDS: dict[type, str] = {str: "text", dict: "a map", bool: "true or false", int: "a whole number"}


def misfit(arguments: dict[str, Any]) -> str | None:
    """Which argument is not what it must be."""
    for name, kind in _ARGUMENTS.items():
        value = arguments.get(name)
        if value is not None and not isinstance(value, kind):
            return f"{name} must be {_KINDS[kind]}, not {type(value).__name__}"
    return None


def accept(d: Draft, **more: Any) -> Answer:
    """It was done; ``more`` is what the caller learns besides the workflow's status."""
    return {"ok": True, "status": str(d.core.status), **more}


def refuse(code: str, message: str) -> Answer:
    """It was not done: ``code`` names the error that the caller raises."""
    return {"error": code, "message": message}


def refuse_ended(d: Draft, consequence: str) -> Answer | None:
    """The refusal of what only a workflow that has not ended can do; None when it has not."""
    if not is_terminal(d.core.status):
        return None
    return refuse("CONFLICT", f"workflow {label(d)} has ended {d.core.status}, {consequence}")


def label(d: Draft) -> str:
    """The workflow as Conductor writes it in messages: name.version/id."""
    meta = d.state.meta
    return f"{meta.name}.{meta.version}/{d.workflow_id}"
