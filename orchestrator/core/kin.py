"""What another workflow may say to this one: a parent whose task is over ends its child; a child that goes on has its
parent go on. The gate of a rate limit, too, says whether it lets the workflow in.

Such words come through the other's outbox, more than once and late; one that is out of date changes nothing. Called by
``decide`` alone.
"""

from __future__ import annotations

from msgspec.structs import replace

from orchestrator.core import admission
from orchestrator.core.closing import end, tell_late_follower
from orchestrator.core.draft import RETRY, Draft
from orchestrator.core.operators import sub_workflow
from orchestrator.core.program import execution_ref
from orchestrator.core.reviving import revive
from orchestrator.core.state import TaskRecord
from orchestrator.core.undoing import undo
from orchestrator.ids import suffix_of
from orchestrator.model.events import Told
from orchestrator.model.records import Pending
from orchestrator.model.status import is_successful, is_terminal


def told(d: Draft, event: Told) -> None:
    """Do what the other workflow asks for, if it still may."""
    if event.action == "cancel":
        _cancelled(d, event)
    elif event.action == "revive":
        _child_goes_on(d, event)
    elif event.action == "follow":
        _followed(d, event)
    elif event.action == "admitted":
        admission.is_admitted(d, event.task_id, event.run)
    elif event.action == "rejected" and admission.is_refused(d, event.task_id, event.run):
        end(d, "FAILED", f"The workflow was not let in: {event.reason}")


def _cancelled(d: Draft, event: Told) -> None:
    """The parent's task is over: so is this workflow. Nobody waits for its end, so nobody is told.

    One that is shared goes on: it only has a follower less.
    """
    d.core.followers = [task_id for task_id in d.core.followers if task_id != event.task_id]
    if event.task_id != d.state.meta.parent_task_id or is_terminal(d.core.status):
        return
    end(d, "TERMINATED", event.reason, failure_workflow=False, notify_parent=False)


def _followed(d: Draft, event: Told) -> None:
    """A task of another workflow shares this one as its child."""
    if is_terminal(d.core.status):
        tell_late_follower(d, event.task_id)
    elif event.task_id not in d.core.followers:
        d.core.followers = [*d.core.followers, event.task_id]


def _child_goes_on(d: Draft, event: Told) -> None:
    """A child that had ended runs again: the task that it is, and this workflow, are in progress again.

    That the task has heard of the child's run is noted even when the workflow cannot go on: whoever reports how that run
    ended learns by it that nobody waits.
    """
    record = d.record(event.ref)
    if record is None or record.suffix != suffix_of(event.task_id):
        return  # another attempt has taken its place, with another child
    result = record.result
    if result is None or result.child_run >= event.run:
        return
    if record.is_open:
        sub_workflow.go_on(d, record, event.run)
        return
    if not is_terminal(d.core.status):
        if not _drop_retry(d, record):  # the workflow has gone on without it
            d.set_result(record, replace(result, child_run=event.run))
            return
        sub_workflow.go_on(d, record, event.run)
        return
    node = d.node_of(record.scheduled) if d.has_step(record.scheduled) else None
    has_passed = d.core.status == "COMPLETED" or is_successful(record.status)
    if node is None or d.core.terminate_ref is not None or node.task.optional or (has_passed and d.core.open > 0):
        d.set_result(record, replace(result, child_run=event.run))
        return
    # What came after the task was based on what the child had been: it is done again.
    reopened = undo(d, node, record.scheduled.iteration, keep_first=True) if has_passed else set()
    sub_workflow.go_on(d, record, event.run)
    revive(d, spared=event.ref, reopened=reopened - {event.ref})


def _drop_retry(d: Draft, record: TaskRecord) -> bool:
    """Take back the next attempt that a paused workflow has in store; gives whether there was one."""
    ref = record.scheduled.ref
    kept = [step for step in d.core.held if not _is_retry_of(step, ref)]
    found = len(kept) < len(d.core.held)
    d.core.held = kept
    return found


def _is_retry_of(step: Pending, ref: str) -> bool:
    return step.index == RETRY and execution_ref(step.ref, step.iteration) == ref
