"""Where task code runs: ``async def`` on the worker's loop, plain ``def`` in a thread, or by its ``pool`` in a child.

``start`` never waits and never raises; each job comes back exactly once through ``done``, on the loop, with its outcome
or, when its code was stopped from outside, without one. Which lease a job has and who is told is not known here.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from functools import partial

from orchestrator.model.records import Outcome
from orchestrator_workers import outcomes
from orchestrator_workers.calling import call_async, call_plain
from orchestrator_workers.children import PLAIN, Child, ChildOptions
from orchestrator_workers.job import Job
from orchestrator_workers.threads import Crew, Done, Hand


class Runners:
    """The places of one worker where tasks run; ``size`` bounds the threads and the children."""

    def __init__(self, size: int, done: Done, children: ChildOptions = PLAIN) -> None:
        self._done = done
        self._threads = Crew("orchestrator-task", size, ThreadHand, done)
        self._children = Crew("orchestrator-child", size, partial(Child, children), done)
        self._stalls = Crew("orchestrator-stable", size, partial(_stall, children), done)
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps only weak references

    def start(self, job: Job) -> None:
        """Run ``job`` where its task belongs."""
        task = job.registered.task
        if task.is_async:
            self._tasks.add(asyncio.create_task(self._on_loop(job)))
        elif task.pool == "process":
            self._children.start(job)
        elif task.pool == "rq":
            self._stalls.start(job)
        else:
            self._threads.start(job)

    async def close(self) -> None:
        """Cancel what still runs on the loop and let threads and children go."""
        self._threads.close()
        self._children.close()
        self._stalls.close()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            # Code that swallows its cancellation is left behind: the loop's end cancels it once more.
            await asyncio.wait(tuple(self._tasks), timeout=1.0)

    async def _on_loop(self, job: Job) -> None:
        running = asyncio.current_task()
        assert running is not None, "an async task runs inside an asyncio task"
        outcome: Outcome | None = None
        if job.ending is None:
            # Only now: a task that is cancelled before its first step would end without coming back.
            job.interrupt = running.cancel
            outcome = await _called(job)
        self._tasks.discard(running)
        self._done(job, outcome)


class ThreadHand:
    """Runs plain functions in the thread that calls ``work``."""

    def work(self, job: Job) -> Outcome | None:
        """Run the job here."""
        if job.ending is not None:
            return None
        # In a copied context, so that what one task sets in it never reaches the next.
        return copy_context().run(call_plain, job.registered.task, job.input, job.context, job.middleware)

    def close(self) -> None:
        """Nothing to let go of."""


def _stall(options: ChildOptions) -> Hand:
    from orchestrator_workers.horses import Stall

    return Stall(options)


async def _called(job: Job) -> Outcome | None:
    try:
        return await call_async(job.registered.task, job.input, job.context, job.middleware)
    except asyncio.CancelledError as error:
        # Without a wish of ours to stop, the code cancelled itself: that is a failure like any other.
        return None if job.ending is not None else outcomes.raised(error, job.context)
