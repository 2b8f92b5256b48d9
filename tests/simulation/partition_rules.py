"""The rules of a partition's slot, checked at every step that may write to it.

Inbox, outbox and timers are read back raw after the step; whatever came or went must be explained by the call and its
reply. Covers S1 to S4, S12 to S14, S16 and S20; what a commit writes is judged by the rules of history.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.plan import Argument, Call, Command
from orchestrator.store.keys import Keys
from tests.simulation.family_rules import FamilyRules
from tests.simulation.history_rules import HistoryRules
from tests.simulation.hook_rules import HookRules
from tests.simulation.ledger import Attempt, Ledger, PartitionImage, Run, Violation, unpacked
from tests.simulation.sections import read_commit
from tests.simulation.totals import Totals

Judge = Callable[[Call, Any, PartitionImage, PartitionImage], None]

_EXPECTED_REASONS = ("the record of workflow", "deciders kept dying on this event")


class PartitionRules:
    """Judges the steps in partition slots."""

    def __init__(self, ledger: Ledger, totals: Totals, keys: Keys, history: HistoryRules, hooks: HookRules) -> None:
        self._ledger = ledger
        self._totals = totals
        self._keys = keys
        self._history = history
        self._families = FamilyRules(ledger)
        self._hooks = hooks
        self._judges: dict[str, Judge] = {
            "accept": self._accept,
            "acquire": self._acquire,
            "commit": self._commit,
            "dead_letter": self._dead_letter,
            "fire_timers": self._fire_timers,
            "quarantine": self._quarantine,
            "release": self._release,
            "remove": self._remove,
            "request": self._request,
            "start": self._start,
            "start_task": self._start_task,
            "suspect": self._suspect,
            "tell": self._tell,
            "touch": self._nothing_but_wakes,
            "unpark": self._unpark,
        }

    def looks(self, name: str) -> list[tuple[Argument, ...]]:
        """What is read behind a step in this partition."""
        keys, number = self._keys, int(name)
        return [
            ("XRANGE", keys.inbox(number), "-", "+"),
            ("XRANGE", keys.outbox(number), "-", "+"),
            ("ZRANGE", keys.timers(number), 0, -1, "WITHSCORES"),
        ]

    def judge(self, step: Call | Command, name: str, reply: Any, looks: Sequence[Any], clock_ms: int) -> None:
        """Compare the slot before and after a step with what the step may do."""
        before = self._ledger.partition(name)
        after = _image(looks, before)
        self._clock_ms = clock_ms
        self._partition = name
        if isinstance(step, Command):
            self._command(step, before, after)
        else:
            self._judges[step.script](step, reply, before, after)
        self._ledger.partitions[name] = after

    # --- plain commands ------------------------------------------------------------------------------------------------

    def _command(self, step: Command, before: PartitionImage, after: PartitionImage) -> None:
        words = [str(word) for word in step.words[2:]]
        if step.words[0] == "XDEL" and step.words[1] == self._keys.outbox(int(self._partition)):
            self._left_outbox(before, after, words)
            self._same_events(before, after)
        elif step.words[0] == "XDEL":
            for event_id in _gone(before.events, after.events):
                _expect("S2", before.events[event_id]["k"] == b"wake", f"event {event_id} was deleted by a plain XDEL")
        else:
            raise Violation(f"S18: the plain command {step.words[:2]} is not expected in a partition")
        _expect("S16", before.timers == after.timers, f"{step.words[0]} changed timers")

    # --- events come in -------------------------------------------------------------------------------------------------

    def _start(self, call: Call, reply: Any, before: PartitionImage, after: PartitionImage) -> None:
        first = 2 + 2 * int(call.args[0])
        asked = [call.args[at : at + 10] for at in range(first, len(call.args), 10)]
        came = 0
        for (workflow_id, _, _, field, _, _, _, meta, *_), answer in zip(asked, reply, strict=True):
            if answer[0] in (b"OK", b"EXISTS", b"TOMB"):
                self._ledger.delivered.add(("s", str(workflow_id)))
            if answer[0] == b"OK" and str(workflow_id) not in self._ledger.runs:
                came += 1
                self._born(str(workflow_id), str(field), unpacked(_bytes(meta)))
        self._came(before, after, "start", came)

    def _born(self, workflow_id: str, field: str, meta: Any) -> None:
        if field:
            holder = self._ledger.holders.setdefault(field, workflow_id)
            other = self._ledger.runs.get(holder)
            free = other is None or other.is_removed or holder == workflow_id
            _expect("S1", free, f"{field!r} started both {holder} and {workflow_id}")
            self._ledger.holders[field] = workflow_id
        run = Run(
            workflow_id, meta[1], self._partition, field, failure_of=meta[12], parent_id=meta[8], parent_task=meta[9]
        )
        self._families.born(run)
        self._ledger.runs[workflow_id] = run
        self._totals.workflows += 1

    def _accept(self, call: Call, reply: Any, before: PartitionImage, after: PartitionImage) -> None:
        claimant, count = str(call.args[0]), int(call.args[1])
        taken = 0
        for index in range(count):
            _, workflow_id, suffix, delivery, final, body = call.args[2 + 6 * index : 8 + 6 * index]
            if claimant == "relay":
                self._ledger.delivered.add(("p", f"{workflow_id!s}-{suffix!s}"))
            if reply[index] != b"OK":
                continue
            taken += 1
            attempt = self._open_attempt("S4", f"{workflow_id!s}-{suffix!s}")
            _expect("S4", attempt.accepted is None, f"a second outcome of {attempt.task_id} was accepted")
            if int(delivery) >= 0:
                said = (int(delivery), claimant)
                _expect(
                    "S13", attempt.started == said, f"{said} was heard of {attempt.task_id}: {attempt.started} runs"
                )
            if int(final):
                attempt.accepted = unpacked(_bytes(body))
                self._families.said(attempt)
                if claimant == "webhook":
                    self._hooks.ended(attempt)
                self._ledger.waiting.pop(attempt.task_id, None)
                self._totals.outcomes += 1
        self._came(before, after, "task", taken)
        _expect("S16", before.timers == after.timers, "accept changed timers")

    def _tell(self, call: Call, reply: Any, before: PartitionImage, after: PartitionImage) -> None:
        action, task_id, *_ = unpacked(_bytes(call.args[1]))
        self._came(before, after, "told", int(reply[0] == b"OK"))
        _expect("S16", before.timers == after.timers, "tell changed timers")
        self._ledger.delivered.add(("c" if action == "cancel" else "v", task_id))

    def _request(self, call: Call, reply: Any, before: PartitionImage, after: PartitionImage) -> None:
        self._came(before, after, "op", int(reply[0] == b"SENT"))

    def _fire_timers(self, call: Call, reply: Any, before: PartitionImage, after: PartitionImage) -> None:
        self._by_owner(str(call.args[1]), int(call.args[0]), reply)
        fired = _gone(before.timers, after.timers)
        for member in fired:
            due = before.timers[member]
            _expect("S16", due <= self._clock_ms, f"timer {member!r} fired {due - self._clock_ms} ms early")
        self._came(before, after, "timer", len(fired))
        self._totals.timers += len(fired)

    def _start_task(self, call: Call, reply: Any, before: PartitionImage, after: PartitionImage) -> None:
        claimant, count = str(call.args[0]), int(call.args[1])
        for index in range(count):
            _, workflow_id, suffix, number = call.args[2 + 4 * index : 6 + 4 * index]
            if reply[index][0] != b"OK":
                continue
            delivery = int(number)
            attempt = self._open_attempt("S12", f"{workflow_id!s}-{suffix!s}")
            _expect("S12", attempt.accepted is None, f"{attempt.task_id} was handed out after its outcome was accepted")
            known = attempt.started
            newer = known is None or delivery > known[0] or (delivery, claimant) == known
            _expect("S12", newer, f"{attempt.task_id}: {(delivery, claimant)} was let begin after {known}")
            attempt.starts += known != (delivery, claimant)
            self._totals.re_executions += attempt.starts > 1 and known != (delivery, claimant)
            attempt.started = (delivery, claimant)
        self._nothing_but_wakes(call, reply, before, after)

    def _nothing_but_wakes(self, call: Call, reply: Any, before: PartitionImage, after: PartitionImage) -> None:
        _expect("S2", not _gone(before.events, after.events), f"{call.script} removed events")
        kinds = {after.events[event_id]["k"] for event_id in _gone(after.events, before.events)}
        _expect("S2", kinds <= {b"wake"}, f"{call.script} added events {kinds}")
        _expect("S16", not _gone(before.timers, after.timers), f"{call.script} removed timers")

    # --- events go ------------------------------------------------------------------------------------------------------

    def _commit(self, call: Call, reply: Any, before: PartitionImage, after: PartitionImage) -> None:
        view = read_commit(call)
        self._by_owner(view.owner, view.epoch, reply)
        if reply[0] == b"FENCED":
            self._same_events(before, after)
            return
        settled: set[str] = set()
        disarmed: set[str] = set()
        letters = notes = 0
        for index, section in enumerate(view.sections):
            verdict = reply[3 + 2 * index]
            self._totals.verdicts[verdict.decode()] += 1
            if verdict != b"OK":
                continue
            for event_id in section.events:
                known = before.events.get(event_id)
                _expect("S2", known is not None, f"event {event_id} was committed and is not in the inbox")
                mine = known is not None and known["w"].decode() == section.workflow_id
                _expect("S2", mine, f"event {event_id} belongs to another workflow than {section.workflow_id}")
            settled |= set(section.events)
            kinds = [before.events[event_id]["k"] for event_id in section.events]
            letters += section.has("O")
            notes += section.has("G")
            disarmed |= {str(member) for op in section.operations if op.code == "R" for member in op.args}
            self._history.judge(section, kinds)
        left = _gone(before.events, after.events)
        _expect("S2", left == settled, f"commit settled {settled} and removed {left}")
        came = _gone(after.events, before.events)
        _expect("S2", len(came) == notes, f"commit left {notes} notes and added {len(came)} events")
        _expect("S16", _gone(before.timers, after.timers) <= disarmed, "commit removed timers it did not name")
        new_letters = _gone(after.outbox, before.outbox)
        _expect("S15", len(new_letters) == letters, f"commit was to leave {letters} outbox entries, left {new_letters}")
        self._left_outbox(before, after, view.relayed)

    def _left_outbox(self, before: PartitionImage, after: PartitionImage, named: Sequence[str]) -> None:
        for entry_id in _gone(before.outbox, after.outbox):
            _expect("S20", entry_id in named, f"outbox entry {entry_id} vanished")
            for handoff in before.outbox[entry_id]:
                kind, name = handoff[0], handoff[1] if handoff[0] == "s" else handoff[2]
                arrived = (kind, name) in self._ledger.delivered
                _expect("S20", arrived, f"hand-off {kind} {name} was deleted before it arrived")

    def _dead_letter(self, call: Call, reply: Any, before: PartitionImage, after: PartitionImage) -> None:
        self._by_owner(str(call.args[1]), int(call.args[0]), reply)
        gone = _gone(before.events, after.events)
        for event_id in gone:
            workflow_id = before.events[event_id]["w"].decode()
            _expect("S2", workflow_id in self._ledger.removals, f"event {event_id} of {workflow_id} was thrown away")
        _expect("S2", gone <= set(map(str, call.args[3:])), "dead_letter removed other events")
        self._totals.dead_letters += len(gone)
        self._ledger.dead_letters += len(gone)

    def _quarantine(self, call: Call, reply: Any, before: PartitionImage, after: PartitionImage) -> None:
        self._by_owner(str(call.args[1]), int(call.args[0]), reply)
        if reply[0] != b"OK":
            self._same_events(before, after)
            return
        workflow_id = call.keys[2].split(":w:", 1)[1]
        reason = str(call.args[2])
        for event_id in _gone(before.events, after.events):
            _expect("S2", event_id in map(str, call.args[3:]), f"quarantine removed {event_id}")
        # Without a reason these are further events of a workflow that is in quarantine.
        _expect("S2", not reason or reason.startswith(_EXPECTED_REASONS), f"{workflow_id} was quarantined: {reason}")
        self._totals.quarantines += workflow_id not in self._ledger.quarantined
        self._ledger.quarantined.add(workflow_id)

    def _unpark(self, call: Call, reply: Any, before: PartitionImage, after: PartitionImage) -> None:
        workflow_id = call.keys[0].split(":w:", 1)[1]
        moved = [event for event_id, event in before.events.items() if event_id not in after.events]
        came = [after.events[event_id] for event_id in after.events if event_id not in before.events]
        mine = all(event["w"].decode() == workflow_id for event in moved)
        _expect("S2", mine and (not moved or came[-len(moved) :] == moved), f"unpark lost events: {moved} {came}")
        if reply[0] == b"OK":
            _expect("S2", len(came) == reply[1] + len(moved), f"unpark moved {reply[1]} events, {len(came)} came")
            if reply[2] == 0:
                self._ledger.quarantined.discard(workflow_id)

    def _remove(self, call: Call, reply: Any, before: PartitionImage, after: PartitionImage) -> None:
        self._same_events(before, after)
        run = self._ledger.runs[str(call.args[0])]
        if reply[0] == b"OK":
            run.is_removed = True
            self._ledger.quarantined.discard(run.workflow_id)
            for attempt in self._ledger.attempts.values():
                if attempt.workflow_id == run.workflow_id:
                    self._ledger.close(attempt.task_id)

    # --- ownership ------------------------------------------------------------------------------------------------------

    def _acquire(self, call: Call, reply: Any, before: PartitionImage, after: PartitionImage) -> None:
        if reply[0] == b"OK":
            owner, epoch = before.owner
            taker = str(call.args[0])
            wanted = epoch if taker == owner else epoch + 1
            _expect("S14", reply[1] == wanted, f"{taker} got epoch {reply[1]} after {before.owner}")
            self._totals.takeovers += taker != owner and str(call.args[2]) == "1"
            after.owner = (taker, reply[1])
        self._same_events(before, after)

    def _release(self, call: Call, reply: Any, before: PartitionImage, after: PartitionImage) -> None:
        self._by_owner(str(call.args[1]), int(call.args[0]), reply)
        if reply[0] == b"OK":
            after.owner = ("", before.owner[1])
        self._same_events(before, after)

    def _suspect(self, call: Call, reply: Any, before: PartitionImage, after: PartitionImage) -> None:
        self._by_owner(str(call.args[1]), int(call.args[0]), reply)
        self._same_events(before, after)

    def _by_owner(self, owner: str, epoch: int, reply: Any) -> None:
        """Only the present owner, under its present epoch, is not refused."""
        present = self._ledger.partition(self._partition).owner
        is_present = present == (owner, epoch)
        _expect("S14", (reply[0] != b"FENCED") == is_present, f"{(owner, epoch)} got {reply[0]!r}, owner is {present}")

    # --- parts ------------------------------------------------------------------------------------------------------------

    def _open_attempt(self, rule: str, task_id: str) -> Attempt:
        attempt = self._ledger.attempts.get(task_id)
        if attempt is None or not attempt.is_open:
            raise Violation(f"{rule}: {task_id} is not open: {attempt}")
        return attempt

    def _came(self, before: PartitionImage, after: PartitionImage, kind: str, count: int) -> None:
        _expect("S2", not _gone(before.events, after.events), f"a step that adds {kind} events removed some")
        came = [after.events[event_id]["k"].decode() for event_id in _gone(after.events, before.events)]
        _expect("S2", came == [kind] * count, f"expected {count} {kind} events, found {came}")
        self._totals.events += count

    def _same_events(self, before: PartitionImage, after: PartitionImage) -> None:
        _expect("S2", before.events.keys() == after.events.keys(), "events came or went without a reason")


def _image(looks: Sequence[Any], before: PartitionImage) -> PartitionImage:
    inbox, outbox, timers = looks
    events = {
        entry_id.decode(): {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
        for entry_id, flat in inbox
    }
    letters = {entry_id.decode(): unpacked(flat[1]) for entry_id, flat in outbox}
    armed = {member.decode(): int(float(due)) for member, due in zip(timers[::2], timers[1::2], strict=True)}
    offered = {handoff[2] for letter in letters.values() for handoff in letter if handoff[0] == "q"}
    return PartitionImage(events, letters, armed, before.owner, offered)


def _gone(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return before.keys() - after.keys()


def _expect(rule: str, holds: bool, text: str) -> None:
    if not holds:
        raise Violation(f"{rule}: {text}")


def _bytes(argument: Argument) -> bytes:
    return argument if isinstance(argument, bytes) else str(argument).encode()
