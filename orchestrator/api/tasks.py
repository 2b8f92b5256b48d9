"""Tasks over HTTP: polls and reports of workers, the word of outside systems, logs, and what the queues hold."""

from __future__ import annotations

import logging
from typing import Any

from orchestrator.api.routes import Role, Route
from orchestrator.api.signals import signal_response
from orchestrator.api.visits import Visit
from orchestrator.errors import NotFound, TaskNotFound
from orchestrator.model.execution import PollData, Task, TaskExecLog, TaskResult, Workflow
from orchestrator.plan import Plan
from orchestrator.service import halts, poll_data, queues, tasks, workflows
from orchestrator.store.context import StoreContext

log = logging.getLogger(__name__)

POLL_MS = 100

# --- workers ----------------------------------------------------------------------------------------------------------


async def poll(visit: Visit, task_type: str, workerid: str = "", domain: str | None = None) -> Task | None:
    """One task for a worker, which has it from then on; 204 when there is none."""
    found = await visit.poll(task_type, domain, workerid, count=1, timeout_ms=POLL_MS)
    return found[0] if found else None


async def poll_batch(
    visit: Visit,
    task_type: str,
    workerid: str = "",
    domain: str | None = None,
    count: int = 1,
    timeout: int = POLL_MS,
) -> list[Task]:
    """Up to ``count`` tasks for a worker, as soon as there is one, or none after ``timeout`` ms (at most 5,000)."""
    return await visit.poll(task_type, domain, workerid, count=count, timeout_ms=timeout)


def update(store: StoreContext, body: TaskResult) -> Plan[str]:
    """How a task ended, that it goes on, or that its worker lives; a task that has ended before stays as it is."""
    return (yield from tasks.update_task(store, body)).task_id


async def update_and_poll(visit: Visit, body: TaskResult) -> Task | None:
    """As an update; answers with the next task of the same queue, or 204.

    An unknown task is no error here: Conductor's clients would take a 404 for a server that lacks the route, and would
    never ask for it again.
    """
    try:
        done = await visit.run(tasks.update_task(visit.store, body))
    except NotFound as error:
        log.warning("unknown_task_reported", extra={"task_id": body.task_id, "reason": str(error)})
        return None
    if not done.is_over:
        return None
    found = await visit.poll(done.type, done.domain, body.worker_id or "", count=1, timeout_ms=0)
    return found[0] if found else None


# --- from outside -----------------------------------------------------------------------------------------------------


def update_by_ref(
    store: StoreContext,
    workflow_id: str,
    ref: str,
    status: str,
    workerid: str | None = None,
    body: dict[str, Any] | None = None,
) -> Plan[str | None]:
    """How the open task of that reference ended; empty when none is open."""
    try:
        done = yield from tasks.update_task_by_ref(store, workflow_id, ref, status, body, worker_id=workerid)
    except TaskNotFound:
        return None
    return done.task_id


def update_by_ref_sync(
    store: StoreContext,
    workflow_id: str,
    ref: str,
    status: str,
    workerid: str | None = None,
    body: dict[str, Any] | None = None,
) -> Plan[Workflow]:
    """How the open task of that reference ended; answers with the workflow as it is then."""
    yield from tasks.update_task_by_ref(store, workflow_id, ref, status, body, worker_id=workerid)
    return (yield from workflows.get(store, workflow_id))


def signal(
    store: StoreContext,
    workflow_id: str,
    status: str,
    body: dict[str, Any] | None = None,
    request_id: str | None = None,
) -> Plan[None]:
    """End the first task that waits for a signal, also one of a sub-workflow; nothing happens when none does."""
    try:
        yield from halts.signal(store, workflow_id, payload=body, status=status, request_id=request_id)
    except TaskNotFound:
        return


def signal_sync(
    store: StoreContext,
    workflow_id: str,
    status: str,
    return_strategy: halts.ReturnStrategy = halts.ReturnStrategy.TARGET_WORKFLOW,
    timeout_millis: int = 5_000,
    body: dict[str, Any] | None = None,
    request_id: str | None = None,
) -> Plan[dict[str, Any] | None]:
    """As a signal; answers when the workflow has ended or waits again."""
    halt = yield from halts.signal_and_wait(
        store,
        workflow_id,
        payload=body,
        status=status,
        return_strategy=return_strategy,
        timeout_s=timeout_millis / 1000,
        request_id=request_id,
    )
    return signal_response(halt)


