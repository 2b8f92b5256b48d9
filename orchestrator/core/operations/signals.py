"""A signal ends the WAIT task that it is meant for."""

from __future__ import annotations

from typing import Any

from orchestrator.core import advance
from orchestrator.core.draft import Draft
from orchestrator.core.kinds import WAITING
from orchestrator.core.operations.answers import Answer, accept, refuse, refuse_ended
from orchestrator.core.state import OpenTasksNeeded, TaskRecord
from orchestrator.errors import InvalidPayload
from orchestrator.model.status import RESULT_STATUSES, is_terminal

_SIGNAL_STATUSES = tuple(str(status) for status in RESULT_STATUSES if is_terminal(status))


def signal(d: Draft, arguments: dict[str, Any]) -> Answer:
    """End the WAIT task that listens for ``name``: by its reference, or by the ``signal`` in its input."""
    if (ended := refuse_ended(d, "it takes no signals")) is not None:
        return ended
    status = arguments.get("status") or "COMPLETED"
    if status not in _SIGNAL_STATUSES:
        return refuse("INVALID_REQUEST", f"status must be one of {', '.join(_SIGNAL_STATUSES)}, not {status}")
    name = arguments.get("name")
    record = _waiting(d, name)
    if record is None:
        wanted = f"for {name!r} " if name else ""
        refusal = refuse("TASK_NOT_FOUND", f"Found no blocked task {wanted}in workflow {d.workflow_id} to signal")
        return {**refusal, "children": _children(d)}
    before = record.output if isinstance(record.output, dict) else {}
    try:
        output = d.pack_payload({**before, **(arguments.get("payload") or {})}, "payload")
    except InvalidPayload as error:
        return refuse(error.code, str(error))
    advance.finish(d, record, status, output=output, reason=arguments.get("reason"), guarded=True)
    return accept(d, task_id=d.task_id(record), ref=record.scheduled.ref)


def _waiting(d: Draft, name: str | None) -> TaskRecord | None:
    """The first open WAIT that a signal of this name is meant for."""
    node = d.program.nodes.get(name) if name else None
    is_ref = node is not None and node.task.type == "WAIT"
    for record in _open_tasks(d):
        if d.node_of(record.scheduled).task.type != "WAIT":
            continue
        if is_ref and name is not None:
            if record.scheduled.ref == d.latest(name):
                return record
        elif not name or (isinstance(record.input, dict) and record.input.get("signal") == name):
            return record
    return None


def _children(d: Draft) -> list[str]:
    """The sub-workflows that are under way, in the order of their tasks: the caller may find the blocked task there."""
    results = [record.result for record in _open_tasks(d)]
    return [result.child_workflow_id for result in results if result is not None and result.child_workflow_id]


def _open_tasks(d: Draft) -> list[TaskRecord]:
    """What waits for something from outside, in the order in which it was scheduled.

    The dispatch records are always asked: a task whose outcome has just been accepted from elsewhere still looks open
    here, and must not be ended twice.
    """
    if d.core.open == 0:
        return []
    if d.open_tasks is None:
        raise OpenTasksNeeded
    refs = [task.ref for task in d.open_tasks if task.state == WAITING]
    refs += [entry.ref for entry in d.opened.values() if entry.state == WAITING]
    d.require_tasks(refs)
    found = [record for record in map(d.record, dict.fromkeys(refs)) if record is not None and record.is_open]
    return sorted(found, key=lambda record: record.scheduled.sequence)
