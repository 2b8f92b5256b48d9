"""How a workflow ends: status, output, what happens to open joins and tasks, and who is told.

``complete`` is the good end (nothing is open any more), ``end`` every other. Open tasks are cancelled in the same
decision when there are few, otherwise in slices that follow: the workflow is over at once either way.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw
from msgspec.structs import replace

from orchestrator.codec import EMPTY_MAP, pack
from orchestrator.core import admission, caching, listening, messages
from orchestrator.core.draft import Draft
from orchestrator.core.invariants import InvariantBroken
from orchestrator.core.kinds import ACCEPTED, QUEUED
from orchestrator.core.outside import unpacked
from orchestrator.core.schemas import violation
from orchestrator.core.state import OpenTasksNeeded, RecordsNeeded, TaskRecord
from orchestrator.errors import InvalidPayload
from orchestrator.ids import failure_workflow_id, workflow_id_of
from orchestrator.model.effects import CancelChild, NotifyParent, Remove, StartWorkflow
from orchestrator.model.records import FORMAT, Meta, Outcome, Result, encode
from orchestrator.model.status import is_successful, is_terminal

CANCEL_AT_ONCE = 100
"""Up to so many open tasks are cancelled in the decision that ends the workflow."""


def complete(d: Draft) -> None:
    """Nothing is open and nothing is left to do: the workflow is COMPLETED, or FAILED by its permissive tasks."""
    if d.core.permissive:
        end(d, "FAILED", ". ".join(d.core.permissive))
        return
    try:
        output = _output(d, None)
    except InvalidPayload as error:
        end(d, "FAILED", f"The workflow output cannot be stored: {error}")
        return
    end(d, "COMPLETED", None, output=output)
    if d.core.status == "COMPLETED":
        caching.remember(d, caching.workflow_key(d), d.program.definition.cache_config, output)


def end(
    d: Draft,
    status: str,
    reason: str | None,
    *,
    failed: TaskRecord | None = None,
    output: bytes | None = None,
    failure_workflow: bool = True,
    notify_parent: bool = True,
) -> None:
    """End the workflow with ``status`` (COMPLETED by a TERMINATE task, FAILED, TIMED_OUT or TERMINATED)."""
    if is_terminal(d.core.status):
        return
    if failed is not None and status != "COMPLETED":
        d.core.failed_task_id = d.task_id(failed)
    if output is None:
        try:
            output = _output(d, failed)
        except InvalidPayload:
            output = EMPTY_MAP  # a failing workflow must not fail to fail
    fault = _breach(d, output) if status == "COMPLETED" else None
    if fault is not None:
        status, reason = "FAILED", fault
    if failure_workflow and status != "COMPLETED":
        output = _start_failure_workflow(d, status, reason, output)
    _close(d, status, reason, output, notify_parent=notify_parent)


def _close(d: Draft, status: str, reason: str | None, output: bytes, *, notify_parent: bool = True) -> None:
    core = d.core
    core.status = status
    core.reason = reason
    core.ended_ms = d.now
    core.agenda = []
    core.held = []
    d.agenda.clear()
    d.output = output
    if d.program.definition.timeout_seconds > 0:
        d.timers["-", ""] = 0
    _cancel_operators(d)
    messages.forget_waiting(d)
    admission.leave(d)
    if core.open > 0:
        cancel_open_tasks(d)
    listening.workflow(d, "COMPLETED" if status == "COMPLETED" else "TERMINATED")
    if notify_parent:
        _notify_parent(d, output)
    _notify_followers(d, output)


def abandon(d: Draft, reason: str) -> None:
    """Cancel everything that the workflow is at, for it is to go on elsewhere; what is too much follows later."""
    core = d.core
    core.reason = reason
    core.agenda = []
    core.held = []
    d.agenda.clear()
    _cancel_operators(d)
    messages.forget_waiting(d)
    if core.open > 0:
        cancel_open_tasks(d, has_ended=False)
    core.reason = None


def _cancel_operators(d: Draft) -> None:
    """End the JOINs, loops and tasks with a script that are open: nothing outside knows of them."""
    core = d.core
    looping = [loop.ref for loop in core.loops.values() if loop.ref]
    for ref in looping:
        _cancel_loop(d, ref)
    for ref in dict.fromkeys([*core.joins, *core.evaluating]):
        if ref not in looping:
            _cancel_operator(d, ref)
    core.loops = {name: replace(loop, ref="", open=0) for name, loop in core.loops.items()}
    core.joins = {}
    core.evaluating = []


def cancel_open_tasks(d: Draft, *, has_ended: bool = True) -> None:
    """Cancel what the ended workflow left open; what does not fit in one decision follows in the next."""
    for record in [r for r in d.records.values() if r.suffix in d.opened and r.is_open]:
        _cancel(d, record)
    if d.core.open > 0 and d.open_tasks is None:
        has_just_ended = d.state.core is None or not is_terminal(d.state.core.status)
        if has_ended and has_just_ended and d.core.open > CANCEL_AT_ONCE:
            d.again = True
            return
        raise OpenTasksNeeded
    listed = d.open_tasks or []
    missing = [task.ref for task in listed if task.ref not in d.records and task.ref not in d.state.records]
    if missing and not d.state.complete:
        raise RecordsNeeded(missing)
    accepted = cancelled = 0
    for task in listed:
        listed_record = d.record(task.ref)
        if listed_record is None or listed_record.suffix != task.suffix or not listed_record.is_open:
            continue
        # An accepted outcome is on its way as an event of its own and stands: it is not overwritten.
        if task.state == ACCEPTED:
            accepted += 1
        else:
            _cancel(d, listed_record)
            cancelled += 1
    d.again = d.core.open > accepted
    if d.again and not (cancelled or accepted or d.closed):
        raise InvariantBroken(f"{d.core.open} open tasks of ended workflow {d.workflow_id} have no dispatch record")


def withdraw(d: Draft, record: TaskRecord, reason: str | None) -> None:
    """Call off an attempt that ended without its worker or its child saying so (time-out, outside update, the end).

    Its worker need not begin or is told to stop; its child is ended for ``reason``.
    """
    made = record.scheduled
    if d.scheduled.get(made.ref) is made:
        return  # this very decision made it: nobody has heard of it yet
    if d.dispatch_state(record) == QUEUED:
        d.handoffs.append(Remove(made.type, d.task_id(record), made.domain))
    elif record.result is not None and record.result.child_workflow_id is not None:
        d.handoffs.append(CancelChild(record.result.child_workflow_id, d.task_id(record), reason))


def _cancel(d: Draft, record: TaskRecord) -> None:
    withdraw(d, record, _reason_for_children(d))
    d.undispatch(record, guarded=True)
    cancelled = Result(format=FORMAT, status="CANCELED", ended_ms=d.now, reason=d.core.reason)
    held = record.result
    if held is not None:
        cancelled = replace(held, status="CANCELED", ended_ms=d.now, reason=d.core.reason, callback_after_ms=0)
    d.set_result(record, cancelled)
    d.core.open -= 1


def _reason_for_children(d: Draft) -> str:
    if d.core.reason:
        return f"Parent workflow has been terminated with reason: {d.core.reason}"
    return f"Parent workflow has been terminated with status {d.core.status}"


def _cancel_loop(d: Draft, ref: str) -> None:
    """It keeps what it says of its round."""
    record = d.record(ref)
    assert record is not None, f"loop {ref} is open without a record"
    d.disarm_waiting(d.node_of(record.scheduled), record)
    held = record.result or Result(format=FORMAT, status="", ended_ms=0)
    d.set_result(record, replace(held, status="CANCELED", ended_ms=d.now, reason=d.core.reason))
    d.core.open -= 1


def _cancel_operator(d: Draft, ref: str) -> None:
    """A JOIN's record is not needed for that, so an end does not have to load those of all open ones."""
    result = d.results[ref] = Result(format=FORMAT, status="CANCELED", ended_ms=d.now, reason=d.core.reason)
    is_heard = bool(d.facts.listeners.task) or d.program.hears_states
    own = d.record(ref) if is_heard or _may_time_out(d, ref) else d.records.get(ref) or d.state.records.get(ref)
    if own is not None:
        now = d.records[ref] = TaskRecord(own.scheduled, result)
        if _may_time_out(d, ref):
            d.disarm_waiting(d.node_of(own.scheduled), own)
        if is_heard:
            listening.task(d, d.node_of(own.scheduled), now, "CANCELED")
    d.core.open -= 1


