"""Event handlers: which messages of which queue start, complete, fail, terminate or change which workflows.

A handler names an ``event`` (``conductor:order:shipped``, ``redis_stream:orders``, ``kafka:orders``), perhaps a condition,
and actions. Their texts may hold ``${...}`` expressions, which are read from the message. What is wrong with a handler
is said here, all of it at once, in Conductor's words where it has some; what the installation cannot do is said by the
service. ``EventExecution`` is the record of one action done for one message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from orchestrator.errors import DefinitionInvalid, Problem
from orchestrator.model.definitions import IdempotencyStrategy
from orchestrator.model.sinks import why_no_event
from orchestrator.model.wire_read import joined, read_struct
from orchestrator.model.wire_write import write_struct

LANGUAGES = {"javascript": "javascript", "graaljs": "javascript", "python": "python"}
"""The language of a condition by its ``evaluatorType``; any other name means JavaScript, as in Conductor."""


class ActionKind(StrEnum):
    """What a handler can do. Example: ``ActionKind("start_workflow")``"""

    START_WORKFLOW = "start_workflow"
    COMPLETE_TASK = "complete_task"
    FAIL_TASK = "fail_task"
    TERMINATE_WORKFLOW = "terminate_workflow"
    UPDATE_WORKFLOW_VARIABLES = "update_workflow_variables"


class StartWorkflowDetail(msgspec.Struct, kw_only=True):
    """Start ``name`` (the latest version if none is given) with ``input``."""

    name: str
    version: int | str | None = None
    correlation_id: str | None = None
    input: dict[str, Any] = {}
    task_to_domain: dict[str, str] = {}
    idempotency_key: str | None = None
    idempotency_strategy: IdempotencyStrategy | None = None


class TaskDetail(msgspec.Struct, kw_only=True):
    """End a task, found by ``task_id`` or by ``workflow_id`` and ``task_ref_name``, with ``output``."""

    workflow_id: str | None = None
    task_id: str | None = None
    task_ref_name: str | None = None
    output: dict[str, Any] = {}
    reason_for_incompletion: str | None = None


class TerminateWorkflowDetail(msgspec.Struct, kw_only=True):
    """End a workflow as TERMINATED."""

    workflow_id: str
    termination_reason: str | None = None


class UpdateVariablesDetail(msgspec.Struct, kw_only=True):
    """Lay ``variables`` over those of a workflow; with ``append_array`` lists are lengthened instead of replaced."""

    workflow_id: str
    variables: dict[str, Any] = {}
    append_array: bool = False


Detail = StartWorkflowDetail | TaskDetail | TerminateWorkflowDetail | UpdateVariablesDetail

DETAILS: dict[ActionKind, type[Any]] = {
    ActionKind.START_WORKFLOW: StartWorkflowDetail,
    ActionKind.COMPLETE_TASK: TaskDetail,
    ActionKind.FAIL_TASK: TaskDetail,
    ActionKind.TERMINATE_WORKFLOW: TerminateWorkflowDetail,
    ActionKind.UPDATE_WORKFLOW_VARIABLES: UpdateVariablesDetail,
}


class EventAction(msgspec.Struct, kw_only=True):
    """One thing to do. ``expand_inline_json``: texts of the message that hold JSON are opened first."""

    action: ActionKind
    detail: Detail
    expand_inline_json: bool = False


class EventHandler(msgspec.Struct, kw_only=True):
    """A named reaction to the messages of one event; it does nothing until it is ``active``.

    Example: ``EventHandler(name="ship", event="conductor:order:paid", actions=[action], active=True)``
    """

    name: str
    event: str
    description: str | None = None
    condition: str | None = None
    evaluator_type: str | None = None
    actions: list[EventAction] = []
    active: bool = False

    @property
    def language(self) -> str:
        """What its condition is written in."""
        return LANGUAGES.get(self.evaluator_type or "", "javascript")


class ExecutionStatus(StrEnum):
    """How far an action got for a message. Example: ``ExecutionStatus("SKIPPED")``"""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


class EventExecution(msgspec.Struct, kw_only=True):
    """What one action of a handler did for one message; ``id`` is ``<message id>_<number of the action>``.

    ``target`` is the task an unfinished action has chosen: a second try is about the same one.
    """

    id: str
    message_id: str
    name: str
    event: str
    created: int
    status: ExecutionStatus = ExecutionStatus.IN_PROGRESS
    action: str | None = None
    output: dict[str, Any] = {}
    target: str | None = None


# --- JSON -------------------------------------------------------------------------------------------------------------


def event_handler_from_dict(data: object) -> EventHandler:
    """The handler that ``data`` (decoded JSON) describes. Raises ``DefinitionInvalid`` with everything wrong with it.

    Example: ``event_handler_from_dict({"name": "ship", "event": "conductor:order:paid", "actions": [...]})``
    """
    if not isinstance(data, Mapping):
        raise DefinitionInvalid("event handler", [Problem("", "must be an object", data)])
    listed = data.get("actions")
    plain = {key: value for key, value in data.items() if key != "actions"}
    handler, problems = read_struct(EventHandler, plain)
    if listed is not None and not isinstance(listed, list | tuple):
        problems.append(Problem("actions", "must be a list", listed))
        listed = ()
    for index, item in enumerate(listed or ()):
        action, found = _read_action(item)
        problems += [Problem(joined(f"actions[{index}]", one.path), one.message, one.value) for one in found]
        if action is not None:
            handler.actions.append(action)
    wrong = {problem.path for problem in problems}
    if not any(path.startswith("actions") for path in wrong):
        problems += [one for one in validate_event_handler(handler) if one.path not in wrong]
    if problems:
        raise DefinitionInvalid(f"event handler {handler.name!r}" if handler.name else "event handler", problems)
    return handler


def _read_action(item: object) -> tuple[EventAction | None, list[Problem]]:
    if not isinstance(item, Mapping):
        return None, [Problem("", "must be an object", item)]
    word = item.get("action")
    if word not in list(ActionKind):
        return None, [Problem("action", f"must be one of {', '.join(ActionKind)}", word)]
    kind = ActionKind(word)
    expand = item.get("expandInlineJSON", item.get("expandInlineJson"))
    detail, problems = read_struct(DETAILS[kind], item.get(kind.value) if item.get(kind.value) is not None else {})
    found = [Problem(joined(kind.value, one.path), one.message, one.value) for one in problems]
    if expand is not None and not isinstance(expand, bool):
        found.append(Problem("expandInlineJSON", "must be true or false", expand))
    return EventAction(action=kind, detail=detail, expand_inline_json=bool(expand)), found


def event_handler_to_dict(handler: EventHandler) -> dict[str, Any]:
    """The JSON form of a handler. Example: ``event_handler_to_dict(h)["actions"][0]["action"]``"""
    written = write_struct(handler)
    written["actions"] = [
        {
            "action": str(one.action),
            str(one.action): write_struct(one.detail),
            "expandInlineJSON": one.expand_inline_json,
        }
        for one in handler.actions
    ]
    return written


def event_execution_to_dict(execution: EventExecution) -> dict[str, Any]:
    """The JSON form of an execution's record, without what is only for a second try."""
    written = write_struct(execution)
    written.pop("target", None)
    return written


