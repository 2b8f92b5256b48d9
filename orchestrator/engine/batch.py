"""One batch of events through load, decide and commit, for all partitions of a decider at once.

All loads of a round travel in one pipeline. Decisions are committed a few partitions at a time (``committing``), so that
the store writes some while the next are made. A workflow that cannot be decided or
written is tried once more from freshly loaded state, then with its first event alone; then it is quarantined. Others in
the batch never notice. An error of the server itself is raised: nobody is to blame for it, and it passes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from orchestrator.core import outside
from orchestrator.core.decide import Need, decide
from orchestrator.core.state import WorkflowState
from orchestrator.engine import loading
from orchestrator.engine.case import Case, group
from orchestrator.engine.committing import Committing
from orchestrator.engine.estate import Estate
from orchestrator.engine.relay import Letter
from orchestrator.errors import PayloadMissing
from orchestrator.ids import suffix_of
from orchestrator.model.events import Operation, Started, TimerFired, Told
from orchestrator.plan import Call, Command, Plan
from orchestrator.store import output_cache, partition, polls, quarantine
from orchestrator.store.failures import is_passing
from orchestrator.store.inbox import Entry

if TYPE_CHECKING:
    from orchestrator.engine.decider import Decider

log = logging.getLogger(__name__)

CASES_PER_SEND = 25
"""After so many decisions their commits are sent, and the store writes them while the next ones are made."""

NEEDS_MAX = 50
"""Rounds of loading one decision may ask for; each asks for what the one before could not know."""


class Batch:
    """The work of one turn."""

    def __init__(self, decider: Decider, work: Sequence[tuple[Estate, list[Entry]]]) -> None:
        self.decider = decider
        self.keys = decider.store.keys
        self.facts = decider.facts()
        self.cases = list(group(work))

    def run(self) -> Plan[list[Letter]]:
        """Decide and commit every case; returns the letters that the accepted commits wrote."""
        cases = self.cases
        yield from self._load([case for case in cases if case.state is None])
        yield from self._freshen([case for case in cases if case.workflow_id in case.estate.refusals and case.timers])
        yield from self._find_programs([case for case in cases if case.state is not None and case.reason is None])
        committing = Committing(self.decider)
        for some in _portions([case for case in cases if case.program is not None and case.reason is None]):
            yield from self._decide(some)
            yield from committing.send([case for case in some if case.draft is not None and case.reason is None])
        yield from committing.receive()
        for case in cases:
            if case.reason is not None:
                yield from self._set_aside(case)
        for estate in committing.gone:
            self.decider.reset(estate)
        return committing.letters

    # --- load ---------------------------------------------------------------------------------------------------------

    def _load(self, cases: list[Case]) -> Plan[None]:
        """State of workflows that are not in memory; a start brings its own."""
        missing = []
        for case in cases:
            first = case.events[0]
            if isinstance(first, Started) and case.workflow_id not in case.estate.refusals:
                case.state = WorkflowState(case.workflow_id, first.meta, first.input)
            else:
                missing.append(case)
        reads = [loading.commands(self.keys, case.estate.number, case.workflow_id, case.refs) for case in missing]
        if not reads:
            return
        replies = yield [command for read in reads for command in read]
        at = 0
        for case, read in zip(missing, reads, strict=True):
            own, at = replies[at : at + len(read)], at + len(read)
            try:
                loaded = loading.read_state(case.workflow_id, case.refs, own)
            except loading.Unreadable as error:
                case.reason = str(error)
                continue
            if loaded is None:
                yield from self._dead_letter(case)
            elif loaded.quarantined is None:
                case.state = loaded.state
                case.estate.keep(loaded.state)
            else:
                yield from self._keep_aside(case, loaded.state)

    def _keep_aside(self, case: Case, state: WorkflowState) -> Plan[None]:
        """Events of a quarantined workflow are parked; only what asks it to end is decided on."""
        ends = [entry for entry in case.entries if _ends_it(entry)][:1]
        others = [entry for entry in case.entries if entry not in ends]
        if others:
            yield from self.decider.park(case.estate, others)
        if ends:
            case.keep_only(ends)
            case.state = state
            case.is_freed = True
            if state.core is None:
                # Its start is parked: the workflow begins and ends in this one decision.
                case.events.insert(0, Started(ends[0].event.at_ms, state.meta, Raw(state.input_raw)))

    def _freshen(self, cases: list[Case]) -> Plan[None]:
        """After a refused commit, look again how the tasks of timer events stand: an outcome may have come in."""
        if not cases:
            return
        replies = yield [
            partition.load_dispatch(
                self.keys, case.estate.number, case.workflow_id, [suffix_of(event.task_id) for _, event in case.timers]
            )
            for case in cases
        ]
        for case, texts in zip(cases, replies, strict=True):
            try:
                loading.check(f"the open tasks of workflow {case.workflow_id}", texts)
                for (index, event), text in zip(case.timers, texts, strict=True):
                    case.events[index] = loading.freshened(event, text)
            except loading.Unreadable as error:
                case.reason = str(error)

    def _find_programs(self, cases: list[Case]) -> Plan[None]:
        programs = self.decider.programs
        missing: list[tuple[Case, str]] = []
        for case in cases:
            assert case.state is not None
            definition_hash = case.state.meta.definition_hash
            case.program = programs.get(definition_hash)
            if case.program is None:
                missing.append((case, definition_hash))
        if not missing:
            return
        # Whoever registers task definitions and a workflow of them starts it next: they must govern its first attempts.
        yield from self.decider.definitions.refresh()
        self.facts = self.decider.facts()
        replies = yield [
            partition.load_definition(self.keys, case.estate.number, definition_hash)
            for case, definition_hash in missing
        ]
        for (case, definition_hash), body in zip(missing, replies, strict=True):
            if isinstance(body, Exception) and is_passing(body):
                raise body
            try:
                if not isinstance(body, bytes):
                    raise LookupError(f"partition {case.estate.number} does not hold {definition_hash}: {body}")
                case.program = programs.get(definition_hash) or programs.compile(definition_hash, body)
            except Exception as error:
                log.exception("definition_unusable", extra={"workflow_id": case.workflow_id})
                case.reason = f"its definition cannot be used: {error}"

    def _find_other_program(self, case: Case, definition_hash: str) -> Plan[None]:
        """The program of a definition that the workflow goes over to; whoever asked for that has left it here."""
        programs = self.decider.programs
        found = programs.get(definition_hash)
        if found is None:
            body = yield partition.load_definition(self.keys, case.estate.number, definition_hash)
            try:
                found = programs.compile(definition_hash, body) if body is not None else None
            except Exception:
                log.exception("definition_unusable", extra={"workflow_id": case.workflow_id})
        case.programs[definition_hash] = found

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
        yield from self._note_limits(cases)
        open_cases = cases
        rounds = 0
        try:
            while rounds < NEEDS_MAX:
                needs = [(case, need) for case in open_cases if case.reason is None and (need := self._try(case))]
                if not needs:
                    return
                yield from self._supply(needs)
                open_cases = [case for case, _ in needs]
                rounds += any(not need.payloads for _, need in needs)  # each payload is asked for once
        finally:
            outside.forget()
        for case in open_cases:
            case.reason = f"the decision still lacked records after {NEEDS_MAX} rounds of loading"

    def _try(self, case: Case) -> Need | None:
        assert case.state is not None
        assert case.program is not None
        try:
            answer = decide(
                case.state, case.events, case.program, self.facts, case.open_tasks, case.programs, case.cached
            )
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

    def _note_limits(self, cases: list[Case]) -> Plan[None]:
        """Tell timer events how long their task waited for nothing but a limit."""
        waiting = [
            (case, index, event)
            for case in cases
            for index, event in case.timers
            if event.state == "S" and event.poll_count == 0
        ]
        if not waiting:
            return
        lacking = {
            case: Need([event.ref for _, event in case.timers if event.ref not in case.state.records])
            for case, _, _ in waiting
            if case.state is not None and not case.state.complete
        }
        yield from self._supply([(case, need) for case, need in lacking.items() if need.refs])
        asked: list[tuple[Case, int, TimerFired]] = []
        calls: list[Call | Command] = []
        for case, index, event in waiting:
            record = case.state.records.get(event.ref) if case.state is not None else None
            if record is not None and case.reason is None:
                asked.append((case, index, event))
                calls.append(self.decider.store.queues.limited_call(record.scheduled.type, event.task_id))
        replies: list[Any] = (yield calls) if calls else []
        for (case, index, event), limited_ms in zip(asked, replies, strict=True):
            if isinstance(limited_ms, int):  # a queue that cannot be asked has limited nobody
                case.events[index] = loading.limited(event, limited_ms)

    def _supply(self, needs: list[tuple[Case, Need]]) -> Plan[None]:
        commands: list[Call | Command] = []
        asked: list[tuple[Case, Need]] = []
        for case, need in needs:
            number, workflow_id = case.estate.number, case.workflow_id
            if need.open_tasks:
                everything = any(isinstance(event, Operation) for event in case.events)
                try:
                    case.open_tasks = yield from loading.open_tasks(
                        self.keys, number, workflow_id, everything=everything
                    )
                except loading.Unreadable as error:
                    case.reason = str(error)
            for path in need.payloads:
                try:
                    outside.supply(path, self.decider.store.payloads.read(path))
                except PayloadMissing as error:
                    case.reason = str(error)
            if need.definition_hash:
                yield from self._find_other_program(case, need.definition_hash)
            if need.refs:
                asked.append((case, need))
                commands.append(loading.records_command(self.keys, number, workflow_id, need.refs))
            elif need.messages:
                asked.append((case, need))
                commands.append(loading.messages_command(self.keys, number, workflow_id, need.messages))
        wanted = [(case, key) for case, need in needs for key in need.cached]
        commands += [output_cache.read(self.keys, key) for _, key in wanted]
        places = list(dict.fromkeys(place for _, need in needs for place in need.polls))
        commands += [polls.polled(self.keys, places)] if places else []
        replies: list[Any] = (yield commands) if commands else []
        if places:  # polls that cannot be read have not been
            found = replies.pop()
            self.decider.definitions.polled.update(found if isinstance(found, dict) else dict.fromkeys(places, 0))
        for (case, key), reply in zip(wanted, replies[len(asked) :], strict=True):
            case.cached[key] = reply if isinstance(reply, bytes) else None  # a cache that cannot be read holds nothing
        for (case, need), reply in zip(asked, replies, strict=False):
            assert case.state is not None
            try:
                if need.refs:
                    loading.add_records(case.state, need.refs, reply)
                else:
                    loading.add_messages(case.state, need.messages, reply)
            except loading.Unreadable as error:
                case.reason = str(error)

    # --- failures -----------------------------------------------------------------------------------------------------

    def _set_aside(self, case: Case) -> Plan[None]:
        """A case that failed: once more from fresh state, then its first event alone, then quarantine."""
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
        estate.clear_suspicion(case.workflow_id)
        yield from self.decider.quarantine(estate, case.entries, case.reason or "unknown")


def _portions(cases: list[Case]) -> Iterator[list[Case]]:
    """The cases by partition, some partitions together where they have little to do: what one pipeline commits."""
    portion: list[Case] = []
    for case in cases:
        if len(portion) >= CASES_PER_SEND and case.estate is not portion[-1].estate:
            yield portion
            portion = []
        portion.append(case)
    if portion:
        yield portion


def _ends_it(entry: Entry) -> bool:
    event = entry.event
    return (isinstance(event, Operation) and event.action == "terminate") or (
        isinstance(event, Told) and event.action == "cancel"
    )