def _may_time_out(d: Draft, ref: str) -> bool:
    """Whether an operator's task may have a timer. One of a dynamic branch keeps it; it will find the workflow ended."""
    node = d.program.nodes.get(ref) or d.program.nodes.get(ref.rpartition("__")[0])
    if node is None:
        return False
    task_def = d.task_def(node)
    return task_def.timeout_seconds > 0 or task_def.total_timeout_seconds > 0


def _output(d: Draft, failed: TaskRecord | None) -> bytes:
    """The workflow's output: its mapping, else the output of the failing or else the last scheduled task."""
    if d.program.output is not None:
        return d.pack_payload(d.render(d.program.output, d.program.output_reads), "outputParameters")
    last = failed if failed is not None else (d.record(d.core.last_ref) if d.core.last_ref else None)
    return d.output_of(last) if last is not None else EMPTY_MAP


def _breach(d: Draft, output: bytes) -> str | None:
    """Why the output of a workflow that is about to be completed breaks the schema that its definition enforces."""
    definition = d.program.definition
    if definition.output_schema is None or not definition.enforce_schema:
        return None
    fault = violation(definition.output_schema, unpacked(output), "output")
    return None if fault is None else f"The workflow's output does not comply with its schema: {fault}"


def _start_failure_workflow(d: Draft, status: str, reason: str | None, output: bytes) -> bytes:
    """Hand off the start of the failure workflow; returns the output with its id in it."""
    definition = d.program.definition
    name = _failure_workflow_name(d)
    if not name:
        return output
    meta = d.state.meta
    new_id = failure_workflow_id(d.workflow_id, d.core.generation)
    # The failed execution itself is added by the relay: it holds every task's payload and has no place in a decision.
    given: dict[str, Any] = {
        **_as_map(d.state.input),
        "workflowId": d.workflow_id,
        "reason": reason,
        "failureStatus": status,
    }
    if d.core.failed_task_id:
        given["failureTaskId"] = d.core.failed_task_id
    d.handoffs.append(
        StartWorkflow(
            workflow_id=new_id,
            meta=Meta(
                format=FORMAT,
                name=name,
                version=definition.failure_workflow_version or 0,
                definition_hash="",
                correlation_id=meta.correlation_id,
                task_to_domain=meta.task_to_domain,
                failure_of=d.workflow_id,
                depth=meta.depth + 1,
                trace=meta.trace,
            ),
            input=Raw(pack(given)),
            latest=definition.failure_workflow_version is None,
        )
    )
    d.core.failure_workflow_id = new_id
    return pack({**_as_map(unpacked(output)), "conductor.failure_workflow": new_id})


