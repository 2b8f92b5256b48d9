"""What follows when an attempt ends: record it, retry it, pass the failure on, count down joins, go to the next step.

Read top to bottom it is the life of an outcome: ``finish`` -> (``_fail`` | ``_settle``) -> ``_count_down`` -> ``go``. The
rules are Conductor's (semantics of retry, optional and permissive tasks), evaluated here inside the decision, so a JOIN can
never see an attempt that is about to be retried.
"""

from __future__ import annotations

from msgspec import Raw
from msgspec.structs import replace

from orchestrator.core.closing import end
from orchestrator.core.draft import EMPTY, RETRY, Draft
from orchestrator.core.kinds import has_dispatch, is_queued
from orchestrator.core.program import Node
from orchestrator.core.retries import may_retry, retry_delay_ms, retry_limit
from orchestrator.core.state import TaskRecord
from orchestrator.core.timeouts import total_timeout_passed
from orchestrator.model.effects import Remove
from orchestrator.model.records import FORMAT, Result
from orchestrator.model.status import is_successful, is_terminal

REASONS_MAX = 20
"""How many members' reasons a JOIN keeps: enough to see what went wrong, and a bound for very wide forks."""

_ENDS_AS = {"CANCELED": "TERMINATED", "TIMED_OUT": "TIMED_OUT"}


def finish(
    d: Draft,
    record: TaskRecord,
    status: str,
    *,
    output: bytes | Raw = EMPTY,
    reason: str | None = None,
    started_ms: int = 0,
    poll_count: int = 0,
    delivery: int = 0,
    worker_id: str | None = None,
    logs: list[tuple[int, str]] | None = None,
    retry_after_ms: int | None = None,
    advance: bool = True,
    guarded: bool = False,
) -> None:
    """The attempt ended: apply everything that follows from it.

    ``advance=False`` is for operators that choose the next step themselves; ``guarded``: something other than its own
    report ended it (see ``Draft.undispatch``).
    """
    if guarded:
        d.undispatch(record, guarded=True)
    made = record.scheduled
    result = Result(
        format=FORMAT,
        status=status,
        ended_ms=d.now,
        started_ms=started_ms or made.scheduled_ms,
        poll_count=poll_count,
        delivery=delivery,
        worker_id=worker_id,
        reason=reason,
        logs=logs or [],
        output=output if isinstance(output, Raw) else Raw(output),
    )
    if is_successful(status) or is_terminal(d.core.status):
        _settle(d, record, result, advance=advance)
    else:
        _fail(d, record, result, retry_after_ms)


def _fail(d: Draft, record: TaskRecord, result: Result, retry_after_ms: int | None) -> None:
    made = record.scheduled
    node = d.node_of(made)
    task_def = d.task_def(node)
    d.note_failure(made, result.status)
    if may_retry(node.task.type, result.status, made.attempt, retry_limit(node.task, task_def)):
        spent = total_timeout_passed(made, task_def, d.task_id(record), d.now)
        if spent is not None:
            _close_attempt(d, record, result)
            end(d, "TIMED_OUT" if result.status == "TIMED_OUT" else "FAILED", spent, failed=record)
            return
        delay_ms = (
            retry_after_ms if retry_after_ms is not None else retry_delay_ms(task_def, made.attempt, d.task_id(record))
        )
        # The delay is kept with the failed attempt: a paused workflow may take up the retry much later.
        _close_attempt(d, record, replace(result, callback_after_ms=delay_ms))
        d.go(node.ref, made.iteration, RETRY)
    elif node.task.optional:
        _settle(d, record, replace(result, status="COMPLETED_WITH_ERRORS"), advance=True)
    elif node.task.permissive:
        reason = f"Task {d.task_id(record)} failed with status: {result.status} and reason: '{result.reason or ''}'"
        if len(d.core.permissive) < REASONS_MAX:
            d.core.permissive = [*d.core.permissive, reason]
        _settle(d, record, result, advance=True)
    else:
        ends_as = _ENDS_AS.get(result.status, "FAILED")
        # Joins are not counted down: their failing would hide the reason of the task itself.
        closed = _close_attempt(d, record, result)
        reason = f"Task {d.task_id(record)} failed with status: {ends_as} and reason: '{result.reason or ''}'"
        end(d, ends_as, reason, failed=closed)


def retry(d: Draft, ref: str) -> TaskRecord:
    """Move the failed attempt of ``ref`` aside, under its own name, so that the next can take its place."""
    record = d.record(ref)
    assert record is not None and record.result is not None, f"retry of {ref} without a failed attempt"
    closed = replace(record.result, retried=True)
    d.superseded.append((record.scheduled, closed))
    d.results.pop(ref, None)
    return TaskRecord(record.scheduled, closed)


def _close_attempt(d: Draft, record: TaskRecord, result: Result) -> TaskRecord:
    if has_dispatch(record.scheduled.type):
        d.undispatch(record)
    d.core.open -= 1
    return d.set_result(record, result)


def _settle(d: Draft, record: TaskRecord, result: Result, *, advance: bool) -> None:
    """The task is over for good: no further attempt will follow."""
    made = record.scheduled
    node = d.node_of(made)
    settled = _close_attempt(d, record, result)
    if is_terminal(d.core.status):
        return
    for join_ref in node.joins:
        _count_down(d, join_ref, made.iteration, settled, result)
    if advance:
        d.go(node.next, made.iteration)


def _count_down(d: Draft, join_name: str, iteration: int, member: TaskRecord, result: Result) -> None:
    ref = f"{join_name}__{iteration}" if iteration else join_name
    join = d.join(ref)
    if join is None:
        return  # not entered yet: it will look at this member when it is
    join.remaining -= 1
    if result.status == "COMPLETED_WITH_ERRORS":
        join.errors += 1
    elif not is_successful(result.status):
        join.failed += 1
        join.hard += result.status != "CANCELED"
        if result.reason and len(join.reasons) < REASONS_MAX:
            join.reasons = [*join.reasons, result.reason]
    complete_join(d, ref)


def untaken(d: Draft, node: Node, taken: str, iteration: int) -> None:
    """Members of JOINs that sit in branches a SWITCH did not take never run: the joins stop waiting for them.

    Conductor would wait for ever (its known trap); a step that can no longer run counts as satisfied here.
    """
    for case, members in node.untaken.items():
        if case == taken:
            continue
        for join_name, count in members.items():
            ref = f"{join_name}__{iteration}" if iteration else join_name
            join = d.join(ref)
            if join is not None:
                join.remaining -= count
                complete_join(d, ref)


def complete_join(d: Draft, ref: str) -> None:
    """End an open JOIN when its last member has."""
    join = d.core.joins[ref]
    if join.remaining > 0:
        return
    del d.core.joins[ref]
    record = d.record(ref)
    assert record is not None, f"join {ref} is open without a record"
    if join.failed:
        finish(d, record, "FAILED" if join.hard else "CANCELED", reason=" ".join(join.reasons) or None)
    elif join.errors:
        reason = f"{join.errors} optional task(s) joined by {d.task_id(record)} completed with errors"
        finish(d, record, "COMPLETED_WITH_ERRORS", reason=reason)
    else:
        finish(d, record, "COMPLETED")


def withdraw(d: Draft, record: TaskRecord) -> None:
    """Take an attempt out of its queue that ended without its worker saying so (time-out, outside update)."""
    made = record.scheduled
    if is_queued(made.type):
        d.handoffs.append(Remove(made.type, d.task_id(record), made.domain))
