"""Which tasks a queue has, one by one, and where each stands: a look, without touching anything.

Only for people who ask; workers and deciders never do. Called by ``service/queue_care``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from orchestrator.plan import Command, Plan
from orchestrator.store.keys import Keys
from orchestrator.store.queue_values import ORDER_PER_MS


class Standing(StrEnum):
    """Where a task stands in its queue."""

    RUNNING = "RUNNING"  # a worker has a lease
    ON_HOLD = "ON_HOLD"  # postponed or lent: without a lease, with its slot
    READY = "READY"  # in line for a worker
    KEPT_BACK = "KEPT_BACK"  # its key is at its limit
    DELAYED = "DELAYED"  # its time has not come


HOLDERS = frozenset({Standing.RUNNING, Standing.ON_HOLD})
WAITERS = frozenset({Standing.READY, Standing.KEPT_BACK, Standing.DELAYED})


class Placed(NamedTuple):
    """One task of a queue; ``until_ms`` is when its lease ends or its time comes, on the queue's clock."""

    task_id: str
    standing: Standing
    domain: str | None
    delivery: int
    until_ms: int | None
    owner: str | None
    key: str | None


def look(keys: Keys, task_type: str, standings: frozenset[Standing], count: int) -> Plan[list[Placed]]:
    """At most ``count`` tasks of each standing asked for; of each domain, those that stand in line by their order."""
    meta: dict[bytes, bytes] = _pairs((yield Command(("HGETALL", keys.queue_meta(task_type)))))
    domains: dict[int, str | None] = {0: None}
    domains |= {int(index): name[4:].decode() for name, index in meta.items() if name.startswith(b"dom:")}
    reads: list[Command] = [
        Command(("ZRANGE", keys.leases(task_type), 0, count - 1, "WITHSCORES")),
        Command(("ZRANGE", keys.delayed(task_type), 0, count - 1, "WITHSCORES")),
        Command(("SRANDMEMBER", keys.held(task_type), count)),
        Command(("ZRANGE", keys.kept_back(task_type), 0, count - 1)),
        *(Command(("ZRANGE", keys.ready(task_type, index), 0, count - 1)) for index in domains),
    ]
    replies = yield reads
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    found = [one for one in _found(replies) if one[1] in standings]
    if not found:
        return []
    ids = [task_id for task_id, _, _ in found]
    records, texts = yield [
        Command(("HMGET", keys.records(task_type), *ids)),
        Command(("HMGET", keys.task_keys(task_type), *ids)),
    ]
    placed = []
    for (task_id, standing, until_ms), record, text in zip(found, records, texts, strict=True):
        if record is not None:  # it left between the two reads
            words = record.decode().split()
            owner, key = _keys_of(text)
            placed.append(Placed(task_id, standing, domains.get(int(words[2])), int(words[0]), until_ms, owner, key))
    return placed


def _found(replies: Sequence[Any]) -> Iterator[tuple[str, Standing, int | None]]:
    leased, delayed, held, kept, *ready = replies
    on_hold = set(held)
    for name, ends in _pairs(leased).items():
        yield name.decode(), Standing.RUNNING, int(float(ends))
    times = _pairs(delayed)
    for name in held:
        until_ms = int(float(times[name])) // ORDER_PER_MS if name in times else None
        yield name.decode(), Standing.ON_HOLD, until_ms
    for names in ready:
        for name in names:
            if name not in on_hold:
                yield name.decode(), Standing.READY, None
    for member in kept:
        name = member.rpartition(b"\n")[2].split(b" ", 2)[2]
        if name not in on_hold:
            yield name.decode(), Standing.KEPT_BACK, None
    for name, due in times.items():
        if name not in on_hold:
            yield name.decode(), Standing.DELAYED, int(float(due)) // ORDER_PER_MS


def _keys_of(text: bytes | None) -> tuple[str | None, str | None]:
    if text is None:
        return None, None
    about, _, key = text.decode().partition("\n")
    owner = about.split(" ", 5)[5]
    return owner[1:] if owner else None, key


def _pairs(flat: Any) -> dict[bytes, bytes]:
    if isinstance(flat, dict):
        return flat
    return dict(zip(flat[::2], flat[1::2], strict=True))
