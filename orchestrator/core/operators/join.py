"""JOIN: waits until every task it lists has ended; a counter that the last member's own decision brings to zero.

Members that ended before the JOIN was reached are counted when it is entered. A listed step that can no longer run (a
branch not taken) counts as satisfied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core import advance
from orchestrator.model.records import Join
from orchestrator.model.status import is_successful, is_terminal

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    members = list(dict.fromkeys(node.task.join_on))
    outside = tuple(name for name in members if not _follows(d, node, name))
    d.require(outside)
    record = d.create(
        node,
        iteration,
        type_="JOIN",
        name="JOIN",
        input_=d.pack_payload({"joinOn": members}, "input"),
        previous=previous,
    )
    join = Join(remaining=len(members), members=len(members))
    for name in outside:
        _count_earlier(d, join, name)
    d.core.joins[record.scheduled.ref] = join
    advance.complete_join(d, record.scheduled.ref)


def _follows(d: Draft, node: Node, member: str) -> bool:
    """Whether the member lies inside the fork that this JOIN ends, and so has not run yet."""
    inner = d.program.nodes.get(member)
    while inner is not None and inner.fork is not None:
        fork = d.program.nodes[inner.fork]
        if fork.next == node.ref:
            return True
        inner = fork
    return False


def _count_earlier(d: Draft, join: Join, name: str) -> None:
    """Count a member from before or beside the fork, which may have ended, may be running, or may never run."""
    record = d.record(d.latest(name))
    if record is None:
        node = d.program.nodes.get(name)
        enclosing = d.program.nodes[node.fork] if node is not None and node.fork is not None else None
        still_possible = enclosing is not None and enclosing.next in d.core.joins
        join.remaining -= not still_possible
        return
    if not is_terminal(record.status):
        return
    join.remaining -= 1
    if record.status == "COMPLETED_WITH_ERRORS":
        join.errors += 1
    elif not is_successful(record.status):
        join.failed += 1
        join.hard += record.status != "CANCELED"
        if record.result is not None and record.result.reason:
            join.reasons = [*join.reasons, record.result.reason]
