"""Says every few seconds what this worker is and does, and hears with the answer what it was told to do; one round trip.

A beat that cannot be told is followed by the next. Called by workers, as one of their loops.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import platform
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

import orchestrator
from orchestrator.clock import Clock
from orchestrator.errors import OrchestratorError
from orchestrator.model.workers import ServedType, WorkerInfo, WorkerState
from orchestrator.service.workers import Order
from orchestrator_workers.job import Jobs
from orchestrator_workers.pauses import Bell
from orchestrator_workers.registry import RegisteredTask

EVERY_S = 2.0  # an order is heard this soon; well within the ten seconds after which a domain counts as deserted
HELD_MAX = 100
LEAVE_S = 2.0


def worker_name(name: str | None) -> str:
    """What a worker is called; two of one name must never pass for each other, hence the random part."""
    chosen = name or f"{socket.gethostname()}-{os.getpid()}"
    return f"{'_'.join(chosen.split())}-{secrets.token_hex(3)}"


def served(registered: RegisteredTask, domain: str | None) -> ServedType:
    """A task type as operators see it."""
    return ServedType(name=registered.name, domain=domain, pool=registered.task.pool or "async")


class Presence:
    """The beats of one worker.

    ``say`` tells them and gives what the worker was told to do, ``obey`` does that and says whether it changed anything,
    ``bye`` tells of the end.
    """

    def __init__(
        self,
        name: str,
        build: str | None,
        task_types: Sequence[ServedType],
        jobs: Jobs,
        clock: Clock,
        state: Callable[[], WorkerState],
        say: Callable[[WorkerInfo], Awaitable[Order]],
        obey: Callable[[Order], bool],
        bye: Callable[[str], Awaitable[None]],
    ) -> None:
        self._jobs = jobs
        self._say = say
        self._bye = bye
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
            with contextlib.suppress(OrchestratorError):  # no task depends on it
                has_changed = self._obey(await self._beat())
            if not has_changed:
                await self._bell.wait(EVERY_S)

    async def leave(self) -> None:
        """Say that this worker has ended, if that can be said."""
        with contextlib.suppress(OrchestratorError, TimeoutError):
            await asyncio.wait_for(self._bye(self._about.name), LEAVE_S)

    async def _beat(self) -> Order:
        held = list(itertools.islice(self._jobs.held, HELD_MAX))
        return await self._say(replace(self._about, state=self._state(), running=self._jobs.running, held=held))
