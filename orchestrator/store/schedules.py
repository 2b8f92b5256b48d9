"""The slot of the schedules: what there is, when each is due, who is firing it, and what became of due times.

A schedule that is due is *claimed* for some seconds, fired, and moved on with the record of what happened. A claim whose
owner died ends by itself and the same due time is handed out again; what it starts is then started once all the same,
because the execution's id follows from it. Every function returns the call to make. Callers: the service.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.model.schedules import ScheduleExecution, decode_schedule_execution, encode_schedule_execution
from orchestrator.plan import Argument, Call, Command
from orchestrator.store.keys import Keys

EXECUTIONS_MAX = 500
"""Of how many due times of one schedule it is known what became of them."""

PAUSED = "paused"


class StoredSchedule(NamedTuple):
    """A schedule as it stands: ``body`` is JSON, b'' when there is none; ``due_ms`` None when it waits for nothing."""

    now_ms: int
    body: bytes
    due_ms: int | None


class ClaimedSchedule(NamedTuple):
    """A schedule that is ours to fire, the due time it has come to, and the execution that it started last."""

    name: str
    body: bytes
    due_ms: int
    last_id: str | None


class Claimed(NamedTuple):
    """What was due at ``now_ms``; ``next_ms`` is when to look again, None when nothing is scheduled."""

    now_ms: int
    next_ms: int | None
    schedules: list[ClaimedSchedule]


def read_schedule(keys: Keys, name: str) -> Call:
    """One schedule; replies ``StoredSchedule``. Example: ``executor.do(read_schedule(keys, "nightly")).body``"""
    return Call("read_schedule", (keys.schedules(), keys.schedules_next()), (name,), _stored)


def put_schedule(
    keys: Keys, name: str, before: StoredSchedule, body: bytes, due_ms: int | None, look_ms: int | None = None
) -> Call:
    """Store a schedule, or forget it (``body`` b''); replies False when it is not as it was ``before`` any more.

    It is looked at when it is due, or from ``look_ms`` on.
    """
    due = "" if due_ms is None else due_ms
    return Call(
        "put_schedule",
        _keys_of(keys, name),
        (
            name,
            before.body,
            "" if before.due_ms is None else before.due_ms,
            body,
            due,
            due if look_ms is None else look_ms,
        ),
        lambda raw: bool(raw == b"OK"),
        durable=True,
    )


def list_schedules(keys: Keys) -> list[Command]:
    """All schedules, and when they are due; replies ``dict[str, bytes]`` and ``dict[str, int]``."""
    return [
        Command(("HGETALL", keys.schedules()), _map),
        Command(("HGETALL", keys.schedules_next()), lambda raw: {name: int(due) for name, due in _map(raw).items()}),
    ]


def claim_schedules(keys: Keys, count_max: int, claim_ms: int) -> Call:
    """What is due now, kept from others for ``claim_ms``; replies ``Claimed``."""
    return Call(
        "claim_schedules",
        (
            keys.schedules(),
            keys.schedules_next(),
            keys.schedules_looked_at(),
            keys.schedules_meta(),
            keys.schedules_last(),
        ),
        (count_max, claim_ms),
        _claimed,
    )


def fired_schedule(
    keys: Keys,
    name: str,
    due_ms: int,
    next_ms: int | None,
    look_ms: int,
    executions: Sequence[ScheduleExecution],
) -> Call:
    """Note what became of due times from ``due_ms`` on; the next is ``next_ms``, to be looked at from ``look_ms``."""
    begun = next((execution for execution in reversed(executions) if execution.workflow_id), None)
    started = "" if begun is None else f"{begun.scheduled_time} {begun.workflow_id}"
    return Call(
        "fired_schedule",
        _keys_of(keys, name),
        (name, due_ms, "" if next_ms is None else next_ms, look_ms, EXECUTIONS_MAX, started, *_records(executions)),
        lambda raw: raw.decode(),
    )


def note_executions(keys: Keys, name: str, executions: Sequence[ScheduleExecution]) -> Call:
    """Note what was started besides what is due; the schedule stays where it is."""
    words = (name, "", "", 0, EXECUTIONS_MAX, "", *_records(executions))
    return Call("fired_schedule", _keys_of(keys, name), words, lambda raw: raw.decode())


def _records(executions: Sequence[ScheduleExecution]) -> list[Argument]:
    records: list[Argument] = []
    for execution in executions:
        records += [execution.scheduled_time, encode_schedule_execution(execution)]
    return records


def requeue_schedules(keys: Keys) -> Call:
    """Look at every schedule when it is due, whatever claims there are; replies how many wait for their time."""
    return Call("requeue_schedules", (keys.schedules_next(), keys.schedules_looked_at()), (), int)


def pause_firing(keys: Keys) -> Command:
    """Fire nothing at all until ``resume_firing``."""
    return Command(("HSET", keys.schedules_meta(), PAUSED, 1))


def resume_firing(keys: Keys) -> Command:
    """Fire again what is due."""
    return Command(("HDEL", keys.schedules_meta(), PAUSED))


def latest_execution_times(keys: Keys, name: str) -> Command:
    """The due times with a record, the latest first; replies ``list[bytes]``."""
    return Command(("ZRANGE", keys.schedule_execution_times(name), 0, -1, "REV"), list)


def read_executions(keys: Keys, name: str, times: Sequence[bytes]) -> Command:
    """Records by due time; replies ``list[ScheduleExecution]``, without those that were dropped meanwhile."""
    return Command(
        ("HMGET", keys.schedule_executions(name), *times),
        lambda raw: [decode_schedule_execution(one) for one in raw if one is not None],
    )


def _keys_of(keys: Keys, name: str) -> tuple[str, ...]:
    return (
        keys.schedules(),
        keys.schedules_next(),
        keys.schedules_looked_at(),
        keys.schedule_executions(name),
        keys.schedule_execution_times(name),
        keys.schedules_last(),
    )


def _stored(raw: list[bytes]) -> StoredSchedule:
    return StoredSchedule(int(raw[0]), raw[1], int(raw[2]) if raw[2] else None)


def _claimed(raw: list[bytes]) -> Claimed:
    rows = zip(raw[2::4], raw[3::4], raw[4::4], raw[5::4], strict=True)
    schedules = [
        ClaimedSchedule(name.decode(), body, int(due), last.decode().rpartition(" ")[2] or None)
        for name, body, due, last in rows
    ]
    return Claimed(int(raw[0]), None if raw[1] == b"-1" else int(raw[1]), schedules)


def _map(raw: list[bytes]) -> dict[str, bytes]:
    return {name.decode(): value for name, value in zip(raw[::2], raw[1::2], strict=True)}
