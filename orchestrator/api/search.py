"""Searches over HTTP: lines about executions and tasks, or with ``-v2`` the executions and tasks themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from orchestrator.api.documents import document
from orchestrator.api.routes import Handler, Role, Route
from orchestrator.model.summaries import summary_to_dict
from orchestrator.plan import Plan
from orchestrator.service import bulk, search
from orchestrator.store.context import StoreContext

Json = dict[str, Any]
Show = Callable[[StoreContext, Sequence[Any]], Plan[list[Json]]]


class Found(msgspec.Struct):
    """One page of what was found, and how many match in all."""

    total_hits: int
    results: list[Json]


class BulkFound(msgspec.Struct):
    """The executions asked for that there are, and why the others are missing."""

    bulk_error_results: dict[str, str]
    bulk_successful_results: list[Json]
    message: str = "Bulk Request has been processed."


def _of_executions(show: Show, does: str) -> Handler:
    """A handler that gives one page of executions, as ``show`` shows them; ``does`` is its description."""

    def handler(
        store: StoreContext,
        query: str | None = None,
        free_text: str | None = None,
        sort: str | None = None,
        start: int = 0,
        size: int = 100,
        top_level_only: bool = False,
        classifier: str | None = None,
    ) -> Plan[Found]:
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
        return Found(found.total, (yield from show(store, found.items)))

    handler.__doc__ = does
    return handler


def _by_tasks(find: Callable[..., Plan[search.SearchResult[Any]]], show: Show, does: str) -> Handler:
    """The same for what ``find`` finds by a query about tasks."""

    def handler(
        store: StoreContext,
        query: str | None = None,
        free_text: str | None = None,
        sort: str | None = None,
        start: int = 0,
        size: int = 100,
    ) -> Plan[Found]:
        found = yield from find(store, query, free_text=free_text, sort=sort, start=start, size=size)
        return Found(found.total, (yield from show(store, found.items)))

    handler.__doc__ = does
    return handler


def find_workflows(store: StoreContext, body: list[str], include_tasks: bool = True) -> Plan[BulkFound]:
    """Executions by their ids, at most a thousand."""
    found, missing = yield from bulk.get_all(store, body, include_tasks=include_tasks)
    return BulkFound(missing, document(found))


def _lines(store: StoreContext, found: Sequence[Any]) -> Plan[list[Json]]:
    yield from ()
    return [summary_to_dict(line) for line in found]


def _workflows(store: StoreContext, found: Sequence[Any]) -> Plan[list[Json]]:
    shown: list[Json] = document((yield from search.workflows_of(store, found)))
    return shown


def _tasks(store: StoreContext, found: Sequence[Any]) -> Plan[list[Json]]:
    shown: list[Json] = document((yield from search.tasks_of(store, found)))
    return shown


search_workflows = _of_executions(_lines, "Lines of executions that match a query and free text.")
search_workflows_v2 = _of_executions(_workflows, "Executions that match a query and free text, without their tasks.")
search_by_tasks = _by_tasks(
    search.search_by_tasks, _lines, "Lines of executions that have a task which matches a query and free text."
)
search_by_tasks_v2 = _by_tasks(
    search.search_by_tasks,
    _workflows,
    "Executions that have a task which matches a query and free text, without their tasks.",
)
search_tasks = _by_tasks(search.search_tasks, _lines, "Lines of tasks that match a query and free text.")
search_tasks_v2 = _by_tasks(search.search_tasks, _tasks, "Tasks that match a query and free text.")

ROUTES = (
    Route("GET", "/workflow/search", search_workflows, Role.VIEWER),
    Route("GET", "/workflow/search-v2", search_workflows_v2, Role.VIEWER),
    Route("GET", "/workflow/search-by-tasks", search_by_tasks, Role.VIEWER),
    Route("GET", "/workflow/search-by-tasks-v2", search_by_tasks_v2, Role.VIEWER),
    Route("GET", "/tasks/search", search_tasks, Role.VIEWER),
    Route("GET", "/tasks/search-v2", search_tasks_v2, Role.VIEWER),
    Route("POST", "/workflow/bulk/search", find_workflows, Role.VIEWER),
)
