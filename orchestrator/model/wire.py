"""JSON form of definitions and views, both directions: the one door to camelCase.

How any struct is read and written stands in ``wire_read`` and ``wire_write``; this is their only caller. Problems of
types and of rules are gathered before anything is raised, so that a user mends a file in one go.
Results share nothing with what was read; what is written shares payload maps with the struct, so do not change it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from orchestrator.errors import DefinitionInvalid, Problem
from orchestrator.model.definitions import SchemaDef, TaskDef, WorkflowDef, WorkflowTask
from orchestrator.model.documents import load_documents
from orchestrator.model.execution import (
    StartWorkflowRequest,
    Task,
    TaskResult,
    Workflow,
    validate_start_request,
    validate_task_result,
)
from orchestrator.model.validation import validate_task_def, validate_workflow_def
from orchestrator.model.wire_read import joined, read_struct
from orchestrator.model.wire_write import write_struct

_S = TypeVar("_S", bound=msgspec.Struct)

CheckWorkflow = Callable[[WorkflowDef], list[Problem]]
"""Judges a workflow definition; pass a ``functools.partial`` of ``validate_workflow_def`` to add what it may ask."""

CheckTask = Callable[[TaskDef], list[Problem]]
"""Judges a task definition."""


# --- definitions ----------------------------------------------------------------------------------------------------


def workflow_def_from_dict(data: object, *, check: CheckWorkflow | None = validate_workflow_def) -> WorkflowDef:
    """The workflow definition that ``data`` (decoded JSON) describes.

    Raises ``DefinitionInvalid`` with all problems of types and, unless ``check`` is None, of rules.
    Example: ``workflow_def_from_dict({"name": "a", "tasks": [{"name": "t", "taskReferenceName": "t"}]})``
    """
    return _checked(WorkflowDef, data, check)


def task_def_from_dict(data: object, *, check: CheckTask | None = validate_task_def) -> TaskDef:
    """The task definition that ``data`` describes; raises ``DefinitionInvalid`` like ``workflow_def_from_dict``.

    Example: ``task_def_from_dict({"name": "charge", "retryCount": 5})``
    """
    return _checked(TaskDef, data, check)


def workflow_task_from_dict(data: object) -> WorkflowTask:
    """One step as an expression may yield it for a dynamic fork; types are checked, rules are not.

    Example: ``workflow_task_from_dict({"name": "t", "taskReferenceName": "t1"})``
    """
    return _checked(WorkflowTask, data, None)


def schema_def_from_dict(data: object) -> SchemaDef:
    """The schema that ``data`` describes; its text is judged where it is stored.

    Example: ``schema_def_from_dict({"name": "order", "data": {"type": "object"}})``
    """
    return _checked(SchemaDef, data, None)


def schema_def_to_dict(schema: SchemaDef) -> dict[str, Any]:
    """The JSON form of a schema. Example: ``schema_def_to_dict(s)["type"] == "JSON"``."""
    return write_struct(schema)


def workflow_def_to_dict(definition: WorkflowDef) -> dict[str, Any]:
    """The JSON form of a workflow definition. Example: ``workflow_def_to_dict(d)["schemaVersion"] == 2``."""
    return write_struct(definition)


def task_def_to_dict(task_def: TaskDef) -> dict[str, Any]:
    """The JSON form of a task definition. Example: ``task_def_to_dict(t)["retryCount"]``."""
    return write_struct(task_def)


def workflow_task_to_dict(task: WorkflowTask) -> dict[str, Any]:
    """The JSON form of one step. Example: ``workflow_task_to_dict(t)["taskReferenceName"]``."""
    return write_struct(task)


def definition_hash(definition: WorkflowDef | TaskDef) -> str:
    """Name of a definition's content: 32 hex digits of the SHA-256 of its JSON with sorted keys and no white space.

    Audit fields count too, so equal hashes mean equal documents. Example: ``len(definition_hash(d)) == 32``
    """
    return hashlib.sha256(msgspec.json.encode(write_struct(definition), order="sorted")).hexdigest()[:32]


def parse_definitions(
    text: str | bytes,
    filename: str,
    *,
    check_workflow: CheckWorkflow | None = validate_workflow_def,
    check_task: CheckTask | None = validate_task_def,
) -> list[WorkflowDef | TaskDef]:
    """All definitions of a JSON or YAML file, in order.

    A document is one definition, a list of them, or ``{"workflows": [...], "tasks": [...]}``; what has a list of
    ``tasks`` is a workflow, anything else a TaskDef. Raises one ``DefinitionInvalid`` for all problems of the file,
    ``MissingExtra`` for YAML without its library. Example: ``parse_definitions("name: charge", "charge.yaml")``
    """
    documents = load_documents(text, filename)
    found: list[WorkflowDef | TaskDef] = []
    problems: list[Problem] = []
    for index, document in enumerate(documents):
        prefix = f"document[{index}]" if len(documents) > 1 else ""
        for path, kind, item in _items(document, prefix):
            definition, faults = _judged(kind, item, check_workflow if kind is WorkflowDef else check_task)
            found.append(definition)
            problems += [Problem(joined(path, fault.path), fault.message, fault.value) for fault in faults]
    if not documents:
        problems.append(Problem("", "holds no definition"))
    if problems:
        raise DefinitionInvalid(filename, problems)
    return found


def _items(document: object, prefix: str) -> list[tuple[str, type[Any], object]]:
    """The definitions in a document: place, kind, value."""
    if isinstance(document, list):
        return [(f"{prefix}[{index}]", _kind(item), item) for index, item in enumerate(document)]
    if not isinstance(document, dict) or not _is_bundle(document):
        return [(prefix, _kind(document), document)]
    found: list[tuple[str, type[Any], object]] = []
    for field, kind in (("workflows", WorkflowDef), ("tasks", TaskDef)):
        items = document.get(field)
        if isinstance(items, list):
            found += [(f"{joined(prefix, field)}[{index}]", kind, item) for index, item in enumerate(items)]
        elif items is not None:
            found.append((joined(prefix, field), kind, items))
    return found


def _kind(item: object) -> type[Any]:
    return WorkflowDef if isinstance(item, dict) and "tasks" in item else TaskDef


def _is_bundle(document: dict[str, Any]) -> bool:
    if "workflows" in document:
        return True
    # Only a list of tasks: TaskDefs, unless they have reference names, which shows a workflow without its name.
    tasks = document.get("tasks")
    return (
        set(document) == {"tasks"}
        and isinstance(tasks, list)
        and not any(isinstance(task, dict) and "taskReferenceName" in task for task in tasks)
    )


# --- views and requests ---------------------------------------------------------------------------------------------


def workflow_from_dict(data: object) -> Workflow:
    """An execution as a server sent it; raises ``DefinitionInvalid`` where it is not one.

    Example: ``workflow_from_dict(response).status``
    """
    return _checked(Workflow, data, None)


def task_from_dict(data: object) -> Task:
    """A task as a server sent it. Example: ``task_from_dict(polled).input_data``."""
    return _checked(Task, data, None)


def task_result_from_dict(data: object) -> TaskResult:
    """A worker's report, checked by ``validate_task_result``; raises ``DefinitionInvalid`` with all problems.

    Example: ``task_result_from_dict({"workflowInstanceId": w, "taskId": t, "status": "COMPLETED"})``
    """
    return _checked(TaskResult, data, validate_task_result)


def start_request_from_dict(data: object, *, check: CheckWorkflow = validate_workflow_def) -> StartWorkflowRequest:
    """A start request, checked by ``validate_start_request`` (an inline definition by ``check``).

    Raises ``DefinitionInvalid``. Example: ``start_request_from_dict({"name": "order", "input": {"sku": "x"}})``
    """
    return _checked(StartWorkflowRequest, data, lambda request: validate_start_request(request, check))


def workflow_to_dict(workflow: Workflow, now_ms: int = 0) -> dict[str, Any]:
    """The JSON form of an execution, with the derived fields that Conductor's clients know; ``now_ms`` as in
    ``task_to_dict``. Example: ``workflow_to_dict(w)["workflowName"]``
    """
    written = write_struct(workflow)
    for task, form in zip(workflow.tasks, written["tasks"], strict=True):
        _add_derived(task, form, now_ms)
    written["startTime"] = workflow.create_time
    written["workflowName"] = workflow.workflow_name
    written["workflowVersion"] = workflow.workflow_version
    return written


def task_to_dict(task: Task, now_ms: int = 0) -> dict[str, Any]:
    """The JSON form of a task; ``now_ms`` counts only for the queue time of a task with a callback that is due.

    Example: ``task_to_dict(t, now_ms)["queueWaitTime"]``
    """
    written = write_struct(task)
    _add_derived(task, written, now_ms)
    return written


def task_result_to_dict(result: TaskResult) -> dict[str, Any]:
    """The JSON form of a worker's report. Example: ``task_result_to_dict(r)["status"] == "COMPLETED"``."""
    return write_struct(result)


