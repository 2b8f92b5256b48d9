"""Inbox entries to events: the bytes that scripts appended become what ``decide`` understands.

The layout of an entry is the scripts' (``k`` kind, ``w`` workflow, ``t`` server time, ``x`` text header, ``b`` body). An entry
that does not parse is not an exception here but a ``Garbled`` value: it goes to the dead letters and nobody waits for it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from orchestrator.codec import unpack
from orchestrator.model.events import Continued, Event, Operation, Started, TaskReported, TimerFired
from orchestrator.model.records import decode_meta, decode_outcome


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


_decode_start = msgspec.msgpack.Decoder(tuple[bytes, bytes]).decode


def parse_entry(raw: Any) -> Entry | Wake | Garbled:
    """Read one ``[id, [field, value, ...]]`` pair of a stream reply."""
    entry_id = raw[0].decode()
    try:
        fields = raw[1]
        found = dict(zip(fields[::2], fields[1::2], strict=True))
        kind = found[b"k"]
        if kind == b"wake":
            return Wake(entry_id)
        workflow_id = found[b"w"].decode()
        return Entry(entry_id, workflow_id, _event(kind, workflow_id, int(found[b"t"]), found[b"x"], found[b"b"]))
    except (KeyError, ValueError, IndexError, TypeError, UnicodeDecodeError, msgspec.MsgspecError) as error:
        return Garbled(entry_id, f"{type(error).__name__}: {error}")


def _event(kind: bytes, workflow_id: str, at_ms: int, header: bytes, body: bytes) -> Event:
    if kind == b"task":
        suffix, delivery, started, polls, claimant, ref = header.decode().split(" ", 5)
        return TaskReported(
            at_ms=at_ms,
            task_id=f"{workflow_id}-{suffix}",
            ref=ref,
            outcome=decode_outcome(body),
            delivery=int(delivery),
            started_ms=int(started),
            poll_count=int(polls),
            worker_id=None if claimant == "-" else claimant,
        )
    if kind == b"start":
        meta, given = _decode_start(body)
        return Started(at_ms=at_ms, meta=decode_meta(meta), input=Raw(given))
    if kind == b"go":
        return Continued(at_ms=at_ms)
    if kind == b"timer":
        suffix, state, started, touched, polls, claimant, ref = header.decode().split(" ", 6)
        return TimerFired(
            at_ms=at_ms,
            ref=ref,
            task_id=f"{workflow_id}-{suffix}",
            state="" if state == "-" else state,
            started_ms=int(started),
            touched_ms=int(touched),
            poll_count=int(polls),
            worker_id=None if claimant == "-" else claimant,
        )
    if kind == b"op":
        action, arguments = unpack(body)
        return Operation(at_ms=at_ms, request_id=header.decode(), action=action, arguments=arguments)
    raise ValueError(f"unknown event kind {kind!r}")
