"""Where single tasks stand in their queue right now: a look, without touching anything.

Only for people who ask; workers and deciders never do. Called by ``service/why``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.plan import Command, Plan
from orchestrator.store.keys import Keys
from orchestrator.store.queue_values import ORDER_PER_MS


class QueuePlace(NamedTuple):
    """``position`` from 0 among ready tasks of its domain; ``due_ms`` of a delayed one; ``lease_ms`` of a leased one.

    ``kept_by`` is the key whose limit keeps it back. Times are the queue slot's. All ``None``, and not ``held``: the queue
    does not have it.
    """

    position: int | None
    due_ms: int | None
    lease_ms: int | None
    is_held: bool
    kept_by: str | None = None


def queue_places(keys: Keys, tasks: Sequence[tuple[str, str, str | None]]) -> Plan[list[QueuePlace]]:
    """The places of tasks given as (task type, task id, domain), in order."""
    if not tasks:
        return []
    domains = yield [Command(("HGET", keys.queue_meta(task_type), f"dom:{domain}")) for task_type, _, domain in tasks]
    commands: list[Command] = []
    for (task_type, task_id, domain), index in zip(tasks, domains, strict=True):
        ready = keys.ready(task_type, int(index) if domain and isinstance(index, bytes) else 0)
        commands += [
            Command(("ZRANK", ready, task_id)),
            Command(("ZSCORE", keys.delayed(task_type), task_id)),
            Command(("ZSCORE", keys.leases(task_type), task_id)),
            Command(("SISMEMBER", keys.held(task_type), task_id)),
            Command(("HGET", keys.task_keys(task_type), task_id)),
        ]
    replies = yield commands
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return [_place(*replies[at : at + 5]) for at in range(0, len(replies), 5)]


def _place(rank: int | None, delayed: bytes | None, leased: bytes | None, held: int, keys: bytes | None) -> QueuePlace:
    due_ms = None if delayed is None else int(float(delayed)) // ORDER_PER_MS
    return QueuePlace(rank, due_ms, None if leased is None else int(float(leased)), bool(held), _kept_by(keys))


def _kept_by(text: bytes | None) -> str | None:
    if text is None:
        return None
    about, _, key = text.decode().partition("\n")
    return None if about.split(" ", 5)[2] == "-" else key
