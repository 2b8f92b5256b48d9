"""What is known of a worker: where and what it is, which tasks it runs, what it does right now. Pure data."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class WorkerState(StrEnum):
    """RUNNING claims tasks, PAUSED claims none until it is resumed, DRAINING ends after those it has, LOST fell silent."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    DRAINING = "DRAINING"
    LOST = "LOST"


class ServedType(msgspec.Struct, kw_only=True):
    """A task type that a worker serves, in which domain and where its function runs: async, thread, process or rq."""

    name: str
    domain: str | None = None
    pool: str = "thread"


class WorkerInfo(msgspec.Struct, kw_only=True):
    """One worker as it said itself.

    ``version`` is that of this package, ``build`` what its operator calls the code it runs; ``running`` how many of its
    ``concurrency`` slots are taken; ``held`` are ids of tasks whose leases it has, a hundred at most. Times are epoch
    milliseconds. ``order`` is what it was told to do and may not have heard yet: PAUSE or DRAIN.
    """

    name: str
    host: str = ""
    pid: int = 0
    version: str = ""
    python: str = ""
    build: str | None = None
    concurrency: int = 0
    task_types: list[ServedType] = []
    state: WorkerState = WorkerState.RUNNING
    running: int = 0
    held: list[str] = []
    start_time: int = 0
    silent_ms: int = 0
    order: str | None = None
