"""Stored records to the execution that users see: committed truth, overlaid with what the dispatch records know.

A JOIN's output is not stored; it is put together here from its members. A workflow whose start is not decided yet shows as
RUNNING without tasks: it was acknowledged, so it exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from orchestrator.codec import EMPTY_MAP, unpack
from orchestrator.core.branches import read_task
from orchestrator.ids import task_id, task_suffix
from orchestrator.model.definitions import TaskType, WorkflowDef, WorkflowTask, is_worker_task, nested_lists, walk
from orchestrator.model.execution import Task, TaskExecLog, Workflow
from orchestrator.model.records import Core, Meta, Result, Scheduled, decode_core, decode_meta
from orchestrator.model.status import TaskStatus, WorkflowStatus, is_terminal
from orchestrator.model.wire import workflow_def_from_dict
from orchestrator.payloads import path_in
from orchestrator.plan import Plan
from orchestrator.store.dispatch import Dispatch
from orchestrator.store.keys import Keys
from orchestrator.store.partition import load_definition
from orchestrator.store.view import Attempt, StoredWorkflow, read_workflow

Fetch = Callable[[str], Any]
"""Gets the value of a payload that is kept elsewhere, by its path."""


def _leave_out(path: str) -> Any:
    return {}


def load_view(
    keys: Keys, workflow_id: str, *, include_tasks: bool = True, fetch: Fetch = _leave_out
) -> Plan[Workflow | None]:
    """Read an execution as users see it; None when there is none of that id.

    Payloads that are kept elsewhere are shown by their paths, and with what ``fetch`` gets.
    """
    stored = yield from read_workflow(keys, workflow_id)
    if stored is None:
        return None
    meta = decode_meta(stored.fields["m"])
    body = yield load_definition(keys, keys.partition_of(workflow_id), meta.definition_hash)
    return workflow_view(stored, definition_of(body), include_tasks=include_tasks, fetch=fetch)


def definition_of(body: bytes | None) -> WorkflowDef | None:
    """The definition that an execution runs on, of its stored text."""
    return workflow_def_from_dict(msgspec.json.decode(body), check=None) if body is not None else None


def workflow_view(
    stored: StoredWorkflow, definition: WorkflowDef | None, *, include_tasks: bool = True, fetch: Fetch = _leave_out
) -> Workflow:
    """The execution of stored records; ``definition`` is the snapshot it runs on."""
    fields = stored.fields
    meta = decode_meta(fields["m"])
    core = decode_core(fields["c"]) if "c" in fields else None
    started_ms = int(fields["t"])
    tasks = _tasks(stored, meta, definition, fetch) if include_tasks else []
    return Workflow(
        workflow_id=stored.workflow_id,
        status=WorkflowStatus(core.status if core is not None else "RUNNING"),
        create_time=core.created_ms if core is not None else started_ms,
        update_time=core.updated_ms if core is not None else started_ms,
        end_time=core.ended_ms if core is not None else 0,
        parent_workflow_id=meta.parent_workflow_id,
        parent_workflow_task_id=meta.parent_task_id,
        tasks=tasks,
        input=_map(fields.get("i", EMPTY_MAP), fetch),
        output=_map(fields.get("o", EMPTY_MAP), fetch),
        external_input_payload_storage_path=path_in(fields.get("i", EMPTY_MAP)),
        external_output_payload_storage_path=path_in(fields.get("o", EMPTY_MAP)),
        correlation_id=meta.correlation_id,
        reason_for_incompletion=_reason(core, fields),
        event=meta.event,
        task_to_domain=meta.task_to_domain,
        failed_reference_task_names=core.failed_refs if core is not None else [],
        failed_task_names=core.failed_names if core is not None else [],
        workflow_definition=definition,
        priority=meta.priority,
        variables=_map(fields.get("x", EMPTY_MAP), fetch),
        last_retried_time=core.last_retried_ms if core is not None else 0,
        idempotency_key=meta.idempotency_key,
        rate_limit_key=core.gate.key if core is not None and core.gate is not None else None,
        rate_limited=core is not None and core.gate is not None and core.gate.is_waiting,
        created_by=meta.created_by,
    )


def _reason(core: Core | None, fields: dict[str, bytes]) -> str | None:
    if "q" in fields:
        return f"quarantined: {fields['q'].decode()}; let it go on with: orchestrator workflow unpark ID"
    return core.reason if core is not None else None


def _tasks(stored: StoredWorkflow, meta: Meta, definition: WorkflowDef | None, fetch: Fetch) -> list[Task]:
    steps = steps_of(definition) if definition is not None else {}
    for first in (attempts[-1].scheduled for attempts in stored.tasks.values()):
        if first.step is not None and not is_worker_task(first.type):
            branch = WorkflowDef(name="branch", tasks=[read_task(first.step)])
            steps |= steps_of(branch)
    made = [
        _task(stored, meta, steps, attempt, fetch, is_latest=attempt is attempts[-1])
        for attempts in stored.tasks.values()
        for attempt in attempts
    ]
    made.sort(key=lambda task: task.seq)
    outputs = {task.reference_task_name: task for task in made}
    joined: set[str] = set()
    for task in made:
        _put_together(task, outputs, joined)
    before = {ref: attempts[-1].scheduled.rounds_before for ref, attempts in stored.tasks.items()}
    # Inner loops have higher numbers than those around them: their outputs are whole when the outer one shows them.
    for task in reversed(made):
        if task.task_type == TaskType.DO_WHILE and outputs[task.reference_task_name] is task:
            task.output_data = {**task.output_data, **_rounds(task, before[task.reference_task_name], outputs)}
    return made


def steps_of(definition: WorkflowDef) -> dict[str, WorkflowTask]:
    """Every step of a definition by its reference."""
    return {task.task_reference_name: task for _, task in walk(definition)}


def _rounds(loop: Task, before: int, outputs: dict[str, Task]) -> dict[str, Any]:
    """The outputs of a loop's tasks by round and reference name; rounds that were not kept have none."""
    body = list(_body(loop.workflow_task)) if loop.workflow_task is not None else []
    rounds = {}
    for number in range(1, loop.output_data.get("iteration", 0) + 1):
        found = {ref: outputs[name] for ref in body if (name := f"{ref}__{before + number}") in outputs}
        if found:
            rounds[str(number)] = {ref: task.output_data for ref, task in found.items()}
    return rounds


