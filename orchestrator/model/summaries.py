"""One line about an execution or a task, as searches give it, and the words that free text finds it by.

A line is made from the view that everybody may see, masks and all, so that a search over Redis and one over the archive
speak of the same values. ``WORKFLOW_FIELDS`` and ``TASK_FIELDS`` are the fields a query may name, with the kind of their
values. Reads nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

from orchestrator.model.execution import Task, Workflow
from orchestrator.model.status import TaskStatus, WorkflowStatus
from orchestrator.model.wire_write import json_name, write_struct

TEXT_MAX = 65_536
"""So many characters of an input or output stand in its line; its size says how many there are."""

WORDS_TEXT_MAX = 262_144
"""So many characters of words are searched of an execution, and of a task."""

WORD_MAX = 200
"""A longer word is found by its beginning."""


CLASSIFIER = "workflow"
"""What Conductor calls workflows among what runs like them; there is nothing else here."""


class Kind(StrEnum):
    """What values a field has, and so how it compares and when it counts as absent."""

    TEXT = "text"  # absent when empty
    NUMBER = "number"
    TIME = "time"  # epoch ms, absent while 0
    STATUS = "status"


class WorkflowSummary(msgspec.Struct, kw_only=True):
    """One line about an execution; times in epoch ms, 0 for "not yet"; ``input`` and ``output`` are JSON text."""

    workflow_id: str
    workflow_type: str
    version: int
    status: WorkflowStatus
    correlation_id: str | None = None
    start_time: int = 0
    update_time: int = 0
    end_time: int = 0
    input: str = ""
    output: str = ""
    input_size: int = 0
    output_size: int = 0
    reason_for_incompletion: str | None = None
    execution_time: int = 0
    event: str | None = None
    failed_reference_task_names: str = ""
    failed_task_names: list[str] = []
    external_input_payload_storage_path: str | None = None
    external_output_payload_storage_path: str | None = None
    priority: int = 0
    created_by: str | None = None
    task_to_domain: dict[str, str] = {}
    idempotency_key: str | None = None
    parent_workflow_id: str = ""
    classifier: str = CLASSIFIER


class TaskSummary(msgspec.Struct, kw_only=True):
    """One line about an attempt of a task; times in epoch ms, 0 for "not yet"; ``input`` and ``output`` are JSON text."""

    task_id: str
    task_type: str
    task_def_name: str
    status: TaskStatus
    workflow_id: str
    workflow_type: str
    correlation_id: str | None = None
    scheduled_time: int = 0
    start_time: int = 0
    update_time: int = 0
    end_time: int = 0
    reason_for_incompletion: str | None = None
    execution_time: int = 0
    queue_wait_time: int = 0
    input: str = ""
    output: str = ""
    external_input_payload_storage_path: str | None = None
    external_output_payload_storage_path: str | None = None
    workflow_priority: int = 0
    domain: str | None = None


Summary = WorkflowSummary | TaskSummary


class Field(msgspec.Struct, frozen=True):
    """A field of a line: ``name`` as a query spells it, ``attribute`` of the struct."""

    name: str
    attribute: str
    kind: Kind

    def value(self, summary: object) -> str | int | None:
        """What a query compares; ``None`` when it is absent."""
        found = getattr(summary, self.attribute)
        if self.kind is Kind.TEXT:
            return _text(found) or None
        if self.kind is Kind.TIME:
            return found or None
        return str(found) if self.kind is Kind.STATUS else int(found)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, dict):
        return _json(value) if value else ""
    return value or ""


def _fields(kind: type[msgspec.Struct]) -> dict[str, Field]:
    found = {}
    for name, annotation in ((one.name, one.type) for one in msgspec.structs.fields(kind)):
        if name.endswith("_time") and name not in ("execution_time", "queue_wait_time"):
            what = Kind.TIME
        elif name == "status":
            what = Kind.STATUS
        else:
            what = Kind.NUMBER if annotation is int else Kind.TEXT
        found[json_name(name)] = Field(json_name(name), name, what)
    return found


WORKFLOW_FIELDS = _fields(WorkflowSummary)
TASK_FIELDS = _fields(TaskSummary)


def workflow_summary(workflow: Workflow) -> WorkflowSummary:
    """The line of an execution. Example: ``workflow_summary(masked_workflow(view)).status``"""
    given, given_size = _payload(workflow.input)
    output, output_size = _payload(workflow.output)
    return WorkflowSummary(
        workflow_id=workflow.workflow_id,
        workflow_type=workflow.workflow_name,
        version=workflow.workflow_version,
        status=workflow.status,
        correlation_id=workflow.correlation_id,
        start_time=workflow.create_time,
        update_time=workflow.update_time,
        end_time=workflow.end_time,
        input=given,
        output=output,
        input_size=given_size,
        output_size=output_size,
        reason_for_incompletion=workflow.reason_for_incompletion,
        execution_time=max(0, workflow.end_time - workflow.create_time) if workflow.end_time else 0,
        event=workflow.event,
        failed_reference_task_names=",".join(workflow.failed_reference_task_names),
        failed_task_names=workflow.failed_task_names,
        external_input_payload_storage_path=workflow.external_input_payload_storage_path,
        external_output_payload_storage_path=workflow.external_output_payload_storage_path,
        priority=workflow.priority,
        created_by=workflow.created_by,
        task_to_domain=workflow.task_to_domain,
        idempotency_key=workflow.idempotency_key,
        parent_workflow_id=workflow.parent_workflow_id or "",
    )


def task_summary(task: Task) -> TaskSummary:
    """The line of an attempt."""
    return TaskSummary(
        task_id=task.task_id,
        task_type=task.task_type,
        task_def_name=task.task_def_name,
        status=task.status,
        workflow_id=task.workflow_instance_id,
        workflow_type=task.workflow_type,
        correlation_id=task.correlation_id,
        scheduled_time=task.scheduled_time,
        start_time=task.start_time,
        update_time=task.update_time,
        end_time=task.end_time,
        reason_for_incompletion=task.reason_for_incompletion,
        execution_time=max(0, task.end_time - task.start_time) if task.end_time and task.start_time else 0,
        queue_wait_time=max(0, task.start_time - task.scheduled_time) if task.start_time else 0,
        input=_payload(task.input_data)[0],
        output=_payload(task.output_data)[0],
        external_input_payload_storage_path=task.external_input_payload_storage_path,
        external_output_payload_storage_path=task.external_output_payload_storage_path,
        workflow_priority=task.workflow_priority,
        domain=task.domain,
    )


def summary_to_dict(summary: Summary) -> dict[str, Any]:
    """The JSON form: times as text, those that are not known left out.

    Example: ``summary_to_dict(line)["startTime"] == "2026-01-31T12:00:00.000Z"``
    """
    written = write_struct(summary)
    for field in (WORKFLOW_FIELDS if isinstance(summary, WorkflowSummary) else TASK_FIELDS).values():
        if field.kind is Kind.TIME:
            at_ms = written.pop(field.name)
            if at_ms:
                written[field.name] = iso_text(at_ms)
    return written


def iso_text(at_ms: int) -> str:
    """A time as lines show it. Example: ``iso_text(0) == "1970-01-01T00:00:00.000Z"``"""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03}Z"


def _payload(value: dict[str, Any]) -> tuple[str, int]:
    text = _json(value)
    return text[:TEXT_MAX], len(text)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# --- words ------------------------------------------------------------------------------------------------------------

_WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """The words of a text: letters and digits of any script, small. Example: ``words_of("Order-17!") == ["order", "17"]``"""
    return [word[:WORD_MAX] for word in _WORD.findall(text.lower())]


def workflow_words(workflow: Workflow) -> list[str]:
    """What free text finds an execution by: its marks, input and output, and those of its tasks."""
    marks = [workflow.workflow_id, workflow.workflow_name, workflow.correlation_id, workflow.created_by, workflow.event]
    own = _words([*marks, workflow.reason_for_incompletion, workflow.input, workflow.output])
    return _bounded([own, *(_task_words(task) for task in workflow.tasks)])


def task_words(task: Task) -> list[str]:
    """What free text finds an attempt by."""
    return _bounded([_task_words(task)])


def _task_words(task: Task) -> Iterator[str]:
    marks = [task.task_id, task.task_def_name, task.reference_task_name, task.worker_id]
    return _words([*marks, task.reason_for_incompletion, task.input_data, task.output_data])


def _words(values: Sequence[Any]) -> Iterator[str]:
    for value in values:
        for leaf in _leaves(value):
            yield from words_of(leaf)


def _leaves(value: Any) -> Iterator[str]:
    """Every name and value in a JSON value, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif value is not None:
        yield _json(value)


def _bounded(parts: Sequence[Iterator[str]]) -> list[str]:
    kept, size = list[str](), 0
    for words in parts:
        for word in words:
            size += len(word) + 1
            if size > WORDS_TEXT_MAX:
                return kept
            kept.append(word)
    return kept
