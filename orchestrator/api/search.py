"""Searches over HTTP: lines about executions and tasks, or with ``-v2`` the executions and tasks themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from orchestrator.api.documents import document
from orchestrator.api.routes import Role, Route
from orchestrator.model.summaries import summary_to_dict
from orchestrator.plan import Plan
from orchestrator.service import bulk, search
from orchestrator.store.context import StoreContext


class Found(msgspec.Struct):
    """One page of what was found, and how many match in all."""

    total_hits: int
    results: list[dict[str, Any]]


class BulkFound(msgspec.Struct):
    """The executions asked for that there are, and why the others are missing."""

    bulk_error_results: dict[str, str]
    bulk_successful_results: list[dict[str, Any]]
    message: str = "Bulk Request has been processed."


def search_workflows(
    store: StoreContext,
    query: str | None = None,
    free_text: str | None = None,
    sort: str | None = None,
    start: int = 0,
    size: int = 100,
    top_level_only: bool = False,
    classifier: str | None = None,
) -> Plan[Found]:
    """Lines of executions that match a query and free text."""
    found = yield from search.search_workflows(
        store,
        query,
        free_text=free_text,
        sort=sort,
        start=start,
        size=size,
        top_level_only=top_level_only,
        classifier=classifier,
    )
    return _lines(found)


def search_workflows_v2(
    store: StoreContext,
    query: str | None = None,
    free_text: str | None = None,
    sort: str | None = None,
    start: int = 0,
    size: int = 100,
    top_level_only: bool = False,
    classifier: str | None = None,
) -> Plan[Found]:
    """Executions that match a query and free text, without their tasks."""
    found = yield from search.search_workflows(
        store,
        query,
        free_text=free_text,
        sort=sort,
        start=start,
        size=size,
        top_level_only=top_level_only,
        classifier=classifier,
    )
    return Found(found.total, document((yield from search.workflows_of(store, found.items))))


def search_by_tasks(
    store: StoreContext,
    query: str | None = None,
    free_text: str | None = None,
    sort: str | None = None,
    start: int = 0,
    size: int = 100,
) -> Plan[Found]:
    """Lines of executions that have a task which matches a query and free text."""
    found = yield from search.search_by_tasks(store, query, free_text=free_text, sort=sort, start=start, size=size)
    return _lines(found)


def search_by_tasks_v2(
    store: StoreContext,
    query: str | None = None,
    free_text: str | None = None,
    sort: str | None = None,
    start: int = 0,
    size: int = 100,
) -> Plan[Found]:
    """Executions that have a task which matches a query and free text, without their tasks."""
    found = yield from search.search_by_tasks(store, query, free_text=free_text, sort=sort, start=start, size=size)
    return Found(found.total, document((yield from search.workflows_of(store, found.items))))


def search_tasks(
    store: StoreContext,
    query: str | None = None,
    free_text: str | None = None,
    sort: str | None = None,
    start: int = 0,
    size: int = 100,
) -> Plan[Found]:
    """Lines of tasks that match a query and free text."""
    found = yield from search.search_tasks(store, query, free_text=free_text, sort=sort, start=start, size=size)
    return _lines(found)


def search_tasks_v2(
    store: StoreContext,
    query: str | None = None,
    free_text: str | None = None,
    sort: str | None = None,
    start: int = 0,
    size: int = 100,
) -> Plan[Found]:
    """Tasks that match a query and free text."""
    found = yield from search.search_tasks(store, query, free_text=free_text, sort=sort, start=start, size=size)
    return Found(found.total, document((yield from search.tasks_of(store, found.items))))


def find_workflows(store: StoreContext, body: list[str], include_tasks: bool = True) -> Plan[BulkFound]:
    """Executions by their ids, at most a thousand."""
    found, missing = yield from bulk.get_all(store, body, include_tasks=include_tasks)
    return BulkFound(missing, document(found))


def _lines(found: search.SearchResult[Any]) -> Found:
    items: Sequence[Any] = found.items
    return Found(found.total, [summary_to_dict(line) for line in items])


ROUTES = (
    Route("GET", "/workflow/search", search_workflows, Role.VIEWER),
    Route("GET", "/workflow/search-v2", search_workflows_v2, Role.VIEWER),
    Route("GET", "/workflow/search-by-tasks", search_by_tasks, Role.VIEWER),
    Route("GET", "/workflow/search-by-tasks-v2", search_by_tasks_v2, Role.VIEWER),
    Route("GET", "/tasks/search", search_tasks, Role.VIEWER),
    Route("GET", "/tasks/search-v2", search_tasks_v2, Role.VIEWER),
    Route("POST", "/workflow/bulk/search", find_workflows, Role.VIEWER),
)