def _body(loop: WorkflowTask) -> Iterator[str]:
    """The steps of a loop's body, without those of loops inside."""
    work = list(loop.loop_over)
    while work:
        task = work.pop(0)
        yield task.task_reference_name
        if task.type != TaskType.DO_WHILE:
            work.extend(inner for _, tasks in nested_lists(task) for inner in tasks)


def _put_together(task: Task, outputs: dict[str, Task], joined: set[str]) -> None:
    """The output of a JOIN that has ended, after those of the JOINs among its members."""
    if task.task_type != "JOIN" or not is_terminal(task.status) or task.task_id in joined:
        return
    joined.add(task.task_id)
    names = [(f"{ref}__{task.iteration}", ref) for ref in task.input_data.get("joinOn", [])]
    members = [outputs[own if own in outputs else ref] for own, ref in names if own in outputs or ref in outputs]
    for member in members:
        _put_together(member, outputs, joined)
    task.output_data = {
        member.reference_task_name: member.output_data
        for member in members
        if member.output_data and is_terminal(member.status)
    }


def _task(
    stored: StoredWorkflow,
    meta: Meta,
    steps: dict[str, WorkflowTask],
    attempt: Attempt,
    fetch: Fetch,
    *,
    is_latest: bool,
) -> Task:
    scheduled, result = attempt
    suffix = task_suffix(scheduled.ref, scheduled.iteration, scheduled.attempt, scheduled.generation)
    entry = stored.dispatch.get(suffix) if is_latest else None
    task = attempt_view(stored.workflow_id, meta, scheduled, steps, fetch)
    if result is not None:
        task.status = TaskStatus(result.status)
        _apply_result(task, result, fetch)
    elif scheduled.status == "IN_PROGRESS":
        task.start_time = scheduled.scheduled_ms
    if entry is not None:
        _overlay(task, entry)
    return task


