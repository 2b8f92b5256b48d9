"""What a user or an outside system can do with one task: look at it, read its log, say how it ended.

Native workers report through ``dispatch`` under their lease; here is the word of everybody else, workers that only speak
HTTP among them: by task id it replaces the task's output, by reference name it is laid over it, as Conductor has it. A
word that comes too late changes nothing and is no error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Unpack

from msgspec import MsgspecError, Raw
from msgspec.structs import replace

from orchestrator.archive import shelf
from orchestrator.codec import pack
from orchestrator.engine.views import task_logs
from orchestrator.errors import DefinitionInvalid, InvalidRequest, StoreUnavailable, TaskNotFound
from orchestrator.ids import TASK_SUFFIX_LENGTH, workflow_id_of
from orchestrator.model.execution import Task, TaskExecLog, TaskResult, validate_task_result
from orchestrator.model.records import FORMAT, Outcome, Scheduled, decode_scheduled, encode
from orchestrator.model.status import RESULT_STATUSES, is_terminal
from orchestrator.plan import Command, Plan, Wait
from orchestrator.service import actions, secrets, uploads
from orchestrator.service.actions import ActOptions
from orchestrator.service.lending import MARGIN_MS, loan_ms
from orchestrator.service.workflows import get, unknown_workflow
from orchestrator.store import dispatch, queue
from orchestrator.store.context import StoreContext
from orchestrator.store.queue_values import Beat, Lend, Loan
from orchestrator.store.verdicts import Verdict
from orchestrator.store.view import read_workflow

COMMIT_WAIT_S = 1.0
"""How long an update waits for its effect. The update is safe before."""


class TaskUpdate(NamedTuple):
    """``is_accepted`` is false when the task had ended before: then nothing was changed.

    ``is_over``: the task has ended, by this word or before. ``type`` and ``domain`` name its queue.
    """

    task_id: str
    is_accepted: bool
    is_over: bool
    type: str
    domain: str | None


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
        stored = yield from shelf.archived(store, _workflow_of(task_id))
    if stored is None:
        raise unknown_workflow(_workflow_of(task_id))
    return task_logs(stored, task_id)


def add_log(store: StoreContext, task_id: str, text: str, **options: Unpack[ActOptions]) -> Plan[None]:
    """Add a line to the log of an attempt, which may have ended; options as for ``actions.act``.

    Raises ``TaskNotFound``, also for an attempt that another one has followed, and ``WorkflowNotFound``.
    """
    _, scheduled = yield from _open_attempt(store, task_id)
    ref = (yield from get_task(store, task_id)).reference_task_name if scheduled is None else scheduled.ref
    arguments = {"ref": ref, "task_id": task_id, "text": text}
    yield from actions.act(store, workflow_id_of(task_id), "log", arguments, **options)


def update_task(store: StoreContext, result: TaskResult, *, wait_commit: bool = True) -> Plan[TaskUpdate]:
    """Say by its id how an attempt ended, or that it goes on; its output is replaced.

    IN_PROGRESS gives a lent task back to its queue, to be handed out again after ``callback_after_seconds``; one that a
    worker with a lease runs stays with it, and only output, reason and logs are taken in. With ``extend_lease`` nothing is
    taken in but that its worker lives. ``wait_commit``: answer when what follows from the word is decided, after a second
    at the latest. Raises ``DefinitionInvalid`` (the result), ``InvalidPayload`` and ``TaskNotFound``.
    Example: ``executor.run(update_task(store, TaskResult(workflow_instance_id=w, task_id=t, status="COMPLETED")))``
    """
    problems = validate_task_result(result)
    if problems:
        raise DefinitionInvalid("task result", problems)
    if result.extend_lease:
        return (yield from _extend(store, result.task_id))
    brought = uploads.taken(
        store, result.external_output_payload_storage_path, result.output_data, f"task {result.task_id}"
    )
    packed = _packed(store, brought)
    outcome = Outcome(
        FORMAT,
        str(result.status),
        result.reason_for_incompletion,
        result.callback_after_seconds * 1000,
        worker_id=result.worker_id,
        logs=[(line.created_time, line.log) for line in result.logs],
        output=packed,
    )
    return (yield from _say(store, result.task_id, outcome, wait_commit=wait_commit))


def update_task_by_ref(
    store: StoreContext,
    workflow_id: str,
    ref: str,
    status: str,
    output: Mapping[str, Any] | None = None,
    *,
    reason: str | None = None,
    worker_id: str | None = None,
    wait_commit: bool = True,
) -> Plan[TaskUpdate]:
    """Say from outside how the open task ``ref`` of a workflow ended; ``output`` is laid over what it has.

    Inside a loop plain ``ref`` means the open iteration; ``wait_commit`` as for ``update_task``. Raises
    ``InvalidRequest`` for a status nobody may report, ``WorkflowNotFound``, and ``TaskNotFound`` when no open task has
    that name.
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
    return (yield from _say(store, (exact or looped)[0].task_id, outcome, wait_commit=wait_commit))


