"""The pure heart: ``decide(state, events, program, facts)`` is the whole step of a workflow's state machine.

Given what a workflow is and what happened to it, say what it becomes and what is to be done. No clock, no randomness,
no I/O, no logging: time arrives in the events, ids follow from history. The same inputs give the same decision, which
is what lets any process repeat a step that another began.

A decision that needs records it was not given answers ``Need``; the caller loads them and asks again. Its cost follows
what the events touch, never how many tasks the workflow has run.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from orchestrator.codec import pack
from orchestrator.core import advance, invariants, kin, listening, operations, operators
from orchestrator.core.beginning import begin
from orchestrator.core.closing import cancel_open_tasks, complete, end
from orchestrator.core.draft import EVALUATED, JUDGED, RETRY, TASKS_PER_DECISION, Draft, OpenTask
from orchestrator.core.facts import Facts
from orchestrator.core.operators import do_while, dynamic_fork
from orchestrator.core.outside import PayloadsNeeded
from orchestrator.core.program import Program, execution_ref
from orchestrator.core.reports import task_began, task_reported
from orchestrator.core.state import (
    MessagesNeeded,
    OpenTasksNeeded,
    ProgramNeeded,
    RecordsNeeded,
    WorkflowState,
    waits_inside,
)
from orchestrator.core.timers import timer_fired
from orchestrator.model.events import Continued, Event, Operation, Started, TaskBegan, TaskReported, TimerFired, Told
from orchestrator.model.records import Pending
from orchestrator.model.status import is_terminal


class Need(NamedTuple):
    """What a decision lacks: task records by reference, the list of open tasks, another definition's program, messages.

    ``cached`` are the keys whose entries in the cache of outputs it wants to see, ``payloads`` those kept elsewhere,
    ``polls`` the task types and domains of which it wants to know in ``Facts.polled`` when they were polled.
    """

    refs: list[str]
    open_tasks: bool = False
    definition_hash: str = ""
    messages: Sequence[int] = ()
    cached: Sequence[str] = ()
    payloads: Sequence[str] = ()
    polls: Sequence[tuple[str, str]] = ()


def decide(
    state: WorkflowState,
    events: Sequence[Event],
    program: Program,
    facts: Facts,
    open_tasks: list[OpenTask] | None = None,
    programs: Mapping[str, Program | None] | None = None,
    cached: Mapping[str, bytes | None] | None = None,
) -> Draft | Need:
    """Apply ``events`` in order to one workflow.

    Returns the finished ``Draft``: the new core and everything to be written, or ``Need``. The state is not changed.
    ``open_tasks`` are the workflow's open tasks as the dispatch records list them, given only when they were needed.
    ``programs`` are other definitions' by content hash (None: unusable), given when the workflow goes over to one;
    ``cached`` is what the cache of outputs holds under the keys that were asked for. How
    events are grouped makes no difference. Raises ``InvariantBroken`` rather than return a damaged workflow.

    Example: ``decide(state, [Started(at_ms=now, meta=meta, input=raw)], program, facts)``
    """
    invariants.check_beginning(state, events)
    draft = Draft(state, program, facts, events[0].at_ms, open_tasks, programs, cached)
    try:
        _look_at_what_is_due(draft, events)
    except RecordsNeeded as missing:
        return Need(missing.refs)
    except PayloadsNeeded as outside:
        return Need([], payloads=outside.paths)
    try:
        for event in events:
            _take(draft, event)
    except RecordsNeeded as missing:
        refs = list(dict.fromkeys([*missing.refs, *_needs_of_each(draft, program, events)]))
        return Need(refs, cached=list(draft.cache_keys), polls=list(draft.polls_lacking))
    except PayloadsNeeded as outside:
        return Need([], payloads=outside.paths)
    except OpenTasksNeeded:
        return Need([], open_tasks=True)
    except ProgramNeeded as other:
        return Need([], definition_hash=other.definition_hash)
    except MessagesNeeded as unread:
        return Need([], messages=unread.numbers)
    if draft.cache_keys or draft.polls_lacking:
        return Need([], cached=list(draft.cache_keys), polls=list(draft.polls_lacking))
    draft.core.updated_ms = draft.now
    if draft.variables is not None:
        draft.variables_packed = pack(draft.variables)
    draft.again = draft.again or bool(draft.core.agenda)
    invariants.check(draft)
    return draft


def _take(d: Draft, event: Event) -> None:
    d.now = event.at_ms
    was_final = listening.finalized(d)
    _apply(d, event)
    _carry_on(d)
    while operations.may_take_up(d):
        operations.take_up(d)
        _carry_on(d)
    if not was_final and listening.finalized(d):
        listening.workflow(d, "FINALIZED")


def _carry_on(d: Draft) -> None:
    """All that follows from what has just been done."""
    _run_agenda(d)
    while do_while.turn(d):
        _run_agenda(d)
    _close_when_done(d)


def _look_at_what_is_due(d: Draft, events: Sequence[Event]) -> None:
    """Ask for what the steps left to this decision look at first before anything is decided, and so decided once only."""
    if d.state.complete or not any(isinstance(event, Continued) for event in events):
        return
    due = d.core.agenda[:TASKS_PER_DECISION]
    d.require_tasks(dict.fromkeys(ref for step in due for ref in _looks_at(d, step)))
    for step in due:
        if step.index > 0 and d.node(step.ref, step.branch).task.type == "FORK_JOIN_DYNAMIC":
            made = d.record(execution_ref(step.ref, step.iteration))
            assert made is not None, f"{step.ref} is fanned out without having a task"
            d.require_tasks(dynamic_fork.next_firsts(made, step.index))
            return


def _needs_of_each(d: Draft, program: Program, events: Sequence[Event]) -> Iterator[str]:
    """The records that each event by itself would ask for, so that a batch of many is not loaded one by one.

    Every event is tried on a draft of its own, which is thrown away.
    """
    for event in events if len(events) > 1 else ():
        try:
            _take(Draft(d.before, program, d.facts, event.at_ms, d.open_tasks, d.programs, d.cached), event)
        except RecordsNeeded as missing:
            yield from missing.refs
        except (OpenTasksNeeded, ProgramNeeded, MessagesNeeded, PayloadsNeeded):
            continue


def _apply(d: Draft, event: Event) -> None:
    match event:
        case TaskReported():
            task_reported(d, event)
        case Started():
            _started(d)
        case TimerFired():
            timer_fired(d, event)
        case TaskBegan():
            task_began(d, event)
        case Continued():
            _continued(d)
        case Operation():
            operations.apply(d, event)
        case Told():
            kin.told(d, event)


def _started(d: Draft) -> None:
    if not d.is_new or d.core.sequence or is_terminal(d.core.status):
        return  # a repeated start of a workflow that is already under way
    d.watch(d.state.meta.watch_ms)
    listening.workflow(d, "STARTED")
    begin(d)


def _continued(d: Draft) -> None:
    if is_terminal(d.core.status):
        if d.core.open > 0:
            cancel_open_tasks(d)
        return
    if d.is_jumping:
        operations.prepare_jump(d)
        return
    d.agenda.extend(d.core.agenda)
    d.core.agenda = []


def _run_agenda(d: Draft) -> None:
    """Enter the steps that became due, and those that became due by that, up to a commit's worth."""
    while d.agenda and not d.full:
        step = d.agenda.popleft()
        _look_ahead(d, step)
        node = d.node(step.ref, step.branch)
        if step.index == RETRY:
            failed = advance.retry(d, execution_ref(step.ref, step.iteration))
            operators.enter(d, d.node_of(failed.scheduled), step.iteration, failed)
        elif step.index == JUDGED:
            operators.judge(d, node, step.iteration)
        elif step.index == EVALUATED:
            operators.evaluated(d, node, step.iteration)
        elif step.index:
            operators.go_on(d, node, step.iteration, step.index)
        elif d.core.skips and execution_ref(step.ref, step.iteration) in d.core.skips:
            advance.pass_by(d, node, step.iteration)
        elif d.core.is_revived and d.record(execution_ref(step.ref, step.iteration)) is not None:
            continue  # it ran before the workflow ended and went on
        else:
            operators.enter(d, node, step.iteration)
    if d.agenda:
        d.core.agenda = [*d.core.agenda, *d.agenda]
        d.agenda.clear()


def _look_ahead(d: Draft, step: Pending) -> None:
    """If a record is lacking that the step looks at first, ask for those of the steps behind it as well."""
    own = _looks_at(d, step)
    if any(ref not in d.records and ref not in d.state.records for ref in own):
        following = itertools.islice(d.agenda, TASKS_PER_DECISION)
        d.require_tasks(dict.fromkeys([*own, *(ref for one in following for ref in _looks_at(d, one))]))


def _looks_at(d: Draft, step: Pending) -> list[str]:
    refs = [step.branch] if step.branch else []
    if step.index == RETRY or (d.core.is_revived and not step.index):
        refs.append(execution_ref(step.ref, step.iteration))
    return refs


def _close_when_done(d: Draft) -> None:
    core = d.core
    if core.status != "RUNNING" or core.agenda or core.held or core.deferred:
        return
    if core.open == 0:
        complete(d)
    elif core.joins and core.open == waits_inside(core):
        # Only a definition can do that. Conductor would wait for ever.
        end(d, "FAILED", f"The JOINs {', '.join(sorted(core.joins))} wait for steps that can only run after them")
