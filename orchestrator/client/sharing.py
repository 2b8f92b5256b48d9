"""Work that is done once for everybody who asks for it meanwhile: a slow store must not be waited for by each in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Runs ``work`` when it is awaited, unless it is being run; everybody gets what comes of that, also an error.

    One event loop at a time. Example: ``keys = Shared(read_keys); await keys()``
    """

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._work = work
        self._running: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        """What comes of the work. Raises what it raises; whoever stops waiting does not end it for the others."""
        running = self._running
        if running is None or running.done() or running.get_loop() is not asyncio.get_running_loop():
            running = self._running = asyncio.ensure_future(self._run())
        waited_for = asyncio.shield(running)
        return await waited_for

    async def _run(self) -> T:
        return await self._work()
