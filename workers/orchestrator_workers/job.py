"""One task that this worker holds, from its claim until its lease is given up; and the table of all of them.

The table counts slots: a slot is taken from the moment a task is asked for until its code has returned, also when its
lease was lost meanwhile, because a function that still runs still uses the machine. Everything here runs on the
worker's event loop; only ``Job.context`` and ``Job.ending`` are read from other threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum

from orchestrator.context import TaskContext
from orchestrator.errors import InvalidRequest
from orchestrator.service.dispatch import Claimed
from orchestrator_workers.middleware import Middleware
from orchestrator_workers.registry import RegisteredTask

Observer = Callable[[str, dict[str, object]], None]
"""Is told what happens to tasks, by event name and fields; tests keep a ledger with it."""


class Ending(Enum):
    """Why the worker wants a task's code to stop before it returns by itself."""

    LOST = "lost"  # the lease is over: somebody else may run the task now, so nothing is reported
    CANCELLED = "cancelled"  # its workflow no longer wants it: the partition is told, so that the slot is freed
    HANDED_BACK = "handed back"  # the worker stops: the task goes back to its queue


class Job:
    """One delivery of a task to this worker.

    ``lease_end_s`` is on the worker's own monotonic clock and counted from before the claim was sent, so it is never
    later than the end that the store knows. ``interrupt`` is set by a runner while it can stop the code.
    """

    __slots__ = (
        "beat_due_s",
        "claimed",
        "context",
        "ending",
        "hidden",
        "input",
        "interrupt",
        "lease_end_s",
        "registered",
        "returned",
        "touch_due_s",
        "touch_every_s",
    )

    def __init__(
        self,
        claimed: Claimed,
        registered: RegisteredTask,
        context: TaskContext,
        input: bytes,
        lease_end_s: float,
        hidden: tuple[str, ...] = (),
    ) -> None:
        self.claimed = claimed
        self.registered = registered
        self.context = context
        self.input = input
        self.hidden = hidden  # texts to be struck out of what is told of the task
        self.lease_end_s = lease_end_s
        self.beat_due_s = 0.0
        self.touch_due_s = 0.0
        self.touch_every_s = 0.0
        self.ending: Ending | None = None
        self.interrupt: Callable[[], object] | None = None
        self.returned = False

    @property
    def middleware(self) -> list[Middleware]:
        """What is put around the task's code, from the outside in."""
        return [one.function for one in self.registered.middleware]

    def end(self, why: Ending) -> None:
        """Ask the task's code to stop; the first reason given stands, except that a lost lease overrides all."""
        if self.ending is None or why is Ending.LOST:
            self.ending = why
        self.context.cancelled = True
        interrupt = self.interrupt
        if interrupt is not None and not self.returned:
            interrupt()


class Jobs:
    """The tasks a worker holds leases of, and its slots."""

    def __init__(self, slots: int) -> None:
        if slots < 1:
            raise InvalidRequest(f"concurrency={slots} must be at least 1")
        self.slots = slots
        self.taken = 0
        self.held: dict[str, Job] = {}
        self._running: set[Job] = set()

    @property
    def free(self) -> int:
        """How many more tasks can start now."""
        return self.slots - self.taken

    @property
    def running(self) -> int:
        """How many tasks' code has not returned yet."""
        return len(self._running)

    def reserve(self, count: int) -> None:
        """Take slots for tasks that are about to be claimed; ``cancel`` gives back those that were not granted."""
        self.taken += count

    def cancel(self, count: int) -> None:
        """Give back reserved slots that no task came for."""
        self.taken -= count

    def begin(self, job: Job) -> None:
        """A claimed task starts in a slot that was reserved for it."""
        self.held[job.claimed.task_id] = job
        self._running.add(job)

    def returned(self, job: Job) -> None:
        """The task's code has returned: its slot is free, its lease is still held."""
        job.returned = True
        self._running.discard(job)
        self.taken -= 1

    def drop(self, job: Job) -> None:
        """The lease is given up or lost. A newer delivery of the same task to this worker stays."""
        if self.held.get(job.claimed.task_id) is job:
            del self.held[job.claimed.task_id]

    def still_running(self) -> Iterator[Job]:
        """The tasks whose code has not returned, as of now."""
        return iter(tuple(self._running))
