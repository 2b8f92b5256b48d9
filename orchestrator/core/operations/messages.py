"""Push message: a message is added to those that wait for the workflow's PULL_WORKFLOW_MESSAGES tasks."""

from __future__ import annotations

from typing import Any

from orchestrator.core import messages
from orchestrator.core.draft import Draft
from orchestrator.core.operations.answers import Answer, accept, label, refuse
from orchestrator.errors import InvalidPayload


def push_message(d: Draft, arguments: dict[str, Any]) -> Answer:
    """Keep ``payload`` under ``message_id`` until it is pulled, or say that there is no room."""
    if d.core.status != "RUNNING":
        return refuse("CONFLICT", f"workflow {label(d)} is {d.core.status}, only a RUNNING one takes messages")
    message_id = arguments.get("message_id")
    if not message_id or len(message_id) > messages.ID_CHARS_MAX:
        return refuse("INVALID_REQUEST", f"message_id must be a text of 1 to {messages.ID_CHARS_MAX} characters")
    try:
        refusal = messages.push(d, message_id, arguments.get("payload") or {})
    except InvalidPayload as error:
        return refuse("INVALID_REQUEST", str(error))
    return refuse("QUEUE_FULL", refusal) if refusal is not None else accept(d, message_id=message_id)
