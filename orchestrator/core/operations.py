"""What an operator or a caller may do to a workflow, and the answer each gets: pause, resume, terminate, signal.

Legality is decided here and nowhere else, on the committed state, and the answer is written by the same commit as the
effect: one writer. An answer is a map: ``{"ok": true, ...}`` or ``{"error": code, "message": text}``. Arguments come
from outside and may be anything JSON can say: what does not fit is refused, it never breaks the decision.
"""

from __future__ import annotations

from typing import Any

from orchestrator.codec import pack
from orchestrator.core import advance
from orchestrator.core.closing import end
from orchestrator.core.draft import Draft
from orchestrator.core.kinds import WAITING
from orchestrator.core.state import OpenTasksNeeded, TaskRecord
from orchestrator.errors import InvalidPayload
from orchestrator.model.events import Operation
from orchestrator.model.status import RESULT_STATUSES, is_terminal

Answer = dict[str, Any]

_ARGUMENTS: dict[str, type] = {
    "name": str,
    "payload": dict,
    "reason": str,
    "status": str,
    "trigger_failure_workflow": bool,
}
_KINDS: dict[type, str] = {str: "text", dict: "a map", bool: "true or false"}
_SIGNAL_STATUSES = tuple(str(status) for status in RESULT_STATUSES if is_terminal(status))


def apply(d: Draft, event: Operation) -> None:
    """Carry out one operation, or refuse it; either way its request id gets the answer."""
    handler = OPERATIONS.get(event.action)
    if handler is None:
        answer = _refuse("INVALID_REQUEST", f"unknown operation {event.action!r} on workflow {d.workflow_id}")
    else:
        misfit = _misfit(event.arguments)
        answer = handler(d, event.arguments) if misfit is None else _refuse("INVALID_REQUEST", misfit)
    d.answers.append((event.request_id, pack(answer)))


def _misfit(arguments: dict[str, Any]) -> str | None:
    """Which argument is not what it must be."""
    for name, kind in _ARGUMENTS.items():
        value = arguments.get(name)
        if value is not None and not isinstance(value, kind):
            return f"{name} must be {_KINDS[kind]}, not {type(value).__name__}"
    return None


def _pause(d: Draft, arguments: dict[str, Any]) -> Answer:
    if is_terminal(d.core.status):
        return _refuse("CONFLICT", f"workflow {_label(d)} has ended {d.core.status}, it cannot be paused")
    d.core.status = "PAUSED"
    d.core.held = [*d.core.held, *d.core.agenda]
    d.core.agenda = []
    return _accept(d)


def _resume(d: Draft, arguments: dict[str, Any]) -> Answer:
    if d.core.status != "PAUSED":
        return _refuse(
            "CONFLICT",
            f"The workflow {d.workflow_id} is not PAUSED so cannot resume. Current status is {d.core.status}",
        )
    d.core.status = "RUNNING"
    d.core.last_retried_ms = d.now  # Conductor restarts the workflow's time-out on resume
    if d.program.definition.timeout_seconds > 0:
        d.timers["-", ""] = d.now + d.program.definition.timeout_seconds * 1000
    d.agenda.extend(d.core.held)
    d.core.held = []
    return _accept(d)


def _terminate(d: Draft, arguments: dict[str, Any]) -> Answer:
    if d.core.status == "COMPLETED":
        return _refuse("CONFLICT", f"Cannot terminate a COMPLETED workflow. ({d.workflow_id})")
    if d.core.status == "TERMINATED":
        return _accept(d)
    reason = arguments.get("reason")
    if is_terminal(d.core.status):  # Conductor lets an operator turn FAILED and TIMED_OUT into TERMINATED
        d.core.status = "TERMINATED"
        d.core.reason = reason
    else:
        end(d, "TERMINATED", reason, failure_workflow=bool(arguments.get("trigger_failure_workflow")))
    return _accept(d)


def _signal(d: Draft, arguments: dict[str, Any]) -> Answer:
    """End the WAIT task that listens for ``name``: by its reference, or by the ``signal`` in its input."""
    if is_terminal(d.core.status):
        return _refuse("CONFLICT", f"workflow {_label(d)} has ended {d.core.status}, it takes no signals")
    status = arguments.get("status") or "COMPLETED"
    if status not in _SIGNAL_STATUSES:
        return _refuse("INVALID_REQUEST", f"status must be one of {', '.join(_SIGNAL_STATUSES)}, not {status}")
    name = arguments.get("name")
    record = _waiting(d, name)
    if record is None:
        wanted = f"for {name!r} " if name else ""
        return _refuse("TASK_NOT_FOUND", f"Found no blocked task {wanted}in workflow {d.workflow_id} to signal")
    before = record.output if isinstance(record.output, dict) else {}
    try:
        output = d.pack_payload({**before, **(arguments.get("payload") or {})}, "payload")
    except InvalidPayload as error:
        return _refuse(error.code, str(error))
    advance.finish(d, record, status, output=output, reason=arguments.get("reason"), guarded=True)
    return {**_accept(d), "task_id": d.task_id(record), "ref": record.scheduled.ref}


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


def _accept(d: Draft) -> Answer:
    return {"ok": True, "status": str(d.core.status)}


def _refuse(code: str, message: str) -> Answer:
    return {"error": code, "message": message}


def _label(d: Draft) -> str:
    meta = d.state.meta
    return f"{meta.name}.{meta.version}/{d.workflow_id}"


OPERATIONS = {"pause": _pause, "resume": _resume, "terminate": _terminate, "signal": _signal}
