"""Runs a step and lets every rule look at it: the one way from the actors to the disk.

Which slot a step belongs to decides which rules look; a sample of refused steps is checked to have changed nothing
(S14), every step to stay inside one slot (S18).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from orchestrator.plan import Argument, Call, Command
from orchestrator.store.keys import Keys
from tests.simulation.disk import READ_ONLY, Clocks, Disk, Slot, keys_of, name_of, slot_of
from tests.simulation.final_rules import FinalRules
from tests.simulation.gate_rules import GateRules
from tests.simulation.history_rules import HistoryRules
from tests.simulation.hook_rules import HookRules
from tests.simulation.ledger import Ledger, Violation
from tests.simulation.partition_rules import PartitionRules
from tests.simulation.queue_rules import WRITERS, QueueRules
from tests.simulation.sections import read_commit
from tests.simulation.totals import Totals
from tests.simulation.workload import Workload

DIGEST_EVERY = 8
INDEXES_EVERY = 60
REFUSALS = {
    b"FENCED", b"HELD", b"OLD", b"DOMAINS", b"TAKEN", b"EXISTS", b"NODEF", b"TOMB", b"UNKNOWN", b"CONFLICT", b"RUNNING",
    b"FREE", b"PENDING", b"ANSWERED",
}  # fmt: skip
EACH_REFUSED = {b"STALE", b"GONE", b"DUP", b"CORRUPT", b"LOST"}
"""A reply that consists of these alone says that nothing was changed; DUP and EXISTS rewrite what is there."""


class Outcome(NamedTuple):
    """What a step brought: its raw reply, the partition whose inbox grew, the queue that changed."""

    reply: Any
    inboxes_grown: tuple[int, ...] = ()
    task_type: str = ""


class Rules:
    """All rules of one world."""

    def __init__(
        self, ledger: Ledger, totals: Totals, keys: Keys, disk: Disk, workload: Workload, clocks: Clocks, seed: int
    ) -> None:
        self._ledger = ledger
        self._disk = disk
        self._clocks = clocks
        self._history = HistoryRules(ledger, workload)
        self._hooks = HookRules(ledger, keys)
        self._partitions = PartitionRules(ledger, totals, keys, self._history, self._hooks)
        self._queues = QueueRules(ledger, totals)
        self._gates = GateRules(ledger, workload.at_once)
        self._finals = FinalRules(ledger, keys, disk, workload, self._hooks)
        self._sample = random.Random(f"{seed} sample")
        self._count = 0

    def attempted(self, step: Call | Command) -> None:
        """An actor is about to send a step, whatever becomes of it: a commit is compared with its earlier self."""
        if isinstance(step, Call) and step.script == "commit":
            events = self._ledger.partition(slot_of(step.keys[0]).name).events
            for section in read_commit(step).sections:
                known = [events.get(event_id) for event_id in section.events]
                if all(event is not None for event in known):
                    self._history.compare(section, [event["k"] for event in known if event is not None])

    def run(self, step: Call | Command) -> Outcome:
        """Execute a step on the disk under the eyes of the rules; raises ``Violation``."""
        slot = _one_slot(step)
        if name_of(step) in READ_ONLY or slot.kind == "c":
            return Outcome(_sound(step, self._disk.run(step, ()).reply))
        if slot.kind == "g":
            return self._at_gate(step)
        if slot.kind == "e":
            return self._in_events(step, slot)
        if slot.kind == "q":
            return self._in_queue(step, slot)
        return self._in_partition(step, slot)

    def is_quiet(self) -> bool:
        """Whether nothing is left to be done."""
        return self._finals.is_quiet()

    def what_is_left(self) -> str:
        """What is still to be done."""
        return self._finals.what_is_left()

    def has_recovered(self, events: set[str], grace_ms: int) -> None:
        """What has had to happen a while after the last fault."""
        self._finals.no_event_waits(events)
        for task_type in self._ledger.queues:
            self._finals.no_lease_is_forgotten(task_type, self._clocks.of(Slot("q", task_type)) - grace_ms)

    def nothing_waits(self, task_types: Sequence[str], since_ms: int) -> None:
        """L5: no task of these types has been ready for long beside somebody who has slept for them since then."""
        self._queues.nothing_waits(task_types, since_ms, self._clocks.now)

    def at_rest(self) -> None:
        """The thorough check at the end."""
        self._finals.everything_is_in_order()

    def _in_partition(self, step: Call | Command, slot: Slot) -> Outcome:
        before = self._ledger.partition(slot.name).events.keys()
        reply, looks = self._watched(step, self._partitions.looks(slot.name))
        self._partitions.judge(step, slot.name, reply, looks, self._clocks.of(slot))
        self._finals.no_task_is_lost()
        self._count += 1
        if self._count % INDEXES_EVERY == 0:
            self._finals.indexes_match()
        grown = self._ledger.partition(slot.name).events.keys() - before
        return Outcome(reply, (int(slot.name),) if grown else ())

    def _at_gate(self, step: Call | Command) -> Outcome:
        reply, looks = self._watched(step, [("ZCARD", keys_of(step)[0])])
        self._gates.judge(step, looks[0])
        return Outcome(reply)

    def _in_events(self, step: Call | Command, slot: Slot) -> Outcome:
        reply, looks = self._watched(step, self._hooks.looks(slot.name))
        self._hooks.judge(step, reply, looks)
        return Outcome(reply)

    def _in_queue(self, step: Call | Command, slot: Slot) -> Outcome:
        if isinstance(step, Command) and step.words[0] == "LPUSH":
            reply, _ = self._watched(step, ())
            self._queues.put_back(step, slot.name)
            return Outcome(reply, task_type=slot.name)
        if not isinstance(step, Call) or step.script not in WRITERS:
            reply, _ = self._watched(step, ())
            return Outcome(reply)
        reply, looks = self._watched(step, self._queues.looks(step))
        self._queues.judge(step, slot.name, reply, looks, self._clocks.of(slot), self._clocks.now)
        self._finals.no_task_is_lost()
        return Outcome(reply, task_type=slot.name)

    def _watched(self, step: Call | Command, looks: Sequence[Sequence[Argument]]) -> tuple[Any, list[Any]]:
        found = self._disk.run(step, looks, digest=self._sample.randrange(DIGEST_EVERY) == 0)
        reply = _sound(step, found.reply)
        if found.digests is not None and _is_refusal(step, reply) and found.digests[0] != found.digests[1]:
            raise Violation(f"S14: {name_of(step)} was refused ({reply}) and changed something")
        return reply, found.looks


def _one_slot(step: Call | Command) -> Slot:
    slots = {slot_of(key) for key in keys_of(step)}
    if len(slots) != 1:
        raise Violation(f"S18: {name_of(step)} names keys of {slots}")
    return slots.pop()


def _sound(step: Call | Command, reply: Any) -> Any:
    if isinstance(reply, Exception):
        raise Violation(f"S14: {name_of(step)} failed: {reply}")
    return reply


def _is_refusal(step: Call | Command, reply: Any) -> bool:
    if (
        not isinstance(reply, list) or not reply or name_of(step) in ("ensure_domain", "key_queue")
    ):  # which answers with the list it made
        return False
    if isinstance(reply[0], bytes) and reply[0] in REFUSALS:
        return True
    words = [item[0] if isinstance(item, list) and item else item for item in reply]
    return all(isinstance(word, bytes) and word in EACH_REFUSED for word in words)
