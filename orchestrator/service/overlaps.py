"""What a due time does while the execution that its schedule started last is still running: the overlap policies.

The execution that the due time itself has already started counts as started: a firer that died before it could note so
is followed by another, which must not take its work for an obstacle. Called by firing.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator import ids
from orchestrator.errors import Conflict, OrchestratorError
from orchestrator.model.schedules import OverlapPolicy, Schedule
from orchestrator.model.status import is_terminal
from orchestrator.plan import Plan
from orchestrator.store import partition
from orchestrator.store.context import StoreContext


class Held(Conflict):
    """The due time waits for the end of the execution before it."""


def settle_overlaps(
    store: StoreContext, due: Sequence[tuple[Schedule, str | None, int]]
) -> Plan[dict[str, OrchestratorError]]:
    """Of schedules with the execution each started last and the due time it has come to: which may not start, and why.

    By the schedule's name: ``Held`` where the due time is to wait, ``Conflict`` where it is left out. What is to be ended
    first is asked to end. Example: ``yield from settle_overlaps(store, [(schedule, "01a2...", due_ms)])``
    """
    watched = [
        (schedule, last_id, ids.scheduled_workflow_id(schedule.name, due_ms))
        for schedule, last_id, due_ms in due
        if last_id is not None and schedule.overlap_policy is not OverlapPolicy.ALLOW
    ]
    if not watched:
        return {}
    names = [workflow_id for _, last_id, own_id in watched for workflow_id in (last_id, own_id)]
    keys = store.keys
    statuses = yield [partition.status_of(keys, keys.partition_of(name), name) for name in names]
    for status in statuses:
        if isinstance(status, Exception):
            raise status
    found: dict[str, OrchestratorError] = {}
    ends = []
    for index, (schedule, last_id, own_id) in enumerate(watched):
        status, own = statuses[2 * index], statuses[2 * index + 1]
        if status is None or is_terminal(status) or own is not None:
            continue
        if schedule.overlap_policy is OverlapPolicy.TERMINATE:
            arguments = {"reason": f"schedule {schedule.name} is due again", "trigger_failure_workflow": False}
            number = keys.partition_of(last_id)
            ends.append(partition.request(keys, number, last_id, f"{own_id}-overlap", "terminate", arguments))
        elif schedule.overlap_policy is OverlapPolicy.BUFFER:
            found[schedule.name] = Held(f"waits for the end of {last_id}, which this schedule started before")
        else:
            found[schedule.name] = Conflict(
                f"skipped: {last_id}, which this schedule started before, is still {status}"
            )
    for reply in (yield ends) if ends else ():
        if isinstance(reply, Exception):
            raise reply
    return found
