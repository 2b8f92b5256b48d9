"""Searches for executions and for tasks, by the query language, free text and order of ``model.query``.

What Redis holds is found by ``indexes``; tasks have no index there and are judged one execution after the other. A page is
read when it is known which executions are on it. Called by the clients, the command line and the HTTP layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from orchestrator.errors import InvalidRequest
from orchestrator.ids import TASK_SUFFIX_LENGTH, workflow_id_of
from orchestrator.model.execution import Task, Workflow
from orchestrator.model.query import (
    AllOf,
    Condition,
    Is,
    SortKey,
    judge,
    matches_words,
    ordered,
    parse_query,
    parse_sort,
    parse_text,
)
from orchestrator.model.summaries import (
    TASK_FIELDS,
    WORKFLOW_FIELDS,
    TaskSummary,
    WorkflowSummary,
    task_summary,
    task_words,
)
from orchestrator.plan import Plan
from orchestrator.service import indexes
from orchestrator.service.indexes import SCAN_MAX, Sought, too_many
from orchestrator.service.lines import VIEWS_PER_READ, Reader, batches
from orchestrator.store.context import StoreContext

SIZE_MAX = 5_000
REACH_MAX = 100_000
"""A page may end so far behind the first match."""

Line = TypeVar("Line")

TOP_LEVEL = Is(WORKFLOW_FIELDS["parentWorkflowId"], (None,))
LATEST_TASKS_FIRST = (SortKey(TASK_FIELDS["scheduledTime"], True), SortKey(TASK_FIELDS["taskId"], True))
_SHARED = {"workflowId": "workflowId", "workflowType": "workflowType", "correlationId": "correlationId"}
"""Fields of a task that are its execution's."""


OPEN_STATUSES = ("SCHEDULED", "IN_PROGRESS")


class SearchResult(NamedTuple, Generic[Line]):
    """``total`` counts all that match, ``items`` are the ones asked for."""

    total: int
    items: list[Line]


def search_workflows(
    store: StoreContext,
    query: str | None = None,
    *,
    free_text: str | None = None,
    sort: str | None = None,
    start: int = 0,
    size: int = 100,
    top_level_only: bool = False,
) -> Plan[SearchResult[WorkflowSummary]]:
    """Executions that match, by default the latest start first.

    ``free_text`` looks at what goes in and out of executions and of their tasks. Raises ``InvalidRequest`` for a query that
    cannot be understood, with the place, for a page out of bounds, and for a search that would look at too much.
    Example: ``executor.run(search_workflows(store, "workflowType=order AND status=FAILED", sort="endTime:DESC")).total``
    """
    condition = parse_query(query, WORKFLOW_FIELDS)
    if top_level_only:
        condition = AllOf((condition, TOP_LEVEL))
    sought = Sought(condition, parse_text(free_text), parse_sort(sort, WORKFLOW_FIELDS))
    return find_workflows(store, sought, start, size)


def find_workflows(store: StoreContext, sought: Sought, start: int, size: int) -> Plan[SearchResult[WorkflowSummary]]:
    """The same for what is sought as a tree."""
    check_page(start, size)
    found = yield from indexes.find(store, sought, start + size)
    page = [line.workflow_id for line in found.lines[start : start + size]]
    return SearchResult(found.total, (yield from Reader(store).lines(page, with_payloads=True)))


def search_tasks(
    store: StoreContext,
    query: str | None = None,
    *,
    free_text: str | None = None,
    sort: str | None = None,
    start: int = 0,
    size: int = 100,
) -> Plan[SearchResult[TaskSummary]]:
    """Attempts of tasks that match, by default those scheduled last first. Raises like ``search_workflows``.

    Example: ``executor.run(search_tasks(store, "taskDefName=charge AND status=FAILED")).items[0].reason_for_incompletion``
    """
    check_page(start, size)
    keys = parse_sort(sort, TASK_FIELDS)
    found = yield from _matching_tasks(store, parse_query(query, TASK_FIELDS), free_text)
    lines = ordered(found, (*keys, *LATEST_TASKS_FIRST))
    return SearchResult(len(found), lines[start : start + size])


