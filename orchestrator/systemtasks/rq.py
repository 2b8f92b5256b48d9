"""RQ: a function that RQ's workers know, called by one of them; they need nothing of ours.

The task's job goes into RQ's queue under an id that follows from the attempt, so enqueueing it again changes nothing, and
the task is parked. From then on RQ's record of the job is the truth; ``rq_bridge`` reads it and ends the task. What is known
of the job is written down before it is enqueued, so that none is ever without somebody who looks at it.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from orchestrator.errors import StoreUnavailable
from orchestrator.model.records import Outcome
from orchestrator.service import rq_jobs
from orchestrator.settings import Settings
from orchestrator.store.rq_jobs import PAUSE_MS_MAX, PAUSE_MS_MIN, Outstanding
from orchestrator.systemtasks import endings
from orchestrator.systemtasks.context import SystemContext

AGAIN_MS = 1_000
"""RQ's Redis that cannot be reached is tried again after so long."""

TIMEOUT_S_MAX = 31_536_000
RETRIES_MAX = 1_000


class BadRequest(Exception):
    """The input says no call that can be made."""


class Request(NamedTuple):
    """A call for RQ; ``timeout_s`` None is what RQ does by itself, -1 none."""

    function: str
    args: list[Any]
    kwargs: dict[str, Any]
    queue: str
    timeout_s: int | None
    retries: int
    retry_intervals_s: list[int]


async def run(input: dict[str, Any], context: SystemContext) -> Outcome:
    """Enqueue the job, once per attempt, and wait for what RQ makes of it without holding a worker."""
    from orchestrator.systemtasks.rq_jobs import RqJobs

    try:
        request = read_request(input, context.settings)
    except BadRequest as error:
        return endings.terminal(str(error))
    jobs = context.shared.keep("rq", lambda: RqJobs(context.settings), RqJobs.close)
    store, job = context.shared.store, Outstanding(context.task.task_id, request.queue)
    await context.run(rq_jobs.put(store, job, PAUSE_MS_MAX))
    try:
        job_id = await asyncio.to_thread(jobs.enqueue, context.task, request)
    except StoreUnavailable:
        return endings.again(AGAIN_MS, {})
    # Once more: the task may have been cancelled just before its job came to be, and its entry cleared away.
    await context.run(rq_jobs.put(store, job, PAUSE_MS_MIN))
    return endings.parked({"jobId": job_id, "queue": request.queue})


def read_request(input: dict[str, Any], settings: Settings) -> Request:
    """The call that a task's input describes. Raises ``BadRequest``."""
    given = input.get("rq_request")
    if not isinstance(given, dict):
        raise BadRequest("Missing rq_request: an object with the function to call")
    function, queue = given.get("function"), given.get("queue") or "default"
    args, kwargs = given.get("args") or [], given.get("kwargs") or {}
    if not isinstance(function, str) or "." not in function.strip("."):
        raise BadRequest("rq_request.function must be the import path of a function, such as shop.tasks.charge")
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise BadRequest("rq_request.args must be a list and rq_request.kwargs an object")
    if queue not in serializers(settings):
        raise BadRequest(
            f"tasks may not use RQ's queue {str(queue)[:100]!r}; if they should, name it in the setting rq_queues "
            "(ORCHESTRATOR_RQ_QUEUES) of the processes that run system tasks: their workers then call what "
            "definitions say, and what they return is read here"
        )
    intervals = given.get("retryIntervals")
    return Request(
        function,
        args,
        kwargs,
        queue,
        _timeout_s(given.get("timeout")),
        _whole("retries", given.get("retries") or 0, RETRIES_MAX),
        [
            _whole("retryIntervals", one, TIMEOUT_S_MAX)
            for one in (intervals if isinstance(intervals, list) else [intervals or 0])
        ],
    )


def serializers(settings: Settings) -> dict[str, str]:
    """RQ's queues that tasks may use, each with the name of its serializer: pickle or json.

    Example: ``serializers(Settings(rq_queues="default,reports=json")) == {"default": "pickle", "reports": "json"}``
    """
    words = [word.strip() for word in settings.rq_queues.split(",") if word.strip()]
    pairs = [word.removesuffix("=json").removesuffix("=pickle") for word in words]
    return {name: "json" if word.endswith("=json") else "pickle" for name, word in zip(pairs, words, strict=True)}


def _timeout_s(value: Any) -> int | None:
    if value is None or value == "" or value == -1:
        return -1 if value == -1 else None
    found = _whole("timeout", value, TIMEOUT_S_MAX)
    if found == 0:
        raise BadRequest("rq_request.timeout must be seconds from 1 on, or -1 for none")
    return found


def _whole(name: str, value: Any, most: int) -> int:
    try:
        found = int(value)
    except (TypeError, ValueError):
        found = -1
    if not 0 <= found <= most:
        raise BadRequest(f"rq_request.{name} must be a whole number from 0 to {most}, not {str(value)[:40]!r}")
    return found
