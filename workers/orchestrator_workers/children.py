"""The process pool: every thread of the crew keeps one child process and sends it one task at a time.

A child finds the function by its import path and gets bytes, never pickled code. A child that dies fails only the task
it was running and is replaced for the next one; a task whose lease is lost or whose workflow cancelled it is stopped by
killing its child, the only way that works for code that does not listen. One that has run many tasks or holds much memory is
let go between two tasks: what code leaks goes with it.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from contextvars import copy_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

import msgspec

from orchestrator.clock import SystemClock
from orchestrator.context import TaskContext
from orchestrator.errors import InvalidRequest
from orchestrator.model import records
from orchestrator.model.records import Outcome
from orchestrator.task import Task
from orchestrator_workers import outcomes
from orchestrator_workers.calling import call_plain
from orchestrator_workers.job import Job
from orchestrator_workers.middleware import Middleware
from orchestrator_workers.registry import load_attribute, load_task

log = logging.getLogger("orchestrator.worker")

_STOP_S = 2.0
_spawn = multiprocessing.get_context("spawn")  # a forked copy of a process with threads and sockets may deadlock


class Order(msgspec.Struct, array_like=True, frozen=True):
    """What a child is asked to run: where the function is, its input, and its context's fields.

    ``timeout_s``: what the task's own definition gives an attempt, 0 = no limit; ``middleware``: where those around it are.
    """

    target: str
    attribute: str
    input: bytes
    identity: tuple[str, str, str, str, str]
    worker_id: str
    counters: tuple[int, int, int, int]
    runtime_metadata: dict[str, str]
    timeout_s: int = 0
    middleware: tuple[tuple[str, str], ...] = ()
    trace: dict[str, str] = {}


class ChildOptions(NamedTuple):
    """How the processes of the pools are kept.

    ``memory_bytes`` is what a task in the pool ``rq`` may take. A child of the pool ``process`` is replaced after
    ``recycle_tasks`` tasks, or with more than ``recycle_memory_bytes`` resident. 0 is no limit. ``prepare`` is called in each
    process before anything else, and must be importable.
    """

    memory_bytes: int = 0
    recycle_tasks: int = 0
    recycle_memory_bytes: int = 0
    prepare: Callable[[], object] | None = None

    def check(self) -> ChildOptions:
        """The same. Raises ``InvalidRequest`` where memory cannot be read."""
        if self.recycle_memory_bytes and resident_bytes(os.getpid()) is None:
            raise InvalidRequest("recycling by memory needs /proc, which this system does not have: recycle by tasks")
        return self


PLAIN = ChildOptions()


class Child:
    """One child process, started when first needed; a ``Hand`` of a ``Crew``. ``target`` is its life."""

    def __init__(self, options: ChildOptions = PLAIN) -> None:
        self.options = options
        self.target: Callable[..., None] = serve
        self._tasks_done = 0
        self._is_killed = False
        self._process: BaseProcess | None = None
        self._pipe: Connection[Any, Any] | None = None
        self._current: Job | None = None
        self._lock = threading.Lock()  # between the thread that works and the loop that interrupts

    def work(self, job: Job) -> Outcome | None:
        """Run the job in the child."""
        with self._lock:
            self._current = job
        job.interrupt = lambda: self._kill(job)
        try:
            # After `interrupt` is set: either this sees the wish to stop, or the wish sees `interrupt`.
            return None if job.ending is not None else self._ask(job)
        finally:
            with self._lock:
                self._current = None
            if self._is_killed:  # perhaps when it had answered already: the next task must not meet a dying child
                self.close()

    def close(self) -> None:
        """End the child: it leaves when its pipe is closed, and is killed when it does not."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.join(_STOP_S)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
        self._process = self._pipe = None
        self._tasks_done = 0
        self._is_killed = False

    def _ask(self, job: Job) -> Outcome | None:
        try:
            pipe = self._started()
            pipe.send_bytes(msgspec.msgpack.encode(_order(job)))
            answer = pipe.recv_bytes()
        except (EOFError, OSError):
            return self._crashed(job)
        self._tasks_done += 1
        self._recycle()
        outcome: Outcome | None = records.decode_outcome(answer) if answer else None  # nothing: it was stopped
        return outcome

    def _recycle(self) -> None:
        """Let the child go if it has done enough: it leaves by itself, and its successor comes with the next task."""
        pid, tasks_max, memory_bytes_max = self._pid(), self.options.recycle_tasks, self.options.recycle_memory_bytes
        memory_bytes = resident_bytes(pid) or 0 if memory_bytes_max and pid else 0
        if not (0 < tasks_max <= self._tasks_done or 0 < memory_bytes_max < memory_bytes):
            return
        log.info("child_recycled", extra={"pid": pid, "tasks": self._tasks_done, "memory_bytes": memory_bytes or None})
        if self._pipe is not None:
            self._pipe.close()
        self._pipe = None

    def _pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def _started(self) -> Connection[Any, Any]:
        if self._process is not None and (self._pipe is None or not self._process.is_alive()):
            self.close()  # it was let go, or killed between two tasks
        if self._pipe is None:
            ours, theirs = _spawn.Pipe()
            process = _spawn.Process(
                target=self.target, args=(theirs, self.options), name="orchestrator-task", daemon=True
            )
            process.start()
            theirs.close()  # so that the end of the child is the end of the pipe
            self._process, self._pipe = process, ours
        return self._pipe

    def _crashed(self, job: Job) -> Outcome | None:
        code: int | None = None
        if self._process is not None:
            self._process.join(_STOP_S)
            code = self._process.exitcode
        self.close()
        if job.ending is not None:
            return None
        return outcomes.failure(f"the process that ran the task ended with {exit_text(code)}", job.context)

    def _kill(self, job: Job) -> None:
        with self._lock:
            if self._current is job and self._process is not None:
                self._process.kill()
                self._is_killed = True


