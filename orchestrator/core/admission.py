"""``rateLimitConfig`` of a workflow: so many executions at once for each value of a key; others wait, or are refused.

An execution asks the gate of its key before its first step, and holds back its steps until it is told that it is in. It
gives its place back in the decision that ends it, and asks anew when it is restarted, retried or rerun. The words to and
from the gate come more than once and late; each names the run it is about, and one that is out of date is answered by
giving the place back.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.core.caching import StartScope
from orchestrator.core.expressions import compile_template
from orchestrator.model.definitions import RateLimitPolicy
from orchestrator.model.effects import LeaveGate, SeekAdmission
from orchestrator.model.records import Gate

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.model.definitions import WorkflowDef


class Limit(NamedTuple):
    """What limits an execution: the rendered key, its gate, how many may be in, and whether others are refused."""

    key: str
    gate: str
    at_once: int
    rejects: bool


def limit_of(definition: WorkflowDef, given: Any, correlation_id: str | None) -> Limit | None:
    """The limit of an execution that is started with this input, or None.

    Its key is rendered over what it is started with; without a key all executions of the workflow share one limit.
    """
    config = definition.rate_limit_config
    if config is None or config.concurrent_exec_limit <= 0:
        return None
    value = compile_template(config.rate_limit_key or "").render(StartScope(given, definition, correlation_id))
    key = "" if value is None else str(value)
    gate = hashlib.sha256(f"{definition.name}\n{key}".encode()).hexdigest()[:32]
    return Limit(key, gate, config.concurrent_exec_limit, config.policy is RateLimitPolicy.REJECT)


def ask(d: Draft) -> None:
    """Hold back what comes now until the gate lets this execution in; nothing if there is no limit."""
    limit = limit_of(d.program.definition, d.state.input, d.state.meta.correlation_id)
    if limit is None:
        return
    d.core.gate = Gate(limit.gate, limit.key, is_waiting=True)
    d.handoffs.append(SeekAdmission(limit.gate, d.workflow_id, d.core.generation, limit.at_once, limit.rejects))


def leave(d: Draft) -> None:
    """The execution ends: its place is free, or it waits no longer."""
    gate = d.core.gate
    if gate is not None:
        d.core.gate = None
        d.handoffs.append(LeaveGate(gate.name, d.workflow_id, d.core.generation))


def is_admitted(d: Draft, gate_name: str, run: int) -> bool:
    """The gate let this execution in; gives whether that is news, so that what was held back is to be taken up."""
    gate = d.core.gate
    if gate is None or gate.name != gate_name or run != d.core.generation:
        if gate is None or gate.name != gate_name or run < d.core.generation:
            d.handoffs.append(LeaveGate(gate_name, d.workflow_id, run))
        return False
    if not gate.is_waiting:
        return False
    d.core.gate = Gate(gate.name, gate.key, is_waiting=False)
    if d.core.status == "RUNNING":
        d.agenda.extend(d.core.held)
        d.core.held = []
    return True


def is_refused(d: Draft, gate_name: str, run: int) -> bool:
    """The gate turned this execution away; gives whether that is about where it stands now."""
    gate = d.core.gate
    if gate is None or not gate.is_waiting or gate.name != gate_name or run != d.core.generation:
        return False
    d.core.gate = None
    return True
