"""Starts that a rate limit may refuse: a place is kept for them before they are sent.

Only for workflows whose policy is REJECT; the others wait after their start. A place that is kept and not used, because
the caller died, is free again after a minute. Called by ``starting``.
"""

from __future__ import annotations

from orchestrator.codec import unpack
from orchestrator.core.admission import limit_of
from orchestrator.engine import admission
from orchestrator.engine.starts import Start
from orchestrator.errors import RateLimited
from orchestrator.plan import Plan
from orchestrator.store import gates
from orchestrator.store.context import StoreContext


def reserve(store: StoreContext, start: Start) -> Plan[str]:
    """Keep a place for a start that would be refused without one; gives its gate, '' if none is needed.

    None is needed where its id has one: by an earlier try of this start or by another start of that id, which must not lose
    it when this one is refused. Raises ``RateLimited``.
    """
    definition = start.resolved.definition
    if definition.rate_limit_config is None:
        return ""
    limit = limit_of(definition, unpack(store.payloads.fetched(bytes(start.input))), start.meta.correlation_id)
    if limit is None or not limit.rejects:
        return ""
    reply = yield gates.reserve(store.keys, limit.gate, start.workflow_id, limit.at_once)
    yield from admission.settle(store, limit.gate, reply)
    if reply.word == "REJECTED":
        under = f" with the key {limit.key!r}" if limit.key else ""
        raise RateLimited(
            f"workflow {start.meta.name}: {reply.inside} executions{under} run already and its rate limit is "
            f"{limit.at_once}; start it later, or let starts wait with the policy QUEUE"
        )
    return "" if reply.word == "HELD" else limit.gate


def cancel(store: StoreContext, gate: str, start: Start) -> Plan[None]:
    """The start did not come about: its place is free."""
    if gate:
        yield from admission.leave(store, gate, start.workflow_id, -1)