def _failure_workflow_name(d: Draft) -> str | None:
    """The failure workflow's name; ``$workflow.input.key`` and ``${workflow.input.key}`` both name it by an input."""
    name = d.program.definition.failure_workflow
    if not name or not name.startswith("$"):
        return name
    parts = name.strip("${}").split(".")
    found = _as_map(d.state.input).get(parts[2]) if len(parts) >= 3 else None
    return str(found) if found else None


def _notify_parent(d: Draft, output: bytes) -> None:
    meta = d.state.meta
    if meta.parent_task_id and meta.parent_workflow_id:
        outcome = encode(_outcome_for_parents(d, d.core.generation, output))
        d.handoffs.append(
            NotifyParent(
                meta.parent_workflow_id, meta.parent_task_id, outcome, meta.parent_ref or "", d.core.generation
            )
        )


def _notify_followers(d: Draft, output: bytes) -> None:
    """Tell those who share this workflow as their child; whoever follows learns of one end only."""
    if d.core.followers:
        outcome = encode(_outcome_for_parents(d, 0, output))
        d.handoffs += [NotifyParent(workflow_id_of(task_id), task_id, outcome) for task_id in d.core.followers]
        d.core.followers = []


def tell_late_follower(d: Draft, task_id: str) -> None:
    """Tell somebody who begins to follow this workflow after its end; its output is no longer at hand."""
    outcome = encode(_outcome_for_parents(d, 0, EMPTY_MAP))
    d.handoffs.append(NotifyParent(workflow_id_of(task_id), task_id, outcome, source=d.workflow_id))


def _outcome_for_parents(d: Draft, run: int, output: bytes) -> Outcome:
    meta = d.state.meta
    status = "CANCELED" if d.core.status == "TERMINATED" else d.core.status
    reason = None
    if not is_successful(status):
        reason = f"Sub workflow {meta.name}.{meta.version}/{d.workflow_id} failure reason: {d.core.reason}"
    return Outcome(
        format=FORMAT,
        status=status,
        reason=reason,
        merge=True,
        output=Raw(output),
        child_workflow_id=d.workflow_id,
        child_run=run,
    )


def _as_map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
