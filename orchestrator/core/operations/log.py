"""Log: a line for the log of a task, while it is open or after its end."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from orchestrator.core.draft import EMPTY, Draft
from orchestrator.core.operations.answers import Answer, accept, refuse
from orchestrator.ids import suffix_of
from orchestrator.model.records import FORMAT, Result

LINES_MAX = 200
"""So many lines a task keeps; the oldest make room."""


def log(d: Draft, arguments: dict[str, Any]) -> Answer:
    """Add ``text`` to the log of the task ``task_id``, which ran under ``ref``; one that was retried takes no more."""
    ref, task_id = arguments.get("ref") or "", arguments.get("task_id") or ""
    d.require_tasks([ref])
    record = d.record(ref)
    if record is None or record.suffix != suffix_of(task_id):
        return refuse("TASK_NOT_FOUND", f"task {task_id} is not the last attempt of {ref} any more: its log is closed")
    held = record.result or Result(FORMAT, record.scheduled.status, 0, output=EMPTY)
    line = (d.now, arguments.get("text") or "")
    d.set_result(record, replace(held, logs=[*held.logs, line][-LINES_MAX:]))
    return accept(d)