def start_request_to_dict(request: StartWorkflowRequest) -> dict[str, Any]:
    """The JSON form of a start request. Example: ``start_request_to_dict(r)["correlationId"]``."""
    return write_struct(request)


def _add_derived(task: Task, written: dict[str, Any], now_ms: int) -> None:
    written["loopOverTask"] = task.loop_over_task
    written["queueWaitTime"] = task.queue_wait_ms(now_ms)
    if task.task_definition is not None:
        written["taskDefinition"] = written["workflowTask"]["taskDefinition"]
    if not task.runtime_metadata:
        written.pop("runtimeMetadata", None)


# --- what to say when it is wrong -----------------------------------------------------------------------------------

_WHAT: dict[type[Any], str] = {
    WorkflowDef: "workflow definition",
    TaskDef: "task definition",
    SchemaDef: "schema",
    WorkflowTask: "workflow task",
    Workflow: "workflow",
    Task: "task",
    TaskResult: "task result",
    StartWorkflowRequest: "start request",
}


def _checked(kind: type[_S], data: object, check: Callable[[_S], list[Problem]] | None) -> _S:
    value, problems = _judged(kind, data, check)
    if problems:
        name = getattr(value, "name", "") or getattr(value, "task_id", "") or getattr(value, "workflow_id", "")
        raise DefinitionInvalid(f"{_WHAT[kind]} {name!r}" if name else _WHAT[kind], problems)
    return value


def _judged(kind: type[_S], data: object, check: Callable[[_S], list[Problem]] | None) -> tuple[_S, list[Problem]]:
    """The struct, with defaults where something could not be read, and everything that is wrong with it."""
    value, problems = read_struct(kind, data)
    unreadable = [problem.path for problem in problems]
    if check is None or "" in unreadable:
        return value, problems
    # A rule that complains about what was put in place of an unreadable value would only mislead.
    return value, problems + [fault for fault in check(value) if not _touches(fault.path, unreadable)]


def _touches(path: str, unreadable: list[str]) -> bool:
    return any(_is_within(path, other) or (_is_within(other, path) and path[-1:] != "]") for other in unreadable)


def _is_within(path: str, container: str) -> bool:
    return path == container or path.startswith((f"{container}.", f"{container}["))
