"""A task's time-outs carried out: the attempt ends TIMED_OUT and is followed up, or an alert is raised.

Whether one is due is judged by ``timeouts``. Called when the timer of an open task fires.
"""

from __future__ import annotations

from orchestrator.core import advance
from orchestrator.core.closing import withdraw
from orchestrator.core.draft import Draft
from orchestrator.core.kinds import WAITING, WAITS_INSIDE
from orchestrator.core.state import TaskRecord
from orchestrator.core.timeouts import Expired, check_task
from orchestrator.model.events import TimerFired
from orchestrator.model.records import Scheduled


def judge(d: Draft, record: TaskRecord, fired: TimerFired, made: Scheduled | None = None) -> None:
    """Time the attempt out if it is due, otherwise arm its timer for the next moment at which it may be.

    ``made`` takes the place of what the task was made with.
    """
    task_def = d.task_def(d.node_of(record.scheduled))
    deadlines = check_task(made or record.scheduled, d.task_id(record), task_def, fired)
    for expired in deadlines.expired:
        if expired.policy != "ALERT_ONLY":
            _time_out(d, record, fired, expired)
            return
        d.alerts.append(expired.reason)
    if deadlines.next_ms:
        d.timers[record.suffix, record.scheduled.ref] = deadlines.next_ms


def judge_waiting(d: Draft, record: TaskRecord) -> None:
    """The same for a task that no worker takes: it counts as started when it was made, and owes no sign of life."""
    node = d.node_of(record.scheduled)
    made = record.timed_from if node.task.type in WAITS_INSIDE else record.scheduled
    judge(d, record, TimerFired(d.now, made.ref, d.task_id(record), WAITING, started_ms=made.scheduled_ms), made)


def _time_out(d: Draft, record: TaskRecord, fired: TimerFired, expired: Expired) -> None:
    withdraw(d, record, expired.reason)
    node = d.node_of(record.scheduled)
    if node.task.type in WAITS_INSIDE:
        d.stop_waiting(node, record)
    advance.finish(
        d,
        record,
        "TIMED_OUT",
        reason=expired.reason,
        started_ms=fired.started_ms,
        poll_count=fired.poll_count,
        worker_id=fired.worker_id,
        # No step could follow on a loop that was left in the middle of a round.
        fatal=expired.policy == "TIME_OUT_WF" or node.task.type == "DO_WHILE",
        guarded=node.task.type not in WAITS_INSIDE,
    )
