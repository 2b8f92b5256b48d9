"""The loop around a desk: reads the messages of its queues, handles many at once, survives whatever happens to it.

A *desk* says which queues there are and what is to be done with a message: ``HandlerDesk`` asks the event handlers, the one
for listeners' news is in ``systemtasks``. On one server a single blocking read waits for all queues; on a Cluster, where each
lives in a slot of its own, they are asked in turn. A message in hand is kept from being taken over while it is worked on;
what a killed process had in hand is taken over by another after ``IDLE_MS``. Run by the system-task role.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol, TypeVar

from orchestrator.clock import SystemClock
from orchestrator.errors import OrchestratorError
from orchestrator.events.processor import Conditions, Processor, Verdict
from orchestrator.events.sources import IDLE_MS, MESSAGES_PER_READ, read_idle, read_new, settle
from orchestrator.model.sinks import KAFKA
from orchestrator.plan import Plan
from orchestrator.store import event_queue
from orchestrator.store.connection import Connection
from orchestrator.store.context import StoreContext
from orchestrator.store.event_queue import Message

T = TypeVar("T")

log = logging.getLogger("orchestrator.events")

BLOCK_S = 0.5
"""How long one read waits: a new handler is heard within that."""

CLUSTER_PAUSE_S = 0.2
IN_HAND_MAX = 100
"""How many messages one process works on at once; it reads no more until it has room."""

LOOK_S = 2.0
"""How often messages of silent readers are looked for, and our own kept from being taken over."""

SHUN_S = 10.0
"""How long a stream that cannot be read is left alone."""

SWEEP_S = 600.0
READER_IDLE_MS = 3_600_000
PAUSE_S_MIN, PAUSE_S_MAX = 0.1, 2.0
GRACE_S = 5.0


class CarriesOut(Protocol):
    """How a plan of the service reaches the store."""

    def __call__(self, plan: Plan[T]) -> Awaitable[T]: ...


class Desk(Protocol):
    """Which queues there are, and what is done with a message. ``in_hand_max``: of one queue at a time."""

    in_hand_max: int

    @property
    def events(self) -> list[str]:
        """The queues to read."""

    def refresh(self) -> Plan[Any]:
        """Look which queues there are."""

    def forget(self) -> None:
        """Look anew with the next ``refresh``: a queue's group has vanished."""

    async def handle(self, message: Message) -> Verdict:
        """Do what there is to do for a message."""


class HandlerDesk:
    """Hands messages to the event handlers. Example: ``HandlerDesk(store, executor.run, evaluate)``"""

    in_hand_max = IN_HAND_MAX

    def __init__(self, store: StoreContext, run: CarriesOut, conditions: Conditions) -> None:
        self._run = run
        self._processor = Processor(store, conditions, SystemClock())

    @property
    def events(self) -> list[str]:
        """The events that have an active handler and a stream to be read from."""
        return [event for event in self._processor.events if not event.startswith(f"{KAFKA}:")]

    @property
    def topics(self) -> list[str]:
        """The topics of Kafka that have an active handler."""
        return [event.partition(":")[2] for event in self._processor.events if event.startswith(f"{KAFKA}:")]

    def refresh(self) -> Plan[bool]:
        """Look for changed handlers."""
        return self._processor.refresh()

    def forget(self) -> None:
        """Look at all handlers anew."""
        self._processor.forget()

    async def handle(self, message: Message) -> Verdict:
        """Conditions first, in a thread; then the actions."""
        judged = await asyncio.to_thread(self._processor.judge, message)
        return await self._run(self._processor.handle(message, judged))


