"""FORK_JOIN: every branch starts at once, and the JOIN that follows starts waiting for them.

The JOIN is entered before the branches, so that no member can end unnoticed. A wide fork is fanned out in slices: each
decision starts some branches and leaves the rest to the next (``fan_out`` with an index), so no commit grows too large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.codec import EMPTY_MAP
from orchestrator.core import advance
from orchestrator.core.program import JOIN_TYPES
from orchestrator.errors import InvalidPayload

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord

BRANCHES_PER_SLICE = 100
"""So many branches of a fork are put on the agenda at a time; it is part of the small core record."""


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Make the FORK task, which is done at once, and send the JOIN and the first branches on their way."""
    following = d.find(node.next) if node.next else None
    reason = None
    packed = EMPTY_MAP
    if following is None or following.task.type not in JOIN_TYPES:
        reason = "Fork task definition is not followed by a join task.  Check the blueprint"
    else:
        try:
            packed = d.pack_payload(d.render_input(node, iteration, previous), "input")
        except InvalidPayload as error:
            reason = f"The task's input cannot be stored: {error}"
    record = d.create(node, iteration, type_="FORK", name="FORK", input_=packed, previous=previous)
    if following is None or reason is not None:
        advance.finish(d, record, "FAILED", reason=reason, fatal=True)
        return
    advance.finish(d, record, "COMPLETED", advance=False)
    d.go(following.ref, iteration)
    fan_out(d, node, iteration, 0)


def fan_out(d: Draft, node: Node, iteration: int, index: int) -> None:
    """Start the branches from ``index`` on, a slice at a time, in their order."""
    branches = node.task.fork_tasks
    stop = min(index + BRANCHES_PER_SLICE, len(branches))
    for branch in branches[index:stop]:
        if branch:
            d.go(branch[0].task_reference_name, iteration)
    if stop < len(branches):
        d.go(node.ref, iteration, stop)
