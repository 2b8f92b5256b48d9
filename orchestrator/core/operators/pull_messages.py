"""PULL_WORKFLOW_MESSAGES: takes messages that were pushed to this workflow, or waits until one comes.

It is a waiting task of the partition and no system task: the messages live here, the push wakes it in milliseconds where
Conductor asks once a second, and taking a message and ending the task are one commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.core import advance, messages
from orchestrator.core.kinds import WAITING
from orchestrator.errors import InvalidPayload

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord

TYPE = "PULL_WORKFLOW_MESSAGES"


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Take what is there, or wait for it; with ``blocking`` false be done with nothing."""
    given = d.render_input(node, iteration, previous)
    try:
        packed = d.pack_payload(given, "input")
        count = _batch_size(given)
    except (InvalidPayload, ValueError) as error:
        advance.refuse(d, node, iteration, previous, TYPE, str(error))
        return
    found = messages.take(d, count)
    record = d.create(node, iteration, type_=TYPE, name=node.task.name, input_=packed, previous=previous)
    if found or not _is_blocking(given):
        _finish(d, record, found)
        return
    d.dispatch(record, WAITING, None, 0)
    messages.start_waiting(d, record)


def resume(d: Draft, node: Node, record: TaskRecord) -> None:
    """A message has come; it may have been for another task."""
    found = messages.take(d, _batch_size(record.input))
    if found:
        _finish(d, record, found)


def _finish(d: Draft, record: TaskRecord, found: list[dict[str, Any]]) -> None:
    output = d.pack_payload({"messages": found, "count": len(found)}, "output")
    advance.finish(d, record, "COMPLETED", output=output, guarded=True)


def _batch_size(given: dict[str, Any]) -> int:
    """How many messages at most; more than the limit means the limit."""
    value = given.get("batchSize")
    if value is None:
        return 1
    text = str(value).strip()
    if isinstance(value, bool) or not text.isdecimal() or int(text) < 1:
        raise ValueError(f"batchSize must be a whole number from 1 to {messages.BATCH_MAX}, not {text[:40]!r}")
    return min(int(text), messages.BATCH_MAX)


def _is_blocking(given: dict[str, Any]) -> bool:
    return str(given.get("blocking", True)).lower() != "false"
