"""What another workflow may say to this one: a parent whose task is over ends its child.

Such words come through the other's outbox, more than once and late; one that is out of date changes nothing. Called by
``decide`` alone.
"""

from __future__ import annotations

from orchestrator.core.closing import end
from orchestrator.core.draft import Draft
from orchestrator.model.events import Told
from orchestrator.model.status import is_terminal


def told(d: Draft, event: Told) -> None:
    """Do what the other workflow asks for, if it still may."""
    if event.action == "cancel":
        _cancelled(d, event)


def _cancelled(d: Draft, event: Told) -> None:
    """The parent's task is over: so is this workflow. Nobody waits for its end, so nobody is told."""
    if event.task_id != d.state.meta.parent_task_id or is_terminal(d.core.status):
        return
    end(d, "TERMINATED", event.reason, failure_workflow=False, notify_parent=False)
