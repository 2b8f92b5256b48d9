"""The messages of events, and the records of what was done for them: the calls, free of I/O.

A ``conductor:`` queue is a stream of its own slot that holds exactly the messages not yet handled; a ``redis_stream:``
source is somebody else's stream of the same Redis, read through a consumer group and never shortened. Both are read by
any number of processes under one group: a message whose reader died is taken over when it has been idle long enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from orchestrator.model.event_handlers import EventExecution, decode_execution, encode_execution
from orchestrator.model.sinks import REDIS_STREAM
from orchestrator.plan import Argument, Call, Command
from orchestrator.store.keys import EXECUTION_TTL_MS, Keys

LENGTH_MAX = 100_000
"""How many messages may wait in one queue. A full one whose handlers are active refuses more; one that nobody listens to
drops its oldest."""

UNHEARD_TTL_MS = 7 * 86_400_000
"""How long the messages of a queue that nobody listens to are kept after the last one came."""

DEAD_LETTERS_MAX = 10_000
EXECUTIONS_MAX = 10_000
"""How many records of what was done for messages are kept for an event, none longer than a week."""

FOREIGN_LENGTH_MAX = 1_000_000
"""A stream we write to for others to read is cut to about so many entries: nothing there is ever deleted otherwise."""

MESSAGE_ID, EVENT, PAYLOAD = "message_id", "event", "payload"
"""The fields of an entry that we write to a stream of the user's."""


class Published(NamedTuple):
    """What became of a message. ``word``: OK, SAME (it waits there already), FULL (nothing was done)."""

    word: str


class Message(NamedTuple):
    """One message as a reader gets it. ``entry_id`` is the stream's; ``deliveries`` counts from 1.

    ``payload`` is packed (a queue of ours) or, of somebody else's stream, the fields as they are.
    """

    event: str
    entry_id: str
    message_id: str
    payload: bytes | dict[bytes, bytes]
    deliveries: int = 1


class DeadLetter(NamedTuple):
    """A message that could not be handled, and why; ``payload`` is packed."""

    message_id: str
    reason: str
    at_ms: int
    payload: bytes


def group_of(keys: Keys) -> str:
    """The consumer group of this installation. Example: ``group_of(Keys()) == "orc-events"``"""
    return f"{keys.namespace}-events"


def stream_of(keys: Keys, event: str) -> str:
    """The stream that the messages of an event are read from: a queue of ours, or the one the event names."""
    kind, _, name = event.partition(":")
    return name if kind == REDIS_STREAM else keys.event_queue(event)


# --- publishers -------------------------------------------------------------------------------------------------------


def publish(keys: Keys, event: str, message_id: str, payload: bytes, length_max: int = LENGTH_MAX) -> Call:
    """Append a message to a queue of ours, once per id while it waits there; replies ``Published``."""
    return Call(
        "publish_event",
        (keys.event_queue(event), keys.event_message_ids(event)),
        (message_id, payload, length_max, UNHEARD_TTL_MS),
        lambda raw: Published(raw.decode()),
        durable=True,
    )


def append_foreign(event: str, message_id: str, payload: str) -> Command:
    """Append a message to the user's stream that the event names; its readers recognise a repetition by the id."""
    words: tuple[Argument, ...] = ("XADD", event.partition(":")[2], "MAXLEN", "~", FOREIGN_LENGTH_MAX, "*")
    return Command((*words, MESSAGE_ID, message_id, EVENT, event, PAYLOAD, payload))


# --- readers ----------------------------------------------------------------------------------------------------------


def hear(keys: Keys, event: str) -> Call:
    """Make the group of a queue of ours: from now on its messages are kept until they are handled."""
    return Call(
        "hear_event",
        (keys.event_queue(event), keys.event_message_ids(event)),
        (group_of(keys),),
        lambda raw: bool(raw == b"OK"),
        durable=True,
    )


def hear_foreign(keys: Keys, event: str, start: str = "$") -> Command:
    """Make our group on the user's stream, by default from now on; an error says BUSYGROUP when it is there."""
    return Command(("XGROUP", "CREATE", stream_of(keys, event), group_of(keys), start, "MKSTREAM"))


def unhear(keys: Keys, event: str) -> list[Command]:
    """Give up the group: nobody here listens any more. Messages of ours wait for another handler, for a while."""
    commands = [Command(("XGROUP", "DESTROY", stream_of(keys, event), group_of(keys)))]
    if not event.startswith(f"{REDIS_STREAM}:"):
        commands.append(Command(("PEXPIRE", keys.event_queue(event), UNHEARD_TTL_MS)))
        commands.append(Command(("PEXPIRE", keys.event_message_ids(event), UNHEARD_TTL_MS)))
    return commands


def read(keys: Keys, events: Sequence[str], consumer: str, count: int, block_ms: int | None = None) -> Command:
    """New messages of these events, of which all streams must be reachable by one command; decodes to ``Message``s."""
    by_stream = {stream_of(keys, event).encode(): event for event in events}
    words: list[Argument] = ["XREADGROUP", "GROUP", group_of(keys), consumer, "COUNT", count]
    if block_ms is not None:
        words += ["BLOCK", block_ms]
    words += ["STREAMS", *by_stream, *([">"] * len(by_stream))]
    return Command(words, lambda raw: [_message(by_stream[key], one) for key, found in raw or () for one in found])


