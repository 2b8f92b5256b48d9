"""The decider: reads what happened to the workflows of its partitions, asks the pure heart, commits, delivers.

One turn, top to bottom: ``beat`` (say that we live, take and give up partitions) when it is due, ``fire_timers``, ``take``
the new inbox entries, ``advance`` them (load, decide, commit: one script per partition and batch), ``relay`` what the
commits handed off. Every step is a plan, so the process, the in-process test environment and the simulator run this code.

Whatever goes wrong with a partition, ``reset`` forgets all that was derived from reads and starts again from the inbox and
the outbox, which hold everything that is not done yet. An event leaves the inbox only by a commit, a quarantine or a dead
letter.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from orchestrator.core.facts import Facts
from orchestrator.engine.batch import Batch
from orchestrator.engine.definitions import LiveDefinitions
from orchestrator.engine.estate import Estate
from orchestrator.store.inbox import Entry, Garbled, parse_entry
from orchestrator.engine.ownership import assignment
from orchestrator.engine.programs import Programs
from orchestrator.engine.relay import Letter, Relay
from orchestrator.model.effects import decode_handoffs
from orchestrator.plan import Command, Plan
from orchestrator.store import catalog, ownership, quarantine, timers
from orchestrator.store.context import StoreContext
from orchestrator.store.ownership import HeldBy

log = logging.getLogger(__name__)

EVENTS_PER_READ = 100
OUTBOX_PER_READ = 100
TIMERS_PER_TURN = 200
DEATHS_BEFORE_QUARANTINE = 2
"""Counted deaths on one event after careful mode began (which three uncounted ones did): five in all."""


class Decider:
    """One decider process's work, without the waiting."""

    def __init__(self, store: StoreContext, name: str, environment: dict[str, str] | None = None) -> None:
        self.store = store
        self.name = name
        self.estates: dict[int, Estate] = {}
        self.programs = Programs()
        self.definitions = LiveDefinitions(store)
        self.relay = Relay(store)
        self.environment = environment or {}
        self.clock_ms = 0  # the store's clock as last seen
        self.repairs = 0  # tasks the sweep had to offer again; stays 0 unless the store lost writes

    # --- who owns what ------------------------------------------------------------------------------------------------

    def beat(self) -> Plan[None]:
        """Renew what is ours, take what should be ours, give up what should not; refresh the live definitions."""
        settings = self.store.settings
        live: list[str] = yield catalog.decider_beat(self.store.keys, self.name, settings.ownership_ms)
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
        yield catalog.decider_leave(self.store.keys, self.name)

    # --- one turn -------------------------------------------------------------------------------------------------------

    def turn(self) -> Plan[int]:
        """Everything there is to do right now, without waiting for more. Returns the number of entries handled."""
        yield from self.redrive()
        yield from self.fire_timers()
        replies = yield from self.read()
        return (yield from self.advance(replies))

    def read(self) -> Plan[list[tuple[Estate, list[Any]]]]:
        """New inbox entries of every partition, without blocking."""
        estates = list(self.estates.values())
        if not estates:
            return []
        replies = yield [self.read_command(estate) for estate in estates]
        return [(e, reply) for e, reply in zip(estates, replies, strict=True) if not isinstance(reply, Exception)]

    def read_command(self, estate: Estate) -> Command:
        """The read of one partition's inbox behind what was read before."""
        start = f"({estate.cursor}" if estate.cursor != "0" else "-"
        count = 1 if estate.careful else EVENTS_PER_READ
        return Command(("XRANGE", self.store.keys.inbox(estate.number), start, "+", "COUNT", count))

    def advance(self, replies: Sequence[tuple[Estate, list[Any]]]) -> Plan[int]:
        """Decide and commit raw inbox entries by partition, then deliver what the commits handed off."""
        work: list[tuple[Estate, list[Entry]]] = []
        handled = 0
        for estate, raw_entries in replies:
            entries = yield from self._take(estate, raw_entries)
            handled += len(raw_entries)
            if estate.careful and not raw_entries:
                estate.careful = False
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

    def _take(self, estate: Estate, raw_entries: list[Any]) -> Plan[list[Entry]]:
        """Parse entries, delete wake-ups, put garbled ones aside; in careful mode count before beginning."""
        entries, estate.retry = estate.retry, []
        wakes: list[str] = []
        garbled: list[Garbled] = []
        for raw in raw_entries:
            parsed = parse_entry(raw)
            estate.cursor = parsed.id
            if isinstance(parsed, Entry):
                entries.append(parsed)
            elif isinstance(parsed, Garbled):
                garbled.append(parsed)
            else:
                wakes.append(parsed.id)
        if wakes:
            yield Command(("XDEL", self.store.keys.inbox(estate.number), *wakes))
        if garbled:
            reason = "; ".join(sorted({item.reason for item in garbled}))
            log.error("event_garbled", extra={"partition": estate.number, "events": len(garbled), "reason": reason})
            yield quarantine.dead_letter(
                self.store.keys, estate.number, estate.epoch, self.name, reason, [item.id for item in garbled]
            )
        if estate.careful and entries:
            entries = yield from self._count(estate, entries)
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

    # --- timers ----------------------------------------------------------------------------------------------------------

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
                else:
                    estate.next_timer_ms = fired.next_due_ms

    def look_at_timers(self) -> None:
        """Ask for the due timers of every partition at the next ``fire_timers``, whatever is known of them."""
        for estate in self.estates.values():
            estate.next_timer_ms = 0

    def next_timer_in_ms(self) -> int | None:
        """How long until the next timer of any partition, as far as known; None = none is armed."""
        times = [e.next_timer_ms for e in self.estates.values() if e.next_timer_ms is not None]
        return max(0, min(times) - self.clock_ms) if times else None

    # --- hand-offs ---------------------------------------------------------------------------------------------------------

    def redrive(self) -> Plan[None]:
        """Deliver what a previous owner, or we ourselves before a mishap, left in the outbox."""
        for estate in [e for e in self.estates.values() if e.redrive]:
            last = "-"
            while True:
                outbox = self.store.keys.outbox(estate.number)
                raw = yield Command(("XRANGE", outbox, last, "+", "COUNT", OUTBOX_PER_READ))
                letters = [Letter(estate.number, item[0].decode(), decode_handoffs(item[1][1])) for item in raw]
                yield from self.deliver(letters)
                if len(raw) < OUTBOX_PER_READ:
                    break
                last = "(" + raw[-1][0].decode()
            estate.redrive = False

    def deliver(self, letters: list[Letter]) -> Plan[None]:
        """Deliver letters; those that arrived are deleted with the next commit, the others are tried again."""
        waiting = [letter for e in self.estates.values() if e.undelivered for letter in e.undelivered]
        letters = [*waiting, *letters]
        if not letters:
            return
        arrived = yield from self.relay.deliver(letters, self.definitions.limits)
        done = {(letter.partition, letter.outbox_id) for letter in arrived}
        for estate in self.estates.values():
            if estate.undelivered:
                estate.undelivered = []
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

    # --- mishaps ----------------------------------------------------------------------------------------------------------

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
