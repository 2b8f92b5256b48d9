"""One batch of events through load, decide and commit, for all partitions of a decider at once.

All loads of a round travel in one pipeline, and so do all commits: one script per partition (more only when it would grow
past the limits of a commit). A workflow that cannot be decided or written is tried once more from freshly loaded state,
with its first event alone; then it is quarantined. Others in the batch never notice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from orchestrator.core.decide import Need, decide
from orchestrator.core.draft import Draft, OpenTask
from orchestrator.core.program import Program
from orchestrator.core.state import WorkflowState
from orchestrator.engine import loading
from orchestrator.engine.estate import Estate
from orchestrator.store.inbox import Entry
from orchestrator.engine.relay import Letter
from orchestrator.engine.writing import write
from orchestrator.ids import suffix_of
from orchestrator.model.effects import Enqueue
from orchestrator.model.events import Event, Operation, Started, TimerFired
from orchestrator.plan import Call, Command, Plan
from orchestrator.store import quarantine
from orchestrator.store.verdicts import Verdict
from orchestrator.store.commit import CommitBatch, CommitReply

if TYPE_CHECKING:
    from orchestrator.engine.decider import Decider

log = logging.getLogger(__name__)

EVENTS_PER_COMMIT = 100
TASKS_PER_COMMIT = 250
BYTES_PER_COMMIT = 1024 * 1024
NEEDS_MAX = 50
"""Rounds of loading one decision may ask for; each asks for what the one before could not know."""

REFUSALS_MAX = {Verdict.CORRUPT: 2, Verdict.CONFLICT: 20}
"""How often a commit is tried again from freshly loaded state before the workflow is quarantined."""


class Case:
    """One workflow's part of a batch."""

    __slots__ = (
        "draft",
        "entries",
        "estate",
        "events",
        "open_tasks",
        "program",
        "reason",
        "size",
        "state",
        "workflow_id",
    )

    def __init__(self, estate: Estate, workflow_id: str) -> None:
        self.estate = estate
        self.workflow_id = workflow_id
        self.entries: list[Entry] = []
        self.events: list[Event] = []
        self.state: WorkflowState | None = None
        self.program: Program | None = None
        self.open_tasks: list[OpenTask] | None = None
        self.draft: Draft | None = None
        self.size = 0  # bytes that the commit writes for it
        self.reason: str | None = None  # why the workflow must be set aside


