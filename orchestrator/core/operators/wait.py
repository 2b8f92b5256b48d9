"""WAIT: until a time has come, or until somebody outside says so (a signal, or an update of the task).

A duration or date that cannot be read fails the task for good with the reason; Conductor throws out of its decider and
leaves the workflow stuck.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.core import advance
from orchestrator.core.kinds import WAITING
from orchestrator.errors import InvalidPayload
from orchestrator.model.durations import parse_duration, parse_until

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Start waiting, or be done at once when the time has passed already."""
    given = d.render_input(node, iteration, previous)
    try:
        packed = d.pack_payload(given, "input")
        due_ms = _due(given, d.now)
    except (InvalidPayload, ValueError) as error:
        advance.refuse(d, node, iteration, previous, "WAIT", str(error))
        return
    record = d.create(
        node, iteration, type_="WAIT", name=node.task.name, input_=packed, previous=previous, deadline_ms=due_ms or 0
    )
    if due_ms is not None and due_ms <= d.now:
        advance.finish(d, record, "COMPLETED")
        return
    d.dispatch(record, WAITING, None, due_ms or 0)


def resume(d: Draft, node: Node, record: TaskRecord) -> None:
    """Its timer fired: done if the time has come, otherwise wait on."""
    due_ms = record.scheduled.deadline_ms
    if due_ms and d.now >= due_ms:
        advance.finish(d, record, "COMPLETED", guarded=True)
    elif due_ms:
        d.timers[record.suffix, record.scheduled.ref] = due_ms


def _due(given: dict[str, Any], now_ms: int) -> int | None:
    """When the wait is over in epoch milliseconds; None = only an outside event ends it."""
    # Conductor's Python SDK has two classes for a date, and one of them calls it `wait_until`.
    duration, until = _text(given.get("duration")), _text(given.get("until", given.get("wait_until")))
    if duration and until:
        raise ValueError("Both 'duration' and 'until' specified. Please provide only one input")
    if duration:
        return now_ms + parse_duration(duration)
    if until:
        return parse_until(until)
    return None


def _text(value: Any) -> str:
    """An input as text; a number is one too, or a duration of 0 would mean to wait for ever."""
    return "" if value is None else str(value).strip()
