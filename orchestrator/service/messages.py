"""Messages to a running workflow: pushed here, handed out in order to its PULL_WORKFLOW_MESSAGES tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.plan import Plan
from orchestrator.service import actions
from orchestrator.service.starting import new_request_id
from orchestrator.store.context import StoreContext


def push(
    store: StoreContext,
    workflow_id: str,
    payload: Mapping[str, Any],
    *,
    message_id: str | None = None,
    timeout_s: float = actions.ANSWER_WAIT_S,
) -> Plan[str]:
    """Give a RUNNING workflow a message; its id, when it is stored.

    A push with the same ``message_id`` within ten minutes adds nothing. Raises ``WorkflowNotFound``, ``Conflict`` (not
    RUNNING), ``QueueFull`` (1,000 messages or 8 MiB wait already), ``InvalidRequest`` (larger than 256 KiB) and
    ``OutcomeUnknown`` when nobody answers within ``timeout_s``.
    Example: ``executor.run(push(store, workflow_id, {"kind": "paid"}))``
    """
    message_id = message_id or new_request_id()
    arguments = {"message_id": message_id, "payload": dict(payload)}
    request_id = f"message:{workflow_id}:{message_id}"
    yield from actions.act(store, workflow_id, "push_message", arguments, request_id=request_id, timeout_s=timeout_s)
    return message_id
