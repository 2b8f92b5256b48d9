"""The pure heart: ``decide(state, events, program, facts)`` is the whole step of a workflow's state machine.

Given what a workflow is and what happened to it, say what it becomes and what is to be done. No clock, no randomness, no
I/O, no logging: time arrives in the events, ids follow from history. The same inputs give the same decision, which is what
lets any process repeat a step that another began.

A decision that needs records it was not given answers ``Need``; the caller loads them and asks again. Its cost follows
what the events touch, never how many tasks the workflow has run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.codec import EMPTY_MAP, NULL, pack, unpack
from orchestrator.core import advance, operations, operators
from orchestrator.core.closing import cancel_open_tasks, complete, end
from orchestrator.core.draft import RETRY, Draft, OpenTask
from orchestrator.core.facts import Facts
from orchestrator.core.operators import fork
from orchestrator.core.program import Program
from orchestrator.core.state import OpenTasksNeeded, RecordsNeeded, TaskRecord, WorkflowState
from orchestrator.core.timeouts import check_task
from orchestrator.ids import suffix_of
from orchestrator.model.events import Continued, Evaluated, Event, Operation, Started, TaskReported, TimerFired
from orchestrator.model.records import FORMAT, Result
from orchestrator.model.status import is_terminal


class Need(NamedTuple):
    """What a decision lacks: task records by execution reference, and whether it wants the list of open tasks."""

    refs: list[str]
    open_tasks: bool = False


def decide(
    state: WorkflowState,
    events: Sequence[Event],
    program: Program,
    facts: Facts,
    open_tasks: list[OpenTask] | None = None,
) -> Draft | Need:
    """Apply ``events`` in order to one workflow.

    Returns the finished ``Draft``: the new core and everything to be written, or ``Need``. The state is not changed.

    Example: ``decide(state, [Started(at_ms=now, meta=meta, input=raw)], program, facts)``
    """
    draft = Draft(state, program, facts, events[0].at_ms, open_tasks)
    try:
        for event in events:
            draft.now = event.at_ms
            _apply(draft, event)
            _run_agenda(draft)
        _close_when_done(draft)
    except RecordsNeeded as missing:
        return Need(missing.refs)
    except OpenTasksNeeded:
        return Need([], open_tasks=True)
    draft.core.updated_ms = draft.now
    if draft.variables is not None:
        draft.variables_packed = pack(draft.variables)
    draft.again = draft.again or bool(draft.core.agenda)
    return draft


def _apply(d: Draft, event: Event) -> None:
    match event:
        case TaskReported():
            _task_reported(d, event)
        case Started():
            _started(d)
        case TimerFired():
            _timer_fired(d, event)
        case Continued():
            _continued(d)
        case Operation():
            operations.apply(d, event)
        case Evaluated():
            raise NotImplementedError(f"no operator of this engine evaluates scripts (task {event.ref})")


def _started(d: Draft) -> None:
    if not d.is_new:
        return  # a repeated start of a workflow that is already under way
    definition = d.program.definition
    if definition.variables:
        d.variables = dict(definition.variables)
    if definition.timeout_seconds > 0:
        d.timers["-", ""] = d.core.created_ms + definition.timeout_seconds * 1000
    if d.program.first is None:
        end(d, "COMPLETED", "No tasks found to be executed")
        return
    d.go(d.program.first, 0)


def _task_reported(d: Draft, event: TaskReported) -> None:
    record = d.record(event.ref)
    if record is None or record.suffix != suffix_of(event.task_id) or not d.is_open(record):
        return  # an attempt that is no longer current: its report changes nothing
    outcome = event.outcome
    output = outcome.output if bytes(outcome.output) != NULL else None
    if outcome.merge and output is not None and isinstance(record.output, dict) and record.output:
        output = _merged(d, record, outcome.output)
    if not is_terminal(outcome.status):
        _progress(d, record, event)
        return
    if event.delivery < 0:
        advance.withdraw(d, record)
    earlier_logs = record.result.logs if record.result is not None else []
    held = record.result.output if record.result is not None else None
    advance.finish(
        d,
        record,
        outcome.status,
        output=output if output is not None else (held if held is not None and outcome.merge else EMPTY_MAP),
        reason=outcome.reason,
        started_ms=event.started_ms,
        poll_count=event.poll_count,
        delivery=max(event.delivery, 0),
        worker_id=outcome.worker_id or event.worker_id,
        logs=[*earlier_logs, *outcome.logs],
        retry_after_ms=outcome.retry_after_ms,
    )


def _merged(d: Draft, record: TaskRecord, given: bytes) -> bytes:
    value = unpack(bytes(given))
    return pack({**record.output, **value}) if isinstance(value, dict) else bytes(given)


def _progress(d: Draft, record: TaskRecord, event: TaskReported) -> None:
    """An unfinished task's report: kept with the task; a worker's task counts as scheduled again (Conductor)."""
    outcome = event.outcome
    before = record.result
    d.set_result(
        record,
        Result(
            format=FORMAT,
            status=record.scheduled.status,
            ended_ms=0,
            started_ms=event.started_ms,
            poll_count=event.poll_count,
            delivery=max(event.delivery, 0),
            worker_id=outcome.worker_id or event.worker_id,
            reason=outcome.reason,
            callback_after_ms=outcome.callback_after_ms,
            logs=[*(before.logs if before is not None else []), *outcome.logs],
            output=outcome.output
            if bytes(outcome.output) != NULL
            else (before.output if before is not None else _EMPTY),
        ),
    )


def _timer_fired(d: Draft, event: TimerFired) -> None:
    if is_terminal(d.core.status):
        return
    if not event.ref:
        _workflow_timer(d)
        return
    record = d.record(event.ref)
    if record is None or record.suffix != suffix_of(event.task_id) or not d.is_open(record) or event.state in ("", "A"):
        return  # a stale timer, or the outcome is already in the inbox and decides
    node = d.node_of(record.scheduled)
    if event.state == "W":
        operators.resume(d, node, record)
        return
    deadlines = check_task(record.scheduled, d.task_id(record), d.task_def(node), event)
    for expired in deadlines.expired:
        if expired.policy == "ALERT_ONLY":
            d.alerts.append(expired.reason)
            continue
        advance.withdraw(d, record)
        if expired.policy == "TIME_OUT_WF":
            d.undispatch(record, guarded=True)
            d.core.open -= 1
            d.set_result(
                record,
                Result(
                    format=FORMAT,
                    status="TIMED_OUT",
                    ended_ms=d.now,
                    started_ms=event.started_ms,
                    reason=expired.reason,
                ),
            )
            end(d, "TIMED_OUT", expired.reason, failed=d.record(event.ref))
        else:
            advance.finish(
                d,
                record,
                "TIMED_OUT",
                reason=expired.reason,
                started_ms=event.started_ms,
                poll_count=event.poll_count,
                worker_id=event.worker_id,
                guarded=True,
            )
        return
    if deadlines.next_ms:
        d.timers[record.suffix, event.ref] = deadlines.next_ms


def _workflow_timer(d: Draft) -> None:
    definition = d.program.definition
    since = d.core.last_retried_ms or d.core.created_ms
    due = since + definition.timeout_seconds * 1000
    if definition.timeout_seconds <= 0:
        return
    if d.now < due:
        d.timers["-", ""] = due
        return
    reason = (
        f"Workflow timed out after {(d.now - since) // 1000} seconds. Timeout configured as {definition.timeout_seconds} "
        f"seconds. Timeout policy configured to {definition.timeout_policy}"
    )
    if definition.timeout_policy == "ALERT_ONLY":
        d.alerts.append(reason)
    else:
        end(d, "TIMED_OUT", reason)


def _continued(d: Draft) -> None:
    if is_terminal(d.core.status):
        if d.core.open > 0:
            cancel_open_tasks(d)
        return
    d.agenda.extend(d.core.agenda)
    d.core.agenda = []


def _run_agenda(d: Draft) -> None:
    """Enter the steps that became due, and those that became due by that, up to a commit's worth."""
    while d.agenda and not d.full:
        step = d.agenda.popleft()
        node = d.program.nodes[step.ref]
        if step.index == RETRY:
            ref = f"{step.ref}__{step.iteration}" if step.iteration else step.ref
            operators.enter(d, node, step.iteration, advance.retry(d, ref))
        elif step.index:
            fork.fan_out(d, node, step.iteration, step.index)
        else:
            operators.enter(d, node, step.iteration)
    if d.agenda:
        d.core.agenda = [*d.core.agenda, *d.agenda]
        d.agenda.clear()


def _close_when_done(d: Draft) -> None:
    core = d.core
    if core.status == "RUNNING" and core.open == 0 and not core.agenda and not core.held:
        complete(d)


_EMPTY = Result(format=FORMAT, status="", ended_ms=0).output
