"""What has happened in a world, as told by the store's own contents and by the calls that changed them.

The rules compare every step with this memory. It is filled from arguments, raw replies and raw reads, never from the
engine's objects: the same mistake must not be in both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgpack

from orchestrator.model.execution import Workflow
from tests.simulation.families import PATIENT
from tests.simulation.workload import Order

ENDED = frozenset({"COMPLETED", "FAILED", "TIMED_OUT", "TERMINATED"})
OPEN_RESULTS = frozenset({"SCHEDULED", "IN_PROGRESS"})


class Violation(AssertionError):
    """A rule is broken; the text begins with the name of the invariant."""


def unpacked(data: bytes) -> Any:
    """A record as plain lists and values."""
    return msgpack.unpackb(data, raw=False, strict_map_key=False)


@dataclass
class Run:
    """One workflow that exists or existed."""

    workflow_id: str
    name: str
    partition: str
    idempotency_field: str = ""
    failure_of: str | None = None
    parent_id: str | None = None
    parent_task: str | None = None
    version: int = 0
    status: str = "RUNNING"
    is_removed: bool = False
    gate: str = ""  # the gate that has let it in
    views: int = 0
    records: dict[str, list[Any]] = field(default_factory=dict)  # field of the task hash -> record
    joins_ended: set[str] = field(default_factory=set)
    generation: int = 0
    ends: dict[int, str] = field(default_factory=dict)  # how each run ended, by generation


@dataclass
class Attempt:
    """One attempt of a task that has or had a dispatch entry."""

    task_id: str
    workflow_id: str
    ref: str
    type: str
    number: int
    generation: int
    is_open: bool = True
    started: tuple[int, str] | None = None  # the last delivery that was let begin, and whose
    starts: int = 0
    delivered: int = 0  # the last delivery that the queue granted
    accepted: list[Any] | None = None  # the outcome that was accepted
    is_wiped: bool = False  # its workflow has started over since

    @property
    def record_name(self) -> str:
        """The name under which the attempt's records are kept once another attempt has followed."""
        return f"{self.ref}\n{self.number}.{self.generation}"


class Share(NamedTuple):
    """What a task shares the workers by: its priority, and its owner."""

    band: int
    owner: str


@dataclass
class QueueImage:
    """The contents of one queue after its last step."""

    records: dict[str, str] = field(default_factory=dict)
    ready: tuple[set[str], ...] = ()
    delayed: set[str] = field(default_factory=set)
    leases: dict[str, float] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    limits: tuple[int, int, int] = (0, 0, 0)  # concurrency, rate, window
    shares: dict[str, Share] = field(default_factory=dict)  # of tasks that have owners
    keys: dict[str, str] = field(default_factory=dict)  # what tasks are limited by
    kept: set[str] = field(default_factory=set)  # tasks whose key is at its limit
    key_limits: tuple[int, int] = (0, 0)  # concurrency and rate of each key
    is_scanned: bool = False  # limits were changed, and not every key was looked at since
    ready_since: dict[str, int] = field(default_factory=dict)  # the world's time
    wake_keys: tuple[str, ...] = ()
    wakes: tuple[list[bytes], ...] = ()  # the tokens of each list that nobody has taken yet

    @property
    def taken(self) -> int:
        """Slots of the concurrency limit in use."""
        return len(self.leases) + len(self.held)


@dataclass
class PartitionImage:
    """The streams and timers of one partition after its last step."""

    events: dict[str, dict[str, bytes]] = field(default_factory=dict)
    outbox: dict[str, list[list[Any]]] = field(default_factory=dict)
    timers: dict[str, int] = field(default_factory=dict)
    owner: tuple[str, int] = ("", 0)
    offered: set[str] = field(default_factory=set)  # task ids that an outbox entry offers


class Ledger:
    """Everything the rules remember."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.attempts: dict[str, Attempt] = {}
        self.waiting: dict[str, Attempt] = {}  # open attempts of workers' tasks without an accepted outcome
        self.queues: dict[str, QueueImage] = {}
        self.partitions: dict[str, PartitionImage] = {}
        self.grants: dict[str, list[tuple[int, int]]] = {}
        self.sections: dict[tuple[str, str, tuple[str, ...]], bytes] = {}
        self.delivered: set[tuple[str, str]] = set()
        self.holders: dict[str, str] = {}  # idempotency field -> workflow id
        self.acks: list[tuple[Order, str, str]] = []
        self.answers: dict[str, bytes] = {}
        self.removals: set[str] = set()
        self.deliveries: dict[str, dict[str, str]] = {}  # what webhooks have acknowledged, by delivery id
        self.quarantined: set[str] = set()
        self.poisoned: dict[str, bytes] = {}
        self.dead_letters = 0

    def queue(self, task_type: str) -> QueueImage:
        """The image of a queue."""
        return self.queues.setdefault(task_type, QueueImage())

    def partition(self, name: str) -> PartitionImage:
        """The image of a partition."""
        return self.partitions.setdefault(name, PartitionImage())

    def note_ack(self, order: Order, verdict: str, workflow_id: str) -> None:
        """A client was told what became of its start."""
        self.acks.append((order, verdict, workflow_id or order.workflow_id))
        if verdict not in ("OK", "EXISTS"):
            raise Violation(f"S1: start of {order.workflow_id} was answered {verdict}")
        if verdict == "EXISTS" and self.holders.get(order.idempotency_field) != workflow_id:
            raise Violation(f"S1: {order.idempotency_field!r} is held by another than {workflow_id}")

    def note_answer(self, request_id: str, answer: bytes) -> None:
        """A client was given the answer to a request: the same one every time."""
        if self.answers.setdefault(request_id, answer) != answer:
            raise Violation(f"S14: request {request_id} was answered twice, and not alike")

    def note_view(self, workflow_id: str, shown: Workflow | None) -> None:
        """A client looked at a workflow that it had started."""
        if shown is None and workflow_id not in self.removals:
            raise Violation(f"S1: acknowledged workflow {workflow_id} cannot be seen")

    def waits_for_word(self, run: Run) -> bool:
        """Whether a child that waits for a signal is to get one: not when its parent's task is over, which ends it.

        One that an operator let go on may have no parent that waits for it.
        """
        if run.name != PATIENT or run.parent_task is None or run.parent_id is None:
            return False
        return bool(self.attempts[run.parent_task].is_open or self.runs[run.parent_id].is_removed or run.generation)

    def close(self, task_id: str) -> None:
        """An attempt has no dispatch entry any more."""
        attempt = self.attempts.get(task_id)
        if attempt is not None:
            attempt.is_open = False
        self.waiting.pop(task_id, None)
