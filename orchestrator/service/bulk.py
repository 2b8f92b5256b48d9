"""One action on many executions: sent together, each decided by itself, errors kept by the id they belong to.

At most a thousand ids at a time, as Conductor has it. An action that one of them refuses happens to the others; an id that
stands in the list twice is acted on once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from orchestrator.archive import shelf
from orchestrator.clock import SystemClock
from orchestrator.codec import unpack
from orchestrator.core.operations.answers import misfit
from orchestrator.errors import InvalidRequest, OrchestratorError
from orchestrator.model.execution import Workflow
from orchestrator.plan import Plan, Wait
from orchestrator.service import actions
from orchestrator.service.actions import ANSWER_WAIT_S, ANSWER_WAIT_S_MIN, Answer, bounded
from orchestrator.service.starting import new_request_id
from orchestrator.service.workflows import get, remove, unknown_workflow
from orchestrator.store import partition
from orchestrator.store.context import StoreContext
from orchestrator.store.partition import RequestReply

IDS_MAX = 1_000
REQUESTS_PER_PIPELINE = 100

_clock = SystemClock()

_Verb = Callable[..., Plan[Answer]]

ACTIONS = (
    "pause",
    "resume",
    "restart",
    "retry",
    "rerun",
    "terminate",
    "skip",
    "jump",
    "upgrade",
    "signal",
    "update_variables",
    "update_state",
    "reset_callbacks",
    "remove",
    "terminate_remove",
)
"""What can be done to many executions at once."""


class BulkResult(NamedTuple):
    """Whose action was carried out, and why the others' was not, by id."""

    succeeded: list[str]
    failed: dict[str, str]


def act_on_all(
    store: StoreContext,
    action: str,
    workflow_ids: Sequence[str],
    arguments: Mapping[str, Any] | None = None,
    *,
    request_id: str | None = None,
    timeout_s: float = ANSWER_WAIT_S,
) -> Plan[BulkResult]:
    """Do ``action`` to every execution, with the same ``arguments``; errors are given, not raised.

    ``arguments`` are those of the verbs in ``actions``, by the names the decider knows them under. ``terminate_remove``
    ends and removes, also what could not be ended any more. Repeated under the same ``request_id`` it happens once.
    Raises ``InvalidRequest`` for an unknown action, no ids, more than a thousand, or a wait outside 1 to 600 s.
    Example: ``executor.run(act_on_all(store, "terminate", ids, {"reason": "wrong price"})).failed``
    """
    if action not in ACTIONS:
        raise InvalidRequest(f"{action!r} cannot be done to many workflows; there are: {', '.join(ACTIONS)}")
    bounded(timeout_s, ANSWER_WAIT_S_MIN)
    ids = _distinct(workflow_ids)
    given = dict(arguments or {})
    verb = _verb_of_each(action, given)
    if verb is not None:
        return (yield from _one_by_one(store, verb, ids, request_id or new_request_id(), timeout_s))
    failed: dict[str, str] = {}
    if action != "remove":
        sent = "terminate" if action == "terminate_remove" else action
        yield from shelf.bring_back(store, ids)
        failed = yield from _ask_all(store, sent, ids, given, request_id or new_request_id(), timeout_s)
    if action in ("remove", "terminate_remove"):
        for workflow_id in ids:
            try:
                yield from remove(store, workflow_id)
            except OrchestratorError as error:
                failed.setdefault(workflow_id, str(error))
            else:
                if action == "remove":
                    failed.pop(workflow_id, None)
    return BulkResult([workflow_id for workflow_id in ids if workflow_id not in failed], failed)


def get_all(
    store: StoreContext, workflow_ids: Sequence[str], *, include_tasks: bool = True
) -> Plan[tuple[list[Workflow], dict[str, str]]]:
    """The executions of these ids, and for those that are not there the reason. Raises like ``act_on_all``."""
    found, missing = list[Workflow](), dict[str, str]()
    for workflow_id in _distinct(workflow_ids):
        try:
            found.append((yield from get(store, workflow_id, include_tasks=include_tasks)))
        except OrchestratorError as error:
            missing[workflow_id] = str(error)
    return found, missing


def _distinct(workflow_ids: Sequence[str]) -> list[str]:
    ids = list(dict.fromkeys(workflow_ids))
    if not ids:
        raise InvalidRequest("WorkflowIds list cannot be null.")
    if len(ids) > IDS_MAX:
        raise InvalidRequest(f"Cannot process more than {IDS_MAX} workflows. Please use multiple requests.")
    return ids


def _ask_all(
    store: StoreContext, action: str, ids: list[str], arguments: dict[str, Any], request_id: str, timeout_s: float
) -> Plan[dict[str, str]]:
    """Send every request before waiting for any answer; gives the errors by id."""
    keys, failed, pending = store.keys, dict[str, str](), list[str]()
    deadline_s = _clock.monotonic_s() + timeout_s
    for at in range(0, len(ids), REQUESTS_PER_PIPELINE):
        part = ids[at : at + REQUESTS_PER_PIPELINE]
        replies = yield [
            partition.request(keys, keys.partition_of(one), one, f"{request_id}:{one}", action, arguments)
            for one in part
        ]
        for one, reply in zip(part, replies, strict=True):
            if not isinstance(reply, RequestReply):
                failed[one] = str(reply)
            elif reply.state == "UNKNOWN":
                failed[one] = str(unknown_workflow(one))
            elif reply.answer:
                _note(failed, one, action, unpack(reply.answer))
            else:
                pending.append(one)
    for one in pending:
        number, own = keys.partition_of(one), f"{request_id}:{one}"
        left_s = max(0.0, deadline_s - _clock.monotonic_s())
        channel = keys.answer_channel(number, own)
        answer = yield Wait((channel,), partition.read_answer(keys, number, own), bool, left_s)
        if answer:
            _note(failed, one, action, unpack(answer))
        else:
            failed[one] = f"no decider answered within {timeout_s:g} s; repeat with request_id={request_id!r}"
    return failed


def _note(failed: dict[str, str], workflow_id: str, action: str, answer: Answer) -> None:
    try:
        actions.outcome(action, answer)
    except OrchestratorError as error:
        failed[workflow_id] = str(error)


def _verb_of_each(action: str, arguments: dict[str, Any]) -> _Verb | None:
    """The verb of an action that needs more than one request: definitions or children have to be looked up first.

    Raises ``InvalidRequest`` for arguments that are not what they must be.
    """
    if action == "restart" and arguments.pop("use_latest_definitions", False):
        return partial(actions.restart, use_latest_definitions=True)
    if action == "retry" and arguments.pop("resume_subworkflow_tasks", False):
        return partial(actions.retry, resume_subworkflow_tasks=True)
    if action == "upgrade":
        if (wrong := misfit(arguments)) is not None:
            raise InvalidRequest(wrong)
        known = {
            name: arguments[name] for name in ("version", "name", "task_output", "workflow_input") if name in arguments
        }
        return partial(actions.upgrade, **known)
    return None


def _one_by_one(
    store: StoreContext, verb: _Verb, ids: list[str], request_id: str, timeout_s: float
) -> Plan[BulkResult]:
    failed: dict[str, str] = {}
    for one in ids:
        try:
            yield from verb(store, one, request_id=f"{request_id}:{one}", timeout_s=timeout_s)
        except OrchestratorError as error:
            failed[one] = str(error)
    return BulkResult([one for one in ids if one not in failed], failed)
