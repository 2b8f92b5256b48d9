"""Update state: change variables and say how an open task ended, both or neither."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from orchestrator.core.draft import Draft
from orchestrator.core.kinds import ACCEPTED, INTERNAL
from orchestrator.core.operations.answers import Answer, accept, refuse, refuse_ended
from orchestrator.core.operations.variables import lay_over
from orchestrator.core.reports import task_reported
from orchestrator.core.state import OpenTasksNeeded, TaskRecord
from orchestrator.errors import InvalidPayload
from orchestrator.model.events import TaskReported
from orchestrator.model.records import FORMAT, Outcome
from orchestrator.model.status import RESULT_STATUSES


def update_state(d: Draft, arguments: dict[str, Any]) -> Answer:
    """Lay ``variables`` over those there are, and report ``status`` with ``output`` on the open task ``ref``."""
    if (ended := refuse_ended(d, "its state cannot be changed")) is not None:
        return ended
    ref, status = arguments.get("ref"), arguments.get("status") or "COMPLETED"
    if status not in set(RESULT_STATUSES):
        return refuse("INVALID_REQUEST", f"status must be one of {', '.join(RESULT_STATUSES)}, not {status}")
    record = _open_task(d, ref) if ref else None
    if ref and record is None:
        return refuse("TASK_NOT_FOUND", f"Found no running task {ref} of workflow {d.workflow_id} to update")
    try:
        packed = d.pack_payload(arguments.get("output") or {}, "output")
    except InvalidPayload as error:
        return refuse(error.code, str(error))
    refusal = lay_over(d, arguments.get("variables") or {})
    if refusal is not None or record is None:
        return refusal or accept(d)
    outcome = Outcome(FORMAT, status, reason=arguments.get("reason"), merge=True, output=Raw(packed))
    task_reported(d, TaskReported(d.now, d.task_id(record), record.scheduled.ref, outcome, delivery=-1))
    if record.suffix in d.closed:
        d.guarded[record.suffix] = None  # an outcome that is accepted meanwhile stands
    return accept(d, task_id=d.task_id(record), ref=record.scheduled.ref)


def _open_task(d: Draft, ref: str) -> TaskRecord | None:
    """The open task of that name, inside a loop that of the present round, if its end is not in the inbox already."""
    if d.core.open == 0:
        return None
    if d.open_tasks is None:
        raise OpenTasksNeeded
    accepted = {task.suffix for task in d.open_tasks if task.state == ACCEPTED}
    for name in dict.fromkeys((ref, d.latest(ref))):
        record = d.record(name)
        if record is not None and record.is_open and record.suffix not in accepted:
            return record if d.dispatch_state(record) != INTERNAL else None
    return None
