"""What a report on a task does: its outcome is taken over and followed up, or its progress is kept with it.

Reports come from workers and from outside callers, by way of the inbox. A report on anything but the current, open
attempt changes nothing: that attempt was decided on already. Called by ``decide`` alone.
"""

from __future__ import annotations

from msgspec import Raw

from orchestrator.codec import NULL, pack
from orchestrator.core import advance, listening
from orchestrator.core.closing import withdraw
from orchestrator.core.draft import EMPTY, Draft
from orchestrator.core.operators import sub_workflow
from orchestrator.core.outside import unpacked
from orchestrator.core.schemas import Violation, violation
from orchestrator.core.state import TaskRecord
from orchestrator.ids import suffix_of
from orchestrator.model.events import TaskBegan, TaskReported
from orchestrator.model.records import FORMAT, Outcome, Result
from orchestrator.model.status import is_terminal


def task_reported(d: Draft, event: TaskReported) -> None:
    """Take over what a worker or a caller says of a task; a caller may wait for the commit."""
    d.is_awaited = d.is_awaited or event.delivery < 0
    record = d.record(event.ref)
    if record is None or record.suffix != suffix_of(event.task_id) or not record.is_open:
        return  # an attempt that is no longer current
    outcome = event.outcome
    if not is_terminal(outcome.status):
        if outcome.child_workflow_id is not None and record.result is not None:
            d.set_result(record, sub_workflow.adopt(record, outcome.child_workflow_id, 0))
            return
        _keep_progress(d, record, event)
        return
    if outcome.child_workflow_id is not None and record.result is not None:
        if outcome.child_run < record.result.child_run:
            # The child has gone on since it ended like that; the store took it for the final word on the task.
            sub_workflow.listen_again(d, record)
            return
        child_id = outcome.child_workflow_id
        record = d.set_result(record, sub_workflow.adopt(record, child_id, outcome.child_run))
    if event.delivery < 0 and outcome.child_workflow_id is None:
        # A caller ended it: the worker that has it or is to get it, or the child that carries it out, does not know.
        withdraw(d, record, f"Task {event.ref} of the parent workflow was ended from outside: {outcome.status}")
    output = _output(record, outcome) if outcome.merge or _has_output(outcome) else EMPTY
    status, reason = outcome.status, outcome.reason
    fault = _breach(d, record, status, output)
    if fault is not None:
        status, reason = "FAILED", f"The task's output does not comply with its schema: {fault}"
    advance.finish(
        d,
        record,
        status,
        output=output,
        reason=reason,
        started_ms=event.started_ms,
        poll_count=event.poll_count,
        delivery=max(event.delivery, 0),
        worker_id=outcome.worker_id or event.worker_id,
        logs=outcome.logs,
        retry_after_ms=outcome.retry_after_ms,
    )


def task_began(d: Draft, event: TaskBegan) -> None:
    """A worker began with a task: nothing changes by it, but somebody wants to know."""
    record = d.record(event.ref)
    if record is not None and record.suffix == suffix_of(event.task_id) and record.is_open:
        listening.task(d, d.node_of(record.scheduled), record, "IN_PROGRESS")


def _keep_progress(d: Draft, record: TaskRecord, event: TaskReported) -> None:
    """An unfinished task's report: kept with the task; a worker's task counts as scheduled again (Conductor)."""
    outcome = event.outcome
    held = record.result
    logs = held.logs if held is not None else []
    d.set_result(
        record,
        Result(
            format=FORMAT,
            status=_open_status(record),
            ended_ms=0,
            started_ms=event.started_ms or (held.started_ms if held is not None else 0),
            poll_count=event.poll_count,
            delivery=max(event.delivery, 0),
            worker_id=outcome.worker_id or event.worker_id,
            reason=outcome.reason,
            callback_after_ms=max(0, outcome.callback_after_ms),
            child_workflow_id=held.child_workflow_id if held is not None else None,
            child_run=held.child_run if held is not None else 0,
            logs=[*logs, *outcome.logs],
            output=_output(record, outcome),
        ),
    )


def _open_status(record: TaskRecord) -> str:
    """A task that its child carries out stays in progress."""
    has_child = record.result is not None and record.result.child_workflow_id is not None
    return "IN_PROGRESS" if has_child else record.scheduled.status


def _breach(d: Draft, record: TaskRecord, status: str, output: Raw) -> Violation | None:
    """Where the output of a completed task breaks the schema that its definition enforces."""
    task_def = d.task_def(d.node_of(record.scheduled))
    if task_def.output_schema is None or not task_def.enforce_schema or status != "COMPLETED":
        return None
    return violation(task_def.output_schema, unpacked(bytes(output)), "output")


def _has_output(outcome: Outcome) -> bool:
    return bytes(outcome.output) != NULL


def _output(record: TaskRecord, outcome: Outcome) -> Raw:
    """The reported output, laid over what is there if the report says so; without any, what is there."""
    held = record.result.output if record.result is not None else EMPTY
    if not _has_output(outcome):
        return held
    if outcome.merge and record.output and isinstance(record.output, dict):
        given = unpacked(bytes(outcome.output))
        if isinstance(given, dict):
            return Raw(pack({**record.output, **given}))
    return outcome.output
