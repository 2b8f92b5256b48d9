"""WAIT: until a time has come, or until somebody outside says so (a signal, or an update of the task).

A duration or date that cannot be read fails the task for good with the reason; Conductor throws out of its decider and
leaves the workflow stuck.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.core import advance
from orchestrator.core.draft import EMPTY
from orchestrator.model.durations import parse_duration, parse_until
from orchestrator.core.kinds import WAITING
from orchestrator.errors import InvalidPayload

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    given = d.render_input(node)
    try:
        packed = d.pack_payload(given, "input")
        due_ms = _due(given, d.now)
    except (InvalidPayload, ValueError) as error:
        record = d.create(node, iteration, type_="WAIT", name=node.task.name, previous=previous)
        advance.finish(d, record, "FAILED_WITH_TERMINAL_ERROR", reason=str(error))
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
        advance.finish(d, record, "COMPLETED", output=record.result.output if record.result is not None else EMPTY)
    elif due_ms:
        d.timers[record.suffix, record.scheduled.ref] = due_ms


def _due(given: dict[str, Any], now_ms: int) -> int | None:
    """When the wait is over in epoch milliseconds; None = only an outside event ends it."""
    duration, until = given.get("duration"), given.get("until")
    if duration and until:
        raise ValueError("Both 'duration' and 'until' specified. Please provide only one input")
    if duration:
        return now_ms + parse_duration(str(duration))
    if until:
        return parse_until(str(until))
    return None
