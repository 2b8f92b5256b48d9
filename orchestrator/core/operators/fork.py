"""FORK_JOIN: every branch starts at once, and the JOIN that follows starts waiting for them.

The JOIN is entered before the branches, so that no member can end unnoticed. A wide fork is fanned out in slices: each
decision starts some branches and leaves the rest to the next (``fan_out`` with an index), so no commit grows too large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core import advance
from orchestrator.core.closing import end

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    following = d.program.nodes.get(node.next) if node.next else None
    record = d.create(node, iteration, type_="FORK", name="FORK", previous=previous)
    if following is None or following.task.type not in ("JOIN", "EXCLUSIVE_JOIN"):
        reason = "Fork task definition is not followed by a join task.  Check the blueprint"
        advance.finish(d, record, "FAILED", reason=reason, advance=False)
        end(d, "FAILED", reason, failed=d.record(record.scheduled.ref))
        return
    advance.finish(d, record, "COMPLETED", advance=False)
    d.go(following.ref, iteration)
    fan_out(d, node, iteration, 0)


def fan_out(d: Draft, node: Node, iteration: int, index: int) -> None:
    """Start the branches from ``index`` on, a slice at a time, in their order."""
    branches = node.task.fork_tasks
    stop = min(index + 100, len(branches))
    for branch in branches[index:stop]:
        if branch:
            d.go(branch[0].task_reference_name, iteration)
    if stop < len(branches):
        d.go(node.ref, iteration, stop)
