"""The bridge: looks at the jobs of RQ tasks and ends the tasks as RQ's records say, and the other way round.

A job is looked at soon after it was enqueued, then ever more rarely, every five seconds at the least; RQ's webhook has it
looked at at once. Several processes may run a bridge: an outcome is accepted once, whoever brings it. A task that is
over, by a time-out, an operator or another's word, has its job taken back. Run by the system-task role.
"""

from __future__ import annotations

import asyncio
import logging

from orchestrator.clock import Clock, SystemClock
from orchestrator.errors import InvalidPayload, OrchestratorError, TaskNotFound, WorkflowNotFound
from orchestrator.ids import workflow_id_of
from orchestrator.model.execution import TaskExecLog, TaskResult
from orchestrator.model.status import TaskStatus
from orchestrator.service import rq_jobs
from orchestrator.service.rq_jobs import Watched
from orchestrator.service.tasks import update_task
from orchestrator.systemtasks.context import Resources
from orchestrator.systemtasks.rq_jobs import RqJobs, Sighting

log = logging.getLogger("orchestrator.rq")

JOBS_MAX = 200
"""So many jobs are looked at in one turn."""

REST_S = 0.25
"""A webhook's word is heeded within that."""

PAUSE_S_MIN, PAUSE_S_MAX = 0.2, 5.0
REASON_CHARS_MAX = 2_000
LOG_CHARS_MAX = 20_000


class RqBridge:
    """Example: ``await RqBridge(shared).run()``"""

    def __init__(self, shared: Resources, clock: Clock | None = None) -> None:
        self._shared = shared
        self._clock = clock or SystemClock()
        self._jobs = shared.keep("rq", lambda: RqJobs(shared.settings), RqJobs.close)

    async def run(self) -> None:
        """Look at jobs until cancelled; a Redis that is away is waited for."""
        pause_s = PAUSE_S_MIN
        while True:
            try:
                seen = await self.turn()
                pause_s = PAUSE_S_MIN
                await asyncio.sleep(0 if seen == JOBS_MAX else REST_S)
            except Exception as error:
                # Also a bug, or a record nobody foresaw: every job is looked at again.
                is_known = isinstance(error, OrchestratorError)
                extra = {"reason": str(error), "pause_s": pause_s}
                log.warning("rq_bridge_paused", extra=extra, exc_info=not is_known)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_S_MAX)

    async def turn(self) -> int:
        """Look at the jobs whose time has come; gives how many."""
        # The tasks first: one that is parked had its job before, so a job that is missing then has vanished.
        watched = (await self._shared.run(rq_jobs.watch(self._shared.store, JOBS_MAX))).jobs
        if watched:
            now_s = self._clock.now_ms() / 1000
            sightings = await asyncio.to_thread(self._jobs.look, [one.job for one in watched], now_s)
            pairs = zip(watched, sightings, strict=True)
            done = await asyncio.gather(*(self._act(*pair) for pair in pairs), return_exceptions=True)
            for error in done:
                if isinstance(error, BaseException):
                    raise error
        return len(watched)

    async def _act(self, watched: Watched, seen: Sighting) -> None:
        job = watched.job
        if not watched.state:
            if seen.is_known and not seen.status:
                await asyncio.to_thread(self._jobs.cancel, job)
                return  # until it is seen that it has ended
        elif seen.status:
            await self._say(job.task_id, seen)
        elif not seen.is_known and watched.state == "W":
            reason = "RQ no longer knows the job: its record has expired or was deleted"
            await self._say(job.task_id, Sighting(False, "FAILED", reason=reason))
        else:
            return  # it goes on, or is not enqueued yet
        if seen.is_lost:
            await asyncio.to_thread(self._jobs.give_up, job)
        await self._shared.run(rq_jobs.drop(self._shared.store, job.task_id))

    async def _say(self, task_id: str, seen: Sighting) -> None:
        try:
            try:
                await self._shared.run(update_task(self._shared.store, self._result(task_id, seen), wait_commit=False))
            except InvalidPayload as error:
                refused = Sighting(True, "FAILED_WITH_TERMINAL_ERROR", reason=f"the result cannot be stored: {error}")
                await self._shared.run(
                    update_task(self._shared.store, self._result(task_id, refused), wait_commit=False)
                )
        except (TaskNotFound, WorkflowNotFound):
            log.info("rq_task_gone", extra={"task_id": task_id})

    def _result(self, task_id: str, seen: Sighting) -> TaskResult:
        line = TaskExecLog(log=seen.log[-LOG_CHARS_MAX:], task_id=task_id, created_time=self._clock.now_ms())
        return TaskResult(
            workflow_instance_id=workflow_id_of(task_id),
            task_id=task_id,
            status=TaskStatus(seen.status),
            output_data=seen.output,
            reason_for_incompletion=None if seen.reason is None else seen.reason[:REASON_CHARS_MAX],
            worker_id=f"rq-{seen.worker}" if seen.worker else None,
            logs=[line] if seen.log else [],
        )
