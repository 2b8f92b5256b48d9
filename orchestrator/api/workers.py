"""Workers that live, and what they are told: to pause, to go on, to end after the tasks they have."""

from __future__ import annotations

from orchestrator.api.routes import Role, Route
from orchestrator.model.workers import WorkerInfo
from orchestrator.plan import Plan
from orchestrator.service import workers
from orchestrator.store.context import StoreContext


def list_workers(store: StoreContext, task_type: str | None = None) -> Plan[list[WorkerInfo]]:
    """Workers that live and those that fell silent lately, by name: all, or those that run a task type."""
    return workers.list_workers(store, task_type)


def get_worker(store: StoreContext, name: str) -> Plan[WorkerInfo]:
    """One worker, with the tasks it holds."""
    return workers.get(store, name)


def pause_worker(store: StoreContext, name: str) -> Plan[list[str]]:
    """Have one worker claim nothing more until it is resumed."""
    return workers.pause(store, [name])


def resume_worker(store: StoreContext, name: str) -> Plan[list[str]]:
    """Have one worker claim again."""
    return workers.resume(store, [name])


def drain_worker(store: StoreContext, name: str) -> Plan[list[str]]:
    """Have one worker end after the tasks it has."""
    return workers.drain(store, [name])


def pause_all(store: StoreContext, task_type: str) -> Plan[list[str]]:
    """Have all workers of a task type claim nothing more until they are resumed; the names of those told."""
    return workers.pause(store, task_type=task_type)


def resume_all(store: StoreContext, task_type: str) -> Plan[list[str]]:
    """Have all workers of a task type claim again; the names of those told."""
    return workers.resume(store, task_type=task_type)


def drain_all(store: StoreContext, task_type: str) -> Plan[list[str]]:
    """Have all workers of a task type end after the tasks they have; the names of those told."""
    return workers.drain(store, task_type=task_type)


ROUTES = (
    Route("GET", "/workers", list_workers, Role.VIEWER),
    Route("GET", "/workers/{name}", get_worker, Role.VIEWER),
    Route("POST", "/workers/{name}/pause", pause_worker, Role.OPERATOR),
    Route("POST", "/workers/{name}/resume", resume_worker, Role.OPERATOR),
    Route("POST", "/workers/{name}/drain", drain_worker, Role.OPERATOR),
    Route("POST", "/workers/pause", pause_all, Role.OPERATOR),
    Route("POST", "/workers/resume", resume_all, Role.OPERATOR),
    Route("POST", "/workers/drain", drain_all, Role.OPERATOR),
)
