"""Jump: a workflow under way goes on at another of its steps, whatever it was doing.

What is open is cancelled, sub-workflows with it; what had run stays, but for the target and the steps behind it, which are
done anew. The target lies on the path of the workflow, in the branch of a SWITCH if need be: into a fork or a loop one
jumps by naming the fork or the loop.
"""

from __future__ import annotations

from typing import Any

from orchestrator.core import admission
from orchestrator.core.closing import abandon
from orchestrator.core.draft import Draft
from orchestrator.core.operations.answers import Answer, accept, refuse, refuse_ended
from orchestrator.core.program import Node
from orchestrator.core.undoing import undo
from orchestrator.errors import InvalidPayload


def jump(d: Draft, arguments: dict[str, Any]) -> Answer:
    """Go on at step ``ref``, with ``input`` in place of what its parameters give."""
    if (ended := refuse_ended(d, "it cannot jump; rerun it from the task instead")) is not None:
        return ended
    ref = arguments.get("ref") or ""
    node = d.program.nodes.get(ref)
    if node is None:
        name = d.state.meta.name
        return refuse("NOT_FOUND", f"The task referenced by {ref} does not exist in the WorkflowDefinition {name}")
    around = _around(d, node)
    if around is not None:
        return refuse("CONFLICT", f"{ref} lies inside {around}: only {around} as a whole can be jumped to")
    try:
        if arguments.get("input") is not None:
            d.pack_payload(arguments["input"], "input")
    except InvalidPayload as error:
        return refuse(error.code, str(error))
    undo(d, node, 0)
    is_gated = d.core.gate is not None
    admission.leave(d)
    d.core.generation += 1
    if is_gated:
        admission.ask(d)
    d.core.is_revived = True  # a step that is reached may have run before
    d.core.skips = [other for other in d.core.skips if other != ref]
    if arguments.get("input") is not None:
        d.given = ref, arguments["input"]
    d.go(ref, 0)
    return accept(d, ref=ref)


def prepare(d: Draft, arguments: dict[str, Any]) -> bool:
    """Cancel what is open, if the jump is possible; returns whether it has to wait until all is cancelled."""
    node = d.program.nodes.get(arguments.get("ref") or "")
    if node is None or _around(d, node) is not None or not d.core.open:
        return False
    abandon(d, f"jumped over to {node.ref}")
    return d.core.open > 0


def _around(d: Draft, node: Node) -> str | None:
    """The fork or loop that a step lies inside of."""
    inner: Node | None = node
    while inner is not None and inner.parent is not None:
        inner = d.program.nodes.get(inner.parent)
        if inner is not None and inner.task.type not in ("SWITCH", "DECISION"):
            return inner.ref
    return None
