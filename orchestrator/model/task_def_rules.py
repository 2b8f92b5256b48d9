"""What a TaskDef must obey by itself: numbers in range, time-outs that do not contradict one another.

A rule gets the TaskDef and yields the problems it finds; it never raises. Texts are Conductor's where it has one
(including the ``0`` in its "must be >= 0" texts, which is the bound and not the value). Called by ``validation`` only.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.errors import Problem
from orchestrator.model.definitions import TaskDef
from orchestrator.model.references import has_expression


def name_is_given(task_def: TaskDef) -> Iterator[Problem]:
    """A TaskDef has a name."""
    if not task_def.name:
        yield Problem("name", "TaskDef name cannot be null or empty", task_def.name)


def numbers_are_in_range(task_def: TaskDef) -> Iterator[Problem]:
    """Counts and times have their least values."""
    yield from number_problems(task_def, response_timeout_min=1)


def number_problems(task_def: TaskDef, *, response_timeout_min: int) -> Iterator[Problem]:
    """Numbers below their least value; an embedded TaskDef may have a response time-out of 0, which means none."""
    response = task_def.response_timeout_seconds
    least: tuple[tuple[str, int | None, int, str], ...] = (
        ("retryCount", task_def.retry_count, 0, "TaskDef retryCount: 0 must be >= 0"),
        ("maxRetryDelaySeconds", task_def.max_retry_delay_seconds, 0, "TaskDef maxRetryDelaySeconds: 0 must be >= 0"),
        ("backoffJitterMs", task_def.backoff_jitter_ms, 0, "TaskDef backoffJitterMs: 0 must be >= 0"),
        ("backoffScaleFactor", task_def.backoff_scale_factor, 1, "Backoff scale factor. Applicable for LINEAR_BACKOFF"),
        (
            "responseTimeoutSeconds",
            response,
            response_timeout_min,
            f"TaskDef responseTimeoutSeconds: {response} should be minimum {response_timeout_min} second",
        ),
        ("pollTimeoutSeconds", task_def.poll_timeout_seconds, 0, "TaskDef pollTimeoutSeconds: 0 must be >= 0"),
        ("totalTimeoutSeconds", task_def.total_timeout_seconds, 0, "TaskDef totalTimeoutSeconds: 0 must be >= 0"),
    )
    for field, value, minimum, message in least:
        if value is not None and value < minimum:
            yield Problem(field, message, value)


def response_is_due_before_timeout(task_def: TaskDef) -> Iterator[Problem]:
    """A task's response is due before the task itself times out."""
    if task_def.timeout_seconds > 0 and task_def.response_timeout_seconds > task_def.timeout_seconds:
        message = (
            f"TaskDef: {task_def.name} responseTimeoutSeconds: {task_def.response_timeout_seconds} must be less than "
            f"timeoutSeconds: {task_def.timeout_seconds}"
        )
        yield Problem("responseTimeoutSeconds", message, task_def.response_timeout_seconds)


def timeout_is_within_total(task_def: TaskDef) -> Iterator[Problem]:
    """One attempt may not last longer than all attempts together."""
    if task_def.timeout_seconds > 0 and 0 < task_def.total_timeout_seconds < task_def.timeout_seconds:
        message = (
            f"TaskDef: {task_def.name} timeoutSeconds: {task_def.timeout_seconds} must be less than or equal to "
            f"totalTimeoutSeconds: {task_def.total_timeout_seconds}"
        )
        yield Problem("timeoutSeconds", message, task_def.timeout_seconds)


def rate_has_a_window(task_def: TaskDef) -> Iterator[Problem]:
    """A rate is so many per at least one second; over no time it would mean nothing."""
    if task_def.rate_limit_per_frequency > 0 and task_def.rate_limit_frequency_in_seconds < 1:
        message = f"TaskDef: {task_def.name} rateLimitFrequencyInSeconds must be >= 1 when rateLimitPerFrequency is set"
        yield Problem("rateLimitFrequencyInSeconds", message, task_def.rate_limit_frequency_in_seconds)


def keys_tell_tasks_apart(task_def: TaskDef) -> Iterator[Problem]:
    """A key is an expression: a text that is the same for all tasks would tell none from another."""
    for field, key in (("fairnessKey", task_def.fairness_key), ("limitKey", task_def.limit_key)):
        if key and not has_expression(key):
            message = (
                f"TaskDef: {task_def.name} {field} is the same for every task: "
                "name what tells them apart, such as ${workflow.input.tenant}"
            )
            yield Problem(field, message, key)


TASK_DEF_RULES = (
    name_is_given,
    numbers_are_in_range,
    response_is_due_before_timeout,
    timeout_is_within_total,
    rate_has_a_window,
    keys_tell_tasks_apart,
)
"""Every rule of a registered TaskDef."""
