"""What a timer that fired does: a WAIT is over, a task timed out, or the workflow did.

A timer that fires early is armed again, one of an attempt that is over changes nothing. Called by ``decide`` alone.
"""

from __future__ import annotations

from orchestrator.core import operators
from orchestrator.core.closing import end
from orchestrator.core.deadlines import judge, judge_waiting
from orchestrator.core.draft import Draft
from orchestrator.core.kinds import ACCEPTED, WAITING, WAITS_INSIDE, is_queued
from orchestrator.core.timeouts import workflow_timeout
from orchestrator.ids import suffix_of
from orchestrator.model.events import TimerFired
from orchestrator.model.status import is_terminal


def timer_fired(d: Draft, event: TimerFired) -> None:
    """Carry out what has come due, if it still matters."""
    if is_terminal(d.core.status):
        return
    if not event.ref:
        _workflow_timer(d)
        return
    record = d.record(event.ref)
    if record is None or record.suffix != suffix_of(event.task_id) or not record.is_open:
        return
    node = d.node_of(record.scheduled)
    if node.task.type in WAITS_INSIDE:
        judge_waiting(d, record)
        return
    if event.state in ("", ACCEPTED):
        return  # the outcome is in the inbox already, and decides
    if event.state == WAITING and not is_queued(node.task.type):
        operators.resume(d, node, record)
    else:
        judge(d, record, event)  # also of a task that a worker has left to somebody outside


def _workflow_timer(d: Draft) -> None:
    definition = d.program.definition
    if definition.timeout_seconds <= 0:
        return
    since_ms = d.core.last_retried_ms or d.core.created_ms
    due_ms = since_ms + definition.timeout_seconds * 1000
    if d.now < due_ms:
        d.timers["-", ""] = due_ms
        return
    reason = workflow_timeout(definition, d.now - since_ms)
    if definition.timeout_policy == "ALERT_ONLY":
        d.alerts.append(reason)
    else:
        end(d, "TIMED_OUT", reason)
