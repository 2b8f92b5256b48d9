"""What ``orchestrator top`` shows: one look at an installation, that as data, and that as the lines of a screen.

Each pane is a table of its own, the busiest first. A rate is what changed since the look before, on the clock of the slot
it was read from. Nothing here reads a clock of ours or writes anything.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator_cli.output import aligned, span
from orchestrator_cli.queue import LISTED, queue_row
from orchestrator_cli.session import Store

if TYPE_CHECKING:
    from orchestrator.model.execution import PollData
    from orchestrator.model.workers import WorkerInfo
    from orchestrator.service.operations import Overview
    from orchestrator.store.queue_values import QueueStats

Page = dict[str, Any]

ENDED = ("COMPLETED", "FAILED", "TIMED_OUT", "TERMINATED")
POLLED_LATELY_MS = 60_000
"""A worker of which only polls are known is not shown when it has not asked for so long: it is gone, or busy."""

POLLS = "POLLS"
"""The state of such a worker."""

ROWS_MIN = 3
"""So many rows of a pane are drawn on the smallest screen."""


class Look(NamedTuple):
    """What the service said at one moment."""

    overview: Overview
    queues: dict[str, QueueStats]
    polls: list[PollData]
    workers: list[WorkerInfo]

    @property
    def at_ms(self) -> int:
        """The store's time of the look."""
        return self.overview.partitions[0].stats.now_ms


def look(store: Store) -> Look:
    """Ask the service for everything that is shown."""
    from orchestrator.service import operations, poll_data, workers

    return Look(
        store.run(operations.overview),
        store.run(operations.queues),
        store.run(poll_data.read),
        store.run(workers.list_workers),
    )


# --- as data ----------------------------------------------------------------------------------------------------------


def page_of(now: Look, before: Look | None = None) -> Page:
    """A look as data, with rates (None without a look before). Example: ``page_of(look(store))["executions"]``"""
    server = now.overview.server
    partitions = [one.stats for one in now.overview.partitions]
    return {
        "at": datetime.datetime.fromtimestamp(now.at_ms / 1000, datetime.UTC).isoformat(timespec="milliseconds"),
        "server": {
            "name": server.name,
            "version": server.version,
            "usedMemoryBytes": server.used_memory_bytes,
            "memoryBytesMax": server.memory_bytes_max,
            "latencyMs": now.overview.latency_ms,
        },
        "executions": now.overview.executions,
        "endedPerS": _rate(now.at_ms, _ended(now), before and before.at_ms, before and _ended(before)),
        "partitions": {
            "count": len(partitions),
            "unowned": now.overview.unowned,
            "inbox": sum(one.inbox for one in partitions),
            "lagMs": max(_lag_ms(one) for one in partitions),
            "outbox": sum(one.outbox for one in partitions),
            "timers": sum(one.timers for one in partitions),
            "deadLetters": sum(one.dead_letters for one in partitions),
        },
        "deciders": _deciders(now),
        "queues": _queues(now, before),
        "workers": _workers(now),
    }


def _deciders(now: Look) -> list[Page]:
    rows: dict[str, Page] = {
        name: {"name": name, "partitions": 0, "inbox": 0, "lagMs": 0} for name in now.overview.deciders
    }
    for one in now.overview.partitions:
        if one.is_owned:
            empty = {"name": one.stats.owner, "partitions": 0, "inbox": 0, "lagMs": 0}
            row = rows.setdefault(one.stats.owner, empty)
            row["partitions"] += 1
            row["inbox"] += one.stats.inbox
            row["lagMs"] = max(row["lagMs"], _lag_ms(one.stats))
    return sorted(rows.values(), key=lambda row: (-row["inbox"], row["name"]))


def _queues(now: Look, before: Look | None) -> list[Page]:
    rows = []
    for name, stats in now.queues.items():
        old = before.queues.get(name) if before is not None else None
        row = queue_row(name, stats)
        for rate, counted in (("startedPerS", "granted"), ("expiredPerS", "expired")):
            earlier = old and (old.now_ms, getattr(old, counted))
            row[rate] = _rate(stats.now_ms, getattr(stats, counted), *(earlier or (None, None)))
        rows.append(row)
    return sorted(rows, key=lambda row: (-row["ready"] - row["leased"], -(row["startedPerS"] or 0), row["name"]))


