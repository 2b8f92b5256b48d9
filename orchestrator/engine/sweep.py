"""The slow repair: open tasks that no queue knows of are offered again. It should never find anything.

Only a store that lost acknowledged writes (a failover without a durability barrier, a restored backup) gives it work; what
it repairs is counted, and tests that look for bugs run without it. It walks the running workflows of a partition a few at a
time, so it never holds up the events.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.core.kinds import is_queued
from orchestrator.ids import workflow_id_of
from orchestrator.model.records import Scheduled, decode_scheduled
from orchestrator.plan import Command, Plan
from orchestrator.store import queue
from orchestrator.store.dispatch import parse_dispatch
from orchestrator.store.queue_values import Offer

if TYPE_CHECKING:
    from orchestrator.engine.decider import Decider
    from orchestrator.engine.estate import Estate

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 60.0
WORKFLOWS_PER_TURN = 50
TASKS_PER_WORKFLOW = 200
MISSING_AFTER_MS = 60_000
"""A task younger than this may still be on its way through the outbox."""


class _Suspect(NamedTuple):
    task_id: str
    scheduled: Scheduled


def sweep(decider: Decider, estate: Estate, cursor: int) -> Plan[int]:
    """Check some running workflows of a partition and offer again what is missing.

    Returns the cursor to go on from, 0 when the partition is through.
    """
    keys = decider.store.keys
    running = keys.by_status(estate.number, "RUNNING")
    next_cursor, flat = yield Command(("ZSCAN", running, cursor, "COUNT", WORKFLOWS_PER_TURN))
    suspects: dict[str, list[_Suspect]] = {}
    for workflow_id in (item.decode() for item in flat[::2]):
        for suspect in (yield from _open_tasks(decider, estate, workflow_id)):
            suspects.setdefault(suspect.scheduled.type, []).append(suspect)
    for task_type, found in suspects.items():
        missing = set((yield decider.store.queues.missing_command(task_type, [item.task_id for item in found])))
        lost = [item for item in found if item.task_id in missing]
        if lost:
            yield from _offer_again(decider, task_type, lost)
    return int(next_cursor)


def _open_tasks(decider: Decider, estate: Estate, workflow_id: str) -> Plan[list[_Suspect]]:
    """Open queued tasks of one workflow that have been around for long enough to be in a queue."""
    keys = decider.store.keys
    dispatch = keys.dispatch(estate.number, workflow_id)
    _, flat = yield Command(("HSCAN", dispatch, 0, "COUNT", TASKS_PER_WORKFLOW))
    entries = {suffix.decode(): parse_dispatch(text) for suffix, text in zip(flat[::2], flat[1::2], strict=True)}
    entries = {suffix: entry for suffix, entry in entries.items() if entry.state in ("S", "R")}
    if not entries:
        return []
    refs = [entry.ref for entry in entries.values()]
    records = yield Command(("HMGET", keys.tasks(estate.number, workflow_id), *(f"S{ref}" for ref in refs)))
    suspects = []
    for suffix, raw in zip(entries, records, strict=True):
        if raw is None:
            continue
        scheduled = decode_scheduled(raw)
        due_ms = scheduled.scheduled_ms + scheduled.delay_ms + MISSING_AFTER_MS
        if is_queued(scheduled.type) and due_ms < decider.clock_ms:
            suspects.append(_Suspect(f"{workflow_id}-{suffix}", scheduled))
    return suspects


def _offer_again(decider: Decider, task_type: str, lost: list[_Suspect]) -> Plan[None]:
    offers = [Offer(item.task_id, item.scheduled.domain) for item in lost]
    yield from queue.enqueue(decider.store.queues, {task_type: offers}, decider.definitions.limits)
    decider.repairs += len(lost)
    workflows = sorted({workflow_id_of(item.task_id) for item in lost})
    log.error("tasks_repaired", extra={"task_type": task_type, "tasks": len(lost), "workflows": workflows[:10]})
