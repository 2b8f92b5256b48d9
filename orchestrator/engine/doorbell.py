"""Waiting for several inboxes at once where one command cannot: on a cluster every partition is a slot of its own.

One thread per partition blocks on that inbox and rings; whoever waits is woken by the first ring and then reads for
itself. A ring is a hint and carries nothing. Used by ``process`` on a cluster; on one server a single XREAD does it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping

from orchestrator.store.executors import SyncExecutor
from orchestrator.store.inbox import read_inbox
from orchestrator.store.keys import Keys

LISTEN_MS = 2_000
PAUSE_AFTER_ERROR_S = 0.1


class Doorbell:
    """Wakes its owner when an entry arrives in any inbox.

    Example: ``doorbell.wait({3: "0", 7: "1700000000000-0"}, timeout_s=1.0)``
    """

    def __init__(self, executor: SyncExecutor, keys: Keys) -> None:
        self._executor = executor
        self._keys = keys
        self._rung = threading.Event()
        self._ears: dict[int, _Ear] = {}

    def wait(self, cursors: Mapping[int, str], timeout_s: float) -> None:
        """Return when something stands behind one of the cursors, by partition, or ``timeout_s`` seconds are over."""
        self._rung.clear()
        for number in [number for number in self._ears if number not in cursors]:
            self._ears.pop(number).cursors.put(None)
        for number, cursor in cursors.items():
            ear = self._ears.get(number)
            if ear is None:
                ear = self._ears[number] = _Ear(self._executor, self._keys, number, self._rung)
                ear.start()
            if not ear.is_listening:
                ear.is_listening = True
                ear.cursors.put(cursor)
        self._rung.wait(timeout_s)

    def close(self) -> None:
        """Let the threads end, each when its read does."""
        for ear in self._ears.values():
            ear.cursors.put(None)
        self._ears = {}


class _Ear(threading.Thread):
    """Listens at one inbox, from a cursor on, until something is there or the block is over."""

    def __init__(self, executor: SyncExecutor, keys: Keys, number: int, rung: threading.Event) -> None:
        super().__init__(name=f"inbox-{number}", daemon=True)
        self.cursors: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.is_listening = False
        self._executor = executor
        self._keys = keys
        self._number = number
        self._rung = rung

    def run(self) -> None:
        """Serve one cursor after the other, until None."""
        while (cursor := self.cursors.get()) is not None:
            try:
                found = self._executor.do(read_inbox(self._keys, self._number, cursor, 1, block_ms=LISTEN_MS))
            except Exception:
                # Whatever it is, the owner meets it in its own read; without the pause it would come back at once.
                time.sleep(PAUSE_AFTER_ERROR_S)
                found = True
            self.is_listening = False
            if found:
                self._rung.set()