def open_tasks(store: StoreContext, task_type: str, *, start: int = 0, size: int = 100) -> Plan[list[Task]]:
    """Tasks of a type that have not ended, by default those scheduled last first. Raises like ``search_workflows``."""
    check_page(start, size)
    condition = AllOf((Is(TASK_FIELDS["taskDefName"], (task_type,)), Is(TASK_FIELDS["status"], OPEN_STATUSES)))
    lines = ordered((yield from _matching_tasks(store, condition, None)), LATEST_TASKS_FIRST)
    return (yield from tasks_of(store, lines[start : start + size]))


def search_by_tasks(
    store: StoreContext,
    query: str | None = None,
    *,
    free_text: str | None = None,
    sort: str | None = None,
    start: int = 0,
    size: int = 100,
) -> Plan[SearchResult[WorkflowSummary]]:
    """Executions that have a task that matches ``query`` and ``free_text`` of tasks; ``sort`` is by their own fields."""
    check_page(start, size)
    keys = parse_sort(sort, WORKFLOW_FIELDS)
    found = yield from _matching_tasks(store, parse_query(query, TASK_FIELDS), free_text)
    ids = list(dict.fromkeys(line.workflow_id for line in found))
    lines = yield from Reader(store).lines(ids, with_payloads=True)
    return SearchResult(len(lines), ordered(lines, Sought(AllOf(()), (), keys).order)[start : start + size])


def workflows_of(store: StoreContext, lines: Sequence[WorkflowSummary]) -> Plan[list[Workflow]]:
    """The executions of lines as ``get`` shows them, without their tasks."""
    return Reader(store).views([line.workflow_id for line in lines], include_tasks=False)


def tasks_of(store: StoreContext, lines: Sequence[TaskSummary]) -> Plan[list[Task]]:
    """The attempts of lines as they may be seen."""
    views = yield from Reader(store).views(list(dict.fromkeys(line.workflow_id for line in lines)))
    tasks = {task.task_id: task for view in views for task in view.tasks}
    return [tasks[line.task_id] for line in lines if line.task_id in tasks]


def check_page(start: int, size: int) -> None:
    """Raises ``InvalidRequest`` for a page that cannot be."""
    if start < 0 or not 0 <= size <= SIZE_MAX:
        raise InvalidRequest(f"start={start}, size={size}: start must be 0 or more and size 0 to {SIZE_MAX}")
    if start + size > REACH_MAX:
        raise InvalidRequest(f"start={start}: pages end at {REACH_MAX:,}; narrow the search, for example by startTime")


def _matching_tasks(store: StoreContext, condition: Condition, free_text: str | None) -> Plan[list[TaskSummary]]:
    """All attempts in Redis that match."""
    holds, phrases = judge(condition), parse_text(free_text)
    reader = Reader(store)
    ids = yield from indexes.candidate_ids(store, _of_executions(condition))
    if len(ids) > SCAN_MAX:
        raise too_many("executions")
    found: list[TaskSummary] = []
    for batch in batches(ids, VIEWS_PER_READ):
        for view in (yield from reader.views(batch)):
            for task in view.tasks:
                line = task_summary(task)
                if holds(line) and (not phrases or matches_words(phrases, task_words(task))):
                    found.append(line)
        if len(found) > SCAN_MAX:
            raise too_many("tasks")
    return found


def _of_executions(condition: Condition) -> Condition:
    """What the condition on tasks says of the executions they are in."""
    parts: list[Condition] = []
    for part in condition.parts if isinstance(condition, AllOf) else (condition,):
        if isinstance(part, Is) and not part.is_not and None not in part.values:
            if part.field.name in _SHARED:
                parts.append(part._replace(field=WORKFLOW_FIELDS[_SHARED[part.field.name]]))
            elif part.field.name == "taskId":
                owners = tuple(
                    workflow_id_of(one) for one in map(str, part.values) if len(one) > TASK_SUFFIX_LENGTH + 1
                )
                parts.append(Is(WORKFLOW_FIELDS["workflowId"], owners))
    return AllOf(tuple(parts))
