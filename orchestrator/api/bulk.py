"""One action on up to a thousand executions over HTTP; errors are answered by id, and never as a whole."""

from __future__ import annotations

from typing import Any

from orchestrator.api.routes import Role, Route
from orchestrator.plan import Plan
from orchestrator.service import bulk
from orchestrator.service.bulk import BulkResult
from orchestrator.store.context import StoreContext

Json = dict[str, Any]

PROCESSED = "Bulk Request has been processed."


def pause(store: StoreContext, body: list[str], request_id: str | None = None) -> Plan[Json]:
    """Pause these executions."""
    return _act(store, "pause", body, {}, request_id)


def resume(store: StoreContext, body: list[str], request_id: str | None = None) -> Plan[Json]:
    """Resume these executions."""
    return _act(store, "resume", body, {}, request_id)


def restart(
    store: StoreContext, body: list[str], use_latest_definitions: bool = False, request_id: str | None = None
) -> Plan[Json]:
    """Restart these executions."""
    return _act(store, "restart", body, {"use_latest_definitions": use_latest_definitions}, request_id)


def retry(
    store: StoreContext, body: list[str], resume_subworkflow_tasks: bool = False, request_id: str | None = None
) -> Plan[Json]:
    """Retry these executions."""
    return _act(store, "retry", body, {"resume_subworkflow_tasks": resume_subworkflow_tasks}, request_id)


def terminate(
    store: StoreContext,
    body: list[str],
    reason: str | None = None,
    trigger_failure_workflow: bool = False,
    request_id: str | None = None,
) -> Plan[Json]:
    """Terminate these executions."""
    arguments = {"reason": reason, "trigger_failure_workflow": trigger_failure_workflow}
    return _act(store, "terminate", body, arguments, request_id)


def remove(store: StoreContext, body: list[str]) -> Plan[Json]:
    """Delete these executions, which must have ended."""
    return _act(store, "remove", body, {}, None)


def terminate_and_remove(
    store: StoreContext, body: list[str], reason: str | None = None, request_id: str | None = None
) -> Plan[Json]:
    """Terminate those of these executions that are under way, and delete all."""
    return _act(store, "terminate_remove", body, {"reason": reason}, request_id)


def response(succeeded: list[Any], failed: dict[str, str]) -> Json:
    """Conductor's BulkResponse."""
    return {"bulkErrorResults": failed, "bulkSuccessfulResults": succeeded, "message": PROCESSED}


def _act(store: StoreContext, action: str, ids: list[str], arguments: Json, request_id: str | None) -> Plan[Json]:
    result: BulkResult = yield from bulk.act_on_all(store, action, ids, arguments, request_id=request_id)
    return response(result.succeeded, result.failed)


ROUTES = (
    Route("PUT", "/workflow/bulk/pause", pause, Role.OPERATOR),
    Route("PUT", "/workflow/bulk/resume", resume, Role.OPERATOR),
    Route("POST", "/workflow/bulk/restart", restart, Role.OPERATOR),
    Route("POST", "/workflow/bulk/retry", retry, Role.OPERATOR),
    Route("POST", "/workflow/bulk/terminate", terminate, Role.OPERATOR),
    Route("DELETE", "/workflow/bulk/remove", remove, Role.OPERATOR),
    Route("DELETE", "/workflow/bulk/terminate-remove", terminate_and_remove, Role.OPERATOR),
)
