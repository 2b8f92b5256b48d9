"""Pause, resume and terminate: whether a workflow goes on."""

from __future__ import annotations

from typing import Any

from orchestrator.core.closing import end
from orchestrator.core.draft import Draft
from orchestrator.core.operations.answers import Answer, accept, refuse, refuse_ended
from orchestrator.model.status import is_terminal


def pause(d: Draft, arguments: dict[str, Any]) -> Answer:
    """Schedule nothing more; tasks that are out go on."""
    if (ended := refuse_ended(d, "it cannot be paused")) is not None:
        return ended
    d.core.status = "PAUSED"
    d.core.held = [*d.core.held, *d.core.agenda]
    d.core.agenda = []
    return accept(d)


def resume(d: Draft, arguments: dict[str, Any]) -> Answer:
    """Go on after a pause."""
    if d.core.status != "PAUSED":
        return refuse(
            "CONFLICT",
            f"The workflow {d.workflow_id} is not PAUSED so cannot resume. Current status is {d.core.status}",
        )
    d.core.status = "RUNNING"
    d.core.last_retried_ms = d.now  # Conductor restarts the workflow's time-out on resume
    if d.program.definition.timeout_seconds > 0:
        d.timers["-", ""] = d.now + d.program.definition.timeout_seconds * 1000
    if d.core.gate is None or not d.core.gate.is_waiting:
        d.agenda.extend(d.core.held)
        d.core.held = []
    return accept(d)


def terminate(d: Draft, arguments: dict[str, Any]) -> Answer:
    """End now; open tasks are cancelled."""
    if d.core.status == "COMPLETED":
        return refuse("CONFLICT", f"Cannot terminate a COMPLETED workflow. ({d.workflow_id})")
    if d.core.status == "TERMINATED":
        return accept(d)
    reason = arguments.get("reason")
    if is_terminal(d.core.status):  # Conductor lets an operator turn FAILED and TIMED_OUT into TERMINATED
        d.core.status = "TERMINATED"
        d.core.reason = reason
    else:
        end(d, "TERMINATED", reason, failure_workflow=bool(arguments.get("trigger_failure_workflow")))
    return accept(d)
