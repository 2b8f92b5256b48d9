"""Where an open task of each type waits: in a queue for a worker, for an outside event, or nowhere outside decisions.

One literal table over the built-in types; a type that is not in it belongs to workers. The letter is the state of the
task's dispatch entry in the store: S may be claimed from a queue, W may only be reported on.
"""

from __future__ import annotations

QUEUED = "S"
WAITING = "W"
INTERNAL = ""
ACCEPTED = "A"
"""In the store only: the final word on the task has been accepted and is in the inbox."""

DISPATCH: dict[str, str] = {
    "DECISION": INTERNAL,
    "DO_WHILE": INTERNAL,
    "EXCLUSIVE_JOIN": INTERNAL,
    "FORK": INTERNAL,
    "FORK_JOIN": INTERNAL,
    "FORK_JOIN_DYNAMIC": INTERNAL,
    "HUMAN": WAITING,
    "INLINE": INTERNAL,
    "JOIN": INTERNAL,
    "LAMBDA": INTERNAL,
    "NOOP": INTERNAL,
    "PULL_WORKFLOW_MESSAGES": WAITING,
    "SET_VARIABLE": INTERNAL,
    "SUB_WORKFLOW": WAITING,
    "SWITCH": INTERNAL,
    "TERMINATE": INTERNAL,
    "WAIT": WAITING,
    "WAIT_FOR_WEBHOOK": WAITING,
}


WAITS_INSIDE: frozenset[str] = frozenset({"DO_WHILE", "EXCLUSIVE_JOIN", "JOIN"})
"""Operators whose tasks stay open although nothing outside may report on them; time-outs hold for them too."""

SYSTEM_TASK_TYPES: frozenset[str] = frozenset(
    {"EVENT", "HTTP", "HTTP_POLL", "JSON_JQ_TRANSFORM", "KAFKA_PUBLISH", "RQ", "SCRIPT", "START_WORKFLOW"}
)
"""Built-in types that are tasks in queues all the same: the system-task role carries them out, a queue for each type."""


def dispatch_state(task_type: str) -> str:
    """Where an open task of a step of this type waits. Example: ``dispatch_state("WAIT") == WAITING``."""
    return DISPATCH.get(task_type, QUEUED)


def is_queued(task_type: str) -> bool:
    """Whether tasks of this type are offered to a queue."""
    return dispatch_state(task_type) == QUEUED
