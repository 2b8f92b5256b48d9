"""Sleeps on behalf of an idle worker: one blocking read on the wake-up lists of all its queues.

A wake-up brings the lease of a task, or is a hint to claim, and may be lost; the claim loop looks again by itself
after at most 2 s. A token that arrives when the worker has become busy is put back, because another may be waiting for
it. On a Cluster every queue lives in a slot of its own and needs a connection of its own: at most eight are kept, the
other types rely on looking again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from orchestrator.errors import Unavailable
from orchestrator.store.connection import Connection
from orchestrator.store.wake_reads import BLOCK_S, WakeReads
from orchestrator_workers.pauses import Backoff

log = logging.getLogger("orchestrator.worker")

Woken = Callable[[str, bytes], bool]
CLUSTER_CONNECTIONS_MAX = 8


class Wakes:
    """Listens while it is armed; ``woken`` is told every token and its task type, and says whether it was of use."""

    def __init__(self, connection: Connection, lists: Callable[[], Mapping[str, str]], woken: Woken) -> None:
        self._connection = connection
        self._executor = connection.blocking_async(BLOCK_S)
        self._reads: list[WakeReads] = []
        self._lists = lists
        self._woken = woken
        self._armed = asyncio.Event()

    def arm(self) -> None:
        """The worker has slots and found nothing: listen."""
        self._armed.set()

    def disarm(self) -> None:
        """The worker is busy: stop listening when the present read ends."""
        self._armed.clear()

    async def end(self) -> None:
        """Listen no more; what the present reads take is told before this returns."""
        self.disarm()
        await asyncio.gather(*[reads.end() for reads in self._reads])

    async def run(self) -> None:
        """Listen until cancelled; after ``end`` nothing is lost by it."""
        try:
            if not self._connection.is_cluster:
                await self._listen(self._lists)
            async with asyncio.TaskGroup() as group:
                for index in range(CLUSTER_CONNECTIONS_MAX):
                    group.create_task(self._listen(self._one(index)))
        finally:
            await self._executor.close()

    def _one(self, index: int) -> Callable[[], Mapping[str, str]]:
        return lambda: dict(list(self._lists().items())[index : index + 1])

    async def _listen(self, lists: Callable[[], Mapping[str, str]]) -> None:
        backoff = Backoff()
        reads = WakeReads(self._executor, self._connection.asynchronous())
        self._reads.append(reads)
        while not reads.is_ending:
            await self._armed.wait()
            await asyncio.sleep(0)  # the outcome of a task that has just run goes out first: its workflow waits for it
            names = lists()
            if not names:  # a domain that nobody has used yet has no list
                await asyncio.sleep(BLOCK_S)
                continue
            try:
                await listen_once(reads, names, self._woken)
                backoff.reset()
            except Unavailable as error:
                log.debug("wake_failed", extra={"reason": str(error)})
                await asyncio.sleep(backoff.next_s())


async def listen_once(reads: WakeReads, lists: Mapping[str, str], woken: Woken) -> None:
    """One blocking read of at most 2 s; ``lists`` are the task types by the names of their wake-up lists."""
    heard = await reads.read(lists)
    if heard is not None and not woken(lists[heard[0]], heard[1]):
        await reads.put_back(*heard)
