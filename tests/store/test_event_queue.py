"""The scripts of an event's slot: what each gives, and that one which is refused has written nothing."""

from __future__ import annotations

import pytest

from orchestrator.errors import StoreRefused
from orchestrator.model.event_handlers import EventExecution
from orchestrator.plan import Call, Command
from orchestrator.store import catalog, event_queue
from orchestrator.store.event_queue import Message
from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys

EVENT = "conductor:order:paid"


def execution(number: int = 0) -> EventExecution:
    return EventExecution(id=f"m1_{number}", message_id="m1", name="h", event=EVENT, created=1)


def calls(keys: Keys) -> dict[str, Call]:
    """One call of every script."""
    handled = event_queue.handled(keys, EVENT, [(Message(EVENT, "1-1", "m1", b""), "broken", b"\x80")])[0]
    assert isinstance(handled, Call)
    return {
        "publish": event_queue.publish(keys, EVENT, "m2", b"\x80"),
        "hear": event_queue.hear(keys, EVENT),
        "handled": handled,
        "begin": event_queue.begin_execution(keys, execution()),
        "put_handler": catalog.put_event_handler(keys, "h", b"new"),
    }


PLACES = [(name, index) for name, call in calls(Keys()).items() for index in range(len(call.keys))]


@pytest.mark.parametrize(("name", "index"), PLACES)
def test_a_key_of_a_wrong_type_is_refused_and_nothing_is_written(
    store: SyncExecutor, keys: Keys, name: str, index: int
) -> None:
    call = calls(keys)[name]
    store.do(event_queue.publish(keys, EVENT, "m1", b"\x80"))
    store.do(catalog.put_event_handler(keys, "h", b"one"))
    store.do([Command(("DEL", call.keys[index])), Command(("RPUSH", call.keys[index], "of another program"))])
    others = [key for key in call.keys if key != call.keys[index]]
    before = store.do([Command(("DUMP", key)) for key in others]) if others else []
    (reply,) = store.do([call])
    assert isinstance(reply, StoreRefused)
    assert (store.do([Command(("DUMP", key)) for key in others]) if others else []) == before


def test_a_message_that_was_handled_is_gone_and_may_come_again(store: SyncExecutor, keys: Keys) -> None:
    store.do(event_queue.hear(keys, EVENT))
    for _ in range(2):
        assert store.do(event_queue.publish(keys, EVENT, "m1", b"\x80")).word == "OK"
        (message,) = store.do(event_queue.read(keys, [EVENT], "p1", 10))
        assert store.do(event_queue.handled(keys, EVENT, [(message, "", b"")])[0]) == 1
        assert store.do(event_queue.handled(keys, EVENT, [(message, "", b"")])[0]) == 0
    assert store.do(event_queue.idle(keys, EVENT, 0, 10)) == {}
    assert store.do(event_queue.dead_letters(keys, EVENT, 10)) == []


def test_an_execution_is_begun_once(store: SyncExecutor, keys: Keys) -> None:
    assert store.do(event_queue.begin_execution(keys, execution())) is None
    assert store.do(event_queue.begin_execution(keys, execution())) == execution()


def test_a_message_in_hand_that_is_kept_is_not_idle(store: SyncExecutor, keys: Keys) -> None:
    store.do(event_queue.hear(keys, EVENT))
    store.do(event_queue.publish(keys, EVENT, "m1", b"\x80"))
    (message,) = store.do(event_queue.read(keys, [EVENT], "p1", 10))
    assert store.do(event_queue.idle(keys, EVENT, 0, 10)) == {message.entry_id: 1}
    store.do(event_queue.keep(keys, EVENT, "p1", [message.entry_id]))
    assert store.do(event_queue.idle(keys, EVENT, 0, 10)) == {message.entry_id: 1}  # keeping it is no delivery
    assert store.do(event_queue.take_over(keys, EVENT, "p2", 60_000, [message.entry_id])) == []
