"""The pool ``rq``: every task runs in a work-horse of RQ, a process forked for it alone that is gone afterwards.

A thread of the crew keeps a *stable*, a child process with one thread, because only such a one may be forked. The stable
is RQ's ``Worker`` without its Redis: it forks the horse, waits for it, kills it. The horse has a time limit, RQ's death
penalty, and a memory limit, so a segfault, a leak or an endless loop ends one task and nothing else. Loads RQ, an extra.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import traceback
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any, NamedTuple

import msgspec
from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty
from rq.worker import Worker

from orchestrator.model import records
from orchestrator.model.records import Outcome
from orchestrator_workers import outcomes
from orchestrator_workers.children import PLAIN, Child, ChildOptions, Order, carry_out, context_of, exit_text, imported
from orchestrator_workers.job import Job

GRACE_S = 5
"""So long after its time limit a horse is killed that does not heed it, such as one that waits in C."""

_PART = 65_536


class Stall(Child):
    """One stable, started when first needed; a ``Hand`` of a ``Crew``. It is not recycled: its horses are gone anyway."""

    def __init__(self, options: ChildOptions = PLAIN) -> None:
        super().__init__(options._replace(recycle_tasks=0, recycle_memory_bytes=0))
        self.target = serve

    def _kill(self, job: Job) -> None:
        with self._lock:
            if self._current is job and self._process is not None:
                self._process.terminate()  # the stable kills its horse and stays


class Ride(NamedTuple):
    """A task for a horse, under the name by which RQ's code asks for it; ``out`` is where its outcome goes."""

    id: str
    order: Order
    out: int


class Stable(Worker):
    """RQ's worker as far as it is about horses."""

    def __init__(self, pipe: Connection[Any, Any], memory_bytes: int) -> None:
        # RQ's own is about its Redis, of which nothing is needed here.
        self.name = f"orchestrator-{os.getpid()}"
        self.log = logging.getLogger("rq.worker")
        self._horse_pid = 0
        self._pipe = pipe
        self._memory_bytes = memory_bytes
        self._is_unwanted = False
        self._known: dict[tuple[str, str], Any] = {}

    def serve(self) -> None:
        """Carry out one order after the other until the pipe is closed."""
        while True:
            try:
                order = msgspec.msgpack.decode(self._pipe.recv_bytes(), type=Order)
                self._is_unwanted = False
                self._pipe.send_bytes(self._answer(order))
            except (EOFError, OSError):
                return

    def main_work_horse(self, job: Any, queue: Any) -> None:
        """The whole life of a horse; called by RQ's fork."""
        status = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            ride: Ride = job
            found = records.encode(self._ridden(ride.order))
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            with open(ride.out, "wb") as out:
                out.write(found)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)  # whatever happens: beyond this a horse would take itself for the stable

    def leave(self, number: int, frame: FrameType | None) -> None:
        """Nobody wants the present task any more."""
        self._is_unwanted = True
        if self._horse_pid:
            self.kill_horse()

    def _answer(self, order: Order) -> bytes:
        context = context_of(order)
        try:
            imported(order, self._known)  # here, so that no horse has to
        except Exception as error:
            return records.encode(outcomes.terminal(str(error), context))
        ours, theirs = os.pipe()
        ride: Any = Ride(order.identity[0], order, theirs)
        self.fork_work_horse(ride, None)  # type: ignore[arg-type] # which hands both through to main_work_horse
        os.close(theirs)
        if self._is_unwanted:  # told between the order and the fork
            self.kill_horse()
        found = self._heard(ours, order.timeout_s)
        _, status, _ = self.wait_for_horse()
        self._horse_pid = 0
        if found and status == 0:
            return found
        if self._is_unwanted:
            return b""
        how = exit_text(os.waitstatus_to_exitcode(status or 0))
        return records.encode(outcomes.failure(f"the work-horse that ran the task ended with {how}", context))

    def _heard(self, ours: int, timeout_s: int) -> bytes:
        """What the horse wrote until its end; it is killed when it outlives its time, or nobody is left to tell."""
        parts: list[bytes] = []
        with open(ours, "rb", buffering=0):
            while True:
                ready = wait([ours, self._pipe], timeout_s + GRACE_S if timeout_s else None)
                if ours in ready:
                    part = os.read(ours, _PART)
                    if not part:
                        return b"".join(parts)
                    parts.append(part)
                else:  # it is too late, or the pipe to the worker, which speaks only when it was answered, is closed
                    self.kill_horse()

    def _ridden(self, order: Order) -> Outcome:
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        try:
            if self._memory_bytes:
                limit = self._memory_bytes if hard < 0 else min(self._memory_bytes, hard)
                resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
            if not order.timeout_s:
                return carry_out(order, self._known)
            with UnixSignalDeathPenalty(order.timeout_s, JobTimeoutException):  # type: ignore[no-untyped-call]
                return carry_out(order, self._known)
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))  # there must be room for saying how it ended


def serve(pipe: Connection[Any, Any], options: ChildOptions) -> None:
    """The life of a stable."""
    if options.prepare is not None:
        options.prepare()
    # The terminal's Ctrl-C reaches the whole group; the worker decides what becomes of running tasks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stable = Stable(pipe, options.memory_bytes)
    signal.signal(signal.SIGTERM, stable.leave)
    stable.serve()