# --- one task ---------------------------------------------------------------------------------------------------------


def get_task(store: StoreContext, task_id: str) -> Plan[Task]:
    """One attempt of a task."""
    return tasks.get_task(store, task_id)


def add_log(store: StoreContext, task_id: str, body: str = "") -> Plan[None]:
    """Add a line to the log of a task."""
    yield from tasks.add_log(store, task_id, body)


def get_log(store: StoreContext, task_id: str) -> Plan[list[TaskExecLog] | None]:
    """The lines that a task logged; 204 when there are none."""
    return (yield from tasks.logs(store, task_id)) or None


# --- queues -----------------------------------------------------------------------------------------------------------


def queue_sizes(store: StoreContext, task_type: list[str]) -> Plan[dict[str, int]]:
    """How many tasks of these types wait for a worker."""
    return queues.sizes(store, task_type)


def queue_size(store: StoreContext, task_type: str, domain: str | None = None) -> Plan[int]:
    """How many tasks of one type, and of one domain if it is named, wait for a worker."""
    return queues.size(store, task_type, domain)


def all_queues(store: StoreContext) -> Plan[dict[str, int]]:
    """How many tasks wait in every queue, by its name."""
    found = yield from queues.all_queues(store)
    return {name: counts.size for name, counts in found.items()}


def all_queues_verbose(store: StoreContext) -> Plan[dict[str, dict[str, dict[str, int]]]]:
    """How many tasks wait in every queue, and how many are out."""
    found = yield from queues.all_queues(store)
    return {name: {"a": {"size": counts.size, "uacked": counts.out}} for name, counts in found.items()}


def polls_of(store: StoreContext, task_type: str) -> Plan[list[PollData]]:
    """The last poll of a type's tasks, one for each domain."""
    return poll_data.read(store, task_type)


def all_polls(store: StoreContext) -> Plan[list[PollData]]:
    """The last poll of every queue."""
    return poll_data.read(store)


async def requeue(visit: Visit, task_type: str) -> str:
    """Offer open tasks again that their queue has lost; answers 0: the deciders look for such tasks by themselves."""
    return "0"


ROUTES = (
    Route("GET", "/tasks/poll/{task_type}", poll, Role.WORKER, empty_status=204),
    Route("GET", "/tasks/poll/batch/{task_type}", poll_batch, Role.WORKER),
    Route("POST", "/tasks", update, Role.WORKER),
    Route("POST", "/tasks/update-v2", update_and_poll, Role.WORKER, empty_status=204),
    Route("POST", "/tasks/{workflow_id}/{ref}/{status}", update_by_ref, Role.WORKER),
    Route("POST", "/tasks/{workflow_id}/{ref}/{status}/sync", update_by_ref_sync, Role.WORKER),
    Route("POST", "/tasks/{workflow_id}/{status}/signal", signal, Role.WORKER),
    Route("POST", "/tasks/{workflow_id}/{status}/signal/sync", signal_sync, Role.WORKER),
    Route("GET", "/tasks/{task_id}", get_task, Role.VIEWER),
    Route("POST", "/tasks/{task_id}/log", add_log, Role.WORKER),
    Route("GET", "/tasks/{task_id}/log", get_log, Role.VIEWER, empty_status=204),
    Route("GET", "/tasks/queue/sizes", queue_sizes, Role.VIEWER),
    Route("GET", "/tasks/queue/size", queue_size, Role.VIEWER),
    Route("GET", "/tasks/queue/all", all_queues, Role.VIEWER),
    Route("GET", "/tasks/queue/all/verbose", all_queues_verbose, Role.VIEWER),
    Route("GET", "/tasks/queue/polldata", polls_of, Role.VIEWER),
    Route("GET", "/tasks/queue/polldata/all", all_polls, Role.VIEWER),
    Route("POST", "/tasks/queue/requeue/{task_type}", requeue, Role.OPERATOR),
)
