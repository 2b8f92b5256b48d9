"""A workflow told as a story: ``Story(definition).when(started(), completed("charge")).expect("COMPLETED")``.

It plays the engine around the pure core, without Redis: it keeps the stored records as bytes, turns what happens into
events, answers ``Need`` and delivers ``Continued``. Every decision is made twice, on the state kept in memory and on
one that has nothing loaded, and both must agree to the byte. After each step the books are checked against each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from msgspec import Raw

from orchestrator.codec import EMPTY_MAP, pack, unpack
from orchestrator.core.decide import Need, decide
from orchestrator.core.draft import Draft, OpenTask
from orchestrator.core.facts import NOBODY, Facts, Listeners, Scripts
from orchestrator.core.program import Program
from orchestrator.core.state import TaskRecord, WorkflowState
from orchestrator.ids import task_id
from orchestrator.model.definitions import TaskDef, WorkflowDef
from orchestrator.model.effects import Enqueue, Handoff, encode_handoffs
from orchestrator.model.events import Continued, Event, Operation
from orchestrator.model.records import (
    FORMAT,
    Core,
    Meta,
    decode_core,
    decode_result,
    decode_scheduled,
    encode,
)
from orchestrator.model.status import is_terminal
from tests.support.happenings import Happening

START_MS = 1_700_000_000_000
ID = "0190aaaa-bbbb-8000-8000-000000000001"
SLICE = 200


class Entry:
    """What the store knows of an open task besides its record: state letter and the dispatch truth."""

    def __init__(self, ref: str, state: str) -> None:
        self.ref = ref
        self.state = state
        self.started_ms = self.touched_ms = self.polls = 0


class Task(NamedTuple):
    """One attempt of a task as a reader sees it."""

    status: str
    attempt: int
    input: Any
    output: Any
    reason: str | None
    record: TaskRecord


class Story:
    """One workflow and the world around it."""

    def __init__(
        self,
        definition: WorkflowDef,
        *,
        input: Any = None,
        task_defs: Iterable[TaskDef] = (),
        environment: dict[str, str] | None = None,
        cached: dict[str, bytes | None] | None = None,
        in_one_go: bool = True,
        scripts: Scripts | None = None,
        listeners: Listeners = NOBODY,
        **meta: Any,
    ) -> None:
        self.program = Program(definition)
        self.programs: dict[str, Program | None] = {}  # other definitions, by hash
        known = {one.name: one for one in task_defs}
        self.polled: dict[tuple[str, str], int] = {}  # what the decisions were told of that
        self.facts = Facts(known, environment, scripts=scripts, listeners=listeners, polled=self.polled)
        fields = {"format": FORMAT, "name": definition.name, "version": definition.version, "definition_hash": "h"}
        self.meta = Meta(**{**fields, **meta})
        self.input = Raw(pack(input if input is not None else {}))
        self.in_one_go = in_one_go
        self.cached = cached or {}
        self.polls: dict[tuple[str, str], int] = {}  # who polled which domain of a queue last, and when
        self.now = START_MS
        self.warm = WorkflowState(ID, self.meta, self.input)
        self.core_bytes: bytes | None = None
        self.variables_bytes = EMPTY_MAP
        self.scheduled: dict[str, bytes] = {}
        self.aside: dict[str, bytes] = {}  # superseded attempts, each under a name of its own
        self.results: dict[str, bytes] = {}
        self.dispatch: dict[str, Entry] = {}
        self.timers: dict[tuple[str, str], int] = {}
        self.messages: dict[int, bytes] = {}
        self.handoffs: list[Handoff] = []
        self.answers: list[Any] = []
        self.alerts: list[str] = []
        self.output: Any = None
        self.owed = 0  # Continued events that are on their way
        self.decisions = self.rounds = self.records_loaded = self.bytes_written = 0
        self.drafts: list[Draft] = []

    # --- when ---------------------------------------------------------------------------------------------------------

    def when(self, *happenings: Happening) -> Story:
        """Let things happen one after the other; the workflow goes on by itself after each, if it is to."""
        for happening in happenings:
            event = happening(self)
            if event is not None:
                self.take(event)
        return self

    def together(self, *happenings: Happening) -> Story:
        """Let the same decision see all of these."""
        events = [event for event in (happening(self) for happening in happenings) if event is not None]
        return self.take(*events)

    def take(self, *events: Event) -> Story:
        """Deliver events as one batch, and then, unless told otherwise, everything the workflow owes itself."""
        self._decide(events)
        while self.in_one_go and self.owed:
            self.owed = 0
            self._decide([Continued(at_ms=self.now)])
        return self

    def continue_once(self) -> Story:
        """Deliver one Continued that is on its way."""
        assert self.owed, "the workflow has nothing to go on with"
        self.owed -= 1
        return self.take(Continued(at_ms=self.now))

    # --- then ---------------------------------------------------------------------------------------------------------

    @property
    def core(self) -> Core:
        """The committed core record."""
        assert self.core_bytes is not None, "the workflow has not begun"
        core: Core = decode_core(self.core_bytes)
        return core

    @property
    def status(self) -> str:
        """The workflow's status."""
        return self.core.status

    @property
    def variables(self) -> Any:
        """The workflow's variables."""
        return unpack(self.variables_bytes)

    @property
    def statuses(self) -> dict[str, str]:
        """The status of the latest attempt of every task."""
        return {ref: self.task(ref).status for ref in self.scheduled}

    @property
    def open(self) -> list[str]:
        """References of the tasks that have not ended, in the order they were scheduled."""
        found = [self._record(ref) for ref in self.scheduled]
        live = [record for record in found if not is_terminal(record.status)]
        return [record.scheduled.ref for record in sorted(live, key=lambda record: record.scheduled.sequence)]

    def task(self, ref: str) -> Task:
        """The latest attempt of a task."""
        record = self._record(ref)
        result = record.result
        reason = result.reason if result is not None else record.scheduled.reason
        return Task(record.status, record.scheduled.attempt, record.input, record.output, reason, record)

    def earlier(self, ref: str, attempt: int) -> Task:
        """A superseded attempt."""
        return self.task(f"{ref}\n{attempt}.{self.core.generation}")

    def sent(self, kind: type[Any]) -> list[Any]:
        """Hand-offs of one kind so far."""
        return [handoff for handoff in self.handoffs if isinstance(handoff, kind)]

    def enqueues_of(self, ref: str) -> list[Enqueue]:
        """How the attempts of a task were offered to their queue."""
        made = [self._record(ref).scheduled]
        ids = {task_id(ID, ref, one.iteration, n, one.generation) for one in made for n in range(one.attempt + 1)}
        return [handoff for handoff in self.sent(Enqueue) if handoff.task_id in ids]

    def expect(self, status: str | None = None, /, **more: Any) -> Story:
        """Compare ``status``, ``tasks`` (those named), ``reason`` (part of it), ``output``, ``variables``, ``open``."""
        if status is not None:
            assert self.status == status, f"{self.status}: {self.core.reason}"
        if "tasks" in more:
            wanted = more["tasks"]
            assert {ref: self.statuses.get(ref) for ref in wanted} == wanted
        if "reason" in more:
            assert more["reason"] in (self.core.reason or ""), self.core.reason
        for name in more.keys() - {"tasks", "reason"}:
            assert getattr(self, name) == more[name], name
        return self

    # --- the world ----------------------------------------------------------------------------------------------------

    def id_of(self, ref: str, attempt: int | None = None) -> str:
        """The id of an attempt of a task, by default the latest."""
        made = self._record(ref).scheduled
        number = attempt if attempt is not None else made.attempt
        return task_id(ID, ref, made.iteration, number, made.generation)

    def entry(self, ref: str) -> Entry | None:
        """The dispatch entry of the latest attempt, if it has one."""
        return self.dispatch.get(self._record(ref).suffix)

    def _record(self, name: str) -> TaskRecord:
        made = self.scheduled[name] if name in self.scheduled else self.aside[name]
        result = self.results.get(name)
        return TaskRecord(decode_scheduled(made), decode_result(result) if result is not None else None)

    # --- deciding -----------------------------------------------------------------------------------------------------

    def _decide(self, events: Iterable[Event]) -> None:
        batch = list(events)
        draft = self._make(self.warm, batch, count=False)
        cold = self._make(self._cold(), batch, count=True)
        assert _image(draft) == _image(cold), "warm and cold decide differently"
        self._apply(draft)
        self._check_books()

    def _cold(self) -> WorkflowState:
        """The workflow as an owner sees it that has just taken over: nothing but the core is loaded."""
        core = decode_core(self.core_bytes) if self.core_bytes is not None else None
        return WorkflowState(
            ID, self.meta, self.input, core=core, version=self.warm.version, variables_raw=self.variables_bytes
        )

    def _make(self, state: WorkflowState, events: list[Event], *, count: bool) -> Draft:
        open_tasks: list[OpenTask] | None = None
        supplied: dict[str, Program | None] = {}
        cached: dict[str, bytes | None] = {}
        everything = any(isinstance(event, Operation) for event in events)
        before = encode(state.core) if state.core is not None else None
        for _ in range(50):
            answer = decide(state, events, self.program, self.facts, open_tasks, supplied, cached)
            assert (encode(state.core) if state.core is not None else None) == before, "decide changed its input"
            if isinstance(answer, Draft):
                return answer
            self.rounds += count
            self._supply(state, answer, count=count)
            cached |= {key: self.cached.get(key) for key in answer.cached}
            if answer.definition_hash:
                supplied[answer.definition_hash] = self.programs.get(answer.definition_hash)
            if answer.open_tasks:
                listed = sorted(OpenTask(e.ref, suffix, e.state) for suffix, e in self.dispatch.items())
                open_tasks = listed if everything else _slice(listed)
        raise AssertionError("the decision never had enough")

    def _supply(self, state: WorkflowState, need: Need, *, count: bool) -> None:
        for ref in need.refs:
            assert ref not in state.records, f"{ref} was asked for twice"
            state.records[ref] = self._record(ref) if ref in self.scheduled else None
            self.records_loaded += count
        self.polled.update({place: self.polls.get(place, 0) for place in need.polls})
        state.messages.update({number: self.messages[number] for number in need.messages})
        self.records_loaded += len(need.messages) * count

    def _apply(self, draft: Draft) -> None:
        self.decisions += 1
        self.drafts.append(draft)
        self._change_state(draft)
        self.core_bytes = encode(draft.core)
        self.bytes_written += len(self.core_bytes)
        if draft.variables_packed is not None:
            self.variables_bytes = draft.variables_packed
            self.warm.set_variables(draft.variables_packed)
        if draft.output is not None:
            self.output = unpack(draft.output)
        self._apply_records(draft)
        for suffix in draft.guarded:
            assert self.dispatch[suffix].state != "A", "the commit would be refused: that outcome has been accepted"
        for suffix in draft.closed:
            del self.dispatch[suffix]
        for suffix, entry in draft.opened.items():
            self.dispatch[suffix] = Entry(entry.ref, entry.state)
        for key, due in draft.timers.items():
            if due:
                self.timers[key] = due
            else:
                self.timers.pop(key, None)
        self.handoffs += draft.handoffs
        self.alerts += draft.alerts
        self.answers += [unpack(answer) for _, answer in draft.answers]
        self.owed += draft.again
        if draft.is_new:
            self.warm.complete = True
        self.warm.core = draft.core
        self.warm.version += 1
        for ref in draft.dropped:
            self.warm.records.pop(ref, None)
        self.warm.records.update(draft.records)
        self.warm.messages.clear()
        self.messages.update(draft.pushed)
        for number in draft.pulled:
            del self.messages[number]

    def _change_state(self, draft: Draft) -> None:
        """A workflow that starts over may be another: no records, or under another definition."""
        self.warm = draft.state
        self.program = draft.program
        self.meta = draft.state.meta
        if draft.meta_packed is not None:
            assert draft.meta_packed == encode(self.meta)
        if draft.input_packed is not None:
            self.input = Raw(draft.input_packed)
        if draft.is_wiped:
            self.scheduled.clear()
            self.aside.clear()
            self.results.clear()

    def _apply_records(self, draft: Draft) -> None:
        for ref in draft.dropped:
            self.scheduled.pop(ref, None)
            self.aside.pop(ref, None)
            self.results.pop(ref, None)
        for ref, made in draft.scheduled.items():
            if made.generation:
                self.results.pop(ref, None)
        for ref, made in draft.scheduled.items():
            self.scheduled[ref] = encode(made)
            self.bytes_written += len(self.scheduled[ref])
        for made, result in draft.superseded:
            name = f"{made.ref}\n{made.attempt}.{made.generation}"
            assert name not in self.aside, "an attempt was superseded twice"
            self.aside[name], self.results[name] = encode(made), encode(result)
            self.results.pop(made.ref, None)
        for ref, result in draft.results.items():
            self.results[ref] = encode(result)
            self.bytes_written += len(self.results[ref])

    def _check_books(self) -> None:
        """What the core counts, what the records say and what dispatch and timers hold must be the same workflow."""
        if len(self.scheduled) > 400:
            return  # the table tests check small workflows after every step; large ones would take quadratic time
        self.check_books()

    def check_books(self) -> None:
        """Compare the core record, the task records, the dispatch entries and the timers with each other."""
        core, open_refs = self.core, self.open
        assert core.open == len(open_refs), (core.open, open_refs)
        internal = {*core.joins, *core.evaluating, *(loop.ref for loop in core.loops.values() if loop.ref)}
        assert {entry.ref for entry in self.dispatch.values()} == set(open_refs) - internal
        assert internal <= set(open_refs)
        suffixes = {suffix for suffix, _ in self.timers} - {"-"}
        waiting = {self._record(ref).suffix for ref in internal}
        assert suffixes <= self.dispatch.keys() | waiting, "a timer outlived its task"


def _slice(listed: list[OpenTask]) -> list[OpenTask]:
    waiting = 0
    for position, task in enumerate(listed):
        waiting += task.state != "A"
        if waiting >= SLICE:
            return listed[: position + 1]
    return listed


def _image(d: Draft) -> tuple[Any, ...]:
    """Everything a decision would write, as bytes where the store gets bytes."""
    return (
        encode(d.core),
        d.variables_packed,
        d.output,
        d.meta_packed,
        d.input_packed,
        d.is_wiped,
        {ref: encode(made) for ref, made in d.scheduled.items()},
        {ref: encode(result) for ref, result in d.results.items()},
        [(encode(made), encode(result)) for made, result in d.superseded],
        list(d.dropped),
        d.opened,
        list(d.closed),
        list(d.guarded),
        d.timers,
        encode_handoffs(d.handoffs),
        d.answers,
        d.pushed,
        d.pulled,
        d.alerts,
        d.again,
    )