def _workers(now: Look) -> list[Page]:
    """Workers that say what they do, and those that only ask for tasks over HTTP, which nobody knows more of."""
    rows: dict[str, Page] = {
        one.name: {
            "name": one.name,
            "state": str(one.state),
            "running": one.running,
            "concurrency": one.concurrency,
            "tasks": sorted({served.name for served in one.task_types}),
            "silentMs": one.silent_ms,
        }
        for one in now.workers
    }
    for poll in now.polls:
        name, silent_ms = poll.worker_id or "-", max(0, now.at_ms - poll.last_poll_time)
        if name in rows and rows[name]["state"] != POLLS:
            continue
        if silent_ms <= POLLED_LATELY_MS:
            empty: Page = {"name": name, "state": POLLS, "running": None, "concurrency": None, "tasks": []}
            row = rows.setdefault(name, {**empty, "silentMs": silent_ms})
            row["tasks"] = sorted({*row["tasks"], poll.queue_name})
            row["silentMs"] = min(row["silentMs"], silent_ms)
    return sorted(rows.values(), key=lambda row: (-(row["running"] or 0), row["name"]))


def _ended(one: Look) -> int:
    return sum(one.overview.executions.get(status, 0) for status in ENDED)


def _lag_ms(stats: Any) -> int:
    return max(0, stats.now_ms - stats.oldest_event_ms) if stats.oldest_event_ms else 0


def _rate(now_ms: int, count: int, before_ms: int | None, before: int | None) -> float | None:
    """How much more there is per second; what moved to the archive or was removed does not count as less."""
    if before_ms is None or before is None or now_ms <= before_ms:
        return None
    return round(max(0, count - before) * 1000 / (now_ms - before_ms), 1)


# --- as lines ---------------------------------------------------------------------------------------------------------


def lines_of(page: Page, head: str, height: int | None = None) -> list[str]:
    """A page as the lines of a screen; ``height``: how many there may be, of which the queues get what is left.

    Example: ``lines_of(page_of(look(store)), "redis://localhost:6379/0")``
    """
    top = [f"{head}   {page['at']}", *_summary(page), ""]
    deciders = aligned(
        ("decider", "partitions", "inbox", "oldest event"),
        [[one["name"], one["partitions"], one["inbox"], span(one["lagMs"])] for one in page["deciders"]],
    )
    workers = aligned(
        ("worker", "state", "running", "seen", "tasks"),
        [
            [
                one["name"],
                one["state"],
                None if one["concurrency"] is None else f"{one['running']} of {one['concurrency']}",
                f"{span(one['silentMs'])} ago",
                ", ".join(one["tasks"]),
            ]
            for one in page["workers"]
        ],
    )
    queues = aligned(
        (*(column.title for column in LISTED), "started/s", "expired/s"),
        [[*(column.value(row) for column in LISTED), row["startedPerS"], row["expiredPerS"]] for row in page["queues"]],
    )
    if height is not None:
        deciders, workers = _cut(deciders, height // 5), _cut(workers, height // 5)
        queues = _cut(queues, height - len(top) - len(deciders) - len(workers) - 2)
    return [*top, *queues, "", *deciders, "", *workers]


def _summary(page: Page) -> list[str]:
    server, partitions = page["server"], page["partitions"]
    memory = _size(server["usedMemoryBytes"])
    if server["memoryBytesMax"]:
        memory += f" of {_size(server['memoryBytesMax'])}"
    unowned = len(partitions["unowned"])
    counts = ", ".join(f"{count:,} {status}" for status, count in page["executions"].items() if count) or "none"
    ended = "" if page["endedPerS"] is None else f", {page['endedPerS']:g} ended/s"
    return [
        f"{server['name'] or 'server'} {server['version'] or ''}   memory {memory}   round trip {server['latencyMs']} ms",
        f"executions   {counts}{ended}",
        f"partitions   {partitions['count']}"
        + (f", {unowned} WITHOUT A DECIDER" if unowned else "")
        + f"   inbox {partitions['inbox']:,}, oldest {span(partitions['lagMs'])}   outbox {partitions['outbox']:,}"
        + f"   timers {partitions['timers']:,}   dead letters {partitions['deadLetters']:,}",
    ]


def _cut(lines: Sequence[str], count: int) -> list[str]:
    """A table's lines, no more than ``count`` of them; the last says how many are left out."""
    count = max(count, ROWS_MIN + 1)
    if len(lines) <= count:
        return [*lines]
    return [*lines[: count - 1], f"... and {len(lines) - count + 1} more"]


def _size(count: int | None) -> str:
    if count is None:
        return "-"
    size: float = count
    for unit in ("B", "kB", "MB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GB"
