"""Event handlers in the catalog: judged before they are stored, found by name, heard from that moment on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.errors import Conflict, DefinitionInvalid, InvalidRequest, NotFound, StoreUnavailable
from orchestrator.model.event_handlers import EventHandler, event_handler_from_dict, event_handler_to_dict
from orchestrator.plan import Command
from orchestrator.service import events
from orchestrator.settings import Settings
from orchestrator.store import event_queue
from orchestrator.store.connection import connect
from orchestrator.store.context import StoreContext
from orchestrator.store.executors import SyncExecutor


@pytest.fixture
def store() -> StoreContext:
    """The names of the default installation."""
    return StoreContext(Settings())


@pytest.fixture
def executor(store_url: str) -> Iterator[SyncExecutor]:
    """An empty store, once per backend."""
    connection = connect(store_url)
    yield connection.sync()
    connection.close()


def document(name: str = "ship", event: str = "conductor:order:paid", **fields: Any) -> dict[str, Any]:
    start = {"action": "start_workflow", "start_workflow": {"name": "shipping", "input": {"id": "${order.id}"}}}
    return {"name": name, "event": event, "active": True, "actions": [start], **fields}


def handler(name: str = "ship", event: str = "conductor:order:paid", **fields: Any) -> EventHandler:
    return event_handler_from_dict(document(name, event, **fields))


# --- the document -----------------------------------------------------------------------------------------------------


def test_a_handler_comes_back_as_it_was_written() -> None:
    actions: list[dict[str, Any]] = [
        {"action": "start_workflow", "start_workflow": {"name": "a", "version": 2, "input": {}, "taskToDomain": {}}},
        {"action": "complete_task", "complete_task": {"taskId": "t", "output": {"a": 1}}, "expandInlineJSON": True},
        {"action": "fail_task", "fail_task": {"workflowId": "w", "taskRefName": "r", "output": {}}},
        {"action": "terminate_workflow", "terminate_workflow": {"workflowId": "w", "terminationReason": "no"}},
        {
            "action": "update_workflow_variables",
            "update_workflow_variables": {"workflowId": "w", "variables": {"a": 1}, "appendArray": True},
        },
    ]
    actions = [{"expandInlineJSON": False, **action} for action in actions]
    written = {**document(actions=actions), "condition": "$.a > 1", "evaluatorType": "javascript"}
    assert event_handler_to_dict(event_handler_from_dict(written)) == written


def test_a_handler_is_off_unless_it_says_otherwise() -> None:
    given = document()
    del given["active"]
    assert not event_handler_from_dict(given).active


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"name": ""}, "name", "Missing event handler name"),
        ({"event": None}, "event", "Missing event location"),
        ({"actions": []}, "actions", "No actions specified. Please specify at-least one action"),
        ({"event": "orders"}, "event", "Illegal event orders"),
        ({"event": "sqs:orders"}, "event", "Unknown queue type sqs; there are conductor, redis_stream, kafka"),
        ({"actions": "all"}, "actions", "must be a list"),
        ({"actions": [{"action": "start_agent"}]}, "actions[0].action", "must be one of start_workflow, complete_task"),
        ({"actions": [{"action": []}]}, "actions[0].action", "must be one of start_workflow, complete_task"),
        ({"actions": [{"action": "start_workflow"}]}, "actions[0].start_workflow.name", "must be named"),
        (
            {"actions": [{"action": "fail_task", "fail_task": {"workflowId": "w"}}]},
            "actions[0].fail_task.taskId",
            "taskRef",
        ),
        ({"actions": [{"action": "terminate_workflow"}]}, "actions[0].terminate_workflow.workflowId", "must be named"),
        (
            {"actions": [{"action": "complete_task", "complete_task": {"taskId": "t", "output": "x"}}]},
            "actions[0].complete_task.output",
            "must be an object",
        ),
    ],
)
def test_a_handler_that_cannot_work_is_refused_with_the_place(change: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(DefinitionInvalid) as refused:
        event_handler_from_dict({**document(), **change})
    assert [(one.path, message in one.message) for one in refused.value.problems] == [(path, True)]


# --- the catalog ------------------------------------------------------------------------------------------------------


def test_handlers_are_added_once_replaced_and_removed(executor: SyncExecutor, store: StoreContext) -> None:
    with pytest.raises(NotFound):
        executor.run(events.update_handler(store, handler()))
    executor.run(events.add_handler(store, handler()))
    with pytest.raises(Conflict, match="already exists"):
        executor.run(events.add_handler(store, handler(description="another")))
    executor.run(events.update_handler(store, handler(description="another")))
    assert executor.run(events.get_handler(store, "ship")).description == "another"
    executor.run(events.apply_handlers(store, [handler("bill", "conductor:order:sent", active=False)]))
    assert [one.name for one in executor.run(events.list_handlers(store))] == ["bill", "ship"]
    assert [one.name for one in executor.run(events.list_handlers(store, active=True))] == ["ship"]
    assert [one.name for one in executor.run(events.list_handlers(store, "conductor:order:sent"))] == ["bill"]
    executor.run(events.remove_handler(store, "ship"))
    for verb in (events.get_handler, events.remove_handler):
        with pytest.raises(NotFound, match="EventHandler with name ship not found"):
            executor.run(verb(store, "ship"))


def test_nothing_is_stored_when_one_of_several_is_wrong(executor: SyncExecutor, store: StoreContext) -> None:
    with pytest.raises(DefinitionInvalid, match="at-least one action"):
        executor.run(events.apply_handlers(store, [handler(), EventHandler(name="x", event="conductor:a")]))
    assert executor.run(events.list_handlers(store)) == []


def test_nobody_may_name_a_key_of_the_installation(executor: SyncExecutor, store: StoreContext) -> None:
    stream = store.keys.inbox(0)
    with pytest.raises(DefinitionInvalid, match="belongs to the installation itself"):
        executor.run(events.add_handler(store, handler(event=f"redis_stream:{stream}")))
    with pytest.raises(InvalidRequest, match="belongs to the installation itself"):
        executor.run(events.publish(store, f"redis_stream:{stream}", {}))


# --- messages ---------------------------------------------------------------------------------------------------------


def test_a_message_is_kept_once_per_id(executor: SyncExecutor, store: StoreContext) -> None:
    event = "conductor:order:paid"
    assert executor.run(events.publish(store, event, {"a": 1}, message_id="m1")) == "m1"
    executor.run(events.publish(store, event, {"a": 1}, message_id="m1"))
    executor.run(events.publish(store, event, {"a": 2}))
    assert executor.do(Command(("XLEN", store.keys.event_queue(event)))) == 2


def test_a_queue_that_nobody_hears_drops_its_oldest_and_one_that_is_heard_refuses_more(
    executor: SyncExecutor, store: StoreContext
) -> None:
    keys, event = store.keys, "conductor:order:paid"
    for number in range(4):
        word = executor.do(event_queue.publish(keys, event, f"m{number}", b"\x80", length_max=3)).word
        assert word == "OK"
    assert executor.do(Command(("HKEYS", keys.event_message_ids(event)))) == [b"m1", b"m2", b"m3"]
    assert executor.do(Command(("PTTL", keys.event_queue(event)))) > 0
    executor.run(events.add_handler(store, handler(event=event)))
    assert executor.do(Command(("PTTL", keys.event_queue(event)))) == -1
    assert executor.do(event_queue.publish(keys, event, "m4", b"\x80", length_max=3)).word == "FULL"
    assert executor.do(event_queue.publish(keys, event, "m3", b"\x80", length_max=3)).word == "SAME"
    executor.run(events.remove_handler(store, "ship"))
    assert executor.do(event_queue.publish(keys, event, "m5", b"\x80", length_max=3)).word == "OK"
    assert executor.do(Command(("PTTL", keys.event_queue(event)))) > 0


def test_a_full_queue_says_so(executor: SyncExecutor, store: StoreContext, monkeypatch: pytest.MonkeyPatch) -> None:
    executor.run(events.add_handler(store, handler()))
    monkeypatch.setattr(event_queue.publish, "__defaults__", (1,))
    executor.run(events.publish(store, "conductor:order:paid", {}))
    with pytest.raises(StoreUnavailable, match="is full"):
        executor.run(events.publish(store, "conductor:order:paid", {}))


def test_a_stream_of_the_users_gets_the_message_with_its_id(executor: SyncExecutor, store: StoreContext) -> None:
    executor.run(events.publish(store, "redis_stream:orders", {"a": [1]}, message_id="m1"))
    ((_, fields),) = executor.do(Command(("XRANGE", "orders", "-", "+")))
    told = dict(zip(fields[::2], fields[1::2], strict=True))
    assert told == {b"message_id": b"m1", b"event": b"redis_stream:orders", b"payload": b'{"a":[1]}'}


@pytest.mark.parametrize("event", ["orders", "sqs:orders", "kafka:orders", "conductor:"])
def test_what_cannot_be_published_to_is_refused(executor: SyncExecutor, store: StoreContext, event: str) -> None:
    with pytest.raises(InvalidRequest):
        executor.run(events.publish(store, event, {}))
