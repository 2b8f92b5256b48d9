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
        return refuse("TASK_NOT_FOUND", f"Found no blocked task {wanted}in workflow {d.workflow_id} to signal")
    before = record.output if isinstance(record.output, dict) else {}
    try:
        output = d.pack_payload({**before, **(arguments.get("payload") or {})}, "payload")
    except InvalidPayload as error:
        return refuse(error.code, str(error))
    advance.finish(d, record, status, output=output, reason=arguments.get("reason"), guarded=True)
    return accept(d, task_id=d.task_id(record), ref=record.scheduled.ref)


def _waiting(d: Draft, name: str | None) -> TaskRecord | None:
    """The first open WAIT that a signal of this name is meant for.

    The dispatch records are always asked, also when the reference is known: a WAIT whose outcome has just been accepted
    from elsewhere still looks open here, and must not be ended twice.
    """
    if d.core.open == 0:
        return None
    if d.open_tasks is None:
        raise OpenTasksNeeded
    node = d.program.nodes.get(name) if name else None
    is_ref = node is not None and node.task.type == "WAIT"
    refs = [task.ref for task in d.open_tasks if task.state == WAITING]
    refs += [entry.ref for entry in d.opened.values() if entry.state == WAITING]
    if name and is_ref:
        refs = [ref for ref in refs if ref == d.latest(name)]
    d.require(tuple(refs))
    found = [record for record in map(d.record, refs) if record is not None and _is_open_wait(d, record)]
    for record in sorted(found, key=lambda record: record.scheduled.sequence):
        if not name or is_ref or (isinstance(record.input, dict) and record.input.get("signal") == name):
            return record
    return None


def _is_open_wait(d: Draft, record: TaskRecord) -> bool:
    return record.is_open and d.node_of(record.scheduled).task.type == "WAIT"
