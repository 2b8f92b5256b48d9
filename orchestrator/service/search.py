"""Searches for executions and for tasks, by the query language, free text and order of ``model.query``.

What Redis holds is found by ``indexes``; tasks have no index there and are judged one execution after the other. The archive
has an index for everything. Redis is read first, because what moves is written to the archive before it leaves; what may be
in both counts once. A page is read when it is known which executions are on it. Called by the clients, the command line and
the HTTP layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from orchestrator.archive import shelf
from orchestrator.archive.shelf import Shelf
from orchestrator.errors import InvalidRequest, StoreUnavailable
from orchestrator.ids import TASK_SUFFIX_LENGTH, workflow_id_of
from orchestrator.model.execution import Task, Workflow
from orchestrator.model.masking import masked_workflow
from orchestrator.model.query import (
    AllOf,
    Condition,
    Is,
    Phrase,
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
from orchestrator.plan import Command, Outside, Plan
from orchestrator.service import indexes
from orchestrator.service.indexes import SCAN_MAX, Sought, raise_first, too_many
from orchestrator.service.lines import VIEWS_PER_READ, Reader, batches
from orchestrator.store import archive
from orchestrator.store.context import StoreContext

if TYPE_CHECKING:
    from orchestrator.archive.database import Matches

SIZE_MAX = 5_000
REACH_MAX = 100_000
"""A page may end so far behind the first match."""

TRIES = 10

Line = TypeVar("Line")
_Own = TypeVar("_Own", WorkflowSummary, TaskSummary)

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
    classifier: str | None = None,
) -> Plan[SearchResult[WorkflowSummary]]:
    """Executions that match, by default the latest start first.

    ``free_text`` looks at what goes in and out of executions and of their tasks. ``classifier`` as Conductor has it: all
    of ours are of ``workflow``. Raises ``InvalidRequest`` for a query that
    cannot be understood, with the place, for a page out of bounds, and for a search that would look at too much.
    Example: ``executor.run(search_workflows(store, "workflowType=order AND status=FAILED", sort="endTime:DESC")).total``
    """
    condition = parse_query(query, WORKFLOW_FIELDS)
    if top_level_only:
        condition = AllOf((condition, TOP_LEVEL))
    if classifier:
        condition = AllOf((condition, Is(WORKFLOW_FIELDS["classifier"], (classifier,))))
    sought = Sought(condition, parse_text(free_text), parse_sort(sort, WORKFLOW_FIELDS))
    return find_workflows(store, sought, start, size)


def find_workflows(store: StoreContext, sought: Sought, start: int, size: int) -> Plan[SearchResult[WorkflowSummary]]:
    """The same for what is sought as a tree."""
    check_page(start, size)
    for _ in range(TRIES):
        place = yield from shelf.shelf(store)
        live = yield from indexes.find(store, sought, start + size)
        if place is None:
            return SearchResult(live.total, (yield from _lines(store, live.lines[start:], {})))
        ask = partial(place.database.search, sought.condition, sought.phrases, sought.order, start + size)
        kept: Matches = yield Outside(partial(ask, place.record.first_unsure))
        if kept.unsure and live.ids is None:
            live = yield from indexes.find(store, sought, start + size, wants_ids=True)
            kept = yield Outside(partial(ask, place.record.first_unsure))
        more = yield from _only_archived(store, kept.unsure, live.ids or set())
        if (yield from _is_unchanged(store, place)):
            archived = {line.workflow_id: line for line in (*kept.lines, *more)}
            lines = ordered([*live.lines, *kept.lines, *more], sought.order)[start : start + size]
            total = live.total + kept.total + len(more)
            return SearchResult(total, (yield from _lines(store, lines, archived)))
    raise StoreUnavailable("executions come back from the archive faster than they can be searched; repeat later")


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
    keys = (*parse_sort(sort, TASK_FIELDS), *LATEST_TASKS_FIRST)
    total, lines = yield from _matching_tasks(store, parse_query(query, TASK_FIELDS), free_text, keys, start + size)
    return SearchResult(total, ordered(lines, keys)[start : start + size])


def open_tasks(store: StoreContext, task_type: str, *, start: int = 0, size: int = 100) -> Plan[list[Task]]:
    """Tasks of a type that have not ended, by default those scheduled last first. Raises like ``search_workflows``."""
    check_page(start, size)
    condition = AllOf((Is(TASK_FIELDS["taskDefName"], (task_type,)), Is(TASK_FIELDS["status"], OPEN_STATUSES)))
    found, _ = yield from _live_tasks(store, condition, ())  # nothing in the archive is open
    return (yield from tasks_of(store, ordered(found, LATEST_TASKS_FIRST)[start : start + size]))


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
    condition = parse_query(query, TASK_FIELDS)
    total, found = yield from _matching_tasks(store, condition, free_text, LATEST_TASKS_FIRST, SCAN_MAX)
    if total > len(found):
        raise too_many("tasks")
    ids = list(dict.fromkeys(line.workflow_id for line in found))
    lines = yield from _complete(store, ids)
    return SearchResult(len(lines), ordered(lines, Sought(AllOf(()), (), keys).order)[start : start + size])


def workflows_of(store: StoreContext, lines: Sequence[WorkflowSummary]) -> Plan[list[Workflow]]:
    """The executions of lines as ``get`` shows them, without their tasks."""
    return _views(store, [line.workflow_id for line in lines], include_tasks=False)


def tasks_of(store: StoreContext, lines: Sequence[TaskSummary]) -> Plan[list[Task]]:
    """The attempts of lines as they may be seen."""
    views = yield from _views(store, list(dict.fromkeys(line.workflow_id for line in lines)), include_tasks=True)
    tasks = {task.task_id: task for view in views for task in view.tasks}
    return [tasks[line.task_id] for line in lines if line.task_id in tasks]


def check_page(start: int, size: int) -> None:
    """Raises ``InvalidRequest`` for a page that cannot be."""
    if start < 0 or not 0 <= size <= SIZE_MAX:
        raise InvalidRequest(f"start={start}, size={size}: start must be 0 or more and size 0 to {SIZE_MAX}")
    if start + size > REACH_MAX:
        raise InvalidRequest(f"start={start}: pages end at {REACH_MAX:,}; narrow the search, for example by startTime")


def _matching_tasks(
    store: StoreContext, condition: Condition, free_text: str | None, keys: Sequence[SortKey], count: int
) -> Plan[tuple[int, list[TaskSummary]]]:
    """How many attempts match, and among their lines the first ``count`` in order."""
    phrases = parse_text(free_text)
    for _ in range(TRIES):
        place = yield from shelf.shelf(store)
        lines, seen = yield from _live_tasks(store, condition, phrases)
        if place is None:
            return len(lines), lines
        ask = partial(place.database.search_tasks, condition, phrases, keys, count)
        kept: Matches = yield Outside(partial(ask, place.record.first_unsure))
        more = yield from _only_archived(store, kept.unsure, seen)
        if (yield from _is_unchanged(store, place)):
            return len(lines) + kept.total + len(more), [*lines, *kept.lines, *more]
    raise StoreUnavailable("executions come back from the archive faster than they can be searched; repeat later")


def _live_tasks(
    store: StoreContext, condition: Condition, phrases: Sequence[Phrase]
) -> Plan[tuple[list[TaskSummary], set[str]]]:
    """All attempts in Redis that match, and the executions that were looked at."""
    holds, reader = judge(condition), Reader(store)
    ids = yield from indexes.candidate_ids(store, _of_executions(condition))
    if len(ids) > SCAN_MAX:
        raise too_many("executions")
    found, seen = list[TaskSummary](), set[str]()
    for batch in batches(ids, VIEWS_PER_READ):
        for view in (yield from reader.views(batch)):
            seen.add(view.workflow_id)
            for task in view.tasks:
                line = task_summary(task)
                if holds(line) and (not phrases or matches_words(phrases, task_words(task))):
                    found.append(line)
        if len(found) > SCAN_MAX:
            raise too_many("tasks")
    return found, seen


def _only_archived(store: StoreContext, lines: Sequence[_Own], seen: set[str]) -> Plan[list[_Own]]:
    """Of lines whose executions may be in both places, those that Redis does not have: it counts where both do."""
    keys = store.keys
    rest = [line for line in lines if line.workflow_id not in seen]
    replies = yield [
        Command(("EXISTS", keys.workflow(keys.partition_of(line.workflow_id), line.workflow_id))) for line in rest
    ]
    raise_first(replies)
    return [line for line, is_there in zip(rest, replies, strict=True) if not is_there]


def _is_unchanged(store: StoreContext, place: Shelf) -> Plan[bool]:
    """Whether nothing came back to Redis while both places were read, and so was missed in both."""
    now = yield archive.read_archive(store.keys)
    return now is not None and now.restores == place.record.restores


def _lines(
    store: StoreContext, page: Sequence[WorkflowSummary], archived: Mapping[str, WorkflowSummary]
) -> Plan[list[WorkflowSummary]]:
    """The lines of a page in full, in order."""
    missing = [line.workflow_id for line in page if line.workflow_id not in archived]
    known = {**archived, **{line.workflow_id: line for line in (yield from _complete(store, missing))}}
    return [known[line.workflow_id] for line in page if line.workflow_id in known]


def _complete(store: StoreContext, workflow_ids: Sequence[str]) -> Plan[list[WorkflowSummary]]:
    """The lines of executions, wherever they are."""
    lines = yield from Reader(store).lines(workflow_ids, with_payloads=True)
    missing = set(workflow_ids) - {line.workflow_id for line in lines}
    place = (yield from shelf.shelf(store)) if missing else None
    if place is not None:
        lines += yield Outside(partial(place.database.lines, sorted(missing)))
    return lines


def _views(store: StoreContext, workflow_ids: Sequence[str], *, include_tasks: bool) -> Plan[list[Workflow]]:
    """Executions as they may be seen, wherever they are, in order."""
    views = yield from Reader(store).views(workflow_ids, include_tasks=include_tasks)
    found = {view.workflow_id: view for view in views}
    for workflow_id in workflow_ids:
        if workflow_id not in found:
            view = yield from shelf.archived_view(store, workflow_id, include_tasks=include_tasks, fetch=lambda _: {})
            if view is not None:
                found[workflow_id] = masked_workflow(view)
    return [found[workflow_id] for workflow_id in workflow_ids if workflow_id in found]


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
