"""Skip: a step that has not been reached yet is passed over when its turn comes.

Its record is there at once, SKIPPED, with the input and output that the caller gives it, so that later steps can read
them. Whoever waits for the step goes on when the flow passes it, not before.
"""

from __future__ import annotations

from typing import Any

from orchestrator.core.draft import Draft
from orchestrator.core.operations.answers import Answer, accept, refuse, refuse_ended
from orchestrator.core.program import execution_ref
from orchestrator.errors import InvalidPayload


def skip(d: Draft, arguments: dict[str, Any]) -> Answer:
    """Pass over step ``ref``; inside a loop that is the round at hand, or the one that ``ref__3`` names."""
    if (ended := refuse_ended(d, "none of its tasks can be skipped")) is not None:
        return ended
    wanted = arguments.get("ref") or ""
    ref, _, suffix = wanted.rpartition("__") if wanted not in d.program.nodes else (wanted, "", "")
    node = d.program.nodes.get(ref)
    if node is None or (suffix and not (node.loop and suffix.isdecimal() and int(suffix))):
        name = d.state.meta.name
        return refuse("NOT_FOUND", f"The task referenced by {wanted} does not exist in the WorkflowDefinition {name}")
    iteration = int(suffix) if suffix else max(d.iteration_of(node.loop), 1) if node.loop else 0
    if d.record(execution_ref(ref, iteration)) is not None:
        return refuse("CONFLICT", f"The task referenced {wanted} has already been processed, cannot be skipped")
    try:
        given = d.pack_payload(arguments.get("input") or {}, "input")
        output = d.pack_payload(arguments.get("output") or {}, "output")
    except InvalidPayload as error:
        return refuse(error.code, str(error))
    d.pass_over(node, iteration, given, output)
    return accept(d, ref=execution_ref(ref, iteration))
