"""``orchestrator store``: the server and the partitions as they are, figures without a judgement, which ``doctor`` gives.

Called by operators and by scripts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.command import Entry, LazyGroup, Leaf, output_option
from orchestrator_cli.output import Column, show, show_all, span
from orchestrator_cli.session import current_session

if TYPE_CHECKING:
    from orchestrator.service.operations import Partition

group = LazyGroup(
    "store",
    help="The server and the partitions as they are.",
    entries={
        "info": Entry(__name__, "info", "Show the server, its memory and what is in it."),
        "partitions": Entry(__name__, "partitions", "List the partitions, their deciders and what waits."),
    },
)

SHOWN = [
    Column("server", lambda row: row["server"]),
    Column("version", lambda row: row["version"]),
    Column("eviction policy", lambda row: row["evictionPolicy"]),
    Column("append only", lambda row: row["appendOnly"]),
    Column("memory used", lambda row: row["usedMemoryBytes"]),
    Column("memory limit", lambda row: row["memoryBytesMax"] or "none"),
    Column("round trip", lambda row: f"{row['latencyMs']} ms"),
    Column("partitions", lambda row: row["partitions"]),
    Column("deciders", lambda row: ", ".join(row["deciders"])),
    Column("queues", lambda row: row["queues"]),
    Column("tasks waiting", lambda row: row["ready"]),
    Column("tasks running", lambda row: row["running"]),
]

PARTITIONS = [
    Column("partition", lambda row: row["partition"]),
    Column("owner", lambda row: row["owner"]),
    Column("epoch", lambda row: row["epoch"]),
    Column("inbox", lambda row: row["inbox"]),
    Column("oldest event", lambda row: "-" if row["lagMs"] is None else span(row["lagMs"])),
    Column("outbox", lambda row: row["outbox"]),
    Column("timers", lambda row: row["timers"]),
    Column("dead letters", lambda row: row["deadLetters"]),
]


@click.command(cls=Leaf, examples="orchestrator store info\norchestrator store info -o json")
@output_option()
def info(form: str) -> None:
    """Show the server, its memory, and how much is in the installation."""
    from orchestrator.service import operations

    with current_session().store() as store:
        found, queues = store.run(operations.diagnose), store.run(operations.queues)
    row = {
        "server": found.server.name,
        "version": found.server.version,
        "evictionPolicy": found.server.eviction_policy,
        "appendOnly": found.server.is_append_only,
        "usedMemoryBytes": found.server.used_memory_bytes,
        "memoryBytesMax": found.server.memory_bytes_max,
        "latencyMs": found.latency_ms,
        "partitions": found.partitions_recorded,
        "deciders": found.deciders,
        "queues": len(queues),
        "ready": sum(stats.ready for stats in queues.values()),
        "running": sum(stats.leased for stats in queues.values()),
    }
    show(row, form, SHOWN, name="server")


@click.command(cls=Leaf, examples="orchestrator store partitions\norchestrator store partitions -o jsonl")
@output_option()
def partitions(form: str) -> None:
    """List the partitions: which decider owns each, and what waits in it."""
    from orchestrator.service import operations

    with current_session().store() as store:
        found = store.run(operations.diagnose)
    show_all([partition_row(one) for one in found.partitions], form, PARTITIONS, name="partition")


def partition_row(one: Partition) -> dict[str, Any]:
    """One partition as data. Example: ``partition_row(diagnosis.partitions[0])["inbox"]``"""
    stats = one.stats
    return {
        "partition": one.number,
        "owner": stats.owner if one.is_owned else None,
        "epoch": stats.epoch,
        "inbox": stats.inbox,
        "lagMs": max(0, stats.now_ms - stats.oldest_event_ms) if stats.oldest_event_ms else None,
        "outbox": stats.outbox,
        "timers": stats.timers,
        "deadLetters": stats.dead_letters,
        "crashes": stats.crashes,
    }
