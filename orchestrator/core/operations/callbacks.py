"""Reset callbacks: tasks that wait for a delay, their own or that of a retry, may be claimed at once."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from orchestrator.core.draft import Draft
from orchestrator.core.kinds import QUEUED
from orchestrator.core.operations.answers import Answer, accept, refuse_ended
from orchestrator.core.state import OpenTasksNeeded
from orchestrator.model.effects import Expedite


def reset_callbacks(d: Draft, arguments: dict[str, Any]) -> Answer:
    """Offer every task that waits in its queue for its time without further delay."""
    if (ended := refuse_ended(d, "it has no callbacks to reset")) is not None:
        return ended
    if d.core.open == 0:
        return accept(d, tasks=0)
    if d.open_tasks is None:
        raise OpenTasksNeeded
    refs = [task.ref for task in d.open_tasks if task.state == QUEUED]
    d.require(tuple(refs))
    reset = 0
    for ref in refs:
        record = d.record(ref)
        if record is None or not record.is_open:
            continue
        made, held = record.scheduled, record.result
        if held is not None and held.callback_after_ms:
            d.set_result(record, replace(held, callback_after_ms=0))
        elif not made.delay_ms or held is not None:
            continue
        d.handoffs.append(Expedite(made.type, d.task_id(record)))
        reset += 1
    return accept(d, tasks=reset)
