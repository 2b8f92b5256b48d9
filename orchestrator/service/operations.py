"""What an operator wants to know of a whole installation: its server, its deciders, its partitions, its queues.

Facts only, each read here and judged by whoever shows them. Nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from orchestrator.clock import SystemClock
from orchestrator.errors import OrchestratorError
from orchestrator.model.status import WorkflowStatus
from orchestrator.plan import Command, Plan
from orchestrator.store import installation, queue
from orchestrator.store.context import StoreContext
from orchestrator.store.partition import PartitionStats, partition_stats
from orchestrator.store.queue import QueueStats

PINGS = 5
QUARANTINE_LOOK_MAX = 1_000
"""Quarantined executions are looked for among so many unfinished ones of each partition, the latest first."""

_clock = SystemClock()


class Server(NamedTuple):
    """What the server says of itself; ``None`` where it does not (the in-process fake says nothing).

    ``write_status``: how its last write to disk went, ``ok`` for well.
    """

    name: str | None
    version: str | None
    eviction_policy: str | None
    is_append_only: bool | None
    used_memory_bytes: int | None
    memory_bytes_max: int | None
    write_status: str | None = None
    clients: int | None = None
    clients_max: int | None = None


class Partition(NamedTuple):
    """One partition; ``is_owned``: a decider holds it right now."""

    number: int
    stats: PartitionStats
    is_owned: bool


class Overview(NamedTuple):
    """What an installation is doing, at the same small price however much is in it.

    ``executions``: how many Redis has in each status. ``latency_ms``: the fastest of a few round trips.
    """

    server: Server
    latency_ms: float
    deciders: list[str]
    partitions: list[Partition]
    executions: dict[str, int]

    @property
    def unowned(self) -> list[int]:
        """Partitions that no decider holds: their workflows stand still."""
        return _unowned(self.partitions)


class Quarantined(NamedTuple):
    """An execution that was set aside, and why."""

    workflow_id: str
    reason: str


class Diagnosis(NamedTuple):
    """Everything ``orchestrator doctor`` judges. ``latency_ms``: the fastest of a few round trips."""

    server: Server
    latency_ms: float
    partitions_recorded: int
    deciders: list[str]
    partitions: list[Partition]
    quarantined: list[Quarantined]

    @property
    def unowned(self) -> list[int]:
        """Partitions that no decider holds: their workflows stand still."""
        return _unowned(self.partitions)

    @property
    def dead_letters(self) -> int:
        """Events of no workflow, in all partitions."""
        return sum(partition.stats.dead_letters for partition in self.partitions)


def diagnose(store: StoreContext) -> Plan[Diagnosis]:
    """Look at the whole installation.

    Raises ``StoreRefused`` when its layout does not fit this process.
    Example: ``executor.run(diagnose(store)).unowned``
    """
    recorded: int = yield installation.check_installation(store.keys)
    server = yield from _server()
    latency_ms = yield from _latency_ms()
    deciders: list[str] = yield installation.live_deciders(store.keys)
    partitions = yield from _partitions(store)
    quarantined = yield from find_quarantined(store)
    return Diagnosis(server, latency_ms, recorded, deciders, partitions, quarantined)


def overview(store: StoreContext) -> Plan[Overview]:
    """Look at what an installation is doing, for whoever looks every second.

    Example: ``executor.run(overview(store)).executions["RUNNING"]``
    """
    server = yield from _server()
    latency_ms = yield from _latency_ms()
    deciders: list[str] = yield installation.live_deciders(store.keys)
    partitions = yield from _partitions(store)
    executions: dict[str, int] = {}
    for status in WorkflowStatus:
        counts = yield [
            Command(("ZCARD", store.keys.by_status(number, status))) for number in range(store.keys.partitions)
        ]
        for count in counts:
            if isinstance(count, Exception):
                raise count
        executions[str(status)] = sum(counts)
    return Overview(server, latency_ms, deciders, partitions, executions)


def find_quarantined(store: StoreContext) -> Plan[list[Quarantined]]:
    """The quarantined among the latest unfinished executions of every partition."""
    keys = store.keys
    unfinished = (WorkflowStatus.RUNNING, WorkflowStatus.PAUSED)
    pages = yield [
        Command(("ZREVRANGE", keys.by_status(number, status), 0, QUARANTINE_LOOK_MAX - 1))
        for number in range(keys.partitions)
        for status in unfinished
    ]
    ids = [member.decode() for page in pages if not isinstance(page, Exception) for member in page]
    reasons = yield [
        Command(("HGET", keys.workflow(keys.partition_of(workflow_id), workflow_id), "q")) for workflow_id in ids
    ]
    return [
        Quarantined(workflow_id, reason.decode())
        for workflow_id, reason in zip(ids, reasons, strict=True)
        if isinstance(reason, bytes)
    ]


def queues(store: StoreContext) -> Plan[dict[str, QueueStats]]:
    """Every task type that ever had a queue, with what is in it now."""
    names: list[str] = yield installation.list_queues(store.keys)
    found = yield from queue.stats(store.queues, names)
    for stats in found:
        if isinstance(stats, Exception):
            raise stats
    return {name: stats for name, stats in zip(names, found, strict=True) if not isinstance(stats, Exception)}


def shown_settings(store: StoreContext) -> Plan[dict[str, Any]]:
    """The settings of this process by name, without what is secret: keys, and who the store lets in."""
    settings = store.settings
    shown = {item.name: getattr(settings, item.name) for item in fields(settings) if item.repr}
    scheme, separator, rest = settings.redis_url.partition("://")
    return {**shown, "redis_url": f"{scheme}{separator}{rest.rpartition('@')[2].partition('?')[0]}"}
    yield


def _unowned(partitions: Sequence[Partition]) -> list[int]:
    return [partition.number for partition in partitions if not partition.is_owned]


def _partitions(store: StoreContext) -> Plan[list[Partition]]:
    numbers = range(store.keys.partitions)
    found = yield [partition_stats(store.keys, number) for number in numbers]
    partitions = []
    for number, stats in zip(numbers, found, strict=True):
        if isinstance(stats, Exception):
            raise stats
        partitions.append(Partition(number, stats, bool(stats.owner) and stats.expires_ms > stats.now_ms))
    return partitions


def _server() -> Plan[Server]:
    try:
        raw: bytes = yield Command(("INFO",))
    except OrchestratorError:
        return Server(None, None, None, None, None, None)
    facts: dict[str, str] = dict(line.split(":", 1) for line in raw.decode().splitlines() if ":" in line)
    is_valkey, is_append_only = "valkey_version" in facts, facts.get("aof_enabled") == "1"
    return Server(
        "Valkey" if is_valkey else "Redis",
        facts.get("valkey_version" if is_valkey else "redis_version"),
        facts.get("maxmemory_policy"),
        is_append_only,
        _number(facts.get("used_memory")),
        _number(facts.get("maxmemory")),
        facts.get("aof_last_write_status" if is_append_only else "rdb_last_bgsave_status"),
        _number(facts.get("connected_clients")),
        _number(facts.get("maxclients")),
    )


def _latency_ms() -> Plan[float]:
    times = []
    for _ in range(PINGS):
        before_s = _clock.monotonic_s()
        yield Command(("PING",))
        times.append(_clock.monotonic_s() - before_s)
    return round(min(times) * 1000, 3)


def _number(text: Any) -> int | None:
    return int(text) if text else None
