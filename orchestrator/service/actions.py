"""What a user can do to an execution: one verb each, asked of the decider and answered by it.

Every verb is a plan and is written here only; the command line, the Python clients and the HTTP layer drive the same
ones. Whether an action is legal is not judged here: the decider does, on committed state, and its answer is passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

from orchestrator.archive import shelf
from orchestrator.codec import pack, unpack
from orchestrator.engine.starts import child_versions, resolve_name
from orchestrator.errors import (
    Conflict,
    InvalidPayload,
    InvalidRequest,
    NotFound,
    OrchestratorError,
    OutcomeUnknown,
    QueueFull,
    TaskNotFound,
    WorkflowNotFound,
)
from orchestrator.ids import TASK_SUFFIX_LENGTH, workflow_id_of
from orchestrator.model.records import decode_meta
from orchestrator.plan import Command, Plan, Wait
from orchestrator.service.starting import new_request_id
from orchestrator.service.workflows import get, remove, unknown_workflow
from orchestrator.store import partition
from orchestrator.store.context import StoreContext

ANSWER_WAIT_S = 10.0
ANSWER_WAIT_S_MIN = 1.0
"""A decider is always given so long: who waited for less would be told that the outcome is unknown and learn nothing."""

WAIT_S_MAX = 600.0

DEPTH_MAX = 60
"""How deep workflows are looked for beneath another; they cannot be nested as deep as that."""

REVIVING = frozenset({"restart", "retry", "rerun", "jump"})
"""What makes an execution go on, and those around it with it: none of them may be in the archive then."""

Answer = dict[str, Any]

_ANSWERS: dict[str, type[OrchestratorError]] = {
    kind.code: kind for kind in (InvalidRequest, NotFound, WorkflowNotFound, TaskNotFound, Conflict, QueueFull)
}


class ActOptions(TypedDict, total=False):
    """Options of every action.

    ``request_id``: repeated under the same one, it happens once and is answered alike. ``timeout_s``: how long to wait
    for the decider's answer (default 10 s, 1 to 600).
    """

    request_id: str | None
    timeout_s: float


def act(
    store: StoreContext,
    workflow_id: str,
    action: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    request_id: str | None = None,
    timeout_s: float = ANSWER_WAIT_S,
) -> Plan[Answer]:
    """Ask the decider to do ``action`` and give its answer; a repeat with the same request id gets the same answer.

    Raises ``WorkflowNotFound``, what the decider refused with (``Conflict``, ``TaskNotFound``, ``InvalidRequest``), and
    ``OutcomeUnknown`` when no answer came within ``timeout_s``: repeat it then with the request id of the message.
    Example: ``executor.run(act(store, workflow_id, "pause"))``
    """
    answer = yield from ask(store, workflow_id, action, arguments or {}, request_id or new_request_id(), timeout_s)
    return outcome(action, answer)


def bounded(timeout_s: float, least_s: float = 0.0) -> float:
    """A wait that is neither too short nor too long. Raises ``InvalidRequest``."""
    if not least_s <= timeout_s <= WAIT_S_MAX:
        raise InvalidRequest(f"timeout_s={timeout_s:g} is outside {least_s:g} to {WAIT_S_MAX:g} seconds")
    return timeout_s


def ask(
    store: StoreContext,
    workflow_id: str,
    action: str,
    arguments: Mapping[str, Any],
    request_id: str,
    timeout_s: float,
) -> Plan[Answer]:
    """The decider's answer, whatever it says. Raises ``InvalidRequest``, ``WorkflowNotFound`` and ``OutcomeUnknown``."""
    bounded(timeout_s, ANSWER_WAIT_S_MIN)
    keys, number = store.keys, store.keys.partition_of(workflow_id)
    given = dict(arguments)
    pack(given, action, store.settings.payload_bytes_max)
    if action in REVIVING:
        yield from shelf.bring_back(store, [workflow_id])
    reply = yield partition.request(keys, number, workflow_id, request_id, action, given)
    if reply.state == "UNKNOWN" and (yield from shelf.bring_back(store, [workflow_id])):
        reply = yield partition.request(keys, number, workflow_id, request_id, action, given)
    if reply.state == "UNKNOWN":
        raise unknown_workflow(workflow_id)
    answer = reply.answer
    if not answer:
        channel = keys.answer_channel(number, request_id)
        answer = yield Wait((channel,), partition.read_answer(keys, number, request_id), bool, timeout_s)
    if not answer:
        raise OutcomeUnknown(
            f"{action} of workflow {workflow_id} was sent, but no decider answered within {timeout_s:g} s; is one "
            f"running (orchestrator doctor)? Repeat it with request_id={request_id!r} to learn its outcome"
        )
    found: Answer = unpack(answer)
    return found


