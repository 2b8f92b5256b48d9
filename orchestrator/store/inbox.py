"""The streams of a partition as its owner reads them: inbox entries become the model's events, outbox entries bodies.

An entry stays in the inbox until the commit of the decision it led to. There is no consumer group: existence means not
yet processed, and a cursor is kept in the owner's memory only. An entry that does not parse is not an exception here but
a ``Garbled`` value: it goes to the dead letters and nobody waits for it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from orchestrator.model.events import Continued, Event, Operation, Started, TaskBegan, TaskReported, TimerFired, Told
from orchestrator.model.records import decode_meta, decode_outcome
from orchestrator.plan import Command
from orchestrator.store.keys import Keys

_decode_start = msgspec.msgpack.Decoder(tuple[bytes, bytes]).decode
_decode_told = msgspec.msgpack.Decoder(tuple[str, str, str | None, str, int]).decode
_decode_operation = msgspec.msgpack.Decoder(tuple[str, dict[str, Any]]).decode
_FIELDS = [b"k", b"w", b"t", b"x", b"b"]  # kind, workflow, server time, text header, body: as the scripts write them
NOBODY = ("-", "+")
"""What stands for a claimant while a task has none."""

_DAMAGE = (ValueError, TypeError, IndexError, RecursionError, msgspec.MsgspecError)


class Entry(NamedTuple):
    """One inbox entry that concerns a workflow."""

    id: str
    workflow_id: str
    event: Event


class Wake(NamedTuple):
    """An entry that only woke the reader, e.g. because a timer was armed; to be deleted."""

    id: str


class Garbled(NamedTuple):
    """An entry that cannot be read, and why."""

    id: str
    reason: str


def read_inbox(keys: Keys, partition: int, after: str = "0", count: int = 100, block_ms: int | None = None) -> Command:
    """Entries behind the cursor ``after``, oldest first; decodes to a list of ``Entry``, ``Wake`` and ``Garbled``.

    With ``block_ms`` the command waits for one, which needs a blocking executor.
    Example: ``blocking.do(read_inbox(keys, 3, cursor, block_ms=2000))``
    """
    inbox = keys.inbox(partition)
    if block_ms is None:
        return Command(("XRANGE", inbox, _behind(after), "+", "COUNT", count), _entries)
    return Command(("XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS", inbox, after), _read_entries)


def forget_wakes(keys: Keys, partition: int, ids: list[str]) -> Command:
    """Delete wake entries: they belong to no workflow, so no commit does."""
    return Command(("XDEL", keys.inbox(partition), *ids))


def read_parked(keys: Keys, partition: int, workflow_id: str, count: int = 100) -> Command:
    """The first parked entries of a quarantined workflow; decodes like ``read_inbox``."""
    return Command(("XRANGE", keys.parked(partition, workflow_id), "-", "+", "COUNT", count), _entries)


def read_outbox(keys: Keys, partition: int, after: str = "0", count: int = 100) -> Command:
    """Hand-offs behind ``after``, oldest first; decodes to a list of ``(id, body)``."""
    return Command(("XRANGE", keys.outbox(partition), _behind(after), "+", "COUNT", count), _bodies)


def parse_entry(raw: Any) -> Entry | Wake | Garbled:
    """Read one ``[id, [field, value, ...]]`` pair of a stream reply; never raises for what the entry holds."""
    entry_id = raw[0].decode()
    fields = raw[1]
    if fields[::2] != _FIELDS:
        return Garbled(entry_id, f"not an entry of ours: its fields are {b' '.join(fields[::2])[:80]!r}")
    kind = fields[1]
    if kind == b"wake":
        return Wake(entry_id)
    try:
        workflow_id = fields[3].decode()
        return Entry(entry_id, workflow_id, _event(kind, workflow_id, int(fields[5]), fields[7], fields[9]))
    except _DAMAGE as error:
        return Garbled(entry_id, f"damaged {kind[:20].decode(errors='replace')} entry: {error}")


def _event(kind: bytes, workflow_id: str, at_ms: int, header: bytes, body: bytes) -> Event:
    if kind == b"task":
        return _reported(workflow_id, at_ms, header, body)
    if kind == b"start":
        meta, given = _decode_start(body)
        return Started(at_ms, decode_meta(meta), Raw(given))
    if kind == b"go":
        return Continued(at_ms)
    if kind == b"timer":
        return _fired(workflow_id, at_ms, header)
    if kind == b"began":
        suffix, ref = header.decode().split(" ", 1)
        return TaskBegan(at_ms, f"{workflow_id}-{suffix}", ref)
    if kind == b"op":
        action, arguments = _decode_operation(body)
        return Operation(at_ms, header.decode(), action, arguments)
    if kind == b"told":
        return Told(at_ms, *_decode_told(body))
    raise ValueError("unknown kind")


def _reported(workflow_id: str, at_ms: int, header: bytes, body: bytes) -> TaskReported:
    suffix, delivery, started, polls, claimant, ref = header.decode().split(" ", 5)
    return TaskReported(
        at_ms,
        f"{workflow_id}-{suffix}",
        ref,
        decode_outcome(body),
        int(delivery),
        int(started),
        int(polls),
        None if claimant in NOBODY else claimant,
    )


def _fired(workflow_id: str, at_ms: int, header: bytes) -> TimerFired:
    suffix, state, started, touched, polls, claimant, ref = header.decode().split(" ", 6)
    if suffix == "-":
        return TimerFired(at_ms, "", "")
    return TimerFired(
        at_ms,
        ref,
        f"{workflow_id}-{suffix}",
        "" if state == "-" else state,
        int(started),
        int(touched),
        int(polls),
        worker_id=None if claimant in NOBODY else claimant,
    )


def _behind(cursor: str) -> str:
    return f"({cursor}" if cursor != "0" else "-"


def _read_entries(reply: Any) -> list[Entry | Wake | Garbled]:
    return _entries(reply[0][1]) if reply else []


def _entries(reply: Any) -> list[Entry | Wake | Garbled]:
    return [parse_entry(item) for item in reply]


def _bodies(reply: Any) -> list[tuple[str, bytes]]:
    return [(entry_id.decode(), fields[1]) for entry_id, fields in reply]
