"""``orchestrator queue``: what waits for workers, by task type.

``queue_care`` has the commands that look into one queue, or change it. Called by operators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.command import Entry, LazyGroup, Leaf, output_option
from orchestrator_cli.output import Column, show_all, span
from orchestrator_cli.session import current_session

if TYPE_CHECKING:
    from orchestrator.store.queue_values import QueueStats

group = LazyGroup(
    "queue",
    help="Task queues, one for each task type.",
    entries={
        "list": Entry(__name__, "list_", "List all queues with what is in them."),
        "peek": Entry("orchestrator_cli.queue_care", "peek", "Show the tasks that wait, the next ones first."),
        "pause": Entry("orchestrator_cli.queue_care", "pause", "Hand out no more tasks until resumed."),
        "resume": Entry("orchestrator_cli.queue_care", "resume", "Hand out tasks again."),
        "drain": Entry("orchestrator_cli.queue_care", "drain", "Pause, and wait until no worker has a task."),
        "purge": Entry("orchestrator_cli.queue_care", "purge", "End the tasks that wait, in their workflows."),
    },
)

LISTED = [
    Column("queue", lambda row: row["name"]),
    Column("ready", lambda row: row["ready"]),
    Column("running", lambda row: row["leased"]),
    Column("delayed", lambda row: row["delayed"]),
    Column("kept back", lambda row: row["kept"]),
    Column("on hold", lambda row: row["held"]),
    Column("oldest", lambda row: "-" if row["oldestReadyMs"] is None else span(row["oldestReadyMs"])),
    Column("workers waiting", lambda row: row["waiting"]),
    Column("limits", lambda row: _limits(row)),
    Column("domains", lambda row: ", ".join(name for name in row["domains"] if name)),
]


@click.command("list", cls=Leaf, examples="orchestrator queue list\norchestrator queue list -o json")
@output_option()
def list_(form: str) -> None:
    """List all queues: tasks ready, running, delayed and on hold, how long the oldest has waited, and the limits."""
    from orchestrator.service import operations

    with current_session().store() as store:
        found = store.run(operations.queues)
    show_all([queue_row(name, stats) for name, stats in found.items()], form, LISTED, name="name")


def queue_row(name: str, stats: QueueStats) -> dict[str, Any]:
    """One queue as data. Example: ``queue_row("charge", stats)["ready"]``"""
    heads = [one.head_since_ms for one in stats.domains.values() if one.head_since_ms is not None]
    limits = stats.limits
    return {
        "name": name,
        "ready": stats.ready,
        "leased": stats.leased,
        "delayed": stats.delayed,
        "held": stats.held,
        "kept": stats.kept,
        "oldestReadyMs": max(0, stats.now_ms - min(heads)) if heads else None,
        "waiting": sum(one.waiting for one in stats.domains.values()),
        "granted": stats.granted,
        "expired": stats.expired,
        "paused": stats.is_paused,
        "concurrentExecLimit": limits.concurrency if limits is not None else 0,
        "rateLimitPerFrequency": limits.rate if limits is not None else 0,
        "rateLimitFrequencyMs": limits.window_ms if limits is not None else 0,
        "limitsPerKey": limits is not None and limits.per_key,
        "domains": {domain or "": one.ready for domain, one in stats.domains.items()},
    }


def _limits(row: dict[str, Any]) -> str:
    parts = ["paused"] if row["paused"] else []
    if row["concurrentExecLimit"]:
        out = "" if row["limitsPerKey"] else f"{row['leased'] + row['held']} of "
        parts.append(f"{out}{row['concurrentExecLimit']} at once")
    if row["rateLimitPerFrequency"]:
        parts.append(f"{row['rateLimitPerFrequency']} in {span(row['rateLimitFrequencyMs'])}")
    return ", ".join(parts) + (" for each key" if row["limitsPerKey"] else "")
