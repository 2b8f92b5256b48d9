"""Says every few seconds what this worker is and does, and hears with the answer what it was told to do; one round trip.

Operators see it, domains are chosen by it. A worker that waits to be handed a task is as good as one that polls, so it is noted
for as long as it claims, whatever comes. A beat that cannot be told is followed by the next. Called by the worker, as one of
its loops.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import platform
import socket
from collections.abc import Callable, Sequence

from msgspec.structs import replace

import orchestrator
from orchestrator.clock import Clock
from orchestrator.errors import Unavailable
from orchestrator.model.workers import ServedType, WorkerInfo, WorkerState
from orchestrator.service import workers
from orchestrator.service.poll_data import Seen
from orchestrator.service.workers import Order
from orchestrator.store.context import StoreContext
from orchestrator.store.executors import AsyncExecutor
from orchestrator_workers.claims import Source
from orchestrator_workers.job import Jobs
from orchestrator_workers.pauses import Bell
from orchestrator_workers.registry import RegisteredTask

EVERY_S = 2.0  # an order is heard this soon; well within the ten seconds after which a domain counts as deserted
HELD_MAX = 100
LEAVE_S = 2.0


def served(source: Source, registered: RegisteredTask) -> ServedType:
    """A task type as operators see it."""
    return ServedType(name=source.type, domain=source.domain, pool=registered.task.pool or "async")


class Presence:
    """The beats of one worker. ``obey`` is told every order and says whether that changed anything."""

    def __init__(
        self,
        store: StoreContext,
        executor: AsyncExecutor,
        name: str,
        build: str | None,
        task_types: Sequence[ServedType],
        jobs: Jobs,
        clock: Clock,
        state: Callable[[], WorkerState],
        obey: Callable[[Order], bool],
    ) -> None:
        self._store = store
        self._executor = executor
        self._jobs = jobs
        self._now_s = clock.monotonic_s
        self._state = state
        self._obey = obey
        self._bell = Bell()
        self._about = WorkerInfo(
            name=name,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=orchestrator.__version__,
            python=platform.python_version(),
            build=build,
            concurrency=jobs.slots,
            task_types=list(task_types),
            start_time=clock.now_ms(),
        )

    def tell(self) -> None:
        """Something has changed: say so now."""
        self._bell.ring()

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            has_changed = False
            with contextlib.suppress(Unavailable):
                has_changed = self._obey(await self._beat())
            if not has_changed:
                await self._bell.wait(EVERY_S)

    async def leave(self) -> None:
        """Say that this worker has ended, if that can be said."""
        with contextlib.suppress(Unavailable, TimeoutError):
            await asyncio.wait_for(self._executor.run(workers.leave(self._store, self._about.name)), LEAVE_S)

    async def _beat(self) -> Order:
        now_s, state = self._now_s(), self._state()
        held = list(itertools.islice(self._jobs.held, HELD_MAX))
        about = replace(self._about, state=state, running=self._jobs.running, held=held)
        seen = {}
        if state is WorkerState.RUNNING:
            seen = {(one.name, one.domain): Seen(about.name, now_s) for one in about.task_types}
        return await self._executor.run(workers.beat(self._store, about, seen, now_s))
