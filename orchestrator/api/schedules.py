"""Schedules over HTTP: store, find, pause, preview them, and what became of their due times.

Pausing and resuming are also answered to GET: some of Conductor's clients ask that way.
"""

from __future__ import annotations

import msgspec

from orchestrator.api.routes import Role, Route
from orchestrator.model.schedules import CronSchedule, Schedule, ScheduleExecution, ScheduleTag
from orchestrator.plan import Plan
from orchestrator.service import schedules
from orchestrator.service.bulk import BulkResult
from orchestrator.store.context import StoreContext

BULK_MESSAGE = "Bulk Request has been processed."


class FoundSchedules(msgspec.Struct, kw_only=True):
    """One page of schedules."""

    total_hits: int
    results: list[Schedule]


class FoundScheduleExecutions(msgspec.Struct, kw_only=True):
    """One page of what became of due times."""

    total_hits: int
    results: list[ScheduleExecution]


class BulkSchedules(msgspec.Struct, kw_only=True):
    """Which schedules an act on many was done to, and why not to the others."""

    bulk_error_results: dict[str, str]
    bulk_successful_results: list[str]
    message: str = BULK_MESSAGE


# --- one schedule -----------------------------------------------------------------------------------------------------


def save_schedule(store: StoreContext, body: Schedule) -> Plan[Schedule]:
    """Store a schedule, replacing one of the same name, and give it as it is now."""
    return schedules.save(store, body)


def get_schedule(store: StoreContext, name: str) -> Plan[Schedule]:
    """One schedule, with its next due time."""
    return schedules.get(store, name)


def delete_schedule(store: StoreContext, name: str) -> Plan[None]:
    """Forget a schedule; what it has started goes on."""
    return schedules.remove(store, name)


def pause_schedule(store: StoreContext, name: str, reason: str | None = None) -> Plan[None]:
    """Start nothing more by a schedule until it is resumed."""
    return schedules.pause(store, name, reason)


def resume_schedule(store: StoreContext, name: str) -> Plan[None]:
    """Go on from now; what came due during the pause is left out."""
    return schedules.resume(store, name)


def get_tags(store: StoreContext, name: str) -> Plan[list[ScheduleTag]]:
    """The tags of a schedule."""
    return (yield from schedules.get(store, name)).tags


def set_tags(store: StoreContext, name: str, body: list[ScheduleTag]) -> Plan[None]:
    """Put tags on a schedule."""
    return schedules.set_tags(store, name, body)


def remove_tags(store: StoreContext, name: str, body: list[ScheduleTag]) -> Plan[None]:
    """Take tags off a schedule."""
    return schedules.remove_tags(store, name, body)


# --- many schedules ---------------------------------------------------------------------------------------------------


def list_schedules(store: StoreContext, workflow_name: str | None = None) -> Plan[list[Schedule]]:
    """All schedules by name, or those that start one workflow."""
    return schedules.list_schedules(store, workflow_name)


def search_schedules(
    store: StoreContext,
    workflow_name: str | None = None,
    schedule_name: str | None = None,
    paused: bool | None = None,
    free_text: str | None = None,
    start: int = 0,
    size: int = 100,
    sort: str | None = None,
) -> Plan[FoundSchedules]:
    """Schedules that meet every condition given, a page of them."""
    found = yield from schedules.search(
        store,
        workflow_name=workflow_name,
        schedule_name=schedule_name,
        paused=paused,
        free_text=free_text,
        start=start,
        size=size,
        sort=sort,
    )
    return FoundSchedules(total_hits=found.total, results=found.items)


def pause_many(store: StoreContext, body: list[str], reason: str | None = None) -> Plan[BulkSchedules]:
    """Pause schedules; errors are given by name."""
    return _told((yield from schedules.pause_many(store, body, reason)))


def resume_many(store: StoreContext, body: list[str]) -> Plan[BulkSchedules]:
    """Resume schedules; errors are given by name."""
    return _told((yield from schedules.resume_many(store, body)))


def pause_all(store: StoreContext) -> Plan[dict[str, bool]]:
    """Fire nothing at all until all is resumed; each schedule stays as it is."""
    yield from schedules.pause_all(store)
    return {"paused": True}


def resume_all(store: StoreContext) -> Plan[dict[str, bool]]:
    """Fire again what is due."""
    yield from schedules.resume_all(store)
    return {"paused": False}


def requeue_all(store: StoreContext) -> Plan[dict[str, int]]:
    """Have every schedule looked at when it is due, whoever may be at work on it."""
    return {"requeued": (yield from schedules.requeue_all(store))}


# --- due times --------------------------------------------------------------------------------------------------------


def next_times(
    store: StoreContext,
    cron_expression: str,
    zone_id: str = "UTC",
    schedule_start_time: int | None = None,
    schedule_end_time: int | None = None,
    limit: int = 5,
) -> Plan[list[int]]:
    """When a cron expression comes next, five times at most."""
    crons = [CronSchedule(cron_expression=cron_expression, zone_id=zone_id)]
    return schedules.next_times(store, crons, start_ms=schedule_start_time, end_ms=schedule_end_time, limit=limit)


def search_executions(
    store: StoreContext,
    query: str | None = None,
    free_text: str | None = None,
    start: int = 0,
    size: int = 100,
    sort: str | None = None,
) -> Plan[FoundScheduleExecutions]:
    """What became of due times, the latest first unless told otherwise."""
    found = yield from schedules.search_executions(store, query, free_text=free_text, start=start, size=size, sort=sort)
    return FoundScheduleExecutions(total_hits=found.total, results=found.items)


def _told(result: BulkResult) -> BulkSchedules:
    return BulkSchedules(bulk_error_results=result.failed, bulk_successful_results=result.succeeded)


ROUTES = (
    Route("POST", "/scheduler/schedules", save_schedule, Role.OPERATOR),
    Route("GET", "/scheduler/schedules", list_schedules, Role.VIEWER),
    Route("GET", "/scheduler/schedules/search", search_schedules, Role.VIEWER),
    Route("GET", "/scheduler/schedules/{name}", get_schedule, Role.VIEWER),
    Route("DELETE", "/scheduler/schedules/{name}", delete_schedule, Role.OPERATOR),
    Route("PUT", "/scheduler/schedules/{name}/pause", pause_schedule, Role.OPERATOR),
    Route("GET", "/scheduler/schedules/{name}/pause", pause_schedule, Role.OPERATOR),
    Route("PUT", "/scheduler/schedules/{name}/resume", resume_schedule, Role.OPERATOR),
    Route("GET", "/scheduler/schedules/{name}/resume", resume_schedule, Role.OPERATOR),
    Route("GET", "/scheduler/schedules/{name}/tags", get_tags, Role.VIEWER),
    Route("PUT", "/scheduler/schedules/{name}/tags", set_tags, Role.OPERATOR),
    Route("DELETE", "/scheduler/schedules/{name}/tags", remove_tags, Role.OPERATOR),
    Route("GET", "/scheduler/nextFewSchedules", next_times, Role.VIEWER),
    Route("GET", "/scheduler/search/executions", search_executions, Role.VIEWER),
    Route("PUT", "/scheduler/bulk/pause", pause_many, Role.OPERATOR),
    Route("PUT", "/scheduler/bulk/resume", resume_many, Role.OPERATOR),
    Route("GET", "/scheduler/admin/pause", pause_all, Role.ADMIN),
    Route("GET", "/scheduler/admin/resume", resume_all, Role.ADMIN),
    Route("GET", "/scheduler/admin/requeue", requeue_all, Role.ADMIN),
)
