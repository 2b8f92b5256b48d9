"""An ended workflow goes on where it stood: what its end cancelled, and what failed, is taken up again.

A new generation begins. Tasks that did not succeed get another attempt, under a new id; JOINs wait again in place; steps
that were due and never reached are entered. A step that has run already is not entered twice. The parent, if there is
one, is told, so that it goes on too. Every task record of the workflow is looked at once. Called for operators and for
children that go on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from msgspec.structs import replace

from orchestrator.codec import EMPTY_MAP
from orchestrator.core import admission, advance, operators
from orchestrator.core.beginning import arm_timeout
from orchestrator.core.draft import RETRY, Draft
from orchestrator.core.operators import fork, switch
from orchestrator.core.operators.dynamic_fork import FORKED
from orchestrator.core.program import Node, execution_ref
from orchestrator.core.state import TaskRecord
from orchestrator.model.effects import ReviveParent
from orchestrator.model.status import is_successful

_SWITCHES = ("SWITCH", "DECISION")


def revive(
    d: Draft, spared: str | None = None, reopened: Collection[str] = (), first: tuple[str, int] | None = None
) -> None:
    """Let the ended workflow go on; ``spared`` is the reference of a task that the caller reopens itself, before this.

    ``reopened`` are JOINs and loops that wait again however they had ended, ``first`` a step to begin with. Tasks that
    the end has not cancelled yet stay open. Raises ``RecordsNeeded``.
    """
    found = sorted(_everything(d), key=lambda record: record.scheduled.sequence)
    _go_on(d)
    if first is not None:
        d.go(*first)
    unsuccessful = [record for record in found if _has_failed(record) and record.scheduled.ref != spared]
    for record in found:
        if (
            not record.is_open
            and is_successful(record.status)
            and record.scheduled.ref not in {*d.core.skips, *reopened}
        ):
            _enter_what_follows(d, record)
    waiting = [record for record in found if record.scheduled.ref in reopened]
    in_place = [*waiting, *(one for one in unsuccessful if _stays(d, one) and one.scheduled.ref not in reopened)]
    for record in unsuccessful:
        if not _stays(d, record) and record.scheduled.ref not in reopened:
            _retry(d, record)
    for record in in_place:
        assert record.result is not None
        again = replace(record.result, status="IN_PROGRESS", started_ms=d.now, ended_ms=0, reason=None)
        d.arm_waiting(d.node_of(record.scheduled), d.set_result(record, again))
        d.core.open += 1
    for record in in_place:
        _reopen(d, record)
    _count_rounds(d, found)
    tell_parent(d)


def may_go_on(d: Draft) -> bool:
    """Whether anything is left to be done: a task that did not succeed, or a step that was never reached."""
    return any(_has_failed(record) or _is_cut_short(d, record) for record in _everything(d))


def first_failed(d: Draft) -> TaskRecord | None:
    """The first task that did not succeed, JOINs and loops left aside: what the others may have failed for."""
    failed = [record for record in _everything(d) if _has_failed(record) and not _stays(d, record)]
    return min(failed, key=lambda record: record.scheduled.sequence, default=None)


def _is_cut_short(d: Draft, record: TaskRecord) -> bool:
    if record.is_open or not is_successful(record.status) or record.scheduled.ref in d.core.skips:
        return False
    following = _following(d.node_of(record.scheduled), record)
    return following is not None and _is_missing(d, following, record.scheduled.iteration)


def _stays(d: Draft, record: TaskRecord) -> bool:
    """Whether the task goes on in place; a loop that never began its first round begins anew."""
    node = d.node_of(record.scheduled)
    if node.task.type == "DO_WHILE":
        return bool(record.output.get("iteration"))
    return operators.reopen(node) is not None


def _retry(d: Draft, record: TaskRecord) -> None:
    """Another attempt, at once: the delay of one that the end of the workflow has overtaken is not waited for."""
    if record.result is not None and record.result.callback_after_ms:
        d.set_result(record, replace(record.result, callback_after_ms=0))
    d.go(d.node_of(record.scheduled).ref, record.scheduled.iteration, RETRY)


def _count_rounds(d: Draft, found: list[TaskRecord]) -> None:
    """Loops that go on know how many tasks of their round are open, before the others are begun."""
    counts = {name: 0 for name, loop in d.core.loops.items() if loop.ref}
    for record in found:
        made = record.scheduled
        name = d.node_of(made).loop if made.iteration else None
        current = d.record(made.ref)
        if name in counts and current is not None and current.is_open and made.iteration == d.iteration_of(name):
            counts[name] += 1
    for name, count in counts.items():
        d.loop(name).open = count


def _everything(d: Draft) -> Iterator[TaskRecord]:
    """The latest attempt of every task, those of dynamic branches behind their fork. Raises ``RecordsNeeded``."""
    refs = list(d.program.nodes)
    while refs:
        d.require(refs)
        found = [record for record in (d.record(d.latest(ref)) for ref in refs) if record is not None]
        yield from found
        refs = [ref for record in found for ref in _forked(d, record)]


def _forked(d: Draft, record: TaskRecord) -> Iterator[str]:
    """The steps of the branches that a dynamic fork has begun."""
    if d.node_of(record.scheduled).task.type != "FORK_JOIN_DYNAMIC":
        return
    firsts = [execution_ref(name, record.scheduled.iteration) for name in record.input.get(FORKED, ())]
    d.require_tasks(firsts)
    for first in firsts:
        if d.record(first) is not None:
            yield from d.branch(first)


def tell_parent(d: Draft) -> None:
    """Have the parent's task, and with it the parent, go on: whoever makes an ended workflow go on calls this."""
    meta = d.state.meta
    if meta.parent_workflow_id and meta.parent_task_id:
        d.handoffs.append(
            ReviveParent(
                meta.parent_workflow_id, meta.parent_task_id, d.workflow_id, meta.parent_ref or "", d.core.generation
            )
        )


