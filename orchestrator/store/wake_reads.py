"""Blocking reads of wake-up lists, for claimants that wait; a read under way can be ended without losing what it took.

Cancelling a read closes its connection: a token that the server has just taken from a list for it is gone, and with it
the lease of the task that was handed over. So a reader also waits for a list of its own, which only ``end`` writes.
Called by whoever waits for tasks: workers, and the HTTP API on behalf of its polls.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable

from orchestrator.errors import Unavailable
from orchestrator.plan import Command
from orchestrator.store.executors import AsyncExecutor
from orchestrator.store.keys import READ_END_TTL_MS, end_of_reads

BLOCK_S = 2.0
END_S = BLOCK_S + 0.5  # by then a read has ended by itself, if the store answers at all


class WakeReads:
    """Reads one at a time, over ``blocking``, an executor whose commands may block; ``commands`` may not."""

    def __init__(self, blocking: AsyncExecutor, commands: AsyncExecutor) -> None:
        self._blocking = blocking
        self._commands = commands
        self._name = secrets.token_hex(6)
        self._end_key = ""  # of the read under way
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self.is_ending = False

    async def read(self, lists: Iterable[str]) -> tuple[str, bytes] | None:
        """The next token of these lists, all of one slot or server, and the name of its list; none after 2 s or ``end``.

        Raises ``Unavailable``.
        """
        names = list(lists)
        if self.is_ending:
            return None
        self._end_key = end_of_reads(names[0], self._name)
        self._is_idle.clear()
        try:
            reply = await self._blocking.do(Command(("BLPOP", self._end_key, *names, f"{BLOCK_S:g}")))
        finally:
            self._is_idle.set()
        name = reply[0].decode() if reply else self._end_key
        return None if name == self._end_key else (name, reply[1])

    async def put_back(self, name: str, token: bytes) -> None:
        """Leave a token to others. Raises ``Unavailable``."""
        await self._commands.do(Command(("LPUSH", name, token)))

    async def end(self) -> None:
        """End the read under way, which gives what it took, and all later ones; returns when it has ended."""
        self.is_ending = True
        if self._is_idle.is_set():
            return
        key = self._end_key
        try:
            async with asyncio.timeout(END_S):
                await self._commands.do([Command(("RPUSH", key, "1")), Command(("PEXPIRE", key, READ_END_TTL_MS))])
                await self._is_idle.wait()
                await self._commands.do(Command(("DEL", key)))
        except (TimeoutError, Unavailable):
            return
