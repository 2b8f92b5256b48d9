"""What happened: the inputs of a decision. Each carries the store's time, so that the core needs no clock.

An event is an entry of a partition's inbox stream until the commit of the decision it led to deletes it.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct

from orchestrator.model.records import Meta, Outcome


class Started(Struct, frozen=True, gc=False):
    """A start was accepted: the workflow begins."""

    at_ms: int
    meta: Meta
    input: Raw


class TaskReported(Struct, frozen=True, gc=False):
    """A worker or an outside caller reported on a task: ended, or still in progress."""

    at_ms: int
    task_id: str
    ref: str
    outcome: Outcome
    delivery: int = 0
    started_ms: int = 0
    poll_count: int = 0
    worker_id: str | None = None


class TimerFired(Struct, frozen=True, gc=False):
    """A timer of the workflow (``ref`` empty) or of one task attempt came due.

    For a task, the dispatch truth comes along: ``state`` is S (waiting), R (running), W (waits for an outside event) or
    empty when the attempt is no longer open; ``touched_ms`` is the last sign of life of its worker and ``limited_ms`` how
    long the task has been waiting for nothing but a limit.
    """

    at_ms: int
    ref: str
    task_id: str
    state: str = ""
    started_ms: int = 0
    touched_ms: int = 0
    poll_count: int = 0
    limited_ms: int = 0
    worker_id: str | None = None


class Operation(Struct, frozen=True, gc=False):
    """An operator's or caller's action; the decision answers it under ``request_id``."""

    at_ms: int
    request_id: str
    action: str  # pause, resume, terminate, signal ...
    arguments: dict[str, Any] = {}


class Told(Struct, frozen=True, gc=False):
    """Another workflow's word about a SUB_WORKFLOW task that links the two; it may come more than once.

    ``cancel``: the parent's task ``task_id`` is over, its child has to end. ``revive``: the child of this workflow's task
    ``task_id``, called ``ref``, goes on, in its ``run``-th run after the first. ``follow``: the task ``task_id`` of another
    workflow wants to hear of this one's end too.
    """

    at_ms: int
    action: str
    task_id: str
    reason: str | None = None
    ref: str = ""
    run: int = 0


class TaskBegan(Struct, frozen=True, gc=False):
    """A worker began with a task of which somebody wants to know that; told at the first start of an attempt only."""

    at_ms: int
    task_id: str
    ref: str


class Continued(Struct, frozen=True, gc=False):
    """The workflow's own note to go on with what its last decision left over."""

    at_ms: int


Event = TaskBegan | Started | TaskReported | TimerFired | Operation | Told | Continued
