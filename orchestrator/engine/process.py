"""The decider as a process: the waiting around ``Decider``, and a clean end.

It blocks on the inboxes of all its partitions at once and at most until its next timer or beat, so an event is handled when
it arrives and nothing is polled. A store that goes away is waited for with growing pauses; what was under way is read again
from the inbox and the outbox. SIGTERM and SIGINT hand the partitions over and end the process; a second signal ends it at
once, which is as safe: the partitions are taken over when their leases end.
"""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Sequence
from types import FrameType

from orchestrator.engine.decider import Decider, InboxEntry
from orchestrator.engine.doorbell import Doorbell
from orchestrator.engine.estate import Estate
from orchestrator.engine.sweep import SWEEP_EVERY_S, sweep
from orchestrator.engine.witness import Witness
from orchestrator.errors import PayloadUnavailable
from orchestrator.plan import Argument, Command
from orchestrator.settings import Settings
from orchestrator.store import installation
from orchestrator.store.connection import Connection, connect
from orchestrator.store.context import StoreContext
from orchestrator.store.executors import SyncExecutor
from orchestrator.store.failures import is_passing
from orchestrator.store.inbox import parse_entry

log = logging.getLogger(__name__)

BLOCK_MS_MAX = 2_000
RETRY_PAUSE_MS = 20
Found = list[tuple[Estate, Sequence[InboxEntry]]]
PAUSE_S_MIN, PAUSE_S_MAX = 0.05, 2.0


class _Stop(BaseException):
    """Raised by a signal to leave a blocking read."""