encode_execution = msgspec.msgpack.Encoder().encode
decode_execution = msgspec.msgpack.Decoder(EventExecution).decode


# --- rules ------------------------------------------------------------------------------------------------------------


def validate_event_handler(handler: EventHandler) -> list[Problem]:
    """Everything that is wrong with a handler; empty when it is fine."""
    return list(_problems(handler))


def _problems(handler: EventHandler) -> Iterator[Problem]:
    if not handler.name.strip():
        yield Problem("name", "Missing event handler name")
    elif any(character.isspace() and character != " " for character in handler.name) or len(handler.name) > 200:
        yield Problem("name", "must be at most 200 characters on one line", handler.name)
    if not handler.event.strip():
        yield Problem("event", "Missing event location")
    else:
        reason = why_no_event(handler.event)
        if reason:
            yield Problem("event", reason, handler.event)
    if not handler.actions:
        yield Problem("actions", "No actions specified. Please specify at-least one action")
    for index, action in enumerate(handler.actions):
        for path, message in _detail_problems(action):
            yield Problem(f"actions[{index}].{action.action}.{path}", message)


def _detail_problems(action: EventAction) -> Iterator[tuple[str, str]]:
    detail = action.detail
    if isinstance(detail, StartWorkflowDetail):
        if not detail.name.strip():
            yield "name", "the workflow to start must be named"
    elif isinstance(detail, TaskDetail):
        if not detail.task_id and not (detail.workflow_id and detail.task_ref_name):
            yield "taskId", "the task must be named: taskId, or workflowId and taskRefName"
    elif not detail.workflow_id.strip():
        yield "workflowId", "the workflow must be named"
