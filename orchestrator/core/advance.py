"""What follows when an attempt ends: record it, retry it, pass the failure on, count down joins, go to the next step.

Read top to bottom it is the life of an outcome: ``finish`` -> (``_fail`` | ``_settle``) -> ``count_member`` -> ``go``.
The rules are Conductor's (semantics of retry, optional and permissive tasks), evaluated here inside the decision, so a
JOIN can never see an attempt that is about to be retried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Raw
from msgspec.structs import replace

from orchestrator.core import caching, messages
from orchestrator.core.closing import end
from orchestrator.core.draft import EMPTY, EVALUATED, JUDGED, RETRY, Draft
from orchestrator.core.kinds import INTERNAL, WAITS_INSIDE
from orchestrator.core.program import Case, Node, execution_ref, inner_lists, members_inside
from orchestrator.core.retries import may_retry, retry_delay_ms, retry_limit
from orchestrator.core.state import TaskRecord
from orchestrator.core.timeouts import total_timeout_passed
from orchestrator.model.records import FORMAT, Join, Result
from orchestrator.model.status import is_successful, is_terminal

if TYPE_CHECKING:
    from typing_extensions import Buffer

REASONS_MAX = 20
"""How many members' reasons a JOIN keeps: enough to see what went wrong, and a bound for very wide forks."""

_ENDS_AS = {"CANCELED": "TERMINATED", "TIMED_OUT": "TIMED_OUT"}


def finish(
    d: Draft,
    record: TaskRecord,
    status: str,
    *,
    output: Buffer | None = None,
    reason: str | None = None,
    started_ms: int = 0,
    poll_count: int = 0,
    delivery: int = 0,
    worker_id: str | None = None,
    logs: list[tuple[int, str]] | None = None,
    retry_after_ms: int | None = None,
    advance: bool = True,
    fatal: bool = False,
    guarded: bool = False,
) -> None:
    """The attempt ended: apply everything that follows from it.

    Without ``output`` (bytes or ``Raw``) it keeps what its worker reported on the way. ``advance=False`` is for
    operators that choose the next step themselves. ``fatal``: the workflow ends with it, whatever the step's flags
    and retries say, for steps that no workflow can go on from and for the policy TIME_OUT_WF. ``guarded``: something
    other than its own report ended it (see ``Draft.undispatch``).
    """
    held = record.result
    result = Result(
        format=FORMAT,
        status=status,
        ended_ms=d.now,
        started_ms=started_ms or (held.started_ms if held is not None else 0) or record.scheduled.scheduled_ms,
        poll_count=poll_count,
        delivery=delivery,
        worker_id=worker_id,
        reason=reason,
        logs=[*(held.logs if held is not None else []), *(logs or [])],
        child_workflow_id=held.child_workflow_id if held is not None else None,
        child_run=held.child_run if held is not None else 0,
        output=Raw(output) if output is not None else (held.output if held is not None else EMPTY),
    )
    if guarded:
        d.undispatch(record, guarded=True)
    node = d.node_of(record.scheduled)
    if record.scheduled.cache_key and status == "COMPLETED" and worker_id != caching.HIT:
        caching.remember(d, record.scheduled.cache_key, node.task.cache_config, bytes(result.output))
    if node.is_script:  # whatever came of it, the operator that asked goes on from it
        _close_attempt(d, record, result)
        d.go(node.ref, record.scheduled.iteration, EVALUATED)
    elif is_successful(status) or is_terminal(d.core.status):
        _settle(d, record, result, advance=advance)
    elif fatal:
        d.note_failure(record.scheduled, status)
        end(d, _ENDS_AS.get(status, "FAILED"), reason, failed=_close_attempt(d, record, result))
    else:
        _fail(d, record, result, retry_after_ms)


def _fail(d: Draft, record: TaskRecord, result: Result, retry_after_ms: int | None) -> None:
    """An attempt ended without success: retry it, let the workflow go on without it, or end the workflow."""
    made = record.scheduled
    node = d.node_of(made)
    task_def = d.task_def(node)
    task_id = d.task_id(record)
    d.note_failure(made, result.status)
    if may_retry(node.task.type, result.status, made.attempt, retry_limit(node.task, task_def)):
        spent = total_timeout_passed(made, task_def, task_id, d.now)
        if spent is not None:
            ends_as = "TIMED_OUT" if result.status == "TIMED_OUT" else "FAILED"
            end(d, ends_as, spent, failed=_close_attempt(d, record, result))
            return
        delay_ms = retry_after_ms if retry_after_ms is not None else retry_delay_ms(task_def, made.attempt, task_id)
        # The delay is kept with the failed attempt: a paused workflow may take up the retry much later.
        _close_attempt(d, record, replace(result, callback_after_ms=delay_ms))
        d.go(node.ref, made.iteration, RETRY)
    elif node.task.optional:
        _settle(d, record, replace(result, status="COMPLETED_WITH_ERRORS"), advance=True)
    elif node.task.permissive:
        reason = f"Task {task_id} failed with status: {result.status} and reason: '{result.reason or ''}'"
        if len(d.core.permissive) < REASONS_MAX:
            d.core.permissive = [*d.core.permissive, reason]
        _settle(d, record, result, advance=True)
    else:
        ends_as = _ENDS_AS.get(result.status, "FAILED")
        # Joins are not counted down: their failing would hide the reason of the task itself.
        closed = _close_attempt(d, record, result)
        reason = f"Task {task_id} failed with status: {ends_as} and reason: '{result.reason or ''}'"
        end(d, ends_as, reason, failed=closed)


