"""The registry of workers in the catalog: what each says of itself with every beat, and what it was told to do.

Nothing in it is needed for any task to be done: it is kept for operators, and forgets by itself who falls silent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from orchestrator.plan import Argument, Call
from orchestrator.store.keys import Keys

SILENT_MS = 15_000
"""A worker that was not heard of for so long, some beats, is taken for dead."""

FORGOTTEN_MS = 600_000
"""So long it is remembered."""


class Noted(NamedTuple):
    """A worker: its record, for how long it has been silent, and what it was told to do, '' for nothing."""

    name: str
    record: bytes
    silent_ms: int
    order: str


def beat(keys: Keys, name: str, record: bytes) -> Call:
    """Say what a worker is and does; replies what it was told to do, '' for nothing."""
    return Call("worker_beat", _keys(keys), (name, record, FORGOTTEN_MS), lambda raw: str(raw.decode()))


def leave(keys: Keys, name: str) -> Call:
    """Say that a worker is gone."""
    return beat(keys, name, b"")


def tell(keys: Keys, names: Sequence[str], word: str) -> Call:
    """Leave word for workers, '' for going on; replies the names of those that live (``list[str]``)."""
    _, seen, orders = _keys(keys)
    args: list[Argument] = [SILENT_MS, word, FORGOTTEN_MS, *names]
    return Call("tell_workers", (seen, orders), args, lambda raw: [name.decode() for name in raw])


def read(keys: Keys) -> Call:
    """Every worker that is not forgotten, by name: ``list[Noted]``."""
    return Call("list_workers", _keys(keys), (), _noted)


def _keys(keys: Keys) -> tuple[str, str, str]:
    return keys.workers(), keys.workers_seen(), keys.worker_orders()


def _noted(raw: Any) -> list[Noted]:
    found = (Noted(name.decode(), record, int(silent), order.decode()) for name, record, silent, order in raw)
    return sorted(found, key=lambda one: one.name)
