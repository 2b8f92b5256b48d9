"""How a workflow ends: status and output, the joins and open tasks left behind, the parent and the failure workflow told.

``complete`` is the good end (nothing is open any more), ``end`` every other. Open tasks are cancelled in the same decision
when there are few, otherwise in slices that follow: the workflow is over at once either way.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from orchestrator.codec import EMPTY_MAP, pack, unpack
from orchestrator.core.draft import EMPTY, Draft
from orchestrator.core.kinds import is_queued
from orchestrator.core.state import OpenTasksNeeded, RecordsNeeded, TaskRecord
from orchestrator.errors import InvalidPayload
from orchestrator.ids import failure_workflow_id
from orchestrator.model.effects import Enqueue, NotifyParent, Remove, StartWorkflow
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
    _close(d, "COMPLETED", None, output)


def end(
    d: Draft,
    status: str,
    reason: str | None,
    *,
    failed: TaskRecord | None = None,
    output: bytes | None = None,
    failure_workflow: bool = True,
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
    if failure_workflow and status != "COMPLETED":
        output = _start_failure_workflow(d, status, reason, output)
    _close(d, status, reason, output)


def _close(d: Draft, status: str, reason: str | None, output: bytes) -> None:
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
    for ref in list(core.joins):
        _cancel_result(d, ref)
    core.joins = {}
    if core.open > 0:
        cancel_open_tasks(d)
    _notify_parent(d, output)


def cancel_open_tasks(d: Draft) -> None:
    """Cancel what the ended workflow left open; what does not fit in one decision follows in the next."""
    for record in [r for r in d.records.values() if d.is_open(r) and r.suffix in d.opened]:
        _cancel_new(d, record)
    if d.core.open > 0 and d.open_tasks is None:
        if d.core.open > CANCEL_AT_ONCE and not is_terminal(d.state.core.status if d.state.core else ""):
            d.again = True
            return
        raise OpenTasksNeeded
    refs = tuple(task.ref for task in d.open_tasks or ())
    missing = [ref for ref in refs if ref not in d.records and ref not in d.state.records]
    if missing and not d.state.complete:
        raise RecordsNeeded(missing)
    accepted = 0
    for task in d.open_tasks or ():
        record = d.record(task.ref)
        # An accepted outcome is on its way as an event of its own and stands: it is not overwritten.
        if task.state == "A":
            accepted += 1
        elif record is not None and record.suffix == task.suffix and d.is_open(record):
            _cancel(d, record)
    d.again = d.core.open > accepted


def _cancel(d: Draft, record: TaskRecord) -> None:
    made = record.scheduled
    _write_cancelled(d, record)
    d.undispatch(record, guarded=True)
    if is_queued(made.type):
        d.handoffs.append(Remove(made.type, d.task_id(record), made.domain))


def _cancel_new(d: Draft, record: TaskRecord) -> None:
    """A task of this very decision: it was never offered to anybody."""
    own = d.task_id(record)
    d.handoffs = [h for h in d.handoffs if not (isinstance(h, Enqueue) and h.task_id == own)]
    del d.opened[record.suffix]
    d.timers.pop((record.suffix, record.scheduled.ref), None)
    _write_cancelled(d, record)


def _write_cancelled(d: Draft, record: TaskRecord) -> None:
    held = record.result
    output = held.output if held is not None else EMPTY
    started_ms = held.started_ms if held is not None else 0
    d.set_result(
        record,
        Result(
            format=FORMAT, status="CANCELED", ended_ms=d.now, started_ms=started_ms, reason=d.core.reason, output=output
        ),
    )
    d.core.open -= 1


def _cancel_result(d: Draft, join_ref: str) -> None:
    d.results[join_ref] = Result(format=FORMAT, status="CANCELED", ended_ms=d.now, reason=d.core.reason)
    own = d.records.get(join_ref) or d.state.records.get(join_ref)
    if own is not None:
        d.records[join_ref] = TaskRecord(own.scheduled, d.results[join_ref])
    d.core.open -= 1


def _output(d: Draft, failed: TaskRecord | None) -> bytes:
    """The workflow's output: its mapping, else the output of the failing or else the last scheduled task."""
    if d.program.output is not None:
        d.require(d.program.output_reads)
        return d.pack_payload(d.program.output.render(d.scope), "outputParameters")
    last = failed if failed is not None else (d.record(d.core.last_ref) if d.core.last_ref else None)
    if last is None:
        return EMPTY_MAP
    node = d.node_of(last.scheduled)
    if node.task.type == "JOIN":
        d.require(tuple(node.task.join_on))
        return d.pack_payload(d.scope.join_output(node.task.join_on), "output")
    return bytes(last.result.output) if last.result is not None else EMPTY_MAP


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
            ),
            input=Raw(pack(given)),
            latest=definition.failure_workflow_version is None,
        )
    )
    d.core.failure_workflow_id = new_id
    return pack({**_as_map(unpack(output)), "conductor.failure_workflow": new_id})


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
    if not meta.parent_task_id or not meta.parent_workflow_id:
        return
    status = "CANCELED" if d.core.status == "TERMINATED" else d.core.status
    reason = None
    if not is_successful(status):
        reason = f"Sub workflow {meta.name}.{meta.version}/{d.workflow_id} failure reason: {d.core.reason}"
    outcome = Outcome(format=FORMAT, status=status, reason=reason, merge=True, output=Raw(output))
    d.handoffs.append(NotifyParent(meta.parent_workflow_id, meta.parent_task_id, encode(outcome)))


def _as_map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
