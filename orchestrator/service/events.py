"""Events: the handlers of an installation, publishing a message, and what was done for messages.

A handler counts within a second after it was stored: the processes that handle events look that often. The group that
keeps its messages is made here at once, so that nothing which comes meanwhile is missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from orchestrator.codec import pack, unpack
from orchestrator.engine.extras import require_javascript
from orchestrator.errors import (
    Conflict,
    DefinitionInvalid,
    InvalidRequest,
    MissingExtra,
    NotFound,
    OrchestratorError,
    Problem,
    StoreUnavailable,
)
from orchestrator.model.event_handlers import (
    EventExecution,
    EventHandler,
    event_handler_from_dict,
    event_handler_to_dict,
    validate_event_handler,
)
from orchestrator.model.sinks import CONDUCTOR, KAFKA, REDIS_STREAM, why_no_event
from orchestrator.plan import Plan
from orchestrator.scripts.checking import check_script
from orchestrator.service import tag_members
from orchestrator.service.starting import new_request_id
from orchestrator.service.tag_members import Tagged
from orchestrator.store import catalog, event_queue
from orchestrator.store.catalog import HandlerPut
from orchestrator.store.context import StoreContext
from orchestrator.store.event_queue import DeadLetter, Published

LISTED_MAX = 1_000

# --- handlers ---------------------------------------------------------------------------------------------------------


def add_handler(store: StoreContext, handler: EventHandler) -> Plan[None]:
    """Store a new event handler. Raises ``DefinitionInvalid`` with every problem, ``Conflict`` if the name is taken."""
    return _put(store, handler, "add")


def update_handler(store: StoreContext, handler: EventHandler) -> Plan[None]:
    """Replace an event handler. Raises ``DefinitionInvalid`` and ``NotFound``."""
    return _put(store, handler, "update")


def apply_handlers(store: StoreContext, handlers: Sequence[EventHandler]) -> Plan[None]:
    """Store event handlers, replacing those of the same names; nothing is stored unless all are valid.

    Example: ``executor.run(apply_handlers(store, [ship]))``
    """
    for handler in handlers:
        check(store, handler)
    for handler in handlers:
        yield from _put(store, handler, "put")


def remove_handler(store: StoreContext, name: str) -> Plan[None]:
    """Forget an event handler, with its tags. Raises ``NotFound``."""
    handler = yield from get_handler(store, name)
    yield from tag_members.forget(store, Tagged.EVENT_HANDLER, name)
    word = yield catalog.put_event_handler(store.keys, name, b"")
    if word is HandlerPut.UNKNOWN:
        raise _unknown(name)
    yield from _stop_hearing(store, handler.event)


def get_handler(store: StoreContext, name: str) -> Plan[EventHandler]:
    """One event handler by name. Raises ``NotFound``."""
    body = yield catalog.get_event_handler(store.keys, name)
    if body is None:
        raise _unknown(name)
    return read_handler(body)


def list_handlers(store: StoreContext, event: str | None = None, *, active: bool = False) -> Plan[list[EventHandler]]:
    """All event handlers by name, or those of one event, or only the active ones."""
    bodies: dict[str, bytes] = yield catalog.list_event_handlers(store.keys)
    found = [read_handler(body) for body in bodies.values()]
    return [one for one in found if event in (None, one.event) and (one.active or not active)]


def read_handler(body: bytes) -> EventHandler:
    """A stored handler, as it is."""
    return event_handler_from_dict(msgspec.json.decode(body))


def _put(store: StoreContext, handler: EventHandler, mode: str) -> Plan[None]:
    check(store, handler)
    before = yield catalog.get_event_handler(store.keys, handler.name)
    body = msgspec.json.encode(event_handler_to_dict(handler))
    word = yield catalog.put_event_handler(store.keys, handler.name, body, mode=mode)
    if word is HandlerPut.EXISTS:
        raise Conflict(
            f"EventHandler with name {handler.name} already exists! Choose another name, or replace it with: "
            "orchestrator event handler apply FILE"
        )
    if word is HandlerPut.UNKNOWN:
        raise _unknown(handler.name)
    if handler.active:
        yield from hear(store, [handler.event])
    if (
        before is not None
        and (old := read_handler(before)).active
        and not (handler.active and old.event == handler.event)
    ):
        yield from _stop_hearing(store, old.event)


def check(store: StoreContext, handler: EventHandler) -> None:
    """Raises ``DefinitionInvalid`` with everything that is wrong with an event handler, ``MissingExtra`` for what it needs."""
    problems = validate_event_handler(handler)
    if not problems:
        reason = why_out_of_reach(store, handler.event)
        if reason:
            problems.append(Problem("event", reason, handler.event))
        if handler.condition:
            if handler.language == "javascript":
                require_javascript(f"the condition of event handler {handler.name!r}")
            fault = check_script(handler.language, handler.condition)
            if fault:
                problems.append(Problem("condition", f"Expression is not well formatted: {fault}", handler.condition))
    if problems:
        raise DefinitionInvalid(f"event handler {handler.name!r}", problems)
    require_kafka([handler.event])


def why_out_of_reach(store: StoreContext, event: str) -> str | None:
    """Why an event names a key of the installation itself, which nobody may read or write by name; or None."""
    kind, _, name = event.partition(":")
    if kind == REDIS_STREAM and store.keys.is_ours(name):
        return f"the stream {name} belongs to the installation itself; use conductor:<name> or another stream"
    return None


def require_kafka(events: Iterable[str]) -> None:
    """Make sure that these events can be reached from here. Raises ``MissingExtra`` when Kafka's client is missing."""
    from importlib.util import find_spec

    if any(event.startswith(f"{KAFKA}:") for event in events) and find_spec("aiokafka") is None:
        raise MissingExtra("an event of Kafka", "kafka")


