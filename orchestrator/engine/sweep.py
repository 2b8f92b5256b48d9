"""The slow repair: open tasks that no queue knows of are offered again. It should never find anything.

Only a store that lost acknowledged writes (a failover without a durability barrier, a restored backup) gives it work;
what it repairs is counted, and tests that look for bugs run without it. It walks the running workflows of a partition a
few at a time, four round trips for each slice, so it never holds up the events.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from orchestrator.ids import workflow_id_of
from orchestrator.model.records import Scheduled, decode_scheduled
from orchestrator.plan import Command, Plan
from orchestrator.store import partition, queue
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

    Of a workflow with very many open tasks some are checked, a changing part as others end. Returns the cursor to go on
    from, 0 when the partition is through.
    """
    running = decider.store.keys.by_status(estate.number, "RUNNING")
    next_cursor, flat = yield Command(("ZSCAN", running, cursor, "COUNT", WORKFLOWS_PER_TURN))
    suspects: dict[str, list[_Suspect]] = {}
    for suspect in (yield from _open_tasks(decider, estate, [item.decode() for item in flat[::2]])):
        suspects.setdefault(suspect.scheduled.type, []).append(suspect)
    if suspects:
        queues = decider.store.queues
        replies = yield [queues.missing_command(name, [one.task_id for one in some]) for name, some in suspects.items()]
        for (task_type, found), missing in zip(suspects.items(), replies, strict=True):
            lost = [one for one in found if one.task_id in missing] if isinstance(missing, list) else []
            if lost:
                yield from _offer_again(decider, task_type, lost)
    return int(next_cursor)


def _open_tasks(decider: Decider, estate: Estate, workflow_ids: Sequence[str]) -> Plan[list[_Suspect]]:
    """Open queued tasks of these workflows that have been around for long enough to be in a queue."""
    keys, number = decider.store.keys, estate.number
    if not workflow_ids:
        return []
    slices = yield [partition.scan_dispatch(keys, number, one, 0, TASKS_PER_WORKFLOW) for one in workflow_ids]
    asked: list[tuple[str, list[str]]] = []
    reads: list[Command] = []
    for workflow_id, reply in zip(workflow_ids, slices, strict=True):
        found = _waiting(reply)
        if found:
            asked.append((workflow_id, list(found)))
            reads.append(partition.load_records(keys, number, workflow_id, [f"S{ref}" for ref in found.values()]))
    suspects: list[_Suspect] = []
    for (workflow_id, suffixes), records in zip(asked, (yield reads) if reads else [], strict=True):
        for suffix, raw in zip(suffixes, () if isinstance(records, Exception) else records, strict=False):
            scheduled = _read(raw)
            if scheduled is not None and _is_overdue(scheduled, decider.clock_ms):
                suspects.append(_Suspect(f"{workflow_id}-{suffix}", scheduled))
    return suspects


def _waiting(reply: Any) -> dict[str, str]:
    """Suffix -> reference of the open attempts that a worker should get or has; what cannot be read is passed over."""
    if isinstance(reply, Exception):
        return {}
    _, flat = reply
    found = {}
    for suffix, text in zip(flat[::2], flat[1::2], strict=True):
        try:
            entry = parse_dispatch(text)
        except ValueError:
            continue
        if entry.state in ("S", "R"):  # others wait for no worker
            found[suffix.decode()] = entry.ref
    return found


def _read(raw: bytes | None) -> Scheduled | None:
    try:
        scheduled: Scheduled | None = None if raw is None else decode_scheduled(raw)
    except (msgspec.MsgspecError, ValueError):
        return None
    return scheduled


def _is_overdue(scheduled: Scheduled, now_ms: int) -> bool:
    return scheduled.scheduled_ms + scheduled.delay_ms + MISSING_AFTER_MS < now_ms


def _offer_again(decider: Decider, task_type: str, lost: list[_Suspect]) -> Plan[None]:
    offers = [Offer(item.task_id, item.scheduled.domain, keys=item.scheduled.keys) for item in lost]
    yield from queue.enqueue(decider.store.queues, {task_type: offers}, decider.definitions.limits)
    decider.repairs += len(lost)
    if decider.witness is not None:
        decider.witness.repaired("task_offered_again", len(lost))
    workflows = sorted({workflow_id_of(item.task_id) for item in lost})
    log.error("tasks_repaired", extra={"task_type": task_type, "tasks": len(lost), "workflows": workflows[:10]})
