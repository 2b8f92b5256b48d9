"""A crew of threads that run jobs, and give results back to the event loop in batches.

Threads are started when they are needed and kept. They are daemons: code that never returns must not keep the process
from ending; what it held is delivered again when its lease ends. Used for plain functions, and with one child process
per thread for the process pool.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

from orchestrator.model.records import Outcome
from orchestrator_workers.job import Job

Done = Callable[[Job, Outcome | None], None]
"""Takes a job whose code has returned; without an outcome when it was stopped."""


class Hand(Protocol):
    """What one thread works with."""

    def work(self, job: Job) -> Outcome | None:
        """Run the job to its end; never raises."""

    def close(self) -> None:
        """The thread ends."""


class Crew:
    """At most ``size`` threads, each with a ``Hand`` of its own from ``hire``."""

    def __init__(self, name: str, size: int, hire: Callable[[], Hand], done: Done) -> None:
        self._name = name
        self._size = size
        self._hire = hire
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._todo: SimpleQueue[Job | None] = SimpleQueue()
        self._results: deque[tuple[Job, Outcome | None]] = deque()
        self._told = threading.Lock()  # held while the loop has been told of results that it has not collected
        self._open = 0
        self._threads = 0

    def start(self, job: Job) -> None:
        """Have a thread run ``job``; ``done`` is called on the loop afterwards."""
        self._open += 1
        if self._open > self._threads and self._threads < self._size:
            self._threads += 1
            threading.Thread(target=self._serve, name=f"{self._name}-{self._threads}", daemon=True).start()
        self._todo.put(job)

    def close(self) -> None:
        """Let the threads end when they have nothing left to do; waits for none of them."""
        for _ in range(self._threads):
            self._todo.put(None)
        self._threads = 0

    def _serve(self) -> None:
        hand = self._hire()
        try:
            while (job := self._todo.get()) is not None:
                self._results.append((job, hand.work(job)))
                # Whoever gets the lock tells the loop; the others' results go along with the same call.
                if self._told.acquire(blocking=False):
                    self._tell()
        finally:
            hand.close()

    def _tell(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._collect)
        except RuntimeError:  # the loop is closed: nobody is left who could report the result
            self._told.release()

    def _collect(self) -> None:
        self._told.release()  # first, so that a result that comes from now on is told anew
        while self._results:
            job, outcome = self._results.popleft()
            self._open -= 1
            self._done(job, outcome)
