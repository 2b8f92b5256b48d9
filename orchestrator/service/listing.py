"""Lists of executions, newest first, from the search indexes that the commit maintains.

Each partition gives its first ``start + size``, which are then merged. With several conditions the smallest index is
walked and the others are asked about each page, because a server-side intersection would copy whole indexes. A workflow
is in the indexes from its first commit on, a moment after its start. Called by the clients and the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from orchestrator.errors import InvalidRequest
from orchestrator.model.records import decode_core, decode_meta
from orchestrator.model.status import WorkflowStatus, is_terminal
from orchestrator.plan import Command, Plan
from orchestrator.store.context import StoreContext

SIZE_MAX = 1_000
RUNNING_MAX = 10_000
PAGE = 1_000
WALK_MAX = 100_000
"""How many entries of one partition a list with several conditions looks at."""


class WorkflowSummary(NamedTuple):
    """One line of a list; times in epoch ms, 0 for "not yet"."""

    workflow_id: str
    name: str
    version: int
    status: WorkflowStatus
    start_time: int
    end_time: int
    update_time: int
    correlation_id: str | None
    priority: int
    reason: str | None


class WorkflowList(NamedTuple):
    """``total`` counts all that match, ``items`` are the ones asked for."""

    total: int
    items: list[WorkflowSummary]


class _Found(NamedTuple):
    start_ms: int
    workflow_id: str


def list_workflows(
    store: StoreContext,
    *,
    status: str | None = None,
    name: str | None = None,
    correlation_id: str | None = None,
    start: int = 0,
    size: int = 100,
) -> Plan[WorkflowList]:
    """Executions that meet every condition given, the latest start first.

    Raises ``InvalidRequest`` for an unknown status, a page out of bounds, or conditions that would walk too far.
    Example: ``executor.run(list_workflows(store, status="RUNNING", size=20)).items[0].name``
    """
    if start < 0 or not 0 <= size <= SIZE_MAX:
        raise InvalidRequest(f"start={start}, size={size}: start must be 0 or more and size 0 to {SIZE_MAX}")
    if status is not None and status not in set(WorkflowStatus):
        raise InvalidRequest(f"status {status!r} is unknown: use one of {', '.join(WorkflowStatus)}")
    total, found = 0, list[_Found]()
    numbers = range(store.keys.partitions)
    by_partition = [_indexes(store, number, status, name, correlation_id) for number in numbers]
    if len(by_partition[0]) > 1:
        for indexes in by_partition:
            part_total, part = yield from _walk(indexes, start + size)
            total += part_total
            found += part
    else:
        alone = [key for indexes in by_partition for key in indexes]
        every = alone or [key for number in numbers for key in _statuses(store, number)]
        total, found = yield from _merge(every, start + size)
    found.sort(reverse=True)
    items = yield from _summaries(store, [entry.workflow_id for entry in found[start : start + size]])
    return WorkflowList(total, items)


def running_ids(store: StoreContext, name: str) -> Plan[list[str]]:
    """The ids of the RUNNING executions of a workflow, whatever its version, the latest start first.

    At most ``RUNNING_MAX``. Example: ``executor.run(running_ids(store, "order"))``
    """
    found: list[str] = []
    while len(found) < RUNNING_MAX:
        part = yield from list_workflows(store, status="RUNNING", name=name, start=len(found), size=SIZE_MAX)
        found += [item.workflow_id for item in part.items]
        if len(part.items) < SIZE_MAX:
            break
    return found


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


def _indexes(
    store: StoreContext, number: int, status: str | None, name: str | None, correlation_id: str | None
) -> list[str]:
    """The indexes that hold what is asked for, the most selective first."""
    indexes = []
    if correlation_id is not None:
        indexes.append(store.keys.by_correlation(number, correlation_id))
    if name is not None:
        indexes.append(store.keys.by_name(number, name))
    if status is not None:
        indexes.append(store.keys.by_status(number, status))
    return indexes


def _statuses(store: StoreContext, number: int) -> list[str]:
    """Every execution is in exactly one of these."""
    return [store.keys.by_status(number, status) for status in WorkflowStatus]


def _merge(indexes: Sequence[str], count: int) -> Plan[tuple[int, list[_Found]]]:
    """The latest of indexes that have no member in common."""
    replies = yield [
        command for key in indexes for command in (Command(("ZCARD", key)), _page(key, 0, count - 1 if count else 0))
    ]
    _raise_first(replies)
    found = [entry for page in replies[1::2] for entry in page]
    return sum(replies[::2]), sorted(found, reverse=True)[:count]


def _walk(indexes: Sequence[str], count: int) -> Plan[tuple[int, list[_Found]]]:
    """The latest that are in every index, and how many there are."""
    sizes = yield [Command(("ZCARD", key)) for key in indexes]
    _raise_first(sizes)
    first, *others = [key for _, key in sorted(zip(sizes, indexes, strict=True))]
    if min(sizes) > WALK_MAX:
        raise InvalidRequest(
            f"more than {WALK_MAX:,} executions of one partition meet the narrowest of these conditions; "
            "ask for a single condition or a correlation id"
        )
    matching: list[_Found] = []
    for at in range(0, min(sizes), PAGE):
        page: list[_Found] = yield _page(first, at, at + PAGE - 1)
        if not page:
            break
        scores = yield [Command(("ZMSCORE", key, *(entry.workflow_id for entry in page))) for key in others]
        _raise_first(scores)
        matching += [entry for entry, *hits in zip(page, *scores, strict=True) if None not in hits]
    return len(matching), matching[:count]


def _page(key: str, first: int, last: int) -> Command:
    def found(raw: Any) -> list[_Found]:
        return [_Found(int(float(score)), member.decode()) for member, score in zip(raw[::2], raw[1::2], strict=True)]

    return Command(("ZREVRANGE", key, first, last, "WITHSCORES"), found)


def _summaries(store: StoreContext, workflow_ids: Sequence[str]) -> Plan[list[WorkflowSummary]]:
    keys = store.keys
    replies = yield [
        Command(("HMGET", keys.workflow(keys.partition_of(workflow_id), workflow_id), "s", "m", "c", "t"))
        for workflow_id in workflow_ids
    ]
    _raise_first(replies)
    # What was removed between the two reads is left out.
    return [
        _summary(workflow_id, reply)
        for workflow_id, reply in zip(workflow_ids, replies, strict=True)
        if reply[0] is not None
    ]


def _summary(workflow_id: str, reply: Any) -> WorkflowSummary:
    meta = decode_meta(reply[1])
    core = decode_core(reply[2]) if reply[2] is not None else None
    started_ms = core.created_ms if core is not None else int(reply[3])
    return WorkflowSummary(
        workflow_id=workflow_id,
        name=meta.name,
        version=meta.version,
        status=WorkflowStatus(reply[0].decode()),
        start_time=started_ms,
        end_time=core.ended_ms if core is not None else 0,
        update_time=core.updated_ms if core is not None else started_ms,
        correlation_id=meta.correlation_id,
        priority=meta.priority,
        reason=core.reason if core is not None else None,
    )


def _raise_first(replies: Sequence[Any]) -> None:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