def idle(keys: Keys, event: str, idle_ms: int, count: int) -> Command:
    """Messages that a reader took ``idle_ms`` ago or longer and has not finished; entry id -> deliveries so far."""
    words: list[Argument] = ["XPENDING", stream_of(keys, event), group_of(keys)]
    if idle_ms:
        words += ["IDLE", idle_ms]
    return Command(
        (*words, "-", "+", count),
        lambda raw: {entry_id.decode(): int(times) for entry_id, _, _, times in raw or ()},
    )


def take_over(keys: Keys, event: str, consumer: str, idle_ms: int, entry_ids: Sequence[str]) -> Command:
    """Take idle messages from their reader, if nobody else has meanwhile; decodes to ``Message``s."""
    return Command(
        ("XCLAIM", stream_of(keys, event), group_of(keys), consumer, idle_ms, *entry_ids),
        lambda raw: [_message(event, one) for one in raw or () if one and one[1] is not None],
    )


def keep(keys: Keys, event: str, consumer: str, entry_ids: Sequence[str]) -> Command:
    """Say that these messages are still being handled, so that nobody takes them over."""
    return Command(("XCLAIM", stream_of(keys, event), group_of(keys), consumer, 0, *entry_ids, "JUSTID"))


def sweep_readers(keys: Keys, event: str, idle_ms: int, name: str = "") -> Call:
    """Forget readers that are gone: idle that long and with nothing in hand; all, or just the one of that name."""
    return Call("sweep_readers", (stream_of(keys, event),), (group_of(keys), idle_ms, name))


def handled(keys: Keys, event: str, done: Sequence[tuple[Message, str, bytes]]) -> list[Call | Command]:
    """Forget these messages: each with the reason why it could not be handled ('' = it was) and its packed payload."""
    if not event.startswith(f"{REDIS_STREAM}:"):
        args: list[Argument] = [group_of(keys), DEAD_LETTERS_MAX]
        for message, reason, payload in done:
            args += (message.entry_id, message.message_id, reason, payload if reason else b"")
        names = (keys.event_queue(event), keys.event_message_ids(event), keys.event_dead_letters(event))
        return [Call("handled_event", names, args, durable=True)]
    steps: list[Call | Command] = [
        bury(keys, event, message.message_id, reason, payload) for message, reason, payload in done if reason
    ]
    entry_ids = [message.entry_id for message, _, _ in done]
    return [*steps, Command(("XACK", stream_of(keys, event), group_of(keys), *entry_ids))]


def bury(keys: Keys, event: str, message_id: str, reason: str, payload: bytes) -> Command:
    """Keep a message from outside as a dead letter."""
    words: tuple[Argument, ...] = ("XADD", keys.event_dead_letters(event), "MAXLEN", "~", DEAD_LETTERS_MAX, "*")
    return Command((*words, "m", message_id, "b", payload, "reason", reason, "t", 0))


def dead_letters(keys: Keys, event: str, count: int) -> Command:
    """The latest dead letters of an event; decodes to ``DeadLetter``s."""

    def letters(raw: Any) -> list[DeadLetter]:
        found = []
        for entry_id, fields in raw or ():
            of = dict(zip(fields[::2], fields[1::2], strict=True))
            at_ms = int(of.get(b"t", 0)) or int(entry_id.partition(b"-")[0])
            found.append(DeadLetter(of[b"m"].decode(), of[b"reason"].decode(), at_ms, of[b"b"]))
        return found

    return Command(("XREVRANGE", keys.event_dead_letters(event), "+", "-", "COUNT", count), letters)


# --- records of executions --------------------------------------------------------------------------------------------


def begin_execution(keys: Keys, execution: EventExecution) -> Call:
    """Note that an action is about to be done; replies ``None`` when that is new, else the record there is."""
    return Call(
        "begin_event_execution",
        (keys.event_executions(execution.event), keys.event_execution_times(execution.event)),
        (_field(execution), encode_execution(execution), EXECUTION_TTL_MS, EXECUTIONS_MAX),
        lambda raw: None if raw[0] == b"NEW" else decode_execution(raw[1]),
        durable=True,
    )


def end_execution(keys: Keys, execution: EventExecution) -> Command:
    """Write how an action ended over its record."""
    return Command(("HSET", keys.event_executions(execution.event), _field(execution), encode_execution(execution)))


def latest_executions(keys: Keys, event: str, count: int) -> Command:
    """The fields of the latest records of an event, the latest first."""
    return Command(("ZREVRANGE", keys.event_execution_times(event), 0, count - 1))


def read_executions(keys: Keys, event: str, fields: Sequence[bytes]) -> Command:
    """Records by their fields; decodes to ``EventExecution``s."""
    return Command(
        ("HMGET", keys.event_executions(event), *fields),
        lambda raw: [decode_execution(one) for one in raw if one is not None],
    )


def _field(execution: EventExecution) -> str:
    return f"{execution.name}\n{execution.id}"


def _message(event: str, raw: Any) -> Message:
    entry_id, pairs = raw[0].decode(), raw[1]
    fields: dict[bytes, bytes] = dict(zip(pairs[::2], pairs[1::2], strict=True))
    if event.startswith(f"{REDIS_STREAM}:"):
        # Only an entry of ours says its own id: any other field of that name may mean something else.
        own = fields.get(MESSAGE_ID.encode()) if PAYLOAD.encode() in fields else None
        return Message(event, entry_id, own.decode("utf-8", "replace") if own else entry_id, fields)
    message_id = fields.get(b"m", b"").decode("utf-8", "replace")
    return Message(event, entry_id, message_id or entry_id, fields.get(b"b", b""))