def refuse(d: Draft, node: Node, iteration: int, previous: TaskRecord | None, type_: str, reason: str) -> None:
    """An operator's step cannot be carried out with the input it got: its task fails for good, without that input."""
    record = d.create(node, iteration, type_=type_, name=node.task.name, previous=previous)
    finish(d, record, "FAILED_WITH_TERMINAL_ERROR", reason=reason)


def retry(d: Draft, ref: str) -> TaskRecord:
    """Move the failed attempt of ``ref`` aside, under its own name, so that the next can take its place."""
    record = d.record(ref)
    assert record is not None, f"retry of {ref}, which has never run"
    assert record.result is not None, f"retry of {ref}, which has not failed"
    closed = replace(record.result, retried=True)
    d.superseded.append((record.scheduled, closed))
    d.results.pop(ref, None)
    return TaskRecord(record.scheduled, closed)


def _close_attempt(d: Draft, record: TaskRecord, result: Result) -> TaskRecord:
    node = d.node_of(record.scheduled)
    if node.task.type in WAITS_INSIDE:
        d.disarm_waiting(node, record)
    elif d.dispatch_state(record) != INTERNAL:
        d.undispatch(record)
    d.core.open -= 1
    if record.scheduled.iteration:
        name = node.loop
        if name is not None and d.core.loops[name].ref:  # the end of the workflow has closed it otherwise
            d.loop(name).open -= 1
    closed = d.set_result(record, result)
    messages.stop_waiting(d, record.scheduled.ref)
    return closed


def _settle(d: Draft, record: TaskRecord, result: Result, *, advance: bool) -> None:
    """The task is over for good: no further attempt will follow."""
    made = record.scheduled
    node = d.node_of(made)
    _close_attempt(d, record, result)
    if is_terminal(d.core.status):
        return
    if node.loop is not None and not is_successful(result.status):
        loop = d.loop(node.loop)
        loop.failed = [*loop.failed, result.reason or f"{made.ref} ended {result.status}"][:REASONS_MAX]
    _tell_joins(d, node, result.status, result.reason)
    if advance:
        proceed(d, node, node.next, made.iteration, result.status, result.reason)


def proceed(d: Draft, node: Node, ref: str | None, iteration: int, status: str, reason: str | None = None) -> None:
    """The flow goes on from a step to ``ref``; with None it has come to an end there, which may be a branch's."""
    if ref is not None:
        d.go(ref, iteration)
    elif node.ends is not None and not is_terminal(d.core.status):
        joined = execution_ref(node.ends, iteration)
        join = d.join(joined)
        if join is not None:
            count_member(join, status, reason)
            complete_join(d, joined)


def _tell_joins(d: Draft, node: Node, status: str, reason: str | None) -> None:
    for join_name in node.joins:
        ref = d.latest(join_name)
        join = d.join(ref)
        if join is not None:  # otherwise not entered yet: it will look at this member when it is
            count_member(join, status, reason)
            complete_join(d, ref)


def pass_by(d: Draft, node: Node, iteration: int) -> None:
    """The flow reaches a step that was skipped: go on behind it. What lies inside of it never runs."""
    ref = execution_ref(node.ref, iteration)
    d.core.skips = [other for other in d.core.skips if other != ref]
    for tasks, _ in inner_lists(node):
        _let_go(d, members_inside(tasks, d.program.nodes))
    _tell_joins(d, node, "SKIPPED", None)
    proceed(d, node, node.next, iteration, "SKIPPED")


def count_member(join: Join, status: str, reason: str | None) -> None:
    """One more member of a JOIN is over for good."""
    join.remaining -= 1
    if join.accepts and status != "SKIPPED":
        status, reason = (
            ("COMPLETED", None) if status in join.accepts else ("FAILED", reason or f"a task ended {status}")
        )
    if status == "COMPLETED_WITH_ERRORS":
        join.errors += 1
    elif not is_successful(status):
        join.failed += 1
        join.hard += status != "CANCELED"
        if reason and len(join.reasons) < REASONS_MAX:
            join.reasons = [*join.reasons, reason]


def skip_cases(d: Draft, node: Node, cases: list[Case], iteration: int) -> None:
    """Members of JOINs that sit in branches a SWITCH did not take never run: the joins stop waiting for them.

    Conductor would wait for ever (its known trap); a step that can no longer run counts as satisfied here.
    """
    for case in cases:
        _let_go(d, node.untaken[case])


def _let_go(d: Draft, members: dict[str, int]) -> None:
    """So many members of these JOINs will never run."""
    for join_name, count in members.items():
        ref = d.latest(join_name)
        join = d.join(ref)
        if join is not None:
            join.remaining -= count
            complete_join(d, ref)


def complete_join(d: Draft, ref: str) -> None:
    """End an open JOIN when its last member has; one that is judged has its operator look at it."""
    join = d.core.joins[ref]
    if join.remaining > 0 and not join.is_judged:
        return
    record = d.record(ref)
    assert record is not None, f"join {ref} is open without a record"
    if join.is_judged:
        node = d.node_of(record.scheduled)
        d.go(node.ref, record.scheduled.iteration, JUDGED)
        return
    del d.core.joins[ref]
    if join.failed:
        finish(d, record, "FAILED" if join.hard else "CANCELED", reason=" ".join(join.reasons) or None)
    elif join.errors:
        reason = f"{join.errors} optional task(s) joined by {d.task_id(record)} completed with errors"
        finish(d, record, "COMPLETED_WITH_ERRORS", reason=reason)
    else:
        finish(d, record, "COMPLETED")