class Batch:
    """The work of one turn."""

    def __init__(self, decider: Decider, work: Sequence[tuple[Estate, list[Entry]]]) -> None:
        self.decider = decider
        self.keys = decider.store.keys
        self.facts = decider.facts()
        self.cases = list(_group(work))

    def run(self) -> Plan[list[Letter]]:
        """Decide and commit every case; returns the letters that the accepted commits wrote."""
        cases = self.cases
        yield from self._load([case for case in cases if case.state is None])
        yield from self._freshen([case for case in cases if case.workflow_id in case.estate.refusals])
        yield from self._find_programs([case for case in cases if case.state is not None and case.reason is None])
        yield from self._decide([case for case in cases if case.program is not None])
        letters = yield from self._commit([case for case in cases if case.draft is not None and case.reason is None])
        for case in cases:
            if case.reason is not None:
                yield from self._set_aside(case)
        return letters

    # --- load ---------------------------------------------------------------------------------------------------------

    def _load(self, cases: list[Case]) -> Plan[None]:
        """State of workflows that are not in memory; a start brings its own."""
        missing = []
        for case in cases:
            first = case.events[0]
            if isinstance(first, Started):
                case.state = WorkflowState(case.workflow_id, first.meta, first.input)
            else:
                missing.append(case)
        if not missing:
            return
        commands: list[Call | Command] = []
        for case in missing:
            refs = [event.ref for event in case.events if hasattr(event, "ref") and event.ref]
            commands += loading.commands(self.keys, case.estate.number, case.workflow_id, refs)
        replies = yield commands
        for index, case in enumerate(missing):
            try:
                loaded = loading.read_state(case.workflow_id, replies[2 * index], replies[2 * index + 1])
            except loading.Unreadable as error:
                case.reason = str(error)
                continue
            if loaded is None:
                yield from self._dead_letter(case)
            elif loaded.quarantined is not None:
                yield from self.decider.quarantine(case.estate, case.entries, loaded.quarantined)
            else:
                case.state = loaded.state
                case.estate.keep(loaded.state)

    def _freshen(self, cases: list[Case]) -> Plan[None]:
        """After a refused commit, look again how the tasks of timer events stand: an outcome may have come in."""
        for case in cases:
            timers = [event for event in case.events if isinstance(event, TimerFired) and event.ref]
            if timers:
                words = [suffix_of(event.task_id) for event in timers]
                dispatch = self.keys.dispatch(case.estate.number, case.workflow_id)
                texts = yield Command(("HMGET", dispatch, *words))
                now = {event.task_id: text for event, text in zip(timers, texts, strict=True)}
                case.events = [
                    loading.freshened(event, now[event.task_id])
                    if isinstance(event, TimerFired) and event.ref
                    else event
                    for event in case.events
                ]

    def _find_programs(self, cases: list[Case]) -> Plan[None]:
        programs = self.decider.programs
        missing: list[Case] = []
        for case in cases:
            assert case.state is not None
            case.program = programs.get(case.state.meta.definition_hash)
            if case.program is None:
                missing.append(case)
        if not missing:
            return
        replies = yield [
            Command(("HGET", self.keys.definitions(case.estate.number), case.state.meta.definition_hash))
            for case in missing
            if case.state is not None
        ]
        for case, body in zip(missing, replies, strict=True):
            assert case.state is not None
            definition_hash = case.state.meta.definition_hash
            try:
                if not isinstance(body, bytes):
                    raise LookupError(
                        f"the definition {definition_hash} is not in partition {case.estate.number}: {body}"
                    )
                case.program = programs.get(definition_hash) or programs.compile(definition_hash, body)
            except Exception as error:
                log.exception("definition_unusable", extra={"workflow_id": case.workflow_id})
                case.reason = f"its definition cannot be used: {error}"

    def _dead_letter(self, case: Case) -> Plan[None]:
        """Events of a workflow that does not exist: it was removed, or never was."""
        ids = [entry.id for entry in case.entries]
        log.warning("event_without_workflow", extra={"workflow_id": case.workflow_id, "events": len(ids)})
        yield quarantine.dead_letter(
            self.keys, case.estate.number, case.estate.epoch, self.decider.name, "no such workflow", ids
        )

    # --- decide -------------------------------------------------------------------------------------------------------

    def _decide(self, cases: list[Case]) -> Plan[None]:
        """Ask the pure heart; load what it lacks, all cases in one round trip, until every case is decided."""
        for case in cases:
            yield from self._note_limits(case)
        open_cases = cases
        for _ in range(NEEDS_MAX):
            needs: list[tuple[Case, Need]] = []
            for case in open_cases:
                need = self._try(case)
                if need is not None:
                    needs.append((case, need))
            if not needs:
                return
            yield from self._supply(needs)
            open_cases = [case for case, _ in needs]
        for case in open_cases:
            case.reason = f"the decision still lacked records after {NEEDS_MAX} rounds of loading"

    def _try(self, case: Case) -> Need | None:
        assert case.state is not None
        assert case.program is not None
        try:
            answer = decide(case.state, case.events, case.program, self.facts, case.open_tasks)
        except Exception as error:
            log.exception("decision_failed", extra={"workflow_id": case.workflow_id, "event": case.entries[0].id})
            case.reason = f"{type(error).__name__}: {error}"
            return None
        if isinstance(answer, Need):
            return answer
        case.draft = answer
        for alert in answer.alerts:
            log.warning("timeout_alert", extra={"workflow_id": case.workflow_id, "reason": alert})
        return None

    def _note_limits(self, case: Case) -> Plan[None]:
        """Tell timer events how long their task waited for nothing but a limit."""
        for index, event in enumerate(case.events):
            if isinstance(event, TimerFired) and event.state == "S" and event.poll_count == 0:
                assert case.state is not None
                record = case.state.records.get(event.ref)
                if record is not None:
                    call = self.decider.store.queues.limited_call(record.scheduled.type, event.task_id)
                    limited_ms = yield call
                    case.events[index] = loading.limited(event, limited_ms)

    def _supply(self, needs: list[tuple[Case, Need]]) -> Plan[None]:
        commands: list[Call | Command] = []
        for case, need in needs:
            number, workflow_id = case.estate.number, case.workflow_id
            if need.open_tasks:
                everything = any(isinstance(event, Operation) for event in case.events)
                case.open_tasks = yield from loading.open_tasks(self.keys, number, workflow_id, everything=everything)
            if need.refs:
                commands.append(loading.records_command(self.keys, number, workflow_id, need.refs))
        replies = iter((yield commands) if commands else [])
        for case, need in needs:
            assert case.state is not None
            if need.refs:
                try:
                    case.state.records.update(loading.read_records(need.refs, next(replies)))
                except loading.Unreadable as error:
                    case.reason = str(error)

    # --- commit -------------------------------------------------------------------------------------------------------

    def _commit(self, cases: list[Case]) -> Plan[list[Letter]]:
        batches: list[tuple[Estate, CommitBatch, list[Case]]] = []
        by_estate: dict[int, list[Case]] = {}
        for case in cases:
            by_estate.setdefault(case.estate.number, []).append(case)
        for chosen in by_estate.values():
            batches += self._batches(chosen)
        if not batches:
            return []
        ahead = self.decider.relay.enqueue_ahead(
            [case.draft.handoffs for case in cases if case.draft is not None], self.decider.definitions.limits
        )
        replies = yield [*(batch.call() for _, batch, _ in batches), *ahead.values()]
        arrived = {name for name, reply in zip(ahead, replies[len(batches) :], strict=True) if isinstance(reply, int)}
        letters: list[Letter] = []
        for (estate, _, chosen), reply in zip(batches, replies, strict=False):
            if isinstance(reply, Exception):
                raise reply
            self._take_reply(estate, chosen, reply, letters)
        return [letter for letter in letters if not self._is_delivered(letter, arrived)]

    def _is_delivered(self, letter: Letter, arrived: set[str]) -> bool:
        """Whether all that a letter asks for went ahead with its commit; it is then only to be deleted."""
        if not all(isinstance(handoff, Enqueue) and handoff.type in arrived for handoff in letter.handoffs):
            return False
        estate = self.decider.estates.get(letter.partition)
        if estate is not None:
            estate.delivered.append(letter.outbox_id)
        return True

    def _batches(self, cases: list[Case]) -> Iterable[tuple[Estate, CommitBatch, list[Case]]]:
        """The commits of one partition: one, unless it would grow past the limits."""
        estate = cases[0].estate
        delivered, estate.delivered = estate.delivered, []
        batch, chosen = self._new_batch(estate, delivered), list[Case]()
        events = tasks = size = 0
        for case in cases:
            draft = case.draft
            assert draft is not None
            more = len(draft.scheduled)
            if chosen and (
                events + len(case.entries) > EVENTS_PER_COMMIT
                or tasks + more > TASKS_PER_COMMIT
                or size > BYTES_PER_COMMIT
            ):
                yield estate, batch, chosen
                batch, chosen = self._new_batch(estate, []), []
                events = tasks = size = 0
            case.size = write(batch, self.keys, estate.number, draft, [entry.id for entry in case.entries])
            size += case.size
            events += len(case.entries)
            tasks += more
            chosen.append(case)
        yield estate, batch, chosen

    def _new_batch(self, estate: Estate, delivered: list[str]) -> CommitBatch:
        return CommitBatch(
            self.keys, estate.number, estate.epoch, self.decider.name, relayed=delivered, clears_suspects=estate.careful
        )

    def _take_reply(self, estate: Estate, cases: list[Case], reply: CommitReply, letters: list[Letter]) -> None:
        if reply.fenced:
            self.decider.lose(estate)
            return
        self.decider.clock_ms = max(self.decider.clock_ms, reply.now_ms)
        estate.next_timer_ms = reply.next_due_ms
        for case, (verdict, outbox_id) in zip(cases, reply.verdicts, strict=True):
            draft = case.draft
            assert draft is not None
            if verdict is Verdict.OK:
                estate.apply(draft, case.size)
                estate.refusals.pop(case.workflow_id, None)
                if case.workflow_id in estate.alone and all(e.workflow_id != case.workflow_id for e in estate.retry):
                    estate.alone.discard(case.workflow_id)
                if outbox_id:
                    letters.append(Letter(estate.number, outbox_id, draft.handoffs))
            elif verdict is Verdict.GONE:
                self.decider.reset(estate)
            else:
                self._refused(case, verdict)

    def _refused(self, case: Case, verdict: Verdict) -> None:
        """CONFLICT or CORRUPT: load anew and try again, a bounded number of times."""
        estate = case.estate
        estate.forget(case.workflow_id)
        count = estate.refusals[case.workflow_id] = estate.refusals.get(case.workflow_id, 0) + 1
        if count >= REFUSALS_MAX[verdict]:
            case.reason = f"commit refused {count} times: {verdict.value}"
        else:
            estate.retry += case.entries

    def _set_aside(self, case: Case) -> Plan[None]:
        """A case that failed: once more from fresh state and by its first event alone, then quarantine."""
        estate = case.estate
        was_alone = len(case.entries) == 1
        estate.forget(case.workflow_id)
        if case.workflow_id not in estate.setbacks:
            estate.setbacks.add(case.workflow_id)
            estate.retry += case.entries
            return
        if not was_alone:
            # The others follow in order; the first one shows by itself whether it is the culprit.
            estate.alone.add(case.workflow_id)
            estate.retry += case.entries
            return
        estate.setbacks.discard(case.workflow_id)
        estate.alone.discard(case.workflow_id)
        estate.refusals.pop(case.workflow_id, None)
        yield from self.decider.quarantine(estate, case.entries, case.reason or "unknown")


def _group(work: Sequence[tuple[Estate, list[Entry]]]) -> Iterable[Case]:
    """Cases by workflow, events in order. A workflow under suspicion gets one event; the rest waits for the next turn."""
    for estate, entries in work:
        cases: dict[str, Case] = {}
        for entry in entries:
            case = cases.get(entry.workflow_id)
            if case is None:
                case = cases[entry.workflow_id] = Case(estate, entry.workflow_id)
                case.state = estate.state(entry.workflow_id)
            elif entry.workflow_id in estate.alone or len(case.entries) >= EVENTS_PER_COMMIT:
                estate.retry.append(entry)
                continue
            case.entries.append(entry)
            case.events.append(entry.event)
        yield from cases.values()