def attempt_view(
    workflow_id: str, meta: Meta, scheduled: Scheduled, steps: Mapping[str, WorkflowTask], fetch: Fetch = _leave_out
) -> Task:
    """An attempt as it was made; ``steps`` are those of its workflow's definition, by reference."""
    base = scheduled.ref.rsplit("__", 1)[0] if scheduled.iteration else scheduled.ref
    return Task(
        task_id=task_id(workflow_id, scheduled.ref, scheduled.iteration, scheduled.attempt, scheduled.generation),
        task_type=scheduled.type,
        task_def_name=scheduled.name,
        status=TaskStatus(scheduled.status),
        reference_task_name=scheduled.ref,
        input_data=_map(bytes(scheduled.input), fetch),
        external_input_payload_storage_path=path_in(bytes(scheduled.input)),
        retry_count=scheduled.attempt,
        seq=scheduled.sequence,
        correlation_id=meta.correlation_id,
        scheduled_time=scheduled.scheduled_ms,
        update_time=scheduled.scheduled_ms,
        start_delay_in_seconds=scheduled.delay_ms // 1000,
        callback_after_seconds=scheduled.delay_ms // 1000,
        retried_task_id=scheduled.retried_task_id,
        workflow_instance_id=workflow_id,
        workflow_type=meta.name,
        reason_for_incompletion=scheduled.reason,
        workflow_task=steps.get(base) if scheduled.step is None else read_task(scheduled.step),
        domain=scheduled.domain,
        workflow_priority=meta.priority,
        iteration=scheduled.iteration,
    )


def _apply_result(task: Task, result: Result, fetch: Fetch) -> None:
    task.output_data = _map(bytes(result.output), fetch)
    task.external_output_payload_storage_path = path_in(bytes(result.output))
    task.start_time = result.started_ms
    task.end_time = result.ended_ms
    task.update_time = result.ended_ms or result.started_ms
    task.poll_count = result.poll_count
    task.worker_id = result.worker_id
    task.retried = result.retried
    task.executed = is_terminal(result.status) and not result.retried
    task.reason_for_incompletion = result.reason
    task.callback_after_seconds = result.callback_after_ms // 1000
    task.sub_workflow_id = result.child_workflow_id


def _overlay(task: Task, entry: Dispatch) -> None:
    """An open attempt: who runs it and since when is known before any commit hears of it."""
    if entry.state in ("R", "W"):
        task.status = TaskStatus.IN_PROGRESS
    if entry.started_ms:
        task.start_time = entry.started_ms
    task.update_time = max(task.update_time, entry.touched_ms)
    task.poll_count = max(task.poll_count, entry.polls)
    if entry.claimant != "-":
        task.worker_id = entry.claimant


def task_logs(stored: StoredWorkflow, wanted: str) -> list[TaskExecLog]:
    """The log lines kept with one attempt."""
    for attempts in stored.tasks.values():
        for scheduled, result in attempts:
            own = task_id(
                stored.workflow_id, scheduled.ref, scheduled.iteration, scheduled.attempt, scheduled.generation
            )
            if own == wanted and result is not None:
                return [TaskExecLog(log=text, task_id=own, created_time=at_ms) for at_ms, text in result.logs]
    return []


def _map(data: bytes, fetch: Fetch) -> dict[str, Any]:
    path = path_in(data)
    value = unpack(data) if path is None else fetch(path)
    return value if isinstance(value, dict) else {"result": value}