def outcome(action: str, found: Answer) -> Answer:
    """An answer that says yes; a refusal is raised as the error it names."""
    if found.get("error") == InvalidPayload.code:
        raise InvalidPayload(action, found["message"])
    if "error" in found:
        raise _ANSWERS.get(found["error"], InvalidRequest)(found["message"])
    return found


def pause(store: StoreContext, workflow_id: str, **options: Unpack[ActOptions]) -> Plan[Answer]:
    """Schedule nothing more until ``resume``; tasks that are out go on. Options as for ``act``."""
    return act(store, workflow_id, "pause", **options)


def resume(store: StoreContext, workflow_id: str, **options: Unpack[ActOptions]) -> Plan[Answer]:
    """Go on after ``pause``. Options as for ``act``."""
    return act(store, workflow_id, "resume", **options)


def terminate(
    store: StoreContext,
    workflow_id: str,
    reason: str | None = None,
    *,
    trigger_failure_workflow: bool = False,
    **options: Unpack[ActOptions],
) -> Plan[Answer]:
    """End it now as TERMINATED; open tasks are cancelled, and its failure workflow starts if that is asked for.

    Options as for ``act``.
    """
    arguments = {"reason": reason, "trigger_failure_workflow": trigger_failure_workflow}
    return act(store, workflow_id, "terminate", arguments, **options)


def terminate_and_remove(
    store: StoreContext, workflow_id: str, reason: str | None = None, **options: Unpack[ActOptions]
) -> Plan[None]:
    """End it and delete it. Raises ``Conflict`` for one that has completed, which stays. Options as for ``act``."""
    yield from terminate(store, workflow_id, reason, **options)
    yield from remove(store, workflow_id)


def restart(
    store: StoreContext, workflow_id: str, *, use_latest_definitions: bool = False, **options: Unpack[ActOptions]
) -> Plan[Answer]:
    """Let an ended execution start over under its id: nothing of the former run is left, variables are as at first.

    ``use_latest_definitions``: by the latest registered version of its workflow. Raises ``Conflict`` while it is under
    way or when it may not be restarted, ``DefinitionNotFound``. Options as for ``act``.
    """
    arguments: dict[str, Any] = {}
    if use_latest_definitions:
        yield from shelf.bring_back(store, [workflow_id])
        arguments = yield from _leave_definition(store, workflow_id, None, None)
    return (yield from act(store, workflow_id, "restart", arguments, **options))


def upgrade(
    store: StoreContext,
    workflow_id: str,
    version: int | None = None,
    *,
    name: str | None = None,
    task_output: Mapping[str, Mapping[str, Any]] | None = None,
    workflow_input: Mapping[str, Any] | None = None,
    **options: Unpack[ActOptions],
) -> Plan[Answer]:
    """Let an execution that is under way go on by another version of its workflow, the latest if none is named.

    Steps that the version has before those that are open are passed over, with the outputs of ``task_output`` by reference
    name; ``workflow_input`` is laid over the input. The answer names what was ``skipped``. ``name`` can only be that of its
    workflow. Raises ``Conflict`` when something that is open has no place in that version, ``DefinitionNotFound``,
    ``InvalidRequest``. Options as for ``act``.
    """
    arguments = yield from _leave_definition(store, workflow_id, name, version)
    arguments |= {"task_output": dict(task_output or {}), "workflow_input": dict(workflow_input or {})}
    return (yield from act(store, workflow_id, "upgrade", arguments, **options))


