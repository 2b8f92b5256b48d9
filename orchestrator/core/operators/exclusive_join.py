"""EXCLUSIVE_JOIN: waits for the one of its tasks that runs, and passes its output on.

The first task of ``joinOn`` that has begun is the one. Only if none of them can run any more are those of
``defaultExclusiveJoinTask`` looked at in the same way, and if none of them has run either, the step is over without an
output. Conductor (ExclusiveJoin) looks at the default tasks as long as none of the others has ended, so it goes on
beside a task that is still running; and it waits for ever when no task of either list has run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core import advance
from orchestrator.core.operators.join import may_still_run
from orchestrator.core.scope import DraftScope
from orchestrator.errors import InvalidPayload
from orchestrator.model.records import Join
from orchestrator.model.status import is_successful, is_terminal

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Start waiting, or be done at once when the task has ended already."""
    names = [*node.members, *node.task.default_exclusive_join_task]
    try:
        packed = d.pack_payload({**d.render_input(node, iteration, previous), "joinOn": node.members}, "input")
    except InvalidPayload as error:
        advance.refuse(d, node, iteration, previous, "EXCLUSIVE_JOIN", f"The task's input cannot be stored: {error}")
        return
    record = d.create(node, iteration, type_="EXCLUSIVE_JOIN", name=node.task.name, input_=packed, previous=previous)
    d.core.joins[record.scheduled.ref] = Join(len(names), len(names), is_judged=True)
    d.arm_waiting(node, record)
    judge(d, node, record)


def reopen(d: Draft, node: Node, record: TaskRecord) -> None:
    """Wait again, in place; called when the task it waits for is to end again."""
    count = len(node.members) + len(node.task.default_exclusive_join_task)
    d.core.joins[record.scheduled.ref] = Join(count, count, is_judged=True)


def judge(d: Draft, node: Node, record: TaskRecord) -> None:
    """Take over from the task that it waits for, once that has ended."""
    members, defaults = node.members, node.task.default_exclusive_join_task
    d.require([*members, *defaults])
    chosen = _first_begun(d, members)
    if chosen is None and any(may_still_run(d, node, name) for name in members):
        return
    chosen = chosen or _first_begun(d, defaults)
    if chosen is not None and (not is_terminal(chosen.status) or chosen.scheduled.ref in d.awaited()):
        return
    del d.core.joins[record.scheduled.ref]
    if chosen is None:
        advance.finish(d, record, "COMPLETED")
    elif is_successful(chosen.status):
        _take_over(d, record, chosen)
    else:
        reason = chosen.result.reason if chosen.result is not None else None
        advance.finish(d, record, "FAILED", reason=reason)


def _take_over(d: Draft, record: TaskRecord, chosen: TaskRecord) -> None:
    """End with the output of the task: the whole of it, also where it is put together from those of others."""
    whole = DraftScope(d, None).output_of(d.node_of(chosen.scheduled).ref, chosen)
    try:
        output = d.pack_payload(whole, "output")
    except InvalidPayload as error:
        reason = f"The task's output cannot be stored: {error}"
        advance.finish(d, record, "FAILED_WITH_TERMINAL_ERROR", reason=reason)
    else:
        advance.finish(d, record, "COMPLETED", output=output)


def _first_begun(d: Draft, names: list[str]) -> TaskRecord | None:
    found = (d.record(d.latest(name)) for name in names)
    return next((record for record in found if record is not None and record.status != "SKIPPED"), None)
