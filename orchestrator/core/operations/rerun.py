"""Rerun: an ended workflow goes on from one of its tasks, which is done anew, or from its beginning.

The task and everything that came after it is dropped, in its fork branch, loop or SWITCH and behind them; the task is made
anew, in a new generation. What ran beside it stays; what was cancelled beside it is taken up again (``reviving``).
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from orchestrator.core.draft import Draft
from orchestrator.core.operations.answers import Answer, accept, label, refuse
from orchestrator.core.operations.restart import start_over
from orchestrator.core.program import JOIN_TYPES
from orchestrator.core.reviving import revive
from orchestrator.core.undoing import undo, undo_ahead
from orchestrator.errors import InvalidPayload
from orchestrator.ids import suffix_of, task_suffix
from orchestrator.model.records import Scheduled
from orchestrator.model.status import is_terminal


def rerun(d: Draft, arguments: dict[str, Any]) -> Answer | None:
    """Go on from task ``ref`` (with ``task_id``, if it is to be that one), with ``input`` in place of its parameters.

    Without ``ref`` from the beginning, with ``workflow_input``. ``correlation_id`` is the workflow's from now on.
    None: so much is to be dropped that this decision has only begun with it.
    """
    if not is_terminal(d.core.status):
        return refuse("CONFLICT", f"workflow {label(d)} is {d.core.status}, only one that has ended can be rerun")
    ref = arguments.get("ref")
    record = d.record(ref) if ref else None
    if ref and (record is None or not _is_attempt(record.scheduled, arguments.get("task_id"))):
        return refuse("TASK_NOT_FOUND", f"Task {arguments.get('task_id') or ref} not found in workflow {label(d)}")
    if record is not None and not d.has_step(record.scheduled):
        return refuse("CONFLICT", f"the definition that workflow {label(d)} goes by has no step {ref} any more")
    node = d.node_of(record.scheduled) if record is not None else None
    if node is not None and node.is_script:
        return refuse("INVALID_REQUEST", f"{ref} is a script of the task {node.parent}; rerun that one")
    refusal = _check_inputs(d, arguments)
    if refusal is not None:
        return refusal
    is_join = node is not None and node.task.type in JOIN_TYPES
    if node is not None and record is not None and undo_ahead(d, node, record.scheduled.iteration, keep_first=is_join):
        return None
    _take_inputs(d, arguments)
    if record is None or node is None:
        variables = d.current_variables()
        start_over(d, created_ms=d.core.created_ms)
        d.variables = {**(d.variables or {}), **variables}
        return accept(d)
    iteration = record.scheduled.iteration
    reopened = undo(d, node, iteration, keep_first=is_join)
    if arguments.get("input") is not None:
        d.given = record.scheduled.ref, arguments["input"]
    # A branch of a dynamic fork begins with the fork, which knows what it is.
    is_branch = record.scheduled.step is not None and bool(record.scheduled.step.fork)
    revive(d, reopened=reopened, first=None if is_join or is_branch else (node.ref, iteration))
    return accept(d)


def _is_attempt(made: Scheduled, task_id: str | None) -> bool:
    """Whether the task of that id is this one or an earlier attempt of it."""
    if task_id is None:
        return True
    ids = {task_suffix(made.ref, made.iteration, attempt, made.generation) for attempt in range(made.attempt + 1)}
    return suffix_of(task_id) in ids


def _check_inputs(d: Draft, arguments: dict[str, Any]) -> Answer | None:
    try:
        for name in ("workflow_input", "input"):
            d.pack_payload(arguments.get(name), name)
    except InvalidPayload as error:
        return refuse(error.code, str(error))
    return None


def _take_inputs(d: Draft, arguments: dict[str, Any]) -> None:
    given, correlation_id = arguments.get("workflow_input"), arguments.get("correlation_id")
    if given is not None:
        d.set_input(d.pack_payload(given, "workflow_input"))
    if correlation_id is not None:
        d.set_meta(replace(d.state.meta, correlation_id=correlation_id))
