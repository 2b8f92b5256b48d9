"""Says every few seconds, with one script, which queues this worker asks: operators see it, and domains are chosen by it.

A worker that waits to be handed a task is as good as one that polls, so it is noted for as long as it claims, whatever
comes. A note that cannot be written is followed by the next. Called by the worker, as one of its loops.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from orchestrator.clock import Clock
from orchestrator.errors import Unavailable
from orchestrator.service import poll_data
from orchestrator.store.context import StoreContext
from orchestrator.store.executors import AsyncExecutor
from orchestrator_workers.claims import Source

EVERY_S = 4.0  # well within the ten seconds after which a domain counts as deserted


class Presence:
    """The notes of one worker."""

    def __init__(
        self,
        store: StoreContext,
        executor: AsyncExecutor,
        name: str,
        sources: Sequence[Source],
        clock: Clock,
        is_claiming: Callable[[], bool],
    ) -> None:
        self._store = store
        self._executor = executor
        self._name = name
        self._sources = sources
        self._now_s = clock.monotonic_s
        self._is_claiming = is_claiming

    async def run(self) -> None:
        """Write notes until the worker claims no more."""
        while self._is_claiming():
            now_s = self._now_s()
            seen = {(source.type, source.domain): poll_data.Seen(self._name, now_s) for source in self._sources}
            with contextlib.suppress(Unavailable):
                await self._executor.run(poll_data.write(self._store, seen, now_s))
            await asyncio.sleep(EVERY_S)
