"""One subscription for all asyncio waiters of a process: thousands may wait, one connection listens.

A message sets the event of whoever listens on its channel; it carries nothing. When the connection is lost everybody is
woken, because a hint may have been lost with it, and the next to pause subscribes anew.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from orchestrator.store.failures import LOST
from orchestrator.store.wire import AsyncWire

RECHECK_S = 2.0  # how long a waiter trusts that no hint was lost
SUBSCRIBE_S = 10.0  # as long as any exchange may take: a store that has frozen must not hold those who want to wait


class AsyncChannels:
    """Who listens to which channel."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire
        self._pubsub: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._listeners: dict[str, set[asyncio.Event]] = {}
        self._confirmed: dict[str, asyncio.Event] = {}
        self._lock = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def listen(self, channels: Sequence[str]) -> AsyncIterator[asyncio.Event]:
        """An event that is set by every message on one of ``channels`` from the moment this is entered."""
        heard = asyncio.Event()
        for channel in channels:
            self._listeners.setdefault(channel, set()).add(heard)
        try:
            await self._subscribe_all(channels)
            yield heard
        finally:
            await self._leave(channels, heard)

    async def pause(self, channels: Sequence[str], heard: asyncio.Event, seconds: float) -> None:
        """Until ``heard`` is set, at most ``seconds``."""
        await self._subscribe_all(channels)
        await _set_within(heard, seconds)

    async def close(self) -> None:
        """Stop listening."""
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
        if self._pubsub is not None:
            await self._pubsub.aclose()
        self._reader = self._pubsub = None

    async def _subscribe_all(self, channels: Sequence[str]) -> None:
        for channel in channels:
            if channel not in self._confirmed:
                await self._subscribe(channel)
        for channel in channels:
            if (confirmed := self._confirmed.get(channel)) is not None:
                await _set_within(confirmed, RECHECK_S)

    async def _leave(self, channels: Sequence[str], heard: asyncio.Event) -> None:
        left = []
        for channel in channels:
            listeners = self._listeners.get(channel, set())
            listeners.discard(heard)
            if not listeners and self._listeners.pop(channel, None) is not None:
                left.append(channel)
        for channel in left:
            await self._unsubscribe(channel)

    async def _subscribe(self, channel: str) -> None:
        async with asyncio.timeout(SUBSCRIBE_S), self._lock:
            if self._pubsub is None:
                self._pubsub = await self._wire.pubsub()
            confirmed = self._confirmed.get(channel)
            if confirmed is None:
                confirmed = self._confirmed[channel] = asyncio.Event()
                try:
                    await self._pubsub.subscribe(channel)
                except BaseException:
                    self._confirmed.pop(channel, None)
                    raise
            if self._reader is None or self._reader.done():
                self._reader = asyncio.create_task(self._read(), name="store-channels")

    async def _unsubscribe(self, channel: str) -> None:
        async with self._lock:
            if channel not in self._listeners and self._confirmed.pop(channel, None) is not None and self._pubsub:
                with contextlib.suppress(*LOST):
                    await self._pubsub.unsubscribe(channel)

    async def _read(self) -> None:
        """Hand out messages until the connection is lost; then wake all, so that they re-check and subscribe anew."""
        try:
            while self._listeners:
                message = await self._pubsub.get_message(timeout=RECHECK_S)
                if message is None:
                    continue
                channel = message["channel"].decode()
                if message["type"] == "subscribe" and channel in self._confirmed:
                    self._confirmed[channel].set()
                elif message["type"] == "message":
                    for heard in self._listeners.get(channel, ()):
                        heard.set()
        except LOST:
            self._pubsub = None
            self._confirmed.clear()
            for listeners in self._listeners.values():
                for heard in listeners:
                    heard.set()


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
