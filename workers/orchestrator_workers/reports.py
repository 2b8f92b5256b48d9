"""Hands in outcomes, many at a time: what gathers while one batch is on its way goes with the next.

The first outcome of an idle worker leaves on the loop's next turn. An outcome is kept until its partition has answered,
through any outage of the store: whether it still counts is the partition's decision, not a clock's of this process.
Called by the worker for every task that has returned.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from orchestrator.errors import Unavailable
from orchestrator.model.records import Outcome
from orchestrator.service import dispatch
from orchestrator.service.dispatch import Judged, Report
from orchestrator.store.context import StoreContext
from orchestrator.store.executors import AsyncExecutor
from orchestrator_workers.job import Job
from orchestrator_workers.pauses import Backoff, Bell

log = logging.getLogger("orchestrator.worker")

_BATCH_MAX = 500


class Reports:
    """The unsent outcomes of one worker; ``settled`` is called with every verdict."""

    def __init__(
        self, store: StoreContext, executor: AsyncExecutor, claimant: str, settled: Callable[[Job, Judged], None]
    ) -> None:
        self._store = store
        self._executor = executor
        self._claimant = claimant
        self._settled = settled
        self._pending: list[tuple[Job, Outcome]] = []
        self._sending: list[tuple[Job, Outcome]] = []
        self._bell = Bell()
        self._backoff = Backoff()

    @property
    def unsent(self) -> int:
        """How many outcomes have no verdict yet."""
        return len(self._pending) + len(self._sending)

    def add(self, job: Job, outcome: Outcome) -> None:
        """Hand in ``outcome`` soon."""
        self._pending.append((job, outcome))
        self._bell.ring()

    async def run(self) -> None:
        """Hand in outcomes until cancelled."""
        while True:
            await self._bell.wait()
            while self._pending:
                if not await self.run_once():
                    await self._bell.wait(self._backoff.next_s())

    async def run_once(self) -> bool:
        """Send one batch; False when some of it must be sent again later."""
        self._sending, self._pending = self._pending[:_BATCH_MAX], self._pending[_BATCH_MAX:]
        try:
            verdicts = await self._executor.run(
                dispatch.report_tasks(
                    self._store, [Report(job.claimed, outcome) for job, outcome in self._sending], self._claimant
                )
            )
        except Unavailable as error:
            log.warning("report_failed", extra={"outcomes": len(self._sending), "reason": str(error)})
            self._pending[:0] = self._sending
            self._sending = []
            return False
        batch, self._sending = self._sending, []
        unknown = [entry for entry, verdict in zip(batch, verdicts, strict=True) if verdict.word == dispatch.UNKNOWN]
        for (job, _), verdict in zip(batch, verdicts, strict=True):
            if verdict.word != dispatch.UNKNOWN:
                self._settled(job, verdict)
        self._pending[:0] = unknown
        if unknown:
            log.warning("report_refused", extra={"outcomes": len(unknown)})
            return False
        self._backoff.reset()
        return True
