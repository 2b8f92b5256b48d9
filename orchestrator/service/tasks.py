"""What a user or an outside system can do with one task: look at it, read its log, say how it ended.

Workers report through ``dispatch`` under their lease; here is the word of everybody else: by task id it replaces the
task's output, by reference name it is laid over it, as Conductor has it. A word that comes too late changes nothing and
is no error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec import Raw

from orchestrator.codec import pack
from orchestrator.engine.views import task_logs
from orchestrator.errors import DefinitionInvalid, InvalidRequest, StoreUnavailable, TaskNotFound
from orchestrator.ids import TASK_SUFFIX_LENGTH, workflow_id_of
from orchestrator.model.execution import Task, TaskExecLog, TaskResult, validate_task_result
from orchestrator.model.records import FORMAT, Outcome, encode
from orchestrator.model.status import RESULT_STATUSES, is_terminal
from orchestrator.plan import Plan
from orchestrator.service.workflows import get, unknown_workflow
from orchestrator.store import dispatch
from orchestrator.store.context import StoreContext
from orchestrator.store.verdicts import Verdict
from orchestrator.store.view import read_workflow


class TaskUpdate(NamedTuple):
    """``is_accepted`` is false when the task had ended before: then nothing was changed."""

    task_id: str
    is_accepted: bool


def get_task(store: StoreContext, task_id: str) -> Plan[Task]:
    """One attempt by its id. Raises ``TaskNotFound``, ``WorkflowNotFound``."""
    workflow = yield from get(store, _workflow_of(task_id))
    for task in workflow.tasks:
        if task.task_id == task_id:
            return task
    raise _unknown_task(task_id)


def logs(store: StoreContext, task_id: str) -> Plan[list[TaskExecLog]]:
    """The lines that an attempt logged, in order. Raises ``WorkflowNotFound``."""
    stored = yield from read_workflow(store.keys, _workflow_of(task_id))
    if stored is None:
        raise unknown_workflow(_workflow_of(task_id))
    return task_logs(stored, task_id)


def update_task(store: StoreContext, result: TaskResult) -> Plan[TaskUpdate]:
    """Say from outside how an attempt ended, or that it goes on; its output is replaced.

    Raises ``DefinitionInvalid`` (the result), ``InvalidPayload`` and ``TaskNotFound``.
    Example: ``executor.run(update_task(store, TaskResult(workflow_instance_id=w, task_id=t, status="COMPLETED")))``
    """
    problems = validate_task_result(result)
    if problems:
        raise DefinitionInvalid("task result", problems)
    outcome = Outcome(
        FORMAT,
        str(result.status),
        result.reason_for_incompletion,
        result.callback_after_seconds * 1000,
        worker_id=result.worker_id,
        logs=[(line.created_time, line.log) for line in result.logs],
        output=_packed(store, result.output_data),
    )
    return (yield from _tell(store, result.task_id, outcome))


def update_task_by_ref(
    store: StoreContext,
    workflow_id: str,
    ref: str,
    status: str,
    output: Mapping[str, Any] | None = None,
    *,
    reason: str | None = None,
    worker_id: str | None = None,
) -> Plan[TaskUpdate]:
    """Say from outside how the open task ``ref`` of a workflow ended; ``output`` is laid over what it has.

    Inside a loop plain ``ref`` means the open iteration. Raises ``InvalidRequest`` for a status nobody may report,
    ``WorkflowNotFound``, and ``TaskNotFound`` when no open task has that name.
    """
    if status not in set(RESULT_STATUSES):
        raise InvalidRequest(
            f"task {ref}: status {status!r} cannot be reported; use one of {', '.join(RESULT_STATUSES)}"
        )
    workflow = yield from get(store, workflow_id)
    open_tasks = [task for task in workflow.tasks if not task.is_terminal]
    exact = [task for task in open_tasks if task.reference_task_name == ref]
    looped = [task for task in open_tasks if task.reference_task_name == f"{ref}__{task.iteration}"]
    if not (exact or looped):
        names = ", ".join(task.reference_task_name for task in open_tasks) or "none"
        raise TaskNotFound(
            f"Found no running task {ref} of workflow {workflow_id} to update; open tasks: {names[:500]}"
        )
    outcome = Outcome(FORMAT, str(status), reason, worker_id=worker_id, merge=True, output=_packed(store, output or {}))
    return (yield from _tell(store, (exact or looped)[0].task_id, outcome))


def _packed(store: StoreContext, output: Mapping[str, Any]) -> Raw:
    return Raw(pack(dict(output), "output", store.settings.payload_bytes_max))


def _tell(store: StoreContext, task_id: str, outcome: Outcome) -> Plan[TaskUpdate]:
    number = store.keys.partition_of(_workflow_of(task_id))
    report = dispatch.Report(task_id, dispatch.OUTSIDE, is_terminal(outcome.status), encode(outcome))
    (verdict,) = yield dispatch.accept(store.keys, number, outcome.worker_id or "-", [report])
    match verdict:
        case Verdict.OK:
            return TaskUpdate(task_id, True)
        case Verdict.DUP:
            return TaskUpdate(task_id, False)
        case Verdict.GONE:
            found = yield from get_task(store, task_id)  # an attempt that has ended is no error, an unknown one is
            return TaskUpdate(found.task_id, False)
    raise StoreUnavailable(f"the record of task {task_id} cannot be read ({verdict}); see: orchestrator doctor")


def _workflow_of(task_id: str) -> str:
    if len(task_id) <= TASK_SUFFIX_LENGTH + 1:
        raise _unknown_task(task_id)
    return workflow_id_of(task_id)


def _unknown_task(task_id: str) -> TaskNotFound:
    return TaskNotFound(
        f"No such task found by id: {task_id}; the tasks of a workflow are shown by: orchestrator workflow get ID"
    )