class DeciderProcess:
    """Runs one decider until it is told to stop.

    Example: ``DeciderProcess(load_settings()).run()``
    """

    def __init__(self, settings: Settings, name: str | None = None, environment: dict[str, str] | None = None) -> None:
        self.settings = settings
        self.connection: Connection = connect(settings.redis_url, settings)
        self.store = StoreContext(settings, is_ordered=not self.connection.is_cluster)
        self._blocking = self.connection.blocking_sync(BLOCK_MS_MAX / 1000)
        self.name = name or f"decider-{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
        self.decider = Decider(self.store, self.name, environment)
        self.on_turn: Callable[[], None] = _nothing  # called at least every few seconds while it is not stuck
        self._stopping = False
        self._blocked = False
        self._seen = (0, 0.0)  # the store's clock and ours when it was last heard
        self._sweeps: dict[int, int] = {}
        self._doorbell: Doorbell | None = None

    def run(self, on_ready: Callable[[], None] | None = None) -> None:
        """Decide until ``stop``; ``on_ready`` is called once the store has been checked and partitions taken.

        Raises ``StoreUnavailable`` or ``StoreRefused`` when the store cannot be used at the start. Later outages are
        waited for.
        """
        for warning in self.connection.check():
            log.warning(warning)
        executor = self.connection.sync()
        executor.do(installation.check_installation(self.store.keys))
        executor.run(self.decider.beat())
        if self.connection.is_cluster:
            self._doorbell = Doorbell(self._blocking, self.store.keys)
        if on_ready is not None:
            on_ready()
        log.info("decider_ready", extra={"decider": self.name, "partitions": sorted(self.decider.estates)})
        pause_s = PAUSE_S_MIN
        try:
            while not self._stopping:
                self.on_turn()
                try:
                    self._loop()
                except Exception as error:
                    if isinstance(error, PayloadUnavailable) or is_passing(error):
                        log.warning("store_unavailable", extra={"reason": str(error), "pause_s": round(pause_s, 2)})
                        self.decider.reset_all()
                    else:
                        # A bug, or a reply nobody foresaw: the partitions were reset, the others must not stop with it.
                        log.exception("decider_turn_failed", extra={"decider": self.name})
                    self._sleep(pause_s * random.uniform(0.5, 1.0))
                    pause_s = min(pause_s * 2, PAUSE_S_MAX)
                else:
                    pause_s = PAUSE_S_MIN
        except _Stop:
            pass
        self._leave()

    def stop(self) -> None:
        """Ask the loop to end; may be called from a signal handler or another thread."""
        self._stopping = True

    def _loop(self) -> None:
        """Beat, fire, wait, advance: until a mishap or the end."""
        executor, blocking = self.connection.sync(), self._blocking
        beat_every_s = min(1.0, self.settings.ownership_ms / 3000)
        next_beat = next_look = 0.0
        next_sweep = time.monotonic() + SWEEP_EVERY_S
        while not self._stopping:
            self.on_turn()
            now = time.monotonic()
            if now >= next_beat:
                executor.run(self.decider.beat())
                next_beat = now + beat_every_s
            if now >= next_look:
                # Workers arm time-outs too; those that are not due soon come without a word.
                self.decider.look_at_timers()
                next_look = now + BLOCK_MS_MAX / 1000
            if now >= next_sweep:
                next_sweep = now + self._sweep()
            self._tell_time()
            executor.run(self.decider.redrive())
            executor.run(self.decider.fire_timers())
            self._note_time()
            replies = self._read(blocking, self._block_ms(next_beat, next_look))
            if executor.run(self.decider.advance(replies)) == 0:
                executor.run(self.decider.flush())
            self._note_time()

    def _read(self, blocking: SyncExecutor, block_ms: int) -> Found:
        """What arrived in any inbox; waits up to ``block_ms`` for it."""
        estates = list(self.decider.estates.values())
        if not estates:
            self._sleep(min(block_ms, 200) / 1000)
            return []
        if self.connection.is_cluster:
            return self._read_slots(estates, block_ms)
        keys = self.store.keys
        by_key = {keys.inbox(estate.number).encode(): estate for estate in estates}
        cursors = [estate.cursor for estate in estates]
        count = min(self.decider.entries_per_read(estate) for estate in estates)
        words: list[Argument] = ["XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS", *by_key, *cursors]
        self._blocked = True
        try:
            if self._stopping:
                raise _Stop
            reply = blocking.do(Command(words))
        finally:
            self._blocked = False
        found: Found = [(by_key[key], [parse_entry(raw) for raw in entries]) for key, entries in reply or ()]
        return found + self._backlog(found)

    def _read_slots(self, estates: list[Estate], block_ms: int) -> Found:
        """On a cluster: read every slot, and when there is nothing, wait for a ring and read again."""
        executor = self.connection.sync()
        found = [pair for pair in executor.run(self.decider.read()) if pair[1]]
        if not found and self._doorbell is not None:
            self._blocked = True
            try:
                if self._stopping:
                    raise _Stop
                self._doorbell.wait({estate.number: estate.cursor for estate in estates}, block_ms / 1000)
            finally:
                self._blocked = False
            found = [pair for pair in executor.run(self.decider.read()) if pair[1]]
        return found + self._backlog(found)

    def _backlog(self, found: Found) -> Found:
        """Partitions with events to try again, or read to their end with care, although nothing new arrived there."""
        served = {estate.number for estate, _ in found}
        return [(e, []) for e in self.decider.estates.values() if (e.retry or e.careful) and e.number not in served]

    def _block_ms(self, next_beat: float, next_look: float) -> int:
        waits = [BLOCK_MS_MAX, (min(next_beat, next_look) - time.monotonic()) * 1000]
        timer_ms = self.decider.next_timer_in_ms()
        if timer_ms is not None:
            waits.append(timer_ms)
        if any(e.retry or e.redrive for e in self.decider.estates.values()):
            waits.append(RETRY_PAUSE_MS)
        return max(1, int(min(waits)))

    def _sweep(self) -> float:
        """One slice of the repair; returns the seconds until the next."""
        executor = self.connection.sync()
        for number, estate in list(self.decider.estates.items()):
            self._sweeps[number] = executor.run(sweep(self.decider, estate, self._sweeps.get(number, 0)))
        return 1.0 if any(self._sweeps.values()) else SWEEP_EVERY_S

    def _note_time(self) -> None:
        if self.decider.clock_ms != self._seen[0]:
            self._seen = (self.decider.clock_ms, time.monotonic())

    def _tell_time(self) -> None:
        """Let the decider know about what time it is at the store: its timers are due by that clock."""
        seen_ms, at = self._seen
        if seen_ms:
            self.decider.clock_ms = max(self.decider.clock_ms, seen_ms + int((time.monotonic() - at) * 1000))

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stopping and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))

    def _leave(self) -> None:
        try:
            self.connection.sync().run(self.decider.leave())
            log.info("decider_left", extra={"decider": self.name})
        except Exception as error:
            log.warning("decider_left_without_handover", extra={"decider": self.name, "reason": str(error)})
        if self._doorbell is not None:
            self._doorbell.close()
        self.connection.close()

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM, SIGINT: end cleanly; the second one: end now."""
        if self._stopping:
            os._exit(128 + number)
        self._stopping = True
        if self._blocked:
            raise _Stop


def _nothing() -> None:
    """What a turn tells nobody."""


def run_decider(
    settings: Settings,
    name: str | None = None,
    environment: dict[str, str] | None = None,
    on_ready: Callable[[], None] | None = None,
    witness: Witness | None = None,
    on_turn: Callable[[], None] | None = None,
) -> None:
    """Run a decider in this process's main thread until SIGTERM or SIGINT.

    ``environment`` are the values that ``${workflow.env.NAME}`` may see; ``witness`` is told of what it does, ``on_turn``
    is called at least every few seconds while it is not stuck. Example: ``run_decider(load_settings())``
    """
    process = DeciderProcess(settings, name, environment)
    process.decider.witness = witness
    process.on_turn = on_turn or process.on_turn
    # The cache is large and without cycles: frequent collections would cost a third of the time of a decision.
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)
    signal.signal(signal.SIGTERM, process.on_signal)
    signal.signal(signal.SIGINT, process.on_signal)
    process.run(on_ready)
