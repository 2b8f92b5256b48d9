"""What an operator or a caller may do to a workflow, and the answer each gets: pause, resume, terminate, signal.

Legality is decided here and nowhere else, on the committed state, and the answer is written by the same commit as the
effect (D18 of the design: one writer). An answer is a map: ``{"ok": true, ...}`` or ``{"error": code, "message": text}``.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from orchestrator.codec import pack
from orchestrator.core import advance
from orchestrator.core.closing import end
from orchestrator.core.draft import Draft
from orchestrator.core.state import OpenTasksNeeded, TaskRecord
from orchestrator.model.events import Operation
from orchestrator.model.status import is_terminal

Answer = dict[str, Any]


def apply(d: Draft, event: Operation) -> None:
    """Carry out one operation, or refuse it; either way its request id gets the answer."""
    handler = OPERATIONS.get(event.action)
    if handler is None:
        answer = _refuse("INVALID_REQUEST", f"unknown operation {event.action!r} on workflow {d.workflow_id}")
    else:
        answer = handler(d, event.arguments)
    d.answers.append((event.request_id, pack(answer)))


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
    name = arguments.get("name")
    record = _waiting(d, name)
    if record is None:
        wanted = f"for {name!r} " if name else ""
        return _refuse("TASK_NOT_FOUND", f"Found no blocked task {wanted}in workflow {d.workflow_id} to signal")
    payload = arguments.get("payload")
    merged = {**(record.output if isinstance(record.output, dict) else {}), **(payload or {})}
    status = str(arguments.get("status") or "COMPLETED")
    advance.finish(d, record, status, output=Raw(d.pack_payload(merged, "payload")), reason=arguments.get("reason"))
    return {**_accept(d), "task_id": d.task_id(record), "ref": record.scheduled.ref}


def _waiting(d: Draft, name: str | None) -> TaskRecord | None:
    """The first open WAIT that a signal of this name is meant for."""
    node = d.program.nodes.get(name) if name else None
    if node is not None and node.task.type == "WAIT":
        record = d.record(d.latest(node.ref))
        if record is not None and d.is_open(record):
            return record
    if d.open_tasks is None:
        if d.core.open == 0:
            return None
        raise OpenTasksNeeded
    candidates = [task for task in d.open_tasks if task.state == "W"]
    d.require(tuple(task.ref for task in candidates))
    found = [
        record for record in (d.record(task.ref) for task in candidates) if record is not None and d.is_open(record)
    ]
    found.sort(key=lambda record: record.scheduled.sequence)
    for record in found:
        if name is None or (isinstance(record.input, dict) and record.input.get("signal") == name):
            return record
    return None


def _accept(d: Draft) -> Answer:
    return {"ok": True, "status": str(d.core.status)}


def _refuse(code: str, message: str) -> Answer:
    return {"error": code, "message": message}


def _label(d: Draft) -> str:
    meta = d.state.meta
    return f"{meta.name}.{meta.version}/{d.workflow_id}"


OPERATIONS = {"pause": _pause, "resume": _resume, "terminate": _terminate, "signal": _signal}