def _packed(store: StoreContext, output: Mapping[str, Any]) -> Raw:
    return Raw(pack(dict(output), "output", store.settings.payload_bytes_max))


def _say(store: StoreContext, task_id: str, outcome: Outcome, *, wait_commit: bool) -> Plan[TaskUpdate]:
    attempt, scheduled = yield from _open_attempt(store, task_id)
    if attempt is None or scheduled is None:
        return (yield from _too_late(store, task_id))
    if scheduled.secrets or scheduled.runtime:
        (revealed,) = yield from secrets.reveal(store, [scheduled])
        outcome = secrets.masked(outcome, revealed.hidden)
    workflow_id = workflow_id_of(task_id)
    number = store.keys.partition_of(workflow_id)
    is_over = is_terminal(outcome.status)
    is_out = not is_over and attempt.dispatch.delivery > 0
    is_kept = False
    if is_out:
        # Nobody judges a postponed task's silence: should this process die behind the partition's word, the queue has it.
        longer_ms = outcome.callback_after_ms + MARGIN_MS
        is_kept = (yield from _lend(store, task_id, scheduled, attempt.dispatch, Lend.LONGER, longer_ms)) is Beat.LEASED
    if is_kept:  # called back later it would run twice at once
        outcome = replace(outcome, callback_after_ms=0)
    report = dispatch.Report(task_id, dispatch.OUTSIDE, is_over, encode(outcome), is_kept=is_kept)
    (verdict,) = yield dispatch.accept(store.keys, number, outcome.worker_id or "-", [report])
    match verdict:
        case Verdict.DUP:
            return TaskUpdate(task_id, False, True, scheduled.type, scheduled.domain)
        case Verdict.GONE:
            return (yield from _too_late(store, task_id))
        case Verdict.CORRUPT:
            raise _unreadable(task_id)
    if is_out and not is_kept:
        yield from _lend(store, task_id, scheduled, attempt.dispatch, Lend.LATER, outcome.callback_after_ms)
    if wait_commit:
        channel = store.keys.done_channel(number, workflow_id)
        version = Command(("HGET", store.keys.workflow(number, workflow_id), "v"))
        yield Wait((channel,), version, lambda found: found != attempt.version, COMMIT_WAIT_S)
    return TaskUpdate(task_id, True, is_over, scheduled.type, scheduled.domain)


def _extend(store: StoreContext, task_id: str) -> Plan[TaskUpdate]:
    """A sign of life: the response time-out begins anew, in the partition that judges it and in the queue."""
    attempt, scheduled = yield from _open_attempt(store, task_id)
    if attempt is None or scheduled is None:
        return (yield from _too_late(store, task_id))
    entry = attempt.dispatch
    if entry.state == "R":
        number = store.keys.partition_of(workflow_id_of(task_id))
        # The queue first: should this process die in between, the loan still outlasts the response time-out.
        yield from _lend(store, task_id, scheduled, entry, Lend.LONGER, loan_ms(entry.response_ms))
        claim = dispatch.Claimed(task_id, entry.delivery)
        yield dispatch.touch(store.keys, number, entry.claimant, [claim])
    return TaskUpdate(task_id, True, False, scheduled.type, scheduled.domain)


def _lend(
    store: StoreContext, task_id: str, scheduled: Scheduled, entry: dispatch.Dispatch, how: Lend, delay_ms: int
) -> Plan[Beat]:
    """Change the loan of a task; nothing happens to one that is not lent."""
    (word,) = yield from queue.lend(store.queues, scheduled.type, [Loan(how, task_id, entry.delivery, delay_ms)])
    return word


def _open_attempt(store: StoreContext, task_id: str) -> Plan[tuple[dispatch.OpenAttempt | None, Scheduled | None]]:
    number = store.keys.partition_of(_workflow_of(task_id))
    found: dispatch.OpenAttempt | None
    try:
        found = yield dispatch.attempt(store.keys, number, task_id)
        return found, None if found is None else decode_scheduled(found.scheduled)
    except (ValueError, MsgspecError):
        raise _unreadable(task_id) from None


def _too_late(store: StoreContext, task_id: str) -> Plan[TaskUpdate]:
    """An attempt that has ended is no error, an unknown one is."""
    try:
        found = yield from get_task(store, task_id)
    except MsgspecError:
        raise _unreadable(task_id) from None
    return TaskUpdate(task_id, False, True, found.task_type, found.domain)


def _unreadable(task_id: str) -> StoreUnavailable:
    return StoreUnavailable(f"the record of task {task_id} cannot be read; see: orchestrator doctor")


def _workflow_of(task_id: str) -> str:
    if len(task_id) <= TASK_SUFFIX_LENGTH + 1:
        raise _unknown_task(task_id)
    return workflow_id_of(task_id)


def _unknown_task(task_id: str) -> TaskNotFound:
    return TaskNotFound(
        f"No such task found by id: {task_id}; the tasks of a workflow are shown by: orchestrator workflow get ID"
    )
