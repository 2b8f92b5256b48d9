"""The slot of the jobs at RQ: which tasks have one whose end is not known yet, and when each is to be looked at.

Looking hands a job out and puts it off by half its age, so a job of a moment is looked at often and one of a day every few
seconds. Two processes that look at the same job do no harm. Every function returns the call to make. Callers: the
system task that enqueues a job, and the bridge.
"""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.plan import Call, Command
from orchestrator.store.keys import Keys

PAUSE_MS_MIN, PAUSE_MS_MAX = 250, 5_000


class Outstanding(NamedTuple):
    """A task with a job, and the RQ queue that the job was put into."""

    task_id: str
    queue: str


class Due(NamedTuple):
    """What is to be looked at; ``wait_ms`` until the next, None when there is none."""

    wait_ms: int | None
    jobs: list[Outstanding]


def put_rq_job(keys: Keys, job: Outstanding, delay_ms: int) -> Call:
    """Look at the job of a task after ``delay_ms``, and from then on until it is dropped."""
    return Call("put_rq_job", (keys.rq_jobs(), keys.rq_due()), (*job, delay_ms), durable=True)


def claim_rq_jobs(keys: Keys, count_max: int) -> Call:
    """The jobs that are to be looked at now; replies ``Due``."""
    return Call("claim_rq_jobs", (keys.rq_jobs(), keys.rq_due()), (count_max, PAUSE_MS_MIN, PAUSE_MS_MAX), _due)


def hurry_rq_job(keys: Keys, task_id: str) -> Command:
    """Look at the job of a task at once, if it is known."""
    return Command(("ZADD", keys.rq_due(), "XX", 0, task_id))


def drop_rq_job(keys: Keys, task_id: str) -> list[Command]:
    """Look at the job of a task no more."""
    # In this order: what is due without being known is cleared away by the next look, the opposite would stay for ever.
    return [Command(("HDEL", keys.rq_jobs(), task_id)), Command(("ZREM", keys.rq_due(), task_id))]


def _due(raw: list[bytes]) -> Due:
    now_ms, next_ms = int(raw[0]), int(raw[1])
    jobs = [Outstanding(task.decode(), queue.decode()) for task, queue in zip(raw[2::2], raw[3::2], strict=True)]
    return Due(None if next_ms < 0 else max(0, next_ms - now_ms), jobs)
