"""A task's time-outs carried out: the attempt ends TIMED_OUT and is followed up, or an alert is raised.

Whether one is due is judged by ``timeouts``. Called when the timer of an open task fires.
"""

from __future__ import annotations

from orchestrator.core import advance
from orchestrator.core.closing import withdraw
from orchestrator.core.draft import Draft
from orchestrator.core.state import TaskRecord
from orchestrator.core.timeouts import Expired, check_task
from orchestrator.model.events import TimerFired


def judge(d: Draft, record: TaskRecord, fired: TimerFired) -> None:
    """Time the attempt out if it is due, otherwise arm its timer for the next moment at which it may be."""
    task_def = d.task_def(d.node_of(record.scheduled))
    deadlines = check_task(record.scheduled, d.task_id(record), task_def, fired)
    for expired in deadlines.expired:
        if expired.policy != "ALERT_ONLY":
            _time_out(d, record, fired, expired)
            return
        d.alerts.append(expired.reason)
    if deadlines.next_ms:
        d.timers[record.suffix, record.scheduled.ref] = deadlines.next_ms


def _time_out(d: Draft, record: TaskRecord, fired: TimerFired, expired: Expired) -> None:
    withdraw(d, record, expired.reason)
    advance.finish(
        d,
        record,
        "TIMED_OUT",
        reason=expired.reason,
        started_ms=fired.started_ms,
        poll_count=fired.poll_count,
        worker_id=fired.worker_id,
        fatal=expired.policy == "TIME_OUT_WF",
        guarded=True,
    )
