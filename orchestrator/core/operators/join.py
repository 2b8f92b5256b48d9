"""JOIN: waits until every task it lists has ended; a counter that the last member's own decision brings to zero.

Members that ended before the JOIN was reached are counted when it is entered. A listed step that can no longer run (a
branch not taken) counts as satisfied. With a script (``expression``) that decides instead, whenever a member has ended
(see ``join_scripts``); ``joinStatus`` lists the statuses in which a member counts as successful.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.core import advance, join_scripts
from orchestrator.core.operators import switch
from orchestrator.core.program import execution_ref
from orchestrator.errors import InvalidPayload
from orchestrator.model.records import Join
from orchestrator.model.status import is_terminal

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Case, Node
    from orchestrator.core.state import TaskRecord
    from orchestrator.model.evaluation import Evaluation


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Start waiting for the members that have not ended yet."""
    members = _branches(d, node.fork, iteration) if node.fork else node.members
    join = _counter(node, len(members))
    if node.fork is None:
        outside = [name for name in members if not _follows(d, node, name)]
        d.require(outside)
        expected = d.awaited()
        for name in outside:
            _count_earlier(d, node, join, name, expected)
    try:
        packed = d.pack_payload({**d.render_input(node, iteration, previous), "joinOn": members}, "input")
    except InvalidPayload as error:
        advance.refuse(d, node, iteration, previous, "JOIN", f"The task's input cannot be stored: {error}")
        return
    record = d.create(node, iteration, type_="JOIN", name="JOIN", input_=packed, previous=previous)
    d.core.joins[record.scheduled.ref] = join
    d.arm_waiting(node, record)
    advance.complete_join(d, record.scheduled.ref)


def reopen(d: Draft, node: Node, record: TaskRecord) -> None:
    """Wait again, in place, for the members that are to end again; called when those are known to be open or on the way."""
    members = record.input["joinOn"]
    join = _counter(node, len(members))
    if node.fork:
        _count_branches(d, node, join, [execution_ref(name, record.scheduled.iteration) for name in members])
    else:
        expected = d.awaited()
        for name in members:
            _count_earlier(d, node, join, name, expected)
    d.core.joins[record.scheduled.ref] = join


def judge(d: Draft, node: Node, record: TaskRecord) -> None:
    """A member has ended: the JOIN's script says whether that is all."""
    answer = join_scripts.ask(d, node, record, lambda name: bool(node.fork) or may_still_run(d, node, name))
    if answer is not None:
        join_scripts.take(d, node, record, answer)


def evaluated(d: Draft, node: Node, iteration: int, purpose: str, evaluation: Evaluation) -> None:
    """The script has an answer; one that is overtaken by the end of another member is asked for again."""
    record = d.record(execution_ref(node.ref, iteration))
    assert record is not None, f"{node.ref} was evaluated without having a task"
    if join_scripts.purpose(d, record) != purpose and not join_scripts.is_final(evaluation):
        judge(d, node, record)
    else:
        join_scripts.take(d, node, record, evaluation)


def _counter(node: Node, members: int) -> Join:
    accepts = [status.strip() for status in (node.task.join_status or "").split(",") if status.strip()]
    return Join(remaining=members, members=members, is_judged=bool(node.task.expression), accepts=accepts)


def _count_branches(d: Draft, node: Node, join: Join, firsts: list[str]) -> None:
    """Count the branches of a dynamic fork in which nothing is open or on the way any more."""
    steps = [*d.core.held, *d.core.agenda, *d.agenda]
    expected = {execution_ref(step.ref, step.iteration) for step in steps}
    branches = {step.branch for step in steps}
    for first in firsts:
        begun = d.record(first)
        if begun is None or first in expected or first in branches:
            continue
        tasks = [d.record(d.latest(ref)) for ref in d.branch(first)]
        if not any(task is not None and task.is_open for task in tasks):
            advance.count_member(join, begun.status, begun.result.reason if begun.result is not None else None)


def _branches(d: Draft, fork: str, iteration: int) -> list[str]:
    """The branches of the dynamic fork before the JOIN; none of them has begun. A skipped fork has none."""
    made = d.record(execution_ref(fork, iteration))
    found: list[str] = made.input.get("forkedTasks", []) if made is not None else []
    return found


def _follows(d: Draft, node: Node, member: str) -> bool:
    """Whether the member lies inside the fork that this JOIN ends, and so has not run yet."""
    return any(
        outer.next == node.ref and outer.task.type == "FORK_JOIN" and not _is_skipped(d, outer)
        for outer in _around(d, member)
    )


def _is_skipped(d: Draft, node: Node) -> bool:
    record = d.record(d.latest(node.ref))
    return record is not None and record.status == "SKIPPED"


def _around(d: Draft, ref: str) -> Iterator[Node]:
    """The steps that a step lies inside of, from the inside out."""
    node = d.find(ref)
    while node is not None and node.parent is not None:
        node = d.find(node.parent)
        if node is not None:
            yield node


def _count_earlier(d: Draft, node: Node, join: Join, name: str, expected: set[str]) -> None:
    """Count a member from before or beside the fork, which may have ended, may be running, or may never run."""
    record = d.record(d.latest(name))
    if record is None or record.scheduled.ref in d.core.joins or record.scheduled.ref in d.core.skips:
        join.remaining -= not may_still_run(d, node, name)
    elif is_terminal(record.status) and record.scheduled.ref not in expected:
        reason = record.result.reason if record.result is not None else None
        advance.count_member(join, record.status, reason)


def may_still_run(d: Draft, node: Node, name: str) -> bool:
    """Whether a step that has not ended yet may do so before this JOIN is done.

    Not when it comes after the JOIN, lies in a branch that a SWITCH did not take, or is not in the definition.
    """
    member = d.find(name)
    if (
        member is None
        or member is node
        or not {name, *(outer.ref for outer in _around(d, name))}.isdisjoint(_after(d, node))
    ):
        return False
    inner = member
    for outer in _around(d, name):
        record = d.record(d.latest(outer.ref))
        if record is not None and not record.is_open:  # an open SWITCH waits for its script and may take any branch
            is_choice = outer.task.type in ("SWITCH", "DECISION")
            return record.status != "SKIPPED" and (not is_choice or _has_taken(outer, record, inner.case))
        inner = outer
    return True


def _has_taken(switch_node: Node, record: TaskRecord, case: Case) -> bool:
    if record.status != "COMPLETED":
        return False  # it failed and the workflow went on without any of its branches
    return switch.case_taken(switch_node.task, switch.label_of(record)) == case


def _after(d: Draft, node: Node) -> set[str]:
    """The steps that run after this one on its own path, up to the end of the workflow."""
    found: set[str] = set()
    inner: Node | None = node
    while inner is not None:
        ref = inner.next
        while ref is not None and ref not in found:
            found.add(ref)
            following = d.find(ref)
            ref = following.next if following is not None else None
        inner = d.find(inner.parent) if inner.parent is not None else None
    return found