def _unknown(name: str) -> NotFound:
    return NotFound(f"EventHandler with name {name} not found! List them with: orchestrator event handler list")


# --- listening --------------------------------------------------------------------------------------------------------


def hear(store: StoreContext, events: Sequence[str]) -> Plan[None]:
    """Make the groups of these events where they are missing, so that their messages are kept for us."""
    steps = [
        event_queue.hear_foreign(store.keys, event)
        if event.startswith(REDIS_STREAM)
        else event_queue.hear(store.keys, event)
        for event in events
        if not event.startswith(f"{KAFKA}:")
    ]
    replies = (yield steps) if steps else []
    for reply in replies:
        if isinstance(reply, Exception) and "BUSYGROUP" not in str(reply):
            raise reply


def _stop_hearing(store: StoreContext, event: str) -> Plan[None]:
    """Give up an event's group when no active handler needs it any more.

    A stream of the user's keeps its place until its last handler is gone: one that is only switched off goes on there.
    """
    others = yield from list_handlers(store, event)
    if any(one.active or event.startswith(REDIS_STREAM) for one in others) or event.startswith(f"{KAFKA}:"):
        return
    replies = yield event_queue.unhear(store.keys, event)
    for reply in replies:
        # There is nothing to give up when the stream is gone.
        if (
            isinstance(reply, Exception)
            and "key to exist" not in str(reply)
            and "no such key" not in str(reply).lower()
        ):
            raise reply


# --- messages ---------------------------------------------------------------------------------------------------------


def publish(store: StoreContext, event: str, payload: Any, *, message_id: str | None = None) -> Plan[str]:
    """Put a message where the handlers of ``event`` find it; gives its id.

    Repeated with the same id it is handled once. Raises ``InvalidRequest`` for an event that cannot be published to from
    here, ``InvalidPayload``, and ``StoreUnavailable`` when the queue is full.
    Example: ``executor.run(publish(store, "conductor:order:paid", {"orderId": "7"}))``
    """
    reason = why_no_event(event) or why_out_of_reach(store, event)
    if reason:
        raise InvalidRequest(f"cannot publish to {event!r}: {reason}")
    chosen = message_id or new_request_id()
    packed = pack(payload, "payload", store.settings.payload_bytes_max)
    kind = event.partition(":")[0]
    if kind == REDIS_STREAM:
        yield event_queue.append_foreign(event, chosen, msgspec.json.encode(payload).decode())
    elif kind == CONDUCTOR:
        published: Published = yield event_queue.publish(store.keys, event, chosen, packed)
        if published.word == "FULL":
            raise StoreUnavailable(
                f"the queue {event} is full: {event_queue.LENGTH_MAX:,} messages wait for its handlers; repeat later"
            )
    else:
        raise InvalidRequest(
            f"{event}: messages of Kafka are published by a task of type EVENT, or with Kafka's own tools"
        )
    return chosen


def executions(
    store: StoreContext, handler: str | None = None, *, event: str | None = None, size: int = 100
) -> Plan[list[EventExecution]]:
    """What was done for messages, the latest first: of one handler, of one event, or of all handlers.

    Example: ``executor.run(executions(store, "ship"))[0].status``
    """
    events = [event] if event is not None else []
    if event is None:
        handlers = yield from list_handlers(store)
        events = sorted({one.event for one in handlers if handler in (None, one.name)})
    found: list[EventExecution] = []
    for one in events:
        fields: list[bytes] = yield event_queue.latest_executions(store.keys, one, LISTED_MAX)
        wanted = [name for name in fields if handler is None or name.startswith(f"{handler}\n".encode())][:size]
        if wanted:
            found += yield event_queue.read_executions(store.keys, one, wanted)
    return sorted(found, key=lambda one: one.created, reverse=True)[:size]


def dead_letters(store: StoreContext, event: str, *, size: int = 100) -> Plan[list[DeadLetter]]:
    """Messages of an event that could not be handled, the latest first, each with the reason."""
    found: list[DeadLetter] = yield event_queue.dead_letters(store.keys, event, size)
    return found


def payload_of(letter: DeadLetter) -> Any:
    """The payload of a dead letter as a value, or its text when it cannot be read."""
    try:
        return unpack(letter.payload)
    except OrchestratorError:
        return letter.payload.decode("utf-8", "replace")
