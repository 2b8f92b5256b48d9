"""FORK_JOIN_DYNAMIC: branches that its input lists, all started at once, and the JOIN that waits for all of them.

What the input may look like is read by ``fans``. The list is checked as a whole for what it costs little to see (that
every branch has a name of its own); a branch is compiled when its turn comes, a slice of them in each decision, and is
kept with its first task. So neither the core record nor any commit grows with the width of the fork.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.codec import EMPTY_MAP
from orchestrator.core import advance
from orchestrator.core.branches import StepInvalid, check_branch
from orchestrator.core.closing import end
from orchestrator.core.draft import TASKS_PER_DECISION
from orchestrator.core.fans import Fan, FanInvalid, read_fan
from orchestrator.core.program import execution_ref
from orchestrator.errors import InvalidPayload
from orchestrator.model.status import is_terminal

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord

FORKED = "forkedTasks"
"""The key of the FORK task's input that lists the branches by reference (Conductor's)."""


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Make the FORK task, which is done at once, and send the JOIN and the first branches on their way."""
    following = d.find(node.next) if node.next else None
    given = d.render_input(node, iteration, previous)
    refs: list[str] = []
    packed, reason = EMPTY_MAP, None
    try:
        fan = _read(d, node, given)
        refs = fan.refs
        packed = d.pack_payload({**given, FORKED: refs}, "input")
        twice = _first_twice(d, refs)
        if twice is not None:
            reason = taken(d, node.ref, twice)
    except FanInvalid as error:
        reason = str(error)
    except InvalidPayload as error:
        reason = f"The task's input cannot be stored: {error}"
    if following is None or following.fork != node.ref:
        reason = "Dynamic join definition is not followed by a join task.  Check the workflow definition."
    record = d.create(node, iteration, type_="FORK", name="FORK", input_=packed, previous=previous)
    if following is None or reason is not None:
        advance.finish(d, record, "FAILED", reason=reason, fatal=True)
        return
    d.core.first_fan = d.core.first_fan or node.ref
    advance.finish(d, record, "COMPLETED", advance=False)
    d.go(following.ref, iteration)
    if refs:
        d.go(node.ref, iteration, 1)


def fan_out(d: Draft, node: Node, iteration: int, index: int) -> Iterator[Node]:
    """The first steps of the branches to be entered now; ``index`` counts branches from 1."""
    ref = execution_ref(node.ref, iteration)
    record = d.record(ref)
    assert record is not None, f"{ref} is fanned out without having a task"
    fan = _read(d, node, record.input, record.input[FORKED])
    join = d.node(node.next or "", node.branch)
    d.require_tasks(next_firsts(record, index))
    for position in range(index - 1, len(fan.refs)):
        if d.full:
            d.go(node.ref, iteration, position + 1)
            return
        name = execution_ref(fan.refs[position], iteration)
        try:
            step = fan.step(position, node, join)
            yield d.meet(name, check_branch(step, name, d.program.nodes))[fan.refs[position]]
        except (StepInvalid, FanInvalid, InvalidPayload) as error:
            reason = f"Dynamic Fork Task: {ref} has a branch {fan.refs[position]} that cannot be carried out: {error}"
            end(d, "FAILED", reason, failed=record)
        if is_terminal(d.core.status):
            return


def next_firsts(record: TaskRecord, index: int) -> list[str]:
    """The first tasks of the slice of branches that begins at ``index``, by their execution references."""
    refs = record.input[FORKED][index - 1 : index - 1 + TASKS_PER_DECISION]
    return [execution_ref(ref, record.scheduled.iteration) for ref in refs]


def taken(d: Draft, fork: str | None, ref: str) -> str:
    """Why a fork cannot go on whose branch has a name that is not its own."""
    meta = d.state.meta
    return (
        f"No dynamic tasks could be created for the Workflow: {meta.name}.{meta.version}/{d.workflow_id}, "
        f"Dynamic Fork Task: {fork} attempted to create a duplicate task reference name: {ref}"
    )


def _read(d: Draft, node: Node, given: dict[str, Any], refs: list[str] | None = None) -> Fan:
    is_first = d.core.first_fan in (None, node.ref)
    return read_fan(node.task, given, "_" if is_first else f"_{node.ref}_", refs)


def _first_twice(d: Draft, refs: list[str]) -> str | None:
    """The first name that two branches share, or a branch and a step of the definition."""
    seen: set[str] = set()
    for ref in refs:
        if ref in seen or ref in d.program.nodes:
            return ref
        seen.add(ref)
    return None