def _leave_definition(
    store: StoreContext, workflow_id: str, name: str | None, version: int | None
) -> Plan[dict[str, Any]]:
    """Leave a registered definition where the decider of the execution finds it; the arguments that name it."""
    keys, number = store.keys, store.keys.partition_of(workflow_id)
    loaded = yield partition.load_workflow(keys, number, workflow_id)
    if loaded is None:
        raise unknown_workflow(workflow_id)
    found = yield from resolve_name(store, name or decode_meta(loaded.meta).name, version)
    yield Command(("HSETNX", keys.definitions(number), found.hash, found.body))
    return {"definition_hash": found.hash, "child_versions": (yield from child_versions(store, found))}


def skip(
    store: StoreContext,
    workflow_id: str,
    ref: str,
    input: Mapping[str, Any] | None = None,
    output: Mapping[str, Any] | None = None,
    **options: Unpack[ActOptions],
) -> Plan[Answer]:
    """Pass over the step ``ref`` when its turn comes; later steps see it SKIPPED, with this input and output.

    Raises ``NotFound`` for a step that the definition does not have and ``Conflict`` for one that has begun. Options as
    for ``act``.
    """
    arguments = {"ref": ref, "input": dict(input or {}), "output": dict(output or {})}
    return act(store, workflow_id, "skip", arguments, **options)


def update_variables(
    store: StoreContext,
    workflow_id: str,
    variables: Mapping[str, Any],
    *,
    append_array: bool = False,
    **options: Unpack[ActOptions],
) -> Plan[Answer]:
    """Lay ``variables`` over those of an execution that has not ended; lists behind lists with ``append_array``.

    Options as for ``act``.
    """
    arguments = {"variables": dict(variables), "append_array": append_array}
    return act(store, workflow_id, "update_variables", arguments, **options)


def reset_callbacks(store: StoreContext, workflow_id: str, **options: Unpack[ActOptions]) -> Plan[Answer]:
    """Let its tasks that wait for a delay or a retry be claimed at once; the answer says how many ``tasks`` did.

    Options as for ``act``.
    """
    return act(store, workflow_id, "reset_callbacks", **options)


def jump(
    store: StoreContext,
    workflow_id: str,
    ref: str,
    task_input: Mapping[str, Any] | None = None,
    **options: Unpack[ActOptions],
) -> Plan[Answer]:
    """Let an execution that is under way go on at step ``ref``: what is open is cancelled, what follows ``ref`` done anew.

    ``task_input`` takes the place of what the step's parameters give. Raises ``NotFound`` for a step that the definition
    does not have, ``Conflict`` for one inside a fork or loop. Options as for ``act``.
    """
    arguments: dict[str, Any] = {"ref": ref}
    if task_input is not None:
        arguments["input"] = dict(task_input)
    return act(store, workflow_id, "jump", arguments, **options)


def update_state(
    store: StoreContext,
    workflow_id: str,
    *,
    variables: Mapping[str, Any] | None = None,
    ref: str | None = None,
    status: str = "COMPLETED",
    output: Mapping[str, Any] | None = None,
    reason: str | None = None,
    **options: Unpack[ActOptions],
) -> Plan[Answer]:
    """Change variables and say how the open task ``ref`` ended, in one step: both or neither.

    Raises ``TaskNotFound`` when no open task has that name, ``Conflict`` when the execution has ended. Options as for
    ``act``.
    """
    arguments = {"variables": dict(variables or {}), "ref": ref, "status": status, "output": dict(output or {})}
    return act(store, workflow_id, "update_state", {**arguments, "reason": reason}, **options)


