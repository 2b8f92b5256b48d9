"""What Redis knows of a search: which index to walk, which of its entries match, and how many there are.

The commit keeps sorted sets by start time: of each status, each workflow name and each correlation id. A condition that
they answer alone is counted and never walked. Otherwise the smallest is walked, the others are asked about each page of
it on the server, and what no index knows is judged on lines, free text on views.
A workflow is in the indexes from its first commit on, a moment after its start.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

from orchestrator.errors import InvalidRequest
from orchestrator.model.query import (
    AllOf,
    Condition,
    Is,
    Order,
    Phrase,
    SortKey,
    fields_of,
    judge,
    matches_words,
    ordered,
)
from orchestrator.model.status import WorkflowStatus
from orchestrator.model.summaries import WORKFLOW_FIELDS, WorkflowSummary, workflow_words
from orchestrator.plan import Call, Command, Plan
from orchestrator.service.lines import VIEWS_PER_READ, Reader, batches
from orchestrator.store.context import StoreContext
from orchestrator.store.index import PAGE_MAX, IndexPage, Starts, count_common, walk_index

WALK_MAX = 1_000_000
"""So many entries of the smallest index are looked at."""

SCAN_MAX = 100_000
"""So many executions are judged on their lines or texts in one search."""

KEYS_MAX = 100
_INDEXED = ("correlation_id", "workflow_type", "status")
_PAYLOADS = {"input", "output", "input_size", "output_size", "external_input_payload_storage_path"}
_PAYLOADS |= {"external_output_payload_storage_path"}

LATEST_FIRST = (SortKey(WORKFLOW_FIELDS["startTime"], True), SortKey(WORKFLOW_FIELDS["workflowId"], True))


_Group = tuple[str, tuple[str, ...]]
"""An indexed attribute and the values of it that are wanted."""


class Sought(NamedTuple):
    """What a search is for; ``sort`` orders before the start, the latest first."""

    condition: Condition
    phrases: tuple[Phrase, ...] = ()
    sort: tuple[SortKey, ...] = ()

    @property
    def order(self) -> tuple[SortKey, ...]:
        """The whole order, in which no two executions are equal."""
        return (*self.sort, *LATEST_FIRST)


class Found(NamedTuple):
    """The first matches in order, how many there are, and all their ids if the search came by them.

    The lines of matches that were only counted have nothing but an id and a start.
    """

    total: int
    lines: list[WorkflowSummary]
    ids: set[str] | None = None


class _Route(NamedTuple):
    """The groups of indexes an execution must be in, its range of starts, and what no index answers."""

    groups: list[_Group]
    ids: tuple[str, ...] | None
    starts: Starts
    rest: Condition


def find(store: StoreContext, sought: Sought, count: int, *, wants_ids: bool = False) -> Plan[Found]:
    """The first ``count`` executions in Redis that match. Raises ``InvalidRequest`` when too many had to be looked at."""
    route = _route(sought.condition)
    is_plain = route.rest == AllOf(()) and not sought.phrases and not sought.sort
    if is_plain and route.ids is None and not wants_ids:
        if len(route.groups) <= 1:
            return (yield from _counted(store, route, count))
        total, latest, _ = yield from walk(store, route, count)
        return Found(total, ordered(latest, LATEST_FIRST)[:count])
    reader = Reader(store)
    holds = judge(route.rest)
    needs_payloads = bool((fields_of(route.rest) | {key.field.attribute for key in sought.sort}) & _PAYLOADS)
    scanned = 0
    found: list[WorkflowSummary] = []
    candidates = yield from walk(store, route)
    for batch in batches(candidates.lines, PAGE_MAX):
        if is_plain and route.ids is None:
            found += batch
            continue
        scanned += len(batch)
        if scanned > SCAN_MAX:
            raise too_many("executions")
        lines = yield from reader.lines([one.workflow_id for one in batch], with_payloads=needs_payloads)
        lines = [line for line in lines if holds(line)]
        found += (yield from _with_words(reader, lines, sought.phrases)) if sought.phrases else lines
    if sought.sort:
        first = ordered(found, sought.order)[:count]
    else:  # the usual order, of many: in one pass
        first = heapq.nlargest(count, found, key=lambda line: (line.start_time, line.workflow_id))
    return Found(len(found), first, {line.workflow_id for line in found})


def too_many(what: str) -> InvalidRequest:
    """The refusal of a search that would look at too much."""
    return InvalidRequest(
        f"this search would look at more than {SCAN_MAX:,} {what} in Redis; narrow it by startTime, workflowType, status "
        "or correlationId, or let the archive take finished executions sooner (archive_after_s): there all are indexed"
    )


def candidate_ids(store: StoreContext, condition: Condition) -> Plan[list[str]]:
    """The ids of the executions that the indexes cannot rule out for a condition, the latest start first."""
    found = yield from walk(store, _route(condition))
    return [line.workflow_id for line in found.lines]


def _route(condition: Condition) -> _Route:
    groups, rest = list[_Group](), list[Condition]()
    ids: tuple[str, ...] | None = None
    low, high = Starts()
    for part in _parts(condition):
        match part:
            case Is(field, values, False) if field.attribute in _INDEXED and _are_keys(values):
                groups.append((field.attribute, tuple(str(value) for value in dict.fromkeys(values))))
            case Order(field, sign, int(value)) if field.attribute == "start_time":
                low = max(low, value + (sign == ">")) if sign[0] == ">" else low
                high = min(high, value - (sign == "<")) if sign[0] == "<" else high
            case Is(field, values, False) if field.attribute == "workflow_id" and ids is None and None not in values:
                ids = tuple(str(value) for value in dict.fromkeys(values))
                rest.append(part)
            case _:
                rest.append(part)
    if ids is not None:
        return _Route([], ids, Starts(low, high), condition)
    return _Route(groups, None, Starts(low, high), rest[0] if len(rest) == 1 else AllOf(tuple(rest)))


def _parts(condition: Condition) -> Iterator[Condition]:
    """Conditions that must all hold."""
    if isinstance(condition, AllOf):
        for part in condition.parts:
            yield from _parts(part)
    else:
        yield condition


def _are_keys(values: Sequence[Any]) -> bool:
    return None not in values and len(values) <= KEYS_MAX


def _keys(store: StoreContext, number: int, group: _Group | None) -> list[str]:
    """The indexes of a group in one partition, none of which share a member; without a group those of all executions."""
    keys = store.keys
    attribute, values = group or ("status", tuple(WorkflowStatus))
    name = {"status": keys.by_status, "workflow_type": keys.by_name, "correlation_id": keys.by_correlation}[attribute]
    return [name(number, value) for value in values]


def _counted(store: StoreContext, route: _Route, count: int) -> Plan[Found]:
    """Totals and the first entries of indexes that answer alone."""
    group = route.groups[0] if route.groups else None
    names = [name for number in range(store.keys.partitions) for name in _keys(store, number, group)]
    replies = yield [
        command
        for name in names
        for command in (Command(("ZCOUNT", name, *route.starts)), _first(name, route.starts, max(1, count)))
    ]
    raise_first(replies)
    lines = {line.workflow_id: line for page in replies[1::2] for line in page}
    return Found(sum(replies[::2]), ordered(list(lines.values()), LATEST_FIRST)[:count])


def walk(store: StoreContext, route: _Route, wanted: int = WALK_MAX) -> Plan[Found]:
    """How many executions are in one index of every group, and ids and starts of the latest ``wanted`` of each index."""
    if route.ids is not None:
        return Found(len(route.ids), [_entry(workflow_id, 0) for workflow_id in route.ids])
    numbers = range(store.keys.partitions)
    groups: list[_Group | None] = [*route.groups] or [None]
    names = [[_keys(store, number, group) for number in numbers] for group in groups]
    smallest = yield from _smallest(route, names)
    walks = [
        _Walk(name, [by_partition[number] for at, by_partition in enumerate(names) if at != smallest], wanted)
        for number in numbers
        for name in names[smallest][number]
    ]
    known = None if wanted == WALK_MAX else (yield from _common(route, walks))
    total, found = 0, dict[str, WorkflowSummary]()
    while walks:
        pages = yield [one.page(route.starts, is_counted=known is not None) for one in walks]
        raise_first(pages)
        total += sum(page.matched for page in pages)
        found |= {member: _entry(member, start_ms) for page in pages for member, start_ms in page.entries}
        walks = [one.after(page) for one, page in zip(walks, pages, strict=True) if not page.is_last]
        if known is not None:
            walks = [one for one in walks if one.wanted > 0]
    if wanted == WALK_MAX:
        total = len(found)
    return Found(total if known is None else known, list(found.values()))


class _Walk(NamedTuple):
    """One index on its way: where it is, and how many entries are still wanted of it."""

    name: str
    others: list[list[str]]
    wanted: int
    at: int = 0

    def page(self, starts: Starts, *, is_counted: bool) -> Call:
        """The next page: a small one first, when the walk may end as soon as there are enough entries."""
        count = 50 + 2 * self.wanted + 4 * self.at if is_counted else PAGE_MAX
        return walk_index(self.name, self.others, starts, at=self.at, count=count, wanted=self.wanted)

    def after(self, page: IndexPage) -> _Walk:
        """Where it is behind that page."""
        return self._replace(at=self.at + page.seen, wanted=self.wanted - len(page.entries))


def _common(route: _Route, walks: Sequence[_Walk]) -> Plan[int | None]:
    """How many entries all walks together will find; None if only walking tells, as in a range of starts."""
    sets = [names for one in walks for names in product([one.name], *one.others)]
    if route.starts != Starts() or len(sets) > KEYS_MAX * len(walks):
        return None
    counts = yield [count_common(names) for names in sets]
    raise_first(counts)
    return sum(counts)


def _smallest(route: _Route, names: Sequence[Sequence[Sequence[str]]]) -> Plan[int]:
    """Which group has the fewest entries. Raises ``InvalidRequest`` when these are too many."""
    sizes = []
    for by_partition in names:
        replies = yield [Command(("ZCOUNT", one, *route.starts)) for keys in by_partition for one in keys]
        raise_first(replies)
        sizes.append(sum(replies))
    if min(sizes) > WALK_MAX:
        raise too_many("index entries")
    return sizes.index(min(sizes))


def _entry(workflow_id: str, start_ms: int) -> WorkflowSummary:
    return WorkflowSummary(
        workflow_id=workflow_id, workflow_type="", version=0, status=WorkflowStatus.RUNNING, start_time=start_ms
    )


def _first(name: str, starts: Starts, count: int) -> Command:
    """The latest entries of an index."""

    def entries(raw: Any) -> list[WorkflowSummary]:
        return [_entry(member.decode(), int(float(score))) for member, score in zip(raw[::2], raw[1::2], strict=True)]

    return Command(("ZREVRANGEBYSCORE", name, starts.high, starts.low, "WITHSCORES", "LIMIT", 0, count), entries)


def _with_words(
    reader: Reader, lines: Sequence[WorkflowSummary], phrases: Sequence[Phrase]
) -> Plan[list[WorkflowSummary]]:
    """Those whose texts, or whose tasks' texts, hold the phrases."""
    kept: list[WorkflowSummary] = []
    for batch in batches(lines, VIEWS_PER_READ):
        views = yield from reader.views([line.workflow_id for line in batch])
        found = {view.workflow_id for view in views if matches_words(phrases, workflow_words(view))}
        kept += [line for line in batch if line.workflow_id in found]
    return kept


def raise_first(replies: Sequence[Any]) -> None:
    """Raise the first error among the replies of a pipeline."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
