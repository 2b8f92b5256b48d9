"""Where messages come from: queues of the installation and streams of the same Redis, under one consumer group.

A message belongs to the reader that got it until it says what became of it; one whose reader has been silent for
``IDLE_MS`` is taken over. Plans only; Kafka, which needs a client of its own, is in ``kafka``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.codec import pack
from orchestrator.errors import InvalidPayload
from orchestrator.events.processor import Verdict, payload_of
from orchestrator.plan import Plan
from orchestrator.store import event_queue
from orchestrator.store.context import StoreContext
from orchestrator.store.event_queue import Message

log = logging.getLogger("orchestrator.events")

IDLE_MS = 10_000
MESSAGES_PER_READ = 20


class Found(NamedTuple):
    """What was read: messages, the events whose group has vanished, and those that cannot be read at all."""

    messages: list[Message]
    gone: list[str]
    unreadable: list[str]


def read_new(store: StoreContext, events: Sequence[str], consumer: str, count: int = MESSAGES_PER_READ) -> Plan[Found]:
    """New messages of these events, without waiting; one event that cannot be read does not hide the others."""
    replies = yield [event_queue.read(store.keys, [event], consumer, count) for event in events]
    found = Found([], [], [])
    for event, reply in zip(events, replies, strict=True):
        if not isinstance(reply, Exception):
            found.messages.extend(reply)
        elif is_gone(reply):
            found.gone.append(event)
        else:
            log.error("event_unreadable", extra={"event": event, "reason": str(reply)})
            found.unreadable.append(event)
    return found


def is_gone(error: Exception) -> bool:
    """Whether an error says that there is no such stream or group."""
    text = str(error)
    return "NOGROUP" in text or "UNBLOCKED" in text or "no longer exists" in text


def read_idle(store: StoreContext, events: Sequence[str], consumer: str, idle_ms: int = IDLE_MS) -> Plan[list[Message]]:
    """Messages whose reader has been silent too long, now ours."""
    replies = yield [event_queue.idle(store.keys, event, idle_ms, MESSAGES_PER_READ) for event in events]
    waiting = {event: reply for event, reply in zip(events, replies, strict=True) if isinstance(reply, dict) and reply}
    if not waiting:
        return []
    taken = yield [
        event_queue.take_over(store.keys, event, consumer, idle_ms, list(counts)) for event, counts in waiting.items()
    ]
    found = []
    for (event, counts), reply in zip(waiting.items(), taken, strict=True):
        if isinstance(reply, Exception):
            log.error("event_unreadable", extra={"event": event, "reason": str(reply)})
            continue
        found += [one._replace(deliveries=counts.get(one.entry_id, 0) + 1) for one in reply]
    return found


def settle(store: StoreContext, message: Message, verdict: Verdict) -> Plan[None]:
    """Forget a message that is over with, keeping it as a dead letter if it has a reason."""
    if not verdict.is_over:
        return
    payload = b""
    if verdict.reason:
        extra = {"event": message.event, "message_id": message.message_id, "reason": verdict.reason}
        log.error("event_dead_letter", extra=extra)
        payload = _kept(message)
    replies = yield event_queue.handled(store.keys, message.event, [(message, verdict.reason, payload)])
    for reply in replies:
        if isinstance(reply, Exception) and not is_gone(reply):
            raise reply


def _kept(message: Message) -> bytes:
    """What is kept of a message that could not be handled: its payload, or its bytes when they are no payload."""
    if isinstance(message.payload, bytes):
        return message.payload
    try:
        return pack(payload_of(message))
    except InvalidPayload:
        return pack(
            {
                name.decode("utf-8", "replace"): value.decode("utf-8", "replace")
                for name, value in message.payload.items()
            }
        )
