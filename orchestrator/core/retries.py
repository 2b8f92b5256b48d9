"""May a failed attempt be retried, and when: Conductor's three logics, with jitter that a replay computes again.

Source of the rules: Conductor's DeciderService.retry. FIXED waits the delay, LINEAR_BACKOFF delay x scale x attempt
number, EXPONENTIAL_BACKOFF delay x 2^attempt; all capped by maxRetryDelaySeconds when it is set.
"""

from __future__ import annotations

import hashlib

from orchestrator.model.definitions import TaskDef, WorkflowTask

DELAY_S_MAX = 2**31 - 1

NEVER_RETRIED_TYPES = frozenset(
    {"DECISION", "SWITCH", "FORK", "FORK_JOIN", "FORK_JOIN_DYNAMIC", "JOIN", "EXCLUSIVE_JOIN", "DO_WHILE"}
)
NEVER_RETRIED_STATUSES = frozenset({"CANCELED", "FAILED_WITH_TERMINAL_ERROR", "SKIPPED"})


def retry_limit(task: WorkflowTask, task_def: TaskDef) -> int:
    """How many retries an attempt may be followed by; the workflow's own count goes before the task definition's."""
    return task.retry_count if task.retry_count is not None else task_def.retry_count


def may_retry(task_type: str, status: str, attempt: int, limit: int) -> bool:
    """Whether attempt number ``attempt`` (from 0), which ended ``status``, is followed by another."""
    return attempt < limit and status not in NEVER_RETRIED_STATUSES and task_type not in NEVER_RETRIED_TYPES


def retry_delay_ms(task_def: TaskDef, attempt: int, task_id: str) -> int:
    """The delay before the attempt after number ``attempt``.

    Jitter comes from the task id, so that a decision computed twice after a crash arms the same delay.
    """
    delay_s = task_def.retry_delay_seconds
    if task_def.retry_logic == "LINEAR_BACKOFF":
        delay_s = delay_s * task_def.backoff_scale_factor * (attempt + 1)
    elif task_def.retry_logic == "EXPONENTIAL_BACKOFF":
        delay_s = delay_s * 2 ** min(attempt, 62)
    delay_s = min(delay_s, DELAY_S_MAX)
    if task_def.max_retry_delay_seconds > 0:
        delay_s = min(delay_s, task_def.max_retry_delay_seconds)
    return delay_s * 1000 + jitter_ms(task_id, task_def.backoff_jitter_ms)


def jitter_ms(task_id: str, up_to_ms: int) -> int:
    """A number in 0..``up_to_ms`` that is spread evenly over task ids and always the same for one of them."""
    if up_to_ms <= 0:
        return 0
    return int.from_bytes(hashlib.sha256(task_id.encode()).digest()[:8], "big") % (up_to_ms + 1)
