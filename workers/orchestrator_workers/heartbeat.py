"""Keeps the leases of held tasks alive, and ends tasks whose lease is over.

Leases are extended at a third of their length. Two independent clocks watch them: the store ends a lease it has heard
nothing of, and this worker stops the task (*self-fencing*) at the same moment or before, by its own monotonic clock,
counted from before the request was sent; so a worker that is cut off never runs a task beside its next holder. The
fence is a timer of its own, because a beat may hang as long as the store does.
"""

from __future__ import annotations

import asyncio
import logging

from orchestrator.clock import Clock
from orchestrator.context import TaskContext
from orchestrator.errors import Unavailable
from orchestrator.service import dispatch
from orchestrator.store.context import StoreContext
from orchestrator.store.executors import AsyncExecutor
from orchestrator_workers.job import Ending, Job, Jobs, Observer
from orchestrator_workers.pauses import Bell

log = logging.getLogger("orchestrator.worker")

_RETRY_S = 0.5
_ASKED_BEAT_S = 1.0  # how often a task's own heartbeat() reaches the store at most


class Heartbeat:
    """The leases of one worker's tasks."""

    def __init__(
        self,
        store: StoreContext,
        executor: AsyncExecutor,
        jobs: Jobs,
        claimant: str,
        lease_ms: int,
        clock: Clock,
        observe: Observer,
    ) -> None:
        self._store = store
        self._executor = executor
        self._jobs = jobs
        self._claimant = claimant
        self._lease_s = lease_ms / 1000
        self._now_s = clock.monotonic_s
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._bell = Bell()
        self._next_s = 0.0
        self._fence: asyncio.TimerHandle | None = None
        self._fence_s = 0.0

    def admit(self, job: Job) -> None:
        """A task was claimed: watch its lease from now on."""
        job.beat_due_s = job.lease_end_s - self._lease_s * 2 / 3
        # The response time-out in force may come from elsewhere (the catalog, the workflow), so a third of the lease is
        # the longest silence; a shorter time-out of the task's own makes it shorter.
        response_s = job.registered.task.definition().response_timeout_seconds
        job.touch_every_s = min(self._lease_s, response_s or self._lease_s) / 3
        job.touch_due_s = self._now_s() + job.touch_every_s
        if job.touch_due_s < self._next_s:
            self._bell.ring()
        if self._fence is None or job.lease_end_s < self._fence_s:
            self._arm(job.lease_end_s)

    def ask(self, context: TaskContext) -> None:
        """A task's code called ``heartbeat()``; from any thread."""
        job = self._jobs.held.get(context.task_id)
        if job is None or job.context is not context:
            return
        now_s = self._now_s()
        if job.beat_due_s - now_s < self._lease_s / 3 - _ASKED_BEAT_S:
            job.beat_due_s = min(job.beat_due_s, now_s)
            job.touch_due_s = min(job.touch_due_s, now_s)
            self._loop.call_soon_threadsafe(self._bell.ring)

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            try:
                await self.run_once()
                pause_s = self._until_next()
            except Unavailable as error:
                log.warning("heartbeat_failed", extra={"reason": str(error)})
                pause_s = min(_RETRY_S, self._lease_s / 6)
            self._next_s = self._now_s() + pause_s
            await self._bell.wait(pause_s)

    async def run_once(self) -> None:
        """Extend the leases that are due, and tell the partitions of tasks that run for long."""
        now_s = self._now_s()
        # Half a period early is better than one message per task: what is due soon goes along.
        soon_s = now_s + self._lease_s / 6
        due = [job for job in self._jobs.held.values() if job.beat_due_s <= soon_s]
        if any(job.beat_due_s <= now_s for job in due):
            await self._extend(due)
        touched = [job for job in self._jobs.held.values() if job.touch_due_s <= now_s]
        if touched:
            await self._touch(touched)

    def lose(self, job: Job) -> None:
        """The task may be somebody else's now. One that has returned keeps its unsent result: its partition decides."""
        self._jobs.drop(job)
        if job.returned or job.ending is Ending.LOST:
            return
        log.warning("lease_lost", extra=job.context.log_fields)
        self._observe("lease_lost", {"task_id": job.claimed.task_id, "delivery": job.claimed.delivery})
        job.end(Ending.LOST)

    def close(self) -> None:
        """Stop watching."""
        if self._fence is not None:
            self._fence.cancel()

    async def _extend(self, jobs: list[Job]) -> None:
        sent_s = self._now_s()
        words = await self._executor.run(dispatch.extend_leases(self._store, [job.claimed for job in jobs]))
        for job in jobs:
            word = words.get(job.claimed.task_id)
            if word == "LOST":
                self.lose(job)
            elif word is None:  # its queue did not answer
                job.beat_due_s = sent_s + min(_RETRY_S, self._lease_s / 6)
            else:
                job.lease_end_s = max(job.lease_end_s, sent_s + self._lease_s)
                job.beat_due_s = sent_s + self._lease_s / 3
                if word == "CANCELLED" and job.ending is None:
                    log.info("task_cancelled", extra=job.context.log_fields)
                    job.end(Ending.CANCELLED)

    async def _touch(self, jobs: list[Job]) -> None:
        for job in jobs:
            job.touch_due_s = self._now_s() + job.touch_every_s
        # A refusal needs no answer here: whoever refused also had the task removed from its queue.
        await self._executor.run(dispatch.touch_tasks(self._store, [job.claimed for job in jobs], self._claimant))

    def _until_next(self) -> float:
        now_s = self._now_s()
        next_s = now_s + self._lease_s / 3
        for job in self._jobs.held.values():
            next_s = min(next_s, job.beat_due_s, job.touch_due_s)
        return max(0.01, next_s - now_s)

    def _arm(self, at_s: float) -> None:
        if self._fence is not None:
            self._fence.cancel()
        self._fence_s = at_s
        self._fence = self._loop.call_later(max(0.0, at_s - self._now_s()), self._fence_off)

    def _fence_off(self) -> None:
        self._fence = None
        now_s = self._now_s()
        for job in tuple(self._jobs.held.values()):
            if job.lease_end_s <= now_s:
                self.lose(job)
        if self._jobs.held:
            self._arm(min(job.lease_end_s for job in self._jobs.held.values()))
