"""Schedules: store, find, pause and preview them, and what became of their due times.

A change is made to the schedule as it was read and made anew when somebody else was quicker, so two that change different
things both succeed. When a schedule is due next is computed here, by the store's clock. Firing is ``firing``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from orchestrator.errors import Conflict, DefinitionInvalid, InvalidRequest, NotFound, OrchestratorError
from orchestrator.model.due_times import PREVIEWED_MAX, delay_ms, due_after, preview
from orchestrator.model.execution import StartWorkflowRequest
from orchestrator.model.query import judge, matches_words, ordered, parse_query, parse_sort, parse_text
from orchestrator.model.schedules import (
    EXECUTION_FIELDS,
    CronSchedule,
    Schedule,
    ScheduleExecution,
    ScheduleTag,
    read_schedule,
    schedule_to_dict,
    validate_schedule,
)
from orchestrator.model.summaries import words_of
from orchestrator.plan import Plan
from orchestrator.service import starting
from orchestrator.service.bulk import IDS_MAX, BulkResult
from orchestrator.service.search import SearchResult, check_page
from orchestrator.store import schedules
from orchestrator.store.context import StoreContext
from orchestrator.store.schedules import StoredSchedule

EXECUTIONS_READ_MAX = 100_000
CHANGES_MAX = 20
"""How often a change is made anew because another was quicker."""

Change = Callable[[Schedule | None, int], Schedule | None]
"""From the schedule as it is, and the time, to what it shall be; None = it shall not be."""


# --- one schedule -----------------------------------------------------------------------------------------------------


def save(store: StoreContext, schedule: Schedule) -> Plan[Schedule]:
    """Store a schedule, replacing one of the same name, and give it as it is now.

    A due time that waits to be fired is still fired when the new schedule has the same times. Raises
    ``DefinitionInvalid`` (the schedule, or a definition in it), ``InvalidRequest`` for one that would come once in the past,
    and ``MissingExtra`` without croniter.
    Example: ``executor.run(save(store, schedule)).next_run_time``
    """
    yield from check(store, schedule)

    def replace(before: Schedule | None, now_ms: int) -> Schedule:
        _require_to_come(schedule, before, now_ms)
        return msgspec.structs.replace(
            schedule,
            create_time=before.create_time if before else now_ms,
            created_by=(before.created_by if before else None) or schedule.created_by,
            updated_time=now_ms,
            tags=schedule.tags or (before.tags if before else []),
            paused_reason=schedule.paused_reason if schedule.paused else None,
            next_run_time=None,
        )

    saved = yield from _change(store, schedule.name, replace)
    assert saved is not None
    return saved


def check(store: StoreContext, schedule: Schedule) -> Plan[None]:
    """Raises, for a schedule that cannot be stored now, what ``save`` would raise."""
    problems = validate_schedule(schedule)
    if problems:
        raise DefinitionInvalid(f"schedule {schedule.name!r}", problems)
    if schedule.start_workflow_request.workflow_def is not None:
        yield from starting.resolve_given(store, schedule.start_workflow_request.workflow_def)
    stored: StoredSchedule = yield schedules.read_schedule(store.keys, schedule.name)
    _require_to_come(schedule, _read(stored.body, stored.due_ms) if stored.body else None, stored.now_ms)
    _encoded(store, schedule)


def get(store: StoreContext, name: str) -> Plan[Schedule]:
    """One schedule by name. Raises ``NotFound``."""
    return (yield from get_with_time(store, name))[0]


def get_with_time(store: StoreContext, name: str) -> Plan[tuple[Schedule, int]]:
    """One schedule by name, and the time it is at the store, epoch milliseconds. Raises ``NotFound``."""
    stored: StoredSchedule = yield schedules.read_schedule(store.keys, name)
    return _known(name, stored.body, stored.due_ms), stored.now_ms


def remove(store: StoreContext, name: str) -> Plan[None]:
    """Forget a schedule and what became of its due times; what it has started goes on. Raises ``NotFound``."""
    yield from _change(store, name, _existing(name, lambda schedule, now_ms: None))


def pause(store: StoreContext, name: str, reason: str | None = None) -> Plan[None]:
    """Start nothing more by a schedule until it is resumed. Repeating is fine. Raises ``NotFound``."""

    def paused(schedule: Schedule, now_ms: int) -> Schedule:
        return msgspec.structs.replace(schedule, paused=True, paused_reason=reason, updated_time=now_ms)

    yield from _change(store, name, _existing(name, paused))


def resume(store: StoreContext, name: str) -> Plan[None]:
    """Go on from now; what came due during the pause is left out. Repeating is fine. Raises ``NotFound``."""

    def resumed(schedule: Schedule, now_ms: int) -> Schedule:
        if not schedule.paused:
            return schedule
        return msgspec.structs.replace(schedule, paused=False, paused_reason=None, updated_time=now_ms)

    yield from _change(store, name, _existing(name, resumed))


def set_tags(store: StoreContext, name: str, tags: Sequence[ScheduleTag]) -> Plan[None]:
    """Put tags on a schedule, replacing those of the same keys and values. Raises ``NotFound``."""

    def tagged(schedule: Schedule, now_ms: int) -> Schedule:
        kept = {(tag.key, tag.value): tag for tag in [*schedule.tags, *tags]}
        return msgspec.structs.replace(schedule, tags=list(kept.values()))

    yield from _change(store, name, _existing(name, tagged))


def remove_tags(store: StoreContext, name: str, tags: Sequence[ScheduleTag]) -> Plan[None]:
    """Take tags off a schedule; those it does not have are passed over. Raises ``NotFound``."""
    gone = {(tag.key, tag.value) for tag in tags}

    def untagged(schedule: Schedule, now_ms: int) -> Schedule:
        kept = [tag for tag in schedule.tags if (tag.key, tag.value) not in gone]
        return msgspec.structs.replace(schedule, tags=kept)

    yield from _change(store, name, _existing(name, untagged))


# --- many schedules ---------------------------------------------------------------------------------------------------


def list_schedules(store: StoreContext, workflow_name: str | None = None) -> Plan[list[Schedule]]:
    """All schedules by name, or those that start this workflow."""
    found = yield from search(store, workflow_name=workflow_name, size=None)
    return found.items


def search(
    store: StoreContext,
    *,
    workflow_name: str | None = None,
    schedule_name: str | None = None,
    paused: bool | None = None,
    free_text: str | None = None,
    start: int = 0,
    size: int | None = 100,
    sort: str | None = None,
) -> Plan[SearchResult[Schedule]]:
    """Schedules that meet every condition given, by name unless ``sort`` (``field:ASC|DESC``) says otherwise.

    ``schedule_name`` is a part of the name; ``free_text`` (``*`` = all) is found in any of its texts. A field that is not
    known is not sorted by. Example: ``executor.run(search(store, paused=True)).total``
    """
    check_page(start, size or 0)
    bodies, dues = yield schedules.list_schedules(store.keys)
    for reply in (bodies, dues):
        if isinstance(reply, Exception):
            raise reply
    words = (free_text or "").replace("*", "").lower().split()
    found = []
    for name, body in sorted(bodies.items()):
        if not all(word in body.decode().lower() for word in words):
            continue
        schedule = _read(body, dues.get(name))
        if (
            workflow_name in (None, "", schedule.start_workflow_request.name)
            and (schedule_name or "").lower() in name.lower()
            and paused in (None, schedule.paused)
        ):
            found.append(schedule)
    field, _, direction = (sort or "").partition(":")
    orders = {"name": _name, "createTime": _created, "updatedTime": _updated, "nextRunTime": _next_run}
    if field in orders:
        found.sort(key=orders[field], reverse=direction.upper() == "DESC")
    return SearchResult(len(found), found[start:] if size is None else found[start : start + size])


def pause_many(store: StoreContext, names: Sequence[str], reason: str | None = None) -> Plan[BulkResult]:
    """Pause schedules; errors are given by name. Raises ``InvalidRequest`` for none or more than a thousand."""
    return _each(names, lambda name: pause(store, name, reason))


def resume_many(store: StoreContext, names: Sequence[str]) -> Plan[BulkResult]:
    """Resume schedules; errors are given by name. Raises ``InvalidRequest`` for none or more than a thousand."""
    return _each(names, lambda name: resume(store, name))


def pause_all(store: StoreContext) -> Plan[None]:
    """Have nothing fired at all until ``resume_all``; each schedule stays as it is."""
    yield schedules.pause_firing(store.keys)


def resume_all(store: StoreContext) -> Plan[None]:
    """Fire again; what came due meanwhile is made up for as after any other outage."""
    yield schedules.resume_firing(store.keys)


def requeue_all(store: StoreContext) -> Plan[int]:
    """Have every schedule looked at when it is due, whoever may be at work on it; gives how many wait."""
    waiting: int = yield schedules.requeue_schedules(store.keys)
    return waiting


# --- due times --------------------------------------------------------------------------------------------------------


def next_times(
    store: StoreContext,
    crons: Sequence[CronSchedule],
    *,
    start_ms: int | None = None,
    end_ms: int | None = None,
    limit: int = PREVIEWED_MAX,
) -> Plan[list[int]]:
    """When a schedule with these expressions would be due next, epoch milliseconds, five times at most.

    Raises ``InvalidRequest`` for an expression that cannot be used.
    Example: ``executor.run(next_times(store, [CronSchedule(cron_expression="@daily")]))``
    """
    schedule = Schedule(
        name="preview",
        start_workflow_request=StartWorkflowRequest(name="preview"),
        cron_schedules=list(crons),
        schedule_start_time=start_ms,
        schedule_end_time=end_ms,
    )
    problems = validate_schedule(schedule)
    if problems:
        raise InvalidRequest("; ".join(problem.message for problem in problems))
    stored: StoredSchedule = yield schedules.read_schedule(store.keys, "")
    return preview(schedule, stored.now_ms, limit)


def executions(
    store: StoreContext, name: str | None = None, *, start: int = 0, size: int = 100
) -> Plan[list[ScheduleExecution]]:
    """What became of due times, the latest first: of one schedule or of all.

    Of each schedule the latest 500 are kept. Example: ``executor.run(executions(store, "nightly"))[0].state``
    """
    names = [name] if name is not None else [one.name for one in (yield from list_schedules(store))]
    found: list[ScheduleExecution] = []
    for one in names:
        times: list[bytes] = yield schedules.latest_execution_times(store.keys, one)
        wanted = times[: start + size]
        if wanted:
            found += yield schedules.read_executions(store.keys, one, wanted)
    found.sort(key=lambda one: (-one.scheduled_time, one.schedule_name))
    return found[start : start + size]


def search_executions(
    store: StoreContext,
    query: str | None = None,
    *,
    free_text: str | None = None,
    start: int = 0,
    size: int = 100,
    sort: str | None = None,
) -> Plan[SearchResult[ScheduleExecution]]:
    """What became of due times, by the query language of searches over ``EXECUTION_FIELDS``, the latest first.

    Raises ``InvalidRequest`` for a query that cannot be understood.
    Example: ``executor.run(search_executions(store, "scheduleName=nightly AND state=FAILED")).total``
    """
    check_page(start, size)
    is_sought, keys = judge(parse_query(query, EXECUTION_FIELDS)), parse_sort(sort, EXECUTION_FIELDS)
    phrases = parse_text(free_text)
    everything = yield from executions(store, size=EXECUTIONS_READ_MAX)
    found = [one for one in everything if is_sought(one) and matches_words(phrases, words_of(_texts(one)))]
    return SearchResult(len(found), ordered(found, keys)[start : start + size])


def _texts(execution: ScheduleExecution) -> str:
    found = (execution.schedule_name, execution.workflow_name, execution.workflow_id, execution.state, execution.reason)
    return " ".join(text for text in found if text)


# --- how a change is made ---------------------------------------------------------------------------------------------


def _change(store: StoreContext, name: str, change: Change) -> Plan[Schedule | None]:
    for _ in range(CHANGES_MAX):
        stored: StoredSchedule = yield schedules.read_schedule(store.keys, name)
        before = _read(stored.body, stored.due_ms) if stored.body else None
        after = change(before, stored.now_ms)
        due_ms = _due_ms(before, after, stored)
        body = b""
        if after is not None:
            after = msgspec.structs.replace(after, next_run_time=None)
            body = _encoded(store, after)
        look_ms = None if after is None or due_ms is None else due_ms + delay_ms(after, due_ms)
        if (yield schedules.put_schedule(store.keys, name, stored, body, due_ms, look_ms)):
            return None if after is None else msgspec.structs.replace(after, next_run_time=due_ms)
    raise Conflict(f"schedule {name!r} is being changed by others all the time; repeat the request")


def _encoded(store: StoreContext, schedule: Schedule) -> bytes:
    body = msgspec.json.encode(schedule_to_dict(schedule))
    if len(body) > store.settings.payload_bytes_max:
        raise InvalidRequest(
            f"schedule {schedule.name!r} is {len(body):,} bytes of JSON; give the input in another way"
        )
    return body


def _require_to_come(schedule: Schedule, before: Schedule | None, now_ms: int) -> None:
    """Stored once more after it has come, it stays over: files that describe an installation are applied again."""
    is_new = before is None or not schedule.has_times_of(before)
    if is_new and schedule.run_at is not None and schedule.run_at <= now_ms:
        raise InvalidRequest(f"schedule {schedule.name!r} would never come: runAt {schedule.run_at} is past")


def _due_ms(before: Schedule | None, after: Schedule | None, stored: StoredSchedule) -> int | None:
    """When it is due after a change: a due time that has come and is not fired yet is not lost."""
    if after is None or after.paused:
        return None
    if before is not None and stored.due_ms is not None and after.has_times_of(before):
        return stored.due_ms
    due = due_after(after, stored.now_ms)
    return None if due is None else due.at_ms


def _existing(name: str, change: Callable[[Schedule, int], Schedule | None]) -> Change:
    def changed(schedule: Schedule | None, now_ms: int) -> Schedule | None:
        if schedule is None:
            raise _unknown(name)
        return change(schedule, now_ms)

    return changed


def _each(names: Sequence[str], act: Callable[[str], Plan[None]]) -> Plan[BulkResult]:
    if not names or len(names) > IDS_MAX:
        raise InvalidRequest(f"1 to {IDS_MAX:,} names of schedules are taken, not {len(names):,}")
    result = BulkResult([], {})
    for name in dict.fromkeys(names):
        try:
            yield from act(name)
        except NotFound as error:
            result.failed[name] = str(error)
        else:
            result.succeeded.append(name)
    return result


def _known(name: str, body: bytes, due_ms: int | None) -> Schedule:
    if not body:
        raise _unknown(name)
    return _read(body, due_ms)


def _read(body: bytes, due_ms: int | None) -> Schedule:
    schedule = read_schedule(body)
    schedule.next_run_time = due_ms
    return schedule


def _unknown(name: str) -> OrchestratorError:
    return NotFound(f"Schedule {name!r} not found; list them with: orchestrator schedule list")


def _name(schedule: Schedule) -> Any:
    return schedule.name


def _created(schedule: Schedule) -> Any:
    return schedule.create_time or 0


def _updated(schedule: Schedule) -> Any:
    return schedule.updated_time or 0


def _next_run(schedule: Schedule) -> Any:
    return schedule.next_run_time or 0
