"""Lists of executions by the conditions most asked for: searches without the language, the latest start first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.errors import InvalidRequest, WorkflowNotFound
from orchestrator.model.execution import Workflow
from orchestrator.model.query import AllOf, Condition, Is, Order
from orchestrator.model.status import WorkflowStatus, is_terminal
from orchestrator.model.summaries import WORKFLOW_FIELDS, WorkflowSummary
from orchestrator.plan import Plan
from orchestrator.service.indexes import Sought
from orchestrator.service.search import SIZE_MAX, SearchResult, find_workflows
from orchestrator.service.workflows import get
from orchestrator.store.context import StoreContext

RUNNING_MAX = 10_000


def list_workflows(
    store: StoreContext,
    *,
    status: str | None = None,
    name: str | None = None,
    correlation_id: str | None = None,
    start: int = 0,
    size: int = 100,
) -> Plan[SearchResult[WorkflowSummary]]:
    """Executions that meet every condition given, the latest start first.

    Raises ``InvalidRequest`` for an unknown status, a page out of bounds, or conditions that would walk too far.
    Example: ``executor.run(list_workflows(store, status="RUNNING", size=20)).items[0].workflow_type``
    """
    if status is not None and status not in set(WorkflowStatus):
        raise InvalidRequest(f"status {status!r} is unknown: use one of {', '.join(WorkflowStatus)}")
    conditions: Mapping[str, str | None] = {"correlationId": correlation_id, "workflowType": name, "status": status}
    parts = [Is(WORKFLOW_FIELDS[field], (value,)) for field, value in conditions.items() if value is not None]
    return find_workflows(store, Sought(AllOf(tuple(parts))), start, size)


def running_ids(store: StoreContext, name: str, version: int | None = None) -> Plan[list[str]]:
    """The ids of the RUNNING executions of a workflow, whatever its version unless one is named, the latest start first.

    At most ``RUNNING_MAX``. Example: ``executor.run(running_ids(store, "order"))``
    """
    of_version = [Is(WORKFLOW_FIELDS["version"], (version,))] if version is not None else []
    return _ids(store, [Is(WORKFLOW_FIELDS["status"], ("RUNNING",)), *of_version, _named(name)])


def started_between(store: StoreContext, name: str, first_ms: int, last_ms: int) -> Plan[list[str]]:
    """The ids of the executions of a workflow, of any status, that began within these times; the latest first.

    At most ``RUNNING_MAX``. Example: ``executor.run(started_between(store, "order", now_ms - 60_000, now_ms))``
    """
    begun = WORKFLOW_FIELDS["startTime"]
    return _ids(store, [_named(name), Order(begun, ">=", first_ms), Order(begun, "<=", last_ms)])


def correlated(
    store: StoreContext, name: str, correlation_ids: Sequence[str], *, include_closed: bool = False
) -> Plan[dict[str, list[str]]]:
    """The ids of a workflow's executions by correlation id; without ``include_closed`` those that have not ended."""
    found: dict[str, list[str]] = {}
    for correlation_id in dict.fromkeys(correlation_ids):
        part = yield from list_workflows(store, name=name, correlation_id=correlation_id, size=SIZE_MAX)
        found[correlation_id] = [
            item.workflow_id for item in part.items if include_closed or not is_terminal(item.status)
        ]
    return found


def correlated_workflows(
    store: StoreContext,
    names: Sequence[str],
    correlation_ids: Sequence[str],
    *,
    include_closed: bool = False,
    include_tasks: bool = False,
) -> Plan[dict[str, list[Workflow]]]:
    """The executions of these workflows by correlation id, as ``correlated``; each id that was asked for has a list."""
    found: dict[str, list[Workflow]] = {one: [] for one in correlation_ids}
    for name in dict.fromkeys(names):
        ids = yield from correlated(store, name, correlation_ids, include_closed=include_closed)
        for correlation_id, workflow_ids in ids.items():
            for workflow_id in workflow_ids:
                try:
                    found[correlation_id].append((yield from get(store, workflow_id, include_tasks=include_tasks)))
                except WorkflowNotFound:
                    continue  # removed in between
    return found


def _named(name: str) -> Is:
    return Is(WORKFLOW_FIELDS["workflowType"], (name,))


def _ids(store: StoreContext, parts: Sequence[Condition]) -> Plan[list[str]]:
    found: list[str] = []
    while len(found) < RUNNING_MAX:
        part = yield from find_workflows(store, Sought(AllOf(tuple(parts))), len(found), SIZE_MAX)
        found += [item.workflow_id for item in part.items]
        if len(part.items) < SIZE_MAX:
            break
    return found
