"""The streams of a partition as its owner reads them: inbox entries become the model's events, outbox entries bodies.

An entry stays in the inbox until the commit of the decision it led to. There is no consumer group: existence means not
yet processed, and a cursor is kept in the owner's memory only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from orchestrator.errors import InvalidPayload
from orchestrator.model.events import Continued, Event, Operation, Started, TaskReported, TimerFired
from orchestrator.model.records import decode_meta, decode_outcome
from orchestrator.plan import Command
from orchestrator.store.keys import Keys

_decode_start = msgspec.msgpack.Decoder(tuple[bytes, bytes]).decode
_decode_operation = msgspec.msgpack.Decoder(tuple[str, dict[str, Any]]).decode


class Entry(NamedTuple):
    """One inbox entry: ``kind`` is start, task, timer, op, go or wake; a wake says nothing and has no workflow."""

    id: str
    kind: str
    workflow_id: str
    at_ms: int
    header: str
    body: bytes


def read_inbox(keys: Keys, partition: int, after: str = "0", count: int = 100, block_ms: int | None = None) -> Command:
    """Entries behind the cursor ``after``, oldest first; decodes to a list of ``Entry``.

    With ``block_ms`` the command waits for one, which needs a blocking executor.
    Example: ``blocking.do(read_inbox(keys, 3, cursor, block_ms=2000))``
    """
    block = () if block_ms is None else ("BLOCK", block_ms)
    return Command(("XREAD", "COUNT", count, *block, "STREAMS", keys.inbox(partition), after), _read_entries)


def forget_wakes(keys: Keys, partition: int, ids: list[str]) -> Command:
    """Delete wake entries: they belong to no workflow, so no commit does."""
    return Command(("XDEL", keys.inbox(partition), *ids))


def read_parked(keys: Keys, partition: int, workflow_id: str, count: int = 100) -> Command:
    """The first parked entries of a quarantined workflow; decodes to a list of ``Entry``."""
    return Command(("XRANGE", keys.parked(partition, workflow_id), "-", "+", "COUNT", count), _entries)


def read_outbox(keys: Keys, partition: int, after: str = "-", count: int = 100) -> Command:
    """Hand-offs behind ``after``, oldest first; decodes to a list of ``(id, body)``."""
    first = after if after == "-" else f"({after}"
    return Command(("XRANGE", keys.outbox(partition), first, "+", "COUNT", count), _bodies)


def event_of(entry: Entry) -> Event | None:
    """The event an entry stands for; ``None`` for a wake. Raises ``InvalidPayload`` when the entry is damaged."""
    try:
        return _event(entry)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidPayload(
            f"event {entry.id}", f"{entry.kind} entry of {entry.workflow_id} is damaged: {error}"
        ) from error


def _event(entry: Entry) -> Event | None:
    match entry.kind:
        case "task":
            return _reported(entry)
        case "timer":
            return _fired(entry)
        case "start":
            meta, data = _decode_start(entry.body)
            return Started(entry.at_ms, decode_meta(meta), Raw(data))
        case "op":
            action, arguments = _decode_operation(entry.body)
            return Operation(entry.at_ms, entry.header, action, arguments)
        case "go":
            return Continued(entry.at_ms)
        case "wake":
            return None
    raise ValueError(f"unknown kind {entry.kind!r}")


def _reported(entry: Entry) -> TaskReported:
    suffix, delivery, started, polls, claimant, ref = entry.header.split(" ", 5)
    return TaskReported(
        entry.at_ms,
        f"{entry.workflow_id}-{suffix}",
        ref,
        decode_outcome(entry.body),
        int(delivery),
        int(started),
        int(polls),
        None if claimant == "-" else claimant,
    )


def _fired(entry: Entry) -> TimerFired:
    suffix, state, started, touched, polls, claimant, ref = entry.header.split(" ", 6)
    if suffix == "-":
        return TimerFired(entry.at_ms, "", "")
    return TimerFired(
        entry.at_ms,
        ref,
        f"{entry.workflow_id}-{suffix}",
        "" if state == "-" else state,
        int(started),
        int(touched),
        int(polls),
        worker_id=None if claimant == "-" else claimant,
    )


def _read_entries(reply: Any) -> list[Entry]:
    return _entries(reply[0][1]) if reply else []


def _entries(reply: Any) -> list[Entry]:
    # Scripts write the fields k w t x b in this order and nobody else writes them.
    return [
        Entry(entry_id.decode(), fields[1].decode(), fields[3].decode(), int(fields[5]), fields[7].decode(), fields[9])
        for entry_id, fields in reply
    ]


def _bodies(reply: Any) -> list[tuple[str, bytes]]:
    return [(entry_id.decode(), fields[1]) for entry_id, fields in reply]
