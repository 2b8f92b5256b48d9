"""Listens for the wake-ups of queues on behalf of lines of polls: a few blocking reads for all of them.

A wake-up may be lost; every line looks again by itself after at most 2 s. One that comes when nobody
stands in the line any more is put back, because somebody elsewhere may be waiting. A read cannot be changed while it
blocks, so a new line gets a reader of its own as long as there are few; on a cluster each task type lives in a slot of
its own, and types for which no reader is left rely on looking again. Called by ``polling``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from orchestrator.client.sessions import AsyncSession
from orchestrator.errors import Unavailable
from orchestrator.store.executors import AsyncExecutor
from orchestrator.store.wake_reads import BLOCK_S, WakeReads

log = logging.getLogger(__name__)

READERS_MAX = 8
FAILURE_PAUSE_S = 0.5

Place = tuple[str, str | None]
Woken = Callable[[bytes], bool]
"""Tells a line of a wake-up by its token; gives whether it was of use."""


class Wakeups:
    """The readers of one app. Belongs to one event loop."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._executor: AsyncExecutor | None = None
        self._readers: list[_Reader] = []
        self._is_closed = False
        self._reader_of: dict[Place, _Reader] = {}

    def listen(self, place: Place, woken: Woken) -> None:
        """Tell ``woken`` of wake-ups of this queue from now on, until one is of no use."""
        reader = self._reader_of.get(place)
        if reader is None:
            reader = self._reader_for(place)
            if reader is None:
                return
            self._reader_of[place] = reader
        reader.listen(place, woken)

    def ignore(self, place: Place) -> None:
        """Nobody is interested any more."""
        reader = self._reader_of.pop(place, None)
        if reader is not None:
            reader.ignore(place)

    async def close(self) -> None:
        """End all reads; what they take is told before this returns."""
        self._is_closed = True
        await asyncio.gather(*[reader.reads.end() for reader in self._readers])
        reading = {reader.loop for reader in self._readers}
        while reading:
            # More than once, because asyncio.wait_for, which clients may use, drops a cancellation that comes with a reply.
            for loop in reading:
                loop.cancel()
            _, reading = await asyncio.wait(reading, timeout=0.1)
        if self._executor is not None:
            await self._executor.close()

    def _reader_for(self, place: Place) -> _Reader | None:
        if self._is_closed:
            return None
        is_cluster = self._session.connection.is_cluster
        for reader in self._readers:
            if not reader.places or (is_cluster and next(iter(reader.places))[0] == place[0]):
                return reader
        if len(self._readers) < READERS_MAX:
            if self._executor is None:
                self._executor = self._session.connection.blocking_async(BLOCK_S)
            reader = _Reader(self._session, self._executor)
            self._readers.append(reader)
            return reader
        return None if is_cluster else min(self._readers, key=lambda reader: len(reader.places))


class _Reader:
    """One connection that blocks on the wake-up lists of some queues; ``places`` are those assigned to it."""

    def __init__(self, session: AsyncSession, executor: AsyncExecutor) -> None:
        self.places: set[Place] = set()
        self._queues = session.store.queues
        self.reads = WakeReads(executor, session.connection.asynchronous())
        self._listening: dict[Place, Woken] = {}
        self._stir = asyncio.Event()
        self.loop = asyncio.get_running_loop().create_task(self._run())

    def listen(self, place: Place, woken: Woken) -> None:
        """Be told of the wake-ups of one queue, from the next read on."""
        self.places.add(place)
        self._listening[place] = woken
        self._stir.set()

    def ignore(self, place: Place) -> None:
        """From the next read on, leave a queue alone."""
        self.places.discard(place)
        self._listening.pop(place, None)

    async def _run(self) -> None:
        while not self.reads.is_ending:
            keys = ((self._queues.wake_key(*place), place) for place in self._listening)
            names = {key: place for key, place in keys if key is not None}
            if not names:
                self._stir.clear()
                await self._stir.wait()
                continue
            try:
                await self._read(names)
            except Unavailable as error:
                log.debug("wake_failed", extra={"reason": str(error)})
                await asyncio.sleep(FAILURE_PAUSE_S)

    async def _read(self, names: dict[str, Place]) -> None:
        heard = await self.reads.read(names)
        if heard is None:
            return
        place = names[heard[0]]
        woken = self._listening.get(place)
        if woken is None or not woken(heard[1]):
            self._listening.pop(place, None)  # or the next read would take it again at once
            await self.reads.put_back(*heard)