def retry(
    store: StoreContext, workflow_id: str, *, resume_subworkflow_tasks: bool = False, **options: Unpack[ActOptions]
) -> Plan[Answer]:
    """Let an ended execution go on where it failed: what failed and what its end cancelled gets one more attempt.

    A failed sub-workflow is replaced by a new one; with ``resume_subworkflow_tasks`` the lowest one that failed goes on
    instead, and those above with it. Raises ``Conflict`` while it is under way and when nothing can be retried. Options
    as for ``act``; sub-workflows are asked under request ids made from the given one.
    """
    arguments = {"resume_subworkflow_tasks": resume_subworkflow_tasks}
    request_id = options.get("request_id") or new_request_id()
    wait_s = options.get("timeout_s", ANSWER_WAIT_S)
    asked = workflow_id
    for depth in range(DEPTH_MAX):
        own = f"{request_id}:{depth}" if depth else request_id
        answer = yield from act(store, asked, "retry", arguments, request_id=own, timeout_s=wait_s)
        child = answer.get("child_workflow_id")
        if child is None:
            break
        loaded = yield partition.load_workflow(store.keys, store.keys.partition_of(child), child)
        if loaded is None or loaded.status == "COMPLETED":
            arguments = {"resume_subworkflow_tasks": False}  # it cannot go on: the task gets another
        else:
            asked = child
    return answer


def rerun(
    store: StoreContext,
    workflow_id: str,
    *,
    from_ref: str | None = None,
    from_task_id: str | None = None,
    task_input: Mapping[str, Any] | None = None,
    workflow_input: Mapping[str, Any] | None = None,
    correlation_id: str | None = None,
    **options: Unpack[ActOptions],
) -> Plan[Answer]:
    """Let an ended execution go on from one of its tasks, which is done anew with all that came after it.

    The task is named by its reference (``name__2`` in a loop) or its id, which may be one of a sub-workflow: then that
    one is rerun, and those above go on with it. Without either it begins anew, by the same definition and with the
    variables it has. ``task_input`` takes the place of what the task's parameters give, ``workflow_input`` of the
    execution's input. Raises ``Conflict`` while it is under way, ``TaskNotFound``. Options as for ``act``.
    """
    target, ref = workflow_id, from_ref
    if from_task_id is not None:
        yield from shelf.bring_back(store, [workflow_id])
        target, ref = yield from _find_task(store, workflow_id, from_task_id)
    arguments: dict[str, Any] = {"ref": ref, "task_id": from_task_id, "correlation_id": correlation_id}
    if task_input is not None:
        arguments["input"] = dict(task_input)
    if workflow_input is not None:
        arguments["workflow_input"] = dict(workflow_input)
    return (yield from act(store, target, "rerun", arguments, **options))


def _find_task(store: StoreContext, workflow_id: str, task_id: str) -> Plan[tuple[str, str]]:
    """The workflow that a task belongs to, which is this one or lies beneath it, and the task's reference."""
    unknown = TaskNotFound(f"Task {task_id} not found in workflow {workflow_id} or its sub-workflows")
    owner = workflow_id_of(task_id) if len(task_id) > TASK_SUFFIX_LENGTH else ""
    asked: str | None = owner
    for _ in range(DEPTH_MAX):
        if not asked or asked == workflow_id:
            break
        loaded = yield partition.load_workflow(store.keys, store.keys.partition_of(asked), asked)
        asked = decode_meta(loaded.meta).parent_workflow_id if loaded is not None else None
    if asked != workflow_id:
        if (yield partition.load_workflow(store.keys, store.keys.partition_of(workflow_id), workflow_id)) is None:
            raise unknown_workflow(workflow_id)
        raise unknown
    found = yield from get(store, owner)
    for task in found.tasks:
        if task.task_id == task_id:
            return owner, task.reference_task_name
    raise unknown
