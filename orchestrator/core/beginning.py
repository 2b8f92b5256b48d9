"""How a workflow begins: its variables, its time-out and its first step; on its start, and again when it starts over."""

from __future__ import annotations

from orchestrator.core import admission, caching
from orchestrator.core.closing import end
from orchestrator.core.draft import Draft
from orchestrator.core.schemas import violation


def begin(d: Draft) -> None:
    """Take up the first step."""
    definition = d.program.definition
    if definition.variables:
        d.variables = dict(definition.variables)
    arm_timeout(d)
    if definition.input_schema is not None and definition.enforce_schema:
        # Callers check before they start; children, failure workflows and workflows started by events come this way.
        fault = violation(definition.input_schema, d.state.input, "input")
        if fault is not None:
            end(d, "FAILED", f"The workflow's input does not comply with its schema: {fault}")
            return
    held = caching.held(d, caching.workflow_key(d))
    if held is not None:
        end(d, "COMPLETED", "An earlier execution's output was reused", output=held)
        return
    admission.ask(d)
    if d.program.first is None:
        end(d, "COMPLETED", "No tasks found to be executed")
        return
    d.go(d.program.first, 0)


def arm_timeout(d: Draft) -> None:
    """Let the workflow's time-out run from its start, or from when it was last resumed, retried or rerun."""
    timeout_s = d.program.definition.timeout_seconds
    if timeout_s > 0:
        d.timers["-", ""] = (d.core.last_retried_ms or d.core.created_ms) + timeout_s * 1000
