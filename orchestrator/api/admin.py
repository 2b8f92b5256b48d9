"""What operators of an installation ask and do over HTTP: settings, open tasks of a type, queues, repairs."""

from __future__ import annotations

from typing import Any

from orchestrator.api.routes import Role, Route
from orchestrator.model.execution import Task, TaskResult
from orchestrator.model.status import TaskStatus
from orchestrator.plan import Plan
from orchestrator.service import events, operations, search, tasks, workflows
from orchestrator.store.context import StoreContext

Json = dict[str, Any]


def config(store: StoreContext) -> Plan[Json]:
    """The settings of this server, without what is secret."""
    return operations.shown_settings(store)


def open_tasks(store: StoreContext, task_type: str, start: int = 0, count: int = 100) -> Plan[list[Task]]:
    """Tasks of a type that have not ended, those scheduled last first."""
    return search.open_tasks(store, task_type, start=start, size=count)


def requeue(store: StoreContext, workflow_id: str) -> Plan[str]:
    """Finds the execution; whatever happens to one is decided at once, so there is nothing to sweep."""
    yield from workflows.standing(store, workflow_id)
    return f"true.{workflow_id}"


def repair(store: StoreContext, workflow_id: str) -> Plan[str]:
    """Let a quarantined execution go on; whether any events waited for that."""
    return "true" if (yield from workflows.unpark(store, workflow_id)) else "false"


def event_queues(store: StoreContext) -> Plan[dict[str, list[str]]]:
    """The events that somebody listens to, with the names of their active handlers."""
    found: dict[str, list[str]] = {}
    for handler in (yield from events.list_handlers(store, active=True)):
        found.setdefault(handler.event, []).append(handler.name)
    return found


def queue_sizes(store: StoreContext) -> Plan[dict[str, int]]:
    """Every queue, with how many tasks wait in it."""
    return {
        name: found.ready + found.kept + found.delayed for name, found in (yield from operations.queues(store)).items()
    }


def queue_names(store: StoreContext) -> Plan[dict[str, str]]:
    """Every queue by the type of its tasks."""
    return {name: name for name in (yield from operations.queues(store))}


def end_by_ref(
    store: StoreContext,
    workflow_id: str,
    ref: str,
    status: TaskStatus,
    body: Json = {},  # noqa: B006
) -> Plan[None]:
    """Say how the open task of a reference ended, a WAIT for one; the body is its output."""
    yield from tasks.update_task_by_ref(store, workflow_id, ref, status, body)


def end_by_id(
    store: StoreContext,
    workflow_id: str,
    task_id: str,
    status: TaskStatus,
    body: Json = {},  # noqa: B006
) -> Plan[None]:
    """Say how a task ended, a WAIT for one; the body is its output."""
    result = TaskResult(workflow_instance_id=workflow_id, task_id=task_id, status=status, output_data=body)
    yield from tasks.update_task(store, result)


ROUTES = (
    Route("GET", "/admin/config", config, Role.ADMIN),
    Route("GET", "/admin/task/{task_type}", open_tasks, Role.VIEWER),
    Route("POST", "/admin/sweep/requeue/{workflow_id}", requeue, Role.OPERATOR),
    Route("POST", "/admin/consistency/verifyAndRepair/{workflow_id}", repair, Role.OPERATOR),
    Route("GET", "/admin/queues", event_queues, Role.VIEWER),
    Route("GET", "/queue", queue_names, Role.VIEWER),
    Route("GET", "/queue/size", queue_sizes, Role.VIEWER),
    Route("POST", "/queue/update/{workflow_id}/{ref}/{status}", end_by_ref, Role.OPERATOR),
    Route("POST", "/queue/update/{workflow_id}/task/{task_id}/{status}", end_by_id, Role.OPERATOR),
)
