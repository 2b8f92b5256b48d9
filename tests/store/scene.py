"""One partition on a store, spoken to in the words of the tests: start, own, open a task, look at everything.

Used by the tests of the partition's scripts. The clock is the slot's declared one and moves only by ``at``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.model.events import Event
from orchestrator.model.records import FORMAT, Meta, Outcome, Scheduled, encode
from orchestrator.plan import Command
from orchestrator.store.commit import CommitBatch, CommitReply, Section
from orchestrator.store.dispatch import open_task
from orchestrator.store.executors import SyncExecutor
from orchestrator.store.inbox import Entry, Wake, read_inbox
from orchestrator.store.keys import Keys
from orchestrator.store.ownership import acquire
from orchestrator.store.partition import NewWorkflow, StartReply, start
from orchestrator.store.timers import timer_member

NOON = 4_000_000_000_000  # later than any server's clock, so that its times come before the scene's
SUFFIX = "abcdefghijkl"
OWNER = "decider-1"
META = encode(Meta(FORMAT, "order", 1, "hash"))
DONE = encode(Outcome(FORMAT, "COMPLETED"))


def new(workflow_id: str, request_id: str = "r1", **options: Any) -> NewWorkflow:
    """An execution of a definition that comes along."""
    given = {"name": "order", "definition_hash": "hash", "definition_body": b"body", "meta": META, "input": b"\x80"}
    return NewWorkflow(workflow_id, request_id, **{**given, **options})


class Scene:
    """Partition 1 of a small installation, at noon."""

    def __init__(self, store: SyncExecutor, keys: Keys) -> None:
        self.store = store
        self.keys = keys
        self.partition = 1
        self.epoch = 0
        if store.profile.declared_clock:
            self.at(NOON)

    def do(self, step: Any) -> Any:
        """Send one step."""
        return self.store.do(step)

    def at(self, now_ms: int) -> None:
        """Set the slot's clock."""
        self.do(Command(("SET", self.keys.partition_clock(self.partition), now_ms)))

    def start(self, workflow_id: str = "w1", request_id: str = "r1", **options: Any) -> StartReply:
        """Start an execution; options as for ``NewWorkflow``."""
        (reply,) = self.start_all([new(workflow_id, request_id, **options)])
        if isinstance(reply, Exception):
            raise reply
        return reply

    def start_all(self, starts: Sequence[NewWorkflow]) -> list[StartReply | Exception]:
        """Start executions with one script."""
        replies: list[StartReply | Exception] = self.do(start(self.keys, self.partition, starts))
        return replies

    def own(self, owner: str = OWNER) -> int:
        """Take the partition and remember the epoch."""
        self.epoch = self.do(acquire(self.keys, self.partition, owner, 10_000)).epoch
        return self.epoch

    def inbox(self) -> list[Entry]:
        """Every entry of the inbox that concerns a workflow; a garbled one fails the test."""
        entries = [entry for entry in self.do(read_inbox(self.keys, self.partition)) if not isinstance(entry, Wake)]
        assert all(isinstance(entry, Entry) for entry in entries), entries
        return entries

    def events(self) -> list[Event]:
        """What the entries of the inbox say."""
        return [entry.event for entry in self.inbox()]

    def wakes(self) -> list[Wake]:
        """The entries that only woke the owner."""
        return [entry for entry in self.do(read_inbox(self.keys, self.partition)) if isinstance(entry, Wake)]

    def batch(self, **options: Any) -> CommitBatch:
        """An empty commit of the present owner."""
        return CommitBatch(self.keys, self.partition, self.epoch, OWNER, **options)

    def commit(self, batch: CommitBatch) -> CommitReply:
        """Run a commit."""
        reply: CommitReply = self.do(batch.call())
        return reply

    def section(self, batch: CommitBatch, workflow_id: str = "w1") -> Section:
        """A section on the workflow as it is now, for all of its events."""
        version = self.do(Command(("HGET", self.keys.workflow(self.partition, workflow_id), "v"))) or b""
        return batch.section(
            workflow_id, version.decode(), [item.id for item in self.inbox() if item.workflow_id == workflow_id]
        )

    def open(self, workflow_id: str = "w1", suffix: str = SUFFIX, ref: str = "charge", **options: Any) -> str:
        """Start a workflow (if need be) and commit one open task attempt with a poll time-out; gives the task id."""
        if not self.do(Command(("EXISTS", self.keys.workflow(self.partition, workflow_id)))):
            self.start(workflow_id)
        self.own()
        batch = self.batch()
        section = self.section(batch, workflow_id)
        record = Scheduled(FORMAT, ref, "charge", "charge", 1, 0, 0, 0, NOON, NOON)
        section.put_workflow("S" + ref, encode(record))
        section.put_dispatch([suffix, open_task(ref, **options)])
        section.arm([NOON + 60_000, timer_member(workflow_id, suffix, ref)])
        assert [verdict for verdict, _ in self.commit(batch).verdicts] == ["OK"]
        return f"{workflow_id}-{suffix}"

    def dispatch(self, workflow_id: str = "w1", suffix: str = SUFFIX) -> str:
        """The stored dispatch text of a task."""
        text: bytes = self.do(Command(("HGET", self.keys.dispatch(self.partition, workflow_id), suffix)))
        return text.decode()

    def timers(self) -> dict[str, int]:
        """Every armed timer: member -> due time."""
        flat = self.do(Command(("ZRANGE", self.keys.timers(self.partition), 0, -1, "WITHSCORES")))
        return {member.decode(): int(float(due)) for member, due in zip(flat[::2], flat[1::2], strict=True)}

    def spoil(self, key: str) -> None:
        """Put foreign data under ``key``."""
        self.do([Command(("DEL", key)), Command(("SET", key, "foreign"))])

    def everything(self) -> dict[bytes, Any]:
        """All keys with their contents and whether they expire: a refused script must leave this equal."""
        found: dict[bytes, Any] = {}
        for key in sorted(self.do(Command(("KEYS", "*")))):
            kind = self.do(Command(("TYPE", key)))
            words = {
                b"hash": ("HGETALL", key),
                b"stream": ("XRANGE", key, "-", "+"),
                b"zset": ("ZRANGE", key, 0, -1, "WITHSCORES"),
                b"string": ("GET", key),
                b"set": ("SMEMBERS", key),
                b"list": ("LRANGE", key, 0, -1),
            }[kind]
            content = self.do(Command(words))
            if kind == b"hash":
                content = dict(zip(content[::2], content[1::2], strict=True))
            found[key] = (kind, content, self.do(Command(("PTTL", key))) > 0)
        return found
