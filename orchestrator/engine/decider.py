"""The decider: reads what happened to the workflows of its partitions, asks the pure heart, commits, delivers.

One turn, top to bottom: ``beat`` (say that we live, take and give up partitions) when it is due, ``redrive`` what was not
delivered, ``fire_timers``, ``read`` the inboxes, ``advance`` them (load, decide, commit: one script per partition and
batch) and ``deliver`` what the commits handed off. Every step is a plan, so the process, the in-process test environment
and the simulator run this code.

Whatever goes wrong with a partition, ``reset`` forgets all that was derived from reads and starts again from the inbox
and the outbox, which hold everything that is not done yet. An event leaves the inbox only by a commit, a quarantine or a
dead letter.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from orchestrator.core.facts import Facts
from orchestrator.engine.batch import Batch
from orchestrator.engine.definitions import LiveDefinitions
from orchestrator.engine.estate import Estate
from orchestrator.engine.ownership import assignment
from orchestrator.engine.programs import Programs
from orchestrator.engine.relay import Letter, Relay
from orchestrator.engine.witness import Witness
from orchestrator.model.effects import decode_handoffs
from orchestrator.plan import Command, Plan
from orchestrator.store import installation, ownership, quarantine, timers
from orchestrator.store.context import StoreContext
from orchestrator.store.inbox import Entry, Garbled, Wake, forget_wakes, read_inbox, read_outbox
from orchestrator.store.ownership import HeldBy

log = logging.getLogger(__name__)

InboxEntry = Entry | Wake | Garbled

EVENTS_PER_READ = 100
OUTBOX_PER_READ = 100
TIMERS_PER_TURN = 200
DELIVER_AGAIN_MS, DELIVER_AGAIN_MS_MAX = 250, 5_000
"""After so long a hand-off that its receiver refused is offered again; the pause doubles while that goes on."""

DEATHS_BEFORE_QUARANTINE = 2
"""Counted deaths on one event after careful mode began (which three uncounted ones did): five in all."""


class Decider:
    """One decider process's work, without the waiting."""

    def __init__(self, store: StoreContext, name: str, environment: Mapping[str, str] | None = None) -> None:
        self.store = store
        self.name = name
        self.estates: dict[int, Estate] = {}
        self.programs = Programs()
        self.definitions = LiveDefinitions(store)
        self.relay = Relay(store)
        self.environment = store.settings.env_values if environment is None else environment
        self.clock_ms = 0  # the store's clock as last seen
        self.deliver_again_ms = 0  # when refused hand-offs are due again, on that clock
        self._deliver_pause_ms = DELIVER_AGAIN_MS
        self.witness: Witness | None = None
        self.repairs = 0  # tasks the sweep had to offer again; stays 0 unless the store lost writes

    # --- who owns what ------------------------------------------------------------------------------------------------

    def beat(self) -> Plan[None]:
        """Renew what is ours, take what should be ours, give up what should not; refresh the live definitions."""
        settings = self.store.settings
        live: list[str] = yield installation.decider_beat(self.store.keys, self.name, settings.ownership_ms)
        owners = assignment({*live, self.name}, settings.partitions)
        rightful = {number for number, owner in owners.items() if owner == self.name}
        for number in sorted(set(self.estates) - rightful):
            yield from self._give_up(self.estates[number])
        wanted = sorted(rightful)
        replies = yield [ownership.acquire(self.store.keys, n, self.name, settings.ownership_ms) for n in wanted]
        for number, reply in zip(wanted, replies, strict=True):
            self._note_ownership(number, reply)
        yield from self.definitions.refresh()

    def _note_ownership(self, number: int, reply: Any) -> None:
        if isinstance(reply, Exception):
            log.warning("ownership_unclear", extra={"partition": number, "reason": str(reply)})
            return
        held = self.estates.get(number)
        if isinstance(reply, HeldBy):
            if held is not None:
                log.warning("partition_lost", extra={"partition": number, "owner": reply.owner})
                del self.estates[number]
            return
        if held is None or held.epoch != reply.epoch:
            self.estates[number] = Estate(number, reply.epoch, reply.crashes)
            log.info("partition_acquired", extra={"partition": number, "epoch": reply.epoch, "crashes": reply.crashes})

    def _give_up(self, estate: Estate) -> Plan[None]:
        yield from self.flush([estate])
        del self.estates[estate.number]
        yield ownership.release(self.store.keys, estate.number, estate.epoch, self.name)
        log.info("partition_released", extra={"partition": estate.number})

    def leave(self) -> Plan[None]:
        """Hand everything over: the end of a clean shutdown."""
        for estate in list(self.estates.values()):
            yield from self._give_up(estate)
        yield installation.decider_leave(self.store.keys, self.name)

    # --- one turn -----------------------------------------------------------------------------------------------------

    def turn(self) -> Plan[int]:
        """Everything there is to do right now, without waiting for more. Returns the number of entries handled."""
        yield from self.redrive()
        yield from self.fire_timers()
        replies = yield from self.read()
        return (yield from self.advance(replies))

    def read(self) -> Plan[list[tuple[Estate, Sequence[InboxEntry]]]]:
        """New inbox entries of every partition, without blocking."""
        estates = list(self.estates.values())
        if not estates:
            return []
        replies = yield [
            read_inbox(self.store.keys, estate.number, estate.cursor, self.entries_per_read(estate))
            for estate in estates
        ]
        return [(e, reply) for e, reply in zip(estates, replies, strict=True) if not isinstance(reply, Exception)]

    @staticmethod
    def entries_per_read(estate: Estate) -> int:
        """How much of a partition's inbox is taken at a time."""
        return 1 if estate.careful else EVENTS_PER_READ

    def advance(self, found: Sequence[tuple[Estate, Sequence[InboxEntry]]]) -> Plan[int]:
        """Decide and commit new inbox entries by partition, then deliver what the commits handed off.

        A partition with events to try again, or under care, is named even when nothing new was found in it. Returns the
        number of new entries.
        """
        work: list[tuple[Estate, list[Entry]]] = []
        handled = 0
        for estate, new in found:
            entries = yield from self._take(estate, new)
            handled += len(new)
            if entries:
                work.append((estate, entries))
        if work:
            try:
                letters = yield from Batch(self, work).run()
                yield from self.deliver(letters)
            except Exception:
                # Whatever it was, the inbox and the outbox still hold what is not done: begin again from there.
                for estate, _ in work:
                    self.reset(estate)
                raise
        return handled

    def _take(self, estate: Estate, new: Sequence[InboxEntry]) -> Plan[list[Entry]]:
        """Delete wake-ups, put garbled entries aside; in careful mode count before beginning."""
        keys, number = self.store.keys, estate.number
        entries = [item for item in new if isinstance(item, Entry)]
        estate.fresh = 0 if estate.retry or estate.careful else len(entries)
        if new:
            estate.cursor = new[-1].id
        else:
            estate.careful = False  # what the dead owners left behind is done
        if len(entries) < len(new):
            wakes = [item.id for item in new if isinstance(item, Wake)]
            if wakes:
                yield forget_wakes(keys, number, wakes)
            garbled = [item for item in new if isinstance(item, Garbled)]
            if garbled:
                reason = "; ".join(sorted({item.reason for item in garbled}))
                log.error("event_garbled", extra={"partition": number, "events": len(garbled), "reason": reason})
                ids = [item.id for item in garbled]
                yield quarantine.dead_letter(keys, number, estate.epoch, self.name, reason, ids)
        if estate.careful and entries:
            entries = yield from self._count(estate, entries)
        if estate.retry:
            entries = sorted([*estate.retry, *entries], key=_position)
            estate.retry = []
        return entries

    def _count(self, estate: Estate, entries: list[Entry]) -> Plan[list[Entry]]:
        """Note each event as begun before beginning it; one that owners keep dying on is quarantined."""
        counts = yield ownership.suspect(
            self.store.keys, estate.number, estate.epoch, self.name, [entry.id for entry in entries]
        )
        if counts is None:
            self.lose(estate)
            return []
        sound = []
        for entry, count in zip(entries, counts, strict=True):
            if count > DEATHS_BEFORE_QUARANTINE:
                yield from self.quarantine(estate, [entry], "deciders kept dying on this event")
            else:
                sound.append(entry)
        return sound

    def quarantine(self, estate: Estate, entries: Sequence[Entry], reason: str) -> Plan[None]:
        """Set one workflow aside with these events and the reason; it is never lost and holds up nobody."""
        workflow_id = entries[0].workflow_id
        log.error("workflow_quarantined", extra={"workflow_id": workflow_id, "event": entries[0].id, "reason": reason})
        estate.forget(workflow_id)
        ids = [entry.id for entry in entries]
        place = (self.store.keys, estate.number, estate.epoch, self.name)
        parked = yield quarantine.quarantine(*place, workflow_id, reason, ids)
        if parked.state == "FENCED":
            self.lose(estate)
        elif parked.state != "OK":  # there is no record that could be marked
            yield quarantine.dead_letter(*place, reason, ids)

    def park(self, estate: Estate, entries: Sequence[Entry]) -> Plan[None]:
        """Put further events of a quarantined workflow behind those that wait already."""
        workflow_id, ids = entries[0].workflow_id, [entry.id for entry in entries]
        log.info("events_parked", extra={"workflow_id": workflow_id, "events": len(ids)})
        parked = yield quarantine.park_more(self.store.keys, estate.number, estate.epoch, self.name, workflow_id, ids)
        if parked.state == "FENCED":
            self.lose(estate)
        elif parked.state == "FREE":  # somebody ended the quarantine a moment ago
            estate.retry += entries

    # --- timers -------------------------------------------------------------------------------------------------------

    def fire_timers(self) -> Plan[None]:
        """Turn due timers into events. Partitions whose next timer is known to lie ahead are not asked."""
        due = [e for e in self.estates.values() if e.next_timer_ms is not None and e.next_timer_ms <= self.clock_ms]
        if not due:
            return
        keys = self.store.keys
        found = yield [timers.due_timers(keys, e.number, TIMERS_PER_TURN) for e in due]
        for estate, reply in zip(due, found, strict=True):
            if isinstance(reply, Exception):
                continue
            self.clock_ms = max(self.clock_ms, reply.now_ms)
            estate.next_timer_ms = reply.next_due_ms
            if reply.timers:
                fired = yield timers.fire_timers(keys, estate.number, estate.epoch, self.name, reply.timers)
                if fired.fenced:
                    self.lose(estate)
                    continue
                estate.next_timer_ms = fired.next_due_ms
                if self.witness is not None:
                    for timer in reply.timers:
                        self.witness.fired(reply.now_ms - timer.due_ms)

    def look_at_timers(self) -> None:
        """Ask for the due timers of every partition at the next ``fire_timers``, whatever is known of them."""
        for estate in self.estates.values():
            estate.next_timer_ms = 0

    def next_timer_in_ms(self) -> int | None:
        """How long until something is due by the clock: a timer, a hand-off to try again; None = nothing is known."""
        times = [e.next_timer_ms for e in self.estates.values() if e.next_timer_ms is not None]
        if any(e.undelivered for e in self.estates.values()):
            times.append(self.deliver_again_ms)
        return max(0, min(times) - self.clock_ms) if times else None

    # --- hand-offs ----------------------------------------------------------------------------------------------------

    def redrive(self) -> Plan[None]:
        """Deliver what a previous owner, or we ourselves before a mishap, left in the outbox, and what was refused."""
        for estate in [e for e in self.estates.values() if e.redrive]:
            cursor = "0"
            while True:
                found = yield read_outbox(self.store.keys, estate.number, cursor, OUTBOX_PER_READ)
                yield from self.deliver([letter for item in found for letter in self._letters(estate, *item)])
                if len(found) < OUTBOX_PER_READ:
                    break
                cursor = found[-1][0]
            estate.redrive = False
        waiting = [letter for e in self.estates.values() if e.undelivered for letter in e.undelivered]
        if waiting and self.clock_ms >= self.deliver_again_ms:
            for estate in self.estates.values():
                estate.undelivered = []
            try:
                yield from self.deliver(waiting)
            except Exception:
                for letter in waiting:
                    if letter.partition in self.estates:
                        self.estates[letter.partition].redrive = True
                raise

    def _letters(self, estate: Estate, outbox_id: str, body: bytes) -> list[Letter]:
        """The letter of one outbox entry; one that a newer release wrote stays for somebody who understands it."""
        try:
            return [Letter(estate.number, outbox_id, decode_handoffs(body))]
        except (msgspec.MsgspecError, ValueError) as error:
            extra = {"partition": estate.number, "outbox_id": outbox_id, "reason": str(error)}
            log.error("handoff_unreadable", extra=extra)
            return []

    def deliver(self, letters: Sequence[Letter]) -> Plan[None]:
        """Deliver letters; those that arrived are deleted with the next commit, the others are tried again."""
        if not letters:
            return
        arrived = yield from self.relay.deliver(letters, self.definitions.limits)
        done = {(letter.partition, letter.outbox_id) for letter in arrived}
        if len(done) < len(letters):
            self.deliver_again_ms = self.clock_ms + self._deliver_pause_ms
            self._deliver_pause_ms = min(2 * self._deliver_pause_ms, DELIVER_AGAIN_MS_MAX)
        else:
            self._deliver_pause_ms = DELIVER_AGAIN_MS
        for letter in letters:
            owner = self.estates.get(letter.partition)
            if owner is None:
                continue
            if (letter.partition, letter.outbox_id) in done:
                owner.delivered.append(letter.outbox_id)
            else:
                owner.undelivered.append(letter)

    def flush(self, estates: Sequence[Estate] | None = None) -> Plan[None]:
        """Delete delivered outbox entries that no commit took along: called when there is nothing else to do."""
        chosen = [e for e in (self.estates.values() if estates is None else estates) if e.delivered]
        if not chosen:
            return
        ids = [estate.delivered for estate in chosen]
        for estate in chosen:
            estate.delivered = []
        yield [
            Command(("XDEL", self.store.keys.outbox(estate.number), *outbox_ids))
            for estate, outbox_ids in zip(chosen, ids, strict=True)
        ]

    # --- mishaps ------------------------------------------------------------------------------------------------------

    def reset(self, estate: Estate) -> None:
        """Forget all that was derived from reads of this partition; the store still has it."""
        estate.forget_all()

    def reset_all(self) -> None:
        """After a lost connection: nothing that was under way can be relied on."""
        for estate in self.estates.values():
            estate.forget_all()

    def lose(self, estate: Estate) -> None:
        """Somebody else owns the partition now."""
        log.warning("partition_fenced", extra={"partition": estate.number, "epoch": estate.epoch})
        if self.estates.get(estate.number) is estate:
            del self.estates[estate.number]

    def facts(self) -> Facts:
        """What decisions may know of the outside world right now."""
        return self.definitions.facts(self.environment)


def _position(entry: Entry) -> tuple[int, ...]:
    """Where an entry stands in its stream."""
    return tuple(map(int, entry.id.split("-")))
