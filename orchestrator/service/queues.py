"""What the queues hold, by Conductor's names: ``type``, or ``domain:type`` for the tasks of a domain. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from orchestrator.plan import Plan
from orchestrator.service import operations
from orchestrator.store import queue
from orchestrator.store.context import StoreContext
from orchestrator.store.queue import QueueStats


class Counts(NamedTuple):
    """``size``: tasks that wait for a worker or for their time; ``out``: tasks that a worker has."""

    size: int
    out: int


def sizes(store: StoreContext, task_types: Sequence[str]) -> Plan[dict[str, int]]:
    """How many tasks of each of these types wait, in all domains; 0 for a type that nobody knows."""
    found = yield from queue.stats(store.queues, list(dict.fromkeys(task_types)))
    totals = {}
    for task_type, stats in zip(dict.fromkeys(task_types), found, strict=True):
        if isinstance(stats, Exception):
            raise stats
        totals[task_type] = sum(counts.size for _, counts in _counts(task_type, stats))
    return totals


def size(store: StoreContext, task_type: str, domain: str | None = None) -> Plan[int]:
    """How many tasks of one type wait, in one domain or in all."""
    if domain is None:
        return (yield from sizes(store, [task_type]))[task_type]
    (stats,) = yield from queue.stats(store.queues, [task_type])
    if isinstance(stats, Exception):
        raise stats
    return dict(_counts(task_type, stats)).get(f"{domain}:{task_type}", Counts(0, 0)).size


def all_queues(store: StoreContext) -> Plan[dict[str, Counts]]:
    """What every queue holds, in the order of their names."""
    found = yield from operations.queues(store)
    return dict(sorted(entry for name, stats in found.items() for entry in _counts(name, stats)))


def _counts(task_type: str, stats: QueueStats) -> Iterator[tuple[str, Counts]]:
    """Tasks that wait for their time or their key's limit, or are out, count for the queue without a domain."""
    for domain, found in stats.domains.items():
        if domain is None:
            waiting = found.ready + max(0, stats.delayed - stats.held) + stats.kept
            yield task_type, Counts(waiting, stats.leased + stats.held)
        else:
            yield f"{domain}:{task_type}", Counts(found.ready, 0)