def serve(pipe: Connection[Any, Any], options: ChildOptions) -> None:
    """The life of a child: one order after the other until the pipe is closed."""
    if options.prepare is not None:
        options.prepare()
    # The terminal's Ctrl-C reaches the whole group; the parent decides what becomes of running tasks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    known: dict[tuple[str, str], Any] = {}
    with contextlib.suppress(EOFError, OSError):
        while True:
            order = msgspec.msgpack.decode(pipe.recv_bytes(), type=Order)
            pipe.send_bytes(records.encode(carry_out(order, known)))


def carry_out(order: Order, known: dict[tuple[str, str], Any]) -> Outcome:
    """Run what an order says, here; ``known`` keeps what was imported for it."""
    context = context_of(order)
    try:
        task, middleware = imported(order, known)
    except InvalidRequest as error:
        return outcomes.terminal(str(error), context)
    return copy_context().run(call_plain, task, order.input, context, middleware)


def imported(order: Order, known: dict[tuple[str, str], Any]) -> tuple[Task[..., Any], list[Middleware]]:
    """The task of an order and what is put around it. Raises ``InvalidRequest`` when they cannot be imported."""
    where = (order.target, order.attribute)
    if where not in known:
        known[where] = load_task(*where)
    for place in order.middleware:
        if place not in known:
            known[place] = load_attribute(*place)
    return known[where], [known[place] for place in order.middleware]


def context_of(order: Order) -> TaskContext:
    """The context that the function of an order is given."""
    attempt, delivery, iteration, generation = order.counters
    return TaskContext(
        *order.identity,
        attempt=attempt,
        delivery=delivery,
        iteration=iteration,
        generation=generation,
        now_ms=SystemClock().now_ms,
        runtime_metadata=order.runtime_metadata,
        worker_id=order.worker_id,
        trace=order.trace,
    )


def _order(job: Job) -> Order:
    at = job.context
    return Order(
        job.registered.target,
        job.registered.attribute,
        bytes(job.input),  # it may be a msgspec.Raw, which would be taken for structure
        (at.task_id, at.workflow_id, at.workflow_name, at.ref, at.task_type),
        at.worker_id,
        (at.attempt, at.delivery, at.iteration, at.generation),
        dict(at.runtime_metadata),
        job.registered.task.definition().timeout_seconds,
        tuple((one.target, one.attribute) for one in job.registered.middleware),
        dict(at.trace),
    )


def resident_bytes(pid: int) -> int | None:
    """How much memory a process has in use, None where that is not known."""
    try:
        with open(f"/proc/{pid}/statm") as found:
            return int(found.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def exit_text(code: int | None) -> str:
    """How a process ended, in words. Example: ``exit_text(-11) == "signal SIGSEGV"``"""
    if code is None:
        return "no exit code"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