def _go_on(d: Draft) -> None:
    core = d.core
    core.status = "RUNNING"
    core.generation += 1
    core.is_revived = True
    core.ended_ms = 0
    core.last_retried_ms = d.now
    core.reason = core.failed_task_id = core.failure_workflow_id = core.terminate_ref = None
    core.failed_refs, core.failed_names, core.permissive = [], [], []
    d.output = EMPTY_MAP
    d.again = False
    arm_timeout(d)
    admission.ask(d)


def _has_failed(record: TaskRecord) -> bool:
    return not record.is_open and not is_successful(record.status)


def _reopen(d: Draft, record: TaskRecord) -> None:
    node, ref = d.node_of(record.scheduled), record.scheduled.ref
    again, current = operators.reopen(node), d.record(ref)
    assert again is not None
    assert current is not None
    again(d, node, current)
    if ref in d.core.joins:
        advance.complete_join(d, ref)  # an outcome that came in after the end was the last it waited for


def _enter_what_follows(d: Draft, record: TaskRecord) -> None:
    """Enter the steps that a successful task was to be followed by and that were never reached."""
    node, iteration = d.node_of(record.scheduled), record.scheduled.iteration
    following = _following(node, record)
    if following is not None and _is_missing(d, following, iteration):
        d.go(following, iteration)
    if node.task.type == "FORK_JOIN":
        _enter_branches(d, node, iteration)
    elif node.task.type == "FORK_JOIN_DYNAMIC":
        names = record.input.get(FORKED, ())
        missing = [i for i, name in enumerate(names, 1) if _is_missing(d, name, iteration)]
        if missing:  # branches are entered in order, so the others follow it
            d.go(node.ref, iteration, missing[0])


def _enter_branches(d: Draft, node: Node, iteration: int) -> None:
    for index, branch in enumerate(node.task.fork_tasks):
        if branch and _is_missing(d, branch[0].task_reference_name, iteration):
            fork.fan_out(d, node, iteration, index)
            return


def _following(node: Node, record: TaskRecord) -> str | None:
    task = node.task
    if task.type == "TERMINATE":
        return None
    if task.type in _SWITCHES and record.status == "COMPLETED":
        taken = switch.case_taken(task, switch.label_of(record))
        branch = task.default_case if taken is None else task.decision_cases[taken]
        return branch[0].task_reference_name if branch else node.next
    return node.next


def _is_missing(d: Draft, ref: str, iteration: int) -> bool:
    """Whether a step was never reached; one that is to be skipped has a record before."""
    name = execution_ref(ref, iteration)
    return d.record(name) is None or name in d.core.skips
