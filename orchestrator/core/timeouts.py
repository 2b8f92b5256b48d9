"""Which time-out of a task is due, and when the next one will be. The four of a task are checked in Conductor's order.

total: wall clock over all attempts, from the first scheduling; task: from the start of the attempt; poll: how long it
may wait for a worker (waiting for nothing but a limit does not count); response: how long its worker may stay silent.
One timer per open task fires at the earliest of them or before; this room tells what, if anything, it means.
"""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.model.definitions import TaskDef, WorkflowDef
from orchestrator.model.events import TimerFired
from orchestrator.model.records import Scheduled


class Expired(NamedTuple):
    """A time-out that is due: its policy (RETRY, TIME_OUT_WF, ALERT_ONLY) and the reason to record."""

    policy: str
    reason: str


class Deadlines(NamedTuple):
    """What is due now (in order of precedence) and the next moment at which something may be (0 = never)."""

    expired: list[Expired]
    next_ms: int


def check_task(scheduled: Scheduled, task_id: str, task_def: TaskDef, fired: TimerFired) -> Deadlines:
    """Judge an open task at the moment its timer fired; ``fired`` carries what the dispatch record says of it."""
    now = fired.at_ms
    expired: list[Expired] = []
    later: list[int] = []
    policy = str(task_def.timeout_policy)

    def judge(due_ms: int, verdict: Expired) -> None:
        if now >= due_ms:
            expired.append(verdict)
        else:
            later.append(due_ms)

    if task_def.total_timeout_seconds > 0:
        limit_s = task_def.total_timeout_seconds
        reason = f"Task {scheduled.name}/{task_id} exceeded total timeout of {limit_s} seconds"
        judge(scheduled.first_scheduled_ms + limit_s * 1000, Expired(policy, reason))
    if task_def.timeout_seconds > 0 and fired.started_ms > 0:
        limit_s = task_def.timeout_seconds
        reason = _reason("Task timed out", now - fired.started_ms, limit_s, policy)
        judge(fired.started_ms + limit_s * 1000, Expired(policy, reason))
    if task_def.poll_timeout_seconds and fired.state == "S" and fired.poll_count == 0:
        limit_s = task_def.poll_timeout_seconds
        since_ms = scheduled.scheduled_ms + scheduled.delay_ms + fired.limited_ms
        judge(
            since_ms + limit_s * 1000, Expired(policy, _reason("Task poll timed out", now - since_ms, limit_s, policy))
        )
    if task_def.response_timeout_seconds > 0 and fired.state == "R":
        limit_s = task_def.response_timeout_seconds
        reason = f"responseTimeout: {limit_s} exceeded for the taskId: {task_id} with Task Definition: {scheduled.name}"
        judge(fired.touched_ms + limit_s * 1000, Expired("RETRY", reason))
    return Deadlines(expired, min(later, default=0))


def first_timer_ms(scheduled: Scheduled, task_def: TaskDef) -> int:
    """When the timer of a task that nobody has taken yet must fire first; 0 = none is needed before it starts."""
    due = []
    if task_def.poll_timeout_seconds:
        due.append(scheduled.scheduled_ms + scheduled.delay_ms + task_def.poll_timeout_seconds * 1000)
    if task_def.total_timeout_seconds > 0:
        due.append(scheduled.first_scheduled_ms + task_def.total_timeout_seconds * 1000)
    return min(due, default=0)


def waiting_timer_ms(scheduled: Scheduled, task_def: TaskDef) -> int:
    """When the timer of a task that waits for no worker must fire first; 0 = never. It counts as started at once."""
    due = []
    if task_def.timeout_seconds > 0:
        due.append(scheduled.scheduled_ms + task_def.timeout_seconds * 1000)
    if task_def.total_timeout_seconds > 0:
        due.append(scheduled.first_scheduled_ms + task_def.total_timeout_seconds * 1000)
    return min(due, default=0)


def total_timeout_passed(scheduled: Scheduled, task_def: TaskDef, task_id: str, now_ms: int) -> str | None:
    """The reason why no further attempt may start, when the task's total time is used up."""
    limit_s = task_def.total_timeout_seconds
    elapsed_ms = now_ms - scheduled.first_scheduled_ms
    if limit_s <= 0 or elapsed_ms < limit_s * 1000:
        return None
    return (
        f"Task {task_id}/{scheduled.name} exceeded total timeout of {limit_s} seconds "
        f"(elapsed {elapsed_ms // 1000} seconds across all attempts). No further retries will be attempted."
    )


def workflow_timeout(definition: WorkflowDef, elapsed_ms: int) -> str:
    """The reason to record when a workflow has taken too long."""
    return _reason("Workflow timed out", elapsed_ms, definition.timeout_seconds, str(definition.timeout_policy))


def _reason(what: str, elapsed_ms: int, limit_s: int, policy: str) -> str:
    return (
        f"{what} after {elapsed_ms // 1000} seconds. Timeout configured as {limit_s} seconds. "
        f"Timeout policy configured to {policy}"
    )