class EventsHost:
    """Serves a desk until it is cancelled. Several processes may; the messages are shared among them.

    Example: ``await EventsHost(connection, desk).run()``
    """

    def __init__(self, connection: Connection, desk: Desk, name: str | None = None) -> None:
        self._connection = connection
        self._desk = desk
        self._store = StoreContext(connection.settings, is_ordered=not connection.is_cluster)
        self._executor = connection.asynchronous()
        self._blocking = connection.blocking_async(BLOCK_S)
        self.name = f"{name or f'{socket.gethostname()}-{os.getpid()}'}-{secrets.token_hex(3)}"
        self._count = min(MESSAGES_PER_READ, desk.in_hand_max)
        self._in_hand: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._room = asyncio.Event()
        self._room.set()
        self._clock = SystemClock()
        self._shunned_until_s: dict[str, float] = {}
        self._next_look_s = self._next_sweep_s = 0.0

    async def run(self) -> None:
        """Handle events until cancelled; what is in hand then is finished, a short while is given for it."""
        pause_s = PAUSE_S_MIN
        try:
            while True:
                try:
                    await self._turn()
                    pause_s = PAUSE_S_MIN
                except OrchestratorError as error:
                    log.warning("events_paused", extra={"reason": str(error), "pause_s": pause_s})
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, PAUSE_S_MAX)
                except Exception:
                    # A bug, or a reply nobody foresaw: the messages stay where they are and are read again.
                    log.exception("events_turn_failed")
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, PAUSE_S_MAX)
        finally:
            await self._leave()

    async def _turn(self) -> None:
        await self._executor.run(self._desk.refresh())
        await self._look()
        await self._room.wait()
        now_s = self._clock.monotonic_s()
        busy = Counter(event for event, _ in self._in_hand)
        events = [
            one
            for one in self._desk.events
            if self._shunned_until_s.get(one, 0.0) <= now_s and busy[one] < self._desk.in_hand_max
        ]
        if not events:
            await asyncio.sleep(BLOCK_S)
            return
        for message in await self._read(events):
            self._begin(message)

    async def _read(self, events: Sequence[str]) -> list[Message]:
        """New messages, waiting for them a while."""
        if not self._connection.is_cluster:
            # One command names all streams, so one that cannot be read hides the others: then each is asked alone.
            with contextlib.suppress(OrchestratorError):
                block_ms = int(BLOCK_S * 1000)
                command = event_queue.read(self._store.keys, events, self.name, self._count, block_ms)
                waited: list[Message] = await self._blocking.do(command)
                return waited
        found = await self._executor.run(read_new(self._store, events, self.name, self._count))
        if found.gone:
            self._desk.forget()
        until_s = self._clock.monotonic_s() + SHUN_S
        self._shunned_until_s = {
            **{event: at_s for event, at_s in self._shunned_until_s.items() if at_s > until_s - SHUN_S},
            **dict.fromkeys(found.unreadable, until_s),
        }
        if not found.messages:
            await asyncio.sleep(CLUSTER_PAUSE_S)
        return found.messages

    def _begin(self, message: Message) -> None:
        place = (message.event, message.entry_id)
        if place in self._in_hand:
            return
        work = asyncio.create_task(self._work(message), name=f"event-{message.message_id}")
        self._in_hand[place] = work
        work.add_done_callback(lambda _: self._done(place))
        if len(self._in_hand) >= IN_HAND_MAX:
            self._room.clear()

    def _done(self, place: tuple[str, str]) -> None:
        del self._in_hand[place]
        self._room.set()

    async def _work(self, message: Message) -> None:
        """One message; whatever goes wrong leaves it to be taken over."""
        try:
            verdict = await self._desk.handle(message)
            await self._executor.run(settle(self._store, message, verdict))
        except OrchestratorError as error:
            extra = {"event": message.event, "message_id": message.message_id, "reason": str(error)}
            log.warning("event_postponed", extra=extra)
        except Exception:
            log.exception("event_failed", extra={"event": message.event, "message_id": message.message_id})

    async def _look(self) -> None:
        """Now and then: keep what we have in hand, take over what others dropped, forget readers that are gone."""
        now_s = self._clock.monotonic_s()
        events = self._desk.events
        if now_s < self._next_look_s or not events:
            return
        self._next_look_s = now_s + LOOK_S
        mine: dict[str, list[str]] = {}
        for event, entry_id in self._in_hand:
            mine.setdefault(event, []).append(entry_id)
        if mine:
            keys = self._store.keys
            await self._executor.do([event_queue.keep(keys, event, self.name, ids) for event, ids in mine.items()])
        idle = [one for one in events if len(mine.get(one, ())) < self._desk.in_hand_max]
        for message in await self._executor.run(read_idle(self._store, idle, self.name, IDLE_MS)):
            self._begin(message)
        if now_s >= self._next_sweep_s:
            self._next_sweep_s = now_s + SWEEP_S
            await self._executor.do(
                [event_queue.sweep_readers(self._store.keys, one, READER_IDLE_MS) for one in events]
            )

    async def _leave(self) -> None:
        if self._in_hand:
            await asyncio.wait(self._in_hand.values(), timeout=GRACE_S)
        with contextlib.suppress(OrchestratorError):
            await self._executor.do(
                [event_queue.sweep_readers(self._store.keys, one, 0, self.name) for one in self._desk.events]
            )
        await self._blocking.close()
