"""What a message does: five actions, conditions, one effect each however often it is delivered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator import Workflow, task
from orchestrator.client import Client
from orchestrator.engine import extras
from orchestrator.errors import DefinitionInvalid, MissingExtra
from orchestrator.events.processor import DELIVERIES_MAX, Processor, Verdict
from orchestrator.events.sources import read_idle, read_new, settle
from orchestrator.model.definitions import WorkflowDef, WorkflowTask
from orchestrator.model.evaluation import Evaluation
from orchestrator.model.event_handlers import EventExecution, event_handler_from_dict
from orchestrator.plan import Command, Plan
from orchestrator.service import events
from orchestrator.store import event_queue
from orchestrator.store.event_queue import Message
from orchestrator.testing import Environment, environment

EVENT = "conductor:order:paid"


@task
def greet(name: str) -> str:
    return f"Hello, {name}"


greeting = Workflow("greeting").then(greet, name="${workflow.input.name}")

waiting = WorkflowDef(name="waiting", tasks=[WorkflowTask(name="w", task_reference_name="w", type="WAIT")])


def condition(language: str, script: str, document: Any, /, *, now_ms: int, seed: str) -> Evaluation:
    """A stand-in for a script engine: the name of a key of the payload."""
    return Evaluation(error=f"{language}: broken") if script == "broken" else Evaluation(document[script])


class Scene:
    """An installation, its handlers, and a process that reads and handles by hand."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        self.client: Client = env.client
        self.processor = Processor(env.store, condition, env.clock)

    def on(self, *actions: dict[str, Any], name: str = "h", event: str = EVENT, **fields: Any) -> None:
        document = {"name": name, "event": event, "active": True, "actions": list(actions), **fields}
        self.client.run(events.apply_handlers(self.env.store, [event_handler_from_dict(document)]))

    def publish(self, payload: Any, message_id: str = "m1", event: str = EVENT) -> None:
        self.client.run(events.publish(self.env.store, event, payload, message_id=message_id))

    def read(self) -> list[Message]:
        self.client.run(self.processor.refresh())
        return self.client.run(read_new(self.env.store, self.processor.events, "p1")).messages

    def handle(self, messages: list[Message] | None = None) -> int:
        found = self.read() if messages is None else messages
        for message in found:
            self.client.run(self._whole(message))
        return len(found)

    def _whole(self, message: Message) -> Plan[None]:
        yield from settle(self.env.store, message, (yield from self.handling(message)))

    def handling(self, message: Message) -> Plan[Verdict]:
        return self.processor.handle(message, self.processor.judge(message))

    def executions(self, name: str = "h") -> list[EventExecution]:
        return self.client.run(events.executions(self.env.store, name))

    def left(self, event: str = EVENT) -> int:
        found: int = self.client.connection.sync().do(Command(("XLEN", self.env.store.keys.event_queue(event))))
        return found


@pytest.fixture
def scene() -> Iterator[Scene]:
    """An installation that knows two workflows."""
    with environment([greet]) as env:
        env.client.register(greeting, waiting)
        yield Scene(env)


def start(**fields: Any) -> dict[str, Any]:
    detail = {"name": "greeting", "input": {"name": "${order.by}"}, **fields}
    return {"action": "start_workflow", "start_workflow": detail}


def on_task(action: str, **detail: Any) -> dict[str, Any]:
    return {"action": action, action: detail}


# --- starting ---------------------------------------------------------------------------------------------------------


def test_a_message_starts_a_workflow_with_what_it_says(scene: Scene) -> None:
    scene.on(start(correlationId="${order.id}", input={"name": "${$.order.by}", "all": "${$}", "n": "${order.id}"}))
    scene.publish({"order": {"by": "Ada", "id": 7}})
    assert scene.handle() == 1
    (execution,) = scene.executions()
    assert (execution.id, execution.status, execution.action) == ("m1_0", "COMPLETED", "start_workflow")
    found = scene.client.workflow(execution.output["workflowId"]).describe()
    assert found.input == {
        "name": "Ada",
        "n": 7,
        "all": {"order": {"by": "Ada", "id": 7}},
        "conductor.event.messageId": "m1",
        "conductor.event.name": EVENT,
    }
    assert (found.correlation_id, found.event) == ("7", EVENT)
    assert scene.client.workflow(found.workflow_id).result() == {"result": "Hello, Ada"}
    assert scene.left() == 0


def test_a_workflow_is_started_once_although_the_message_is_delivered_again(scene: Scene) -> None:
    scene.on(start())
    scene.publish({"order": {"by": "Ada"}})
    messages = scene.read()
    for message in messages:
        scene.client.run(scene.handling(message))  # and the process dies before it says so
    scene.handle(messages)
    scene.publish({"order": {"by": "Ada"}})  # the publisher did not hear that it was taken
    assert scene.handle() == 1
    assert scene.client.list_workflows(name="greeting").total == 1
    assert len(scene.executions()) == 1


def test_a_crash_between_the_effect_and_its_record_does_not_double_it(scene: Scene) -> None:
    scene.on(start())
    scene.publish({"order": {"by": "Ada"}})
    (message,) = scene.read()
    handling = scene.handling(message)
    client, store = scene.client, scene.env.store
    step = next(handling)
    while not (isinstance(step, Command) and step.words[0] == "HSET"):  # the record of the end
        step = handling.send(client.connection.sync().do(step))
    handling.close()
    (execution,) = scene.executions()
    assert execution.status == "IN_PROGRESS"
    scene.handle([message])
    assert client.list_workflows(name="greeting").total == 1
    assert client.run(events.executions(store, "h"))[0].status == "COMPLETED"


def test_two_handlers_and_two_actions_each_do_their_own(scene: Scene) -> None:
    scene.on(start(), start(), name="one")
    scene.on(start(), name="two")
    scene.publish({"order": {"by": "Ada"}})
    scene.handle()
    assert scene.client.list_workflows(name="greeting").total == 3
    assert sorted(one.id for one in scene.executions("one")) == ["m1_0", "m1_1"]


def test_a_workflow_that_does_not_exist_fails_the_execution_and_not_the_others(scene: Scene) -> None:
    scene.on(start(name="nothing"), start())
    scene.publish({"order": {"by": "Ada"}})
    scene.handle()
    by_id = {one.id: one for one in scene.executions()}
    assert by_id["m1_0"].status == "FAILED"
    assert "No such workflow defined. name=nothing" in by_id["m1_0"].output["exception"]
    assert by_id["m1_1"].status == "COMPLETED"
    assert scene.left() == 0


def test_the_domains_of_a_start_come_from_the_action_or_from_the_message(scene: Scene) -> None:
    scene.on(start())
    scene.publish({"order": {"by": "Ada"}, "taskToDomain": {"greet": "eu"}})
    scene.handle()
    workflow_id = scene.executions()[0].output["workflowId"]
    assert scene.client.workflow(workflow_id).describe().task_to_domain == {"greet": "eu"}


# --- tasks ------------------------------------------------------------------------------------------------------------


def test_a_message_completes_a_task_found_by_its_reference(scene: Scene) -> None:
    handle = scene.client.start_workflow("waiting")
    scene.on(on_task("complete_task", workflowId="${id}", taskRefName="w", output={"by": "${who}"}))
    scene.publish({"id": handle.id, "who": "Ada"})
    scene.handle()
    told = {
        "workflowId": handle.id,
        "taskRefName": "w",
        "by": "Ada",
        "conductor.event.messageId": "m1",
        "conductor.event.name": EVENT,
    }
    assert handle.status() == "COMPLETED"
    assert handle.describe().task("w").output_data == told
    assert scene.executions()[0].output == told


def test_a_message_fails_a_task_found_by_its_id(scene: Scene) -> None:
    handle = scene.client.start_workflow("waiting")
    task_id = handle.describe().task("w").task_id
    scene.on(on_task("fail_task", taskId="${task}", reasonForIncompletion="because of ${why}"))
    scene.publish({"task": task_id, "why": {"a": 1}})
    scene.handle()
    assert handle.status() == "FAILED"
    assert handle.describe().task("w").reason_for_incompletion == 'because of {"a":1}'


@pytest.mark.parametrize(
    "detail",
    [
        {"taskId": "${nothing}"},
        {"workflowId": "no-such-workflow", "taskRefName": "w"},
        {"taskId": "no-such-workflow-aaaaaaaaaaaa"},
        {"taskId": "short"},
    ],
)
def test_a_task_that_is_not_there_is_said_in_the_output(scene: Scene, detail: dict[str, Any]) -> None:
    scene.on(on_task("complete_task", **detail))
    scene.publish({})
    scene.handle()
    (execution,) = scene.executions()
    assert (execution.status, execution.output["error"][:13]) == ("COMPLETED", "No task found")


def test_a_second_delivery_completes_the_same_task_and_not_the_next_of_its_kind(scene: Scene) -> None:
    """Between the two deliveries the task has been completed and tried again: the new attempt is none of our business."""
    retried = WorkflowDef(
        name="retried",
        tasks=[
            WorkflowTask(name="w", task_reference_name="w", type="WAIT"),
            WorkflowTask(name="w", task_reference_name="w2", type="WAIT"),
        ],
    )
    scene.client.register(retried)
    handle = scene.client.start_workflow("retried")
    scene.on(on_task("complete_task", workflowId="${id}", taskRefName="w"))
    scene.publish({"id": handle.id})
    (message,) = scene.read()
    handling = scene.handling(message)
    step = next(handling)
    executor = scene.client.connection.sync()
    while not (isinstance(step, Command) and step.words[0] == "HSET"):
        step = handling.send(executor.do(step))
    handling.close()
    scene.env.decide()
    scene.handle([message])
    assert scene.executions()[0].status == "COMPLETED"
    assert "error" not in scene.executions()[0].output
    assert handle.describe().task("w2").status == "IN_PROGRESS"


# --- workflows --------------------------------------------------------------------------------------------------------


def test_a_message_terminates_a_workflow(scene: Scene) -> None:
    handle = scene.client.start_workflow("waiting")
    scene.on(
        {"action": "terminate_workflow", "terminate_workflow": {"workflowId": "${id}", "terminationReason": "${why}"}}
    )
    scene.publish({"id": handle.id, "why": "enough"})
    scene.handle()
    found = handle.describe()
    assert (found.status, found.reason_for_incompletion) == ("TERMINATED", "enough")
    assert scene.executions()[0].output == {"workflowId": handle.id}


def test_a_workflow_that_cannot_be_terminated_fails_the_execution(scene: Scene) -> None:
    scene.on({"action": "terminate_workflow", "terminate_workflow": {"workflowId": "${id}"}})
    scene.publish({"id": "no-such-workflow"})
    scene.handle()
    (execution,) = scene.executions()
    assert execution.status == "FAILED"
    assert "No such workflow found by id" in execution.output["exception"]


def update(**detail: Any) -> dict[str, Any]:
    return {"action": "update_workflow_variables", "update_workflow_variables": {"workflowId": "${id}", **detail}}


def test_a_message_changes_the_variables_of_a_workflow_once(scene: Scene) -> None:
    handle = scene.client.start_workflow("waiting")
    scene.on(update(variables={"seen": ["${order.id}"], "by": "${by}"}, appendArray=True))
    for number, message_id in enumerate(("m1", "m2")):
        scene.publish({"id": handle.id, "order": {"id": number}, "by": "Ada"}, message_id)
        (message,) = scene.read()
        handling = scene.handling(message)
        step = next(handling)
        scene.client.run(_until_the_end_is_recorded(handling, step))  # and the process dies
        scene.handle([message])
    assert handle.describe().variables == {"seen": [0, 1], "by": "Ada"}
    assert scene.executions()[0].output == {"workflowId": handle.id}
    scene.on(update(variables={"seen": ["last"]}))
    scene.publish({"id": handle.id}, "m3")
    scene.handle()
    assert handle.describe().variables == {"seen": ["last"], "by": "Ada"}


def _until_the_end_is_recorded(handling: Any, step: Any) -> Plan[None]:
    while not (isinstance(step, Command) and step.words[0] == "HSET"):
        step = handling.send((yield step))
    handling.close()


def test_the_variables_of_a_workflow_that_has_ended_cannot_be_changed(scene: Scene) -> None:
    handle = scene.client.start_workflow("waiting")
    handle.terminate("enough")
    scene.on(update(variables={"a": 1}))
    scene.publish({"id": handle.id})
    scene.handle()
    (execution,) = scene.executions()
    assert execution.status == "FAILED"
    assert "variables cannot be changed" in execution.output["exception"]


# --- conditions and payloads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (True, "COMPLETED"),
        (1, "COMPLETED"),
        (0.5, "COMPLETED"),
        (False, "SKIPPED"),
        (0, "SKIPPED"),
        ("yes", "SKIPPED"),
        (None, "SKIPPED"),
        ({"a": 1}, "SKIPPED"),
    ],
)
def test_only_what_is_true_or_above_zero_meets_a_condition(scene: Scene, value: Any, status: str) -> None:
    scene.on(start(), condition="ok")
    scene.publish({"ok": value, "order": {"by": "Ada"}})
    scene.handle()
    (execution,) = scene.executions()
    assert (execution.id, execution.status) == ("m1_0", status)
    if status == "SKIPPED":
        assert execution.output == {"msg": {"ok": value, "order": {"by": "Ada"}}, "condition": "ok"}


def test_a_condition_sees_json_inside_texts_opened(scene: Scene) -> None:
    scene.on(start(), condition="ok")
    scene.publish('{"ok": true, "order": {"by": "Ada"}}')
    scene.handle()
    assert scene.executions()[0].status == "COMPLETED"


def test_a_broken_condition_keeps_the_message_as_a_dead_letter(scene: Scene) -> None:
    scene.on(start(), condition="broken", evaluatorType="python", name="bad")
    scene.on(start(), name="good")
    scene.publish({"order": {"by": "Ada"}})
    scene.handle()
    assert (scene.executions("bad")[0].status, scene.executions("good")[0].status) == ("FAILED", "COMPLETED")
    (letter,) = scene.client.run(events.dead_letters(scene.env.store, EVENT))
    assert (letter.message_id, letter.reason) == ("m1", "handler bad: python: broken")
    assert events.payload_of(letter) == {"order": {"by": "Ada"}}
    assert scene.left() == 0


def test_json_inside_texts_is_opened_for_an_action_that_says_so(scene: Scene) -> None:
    opened = {**start(input={"name": "${order.by}"}), "expandInlineJSON": True}
    scene.on(opened, start(input={"name": "${order.by}"}))
    scene.publish({"order": '{"by": "Ada"}'})
    scene.handle()
    outputs = {one.id: one.output["workflowId"] for one in scene.executions()}
    inputs = [scene.client.workflow(outputs[name]).describe().input["name"] for name in ("m1_0", "m1_1")]
    assert inputs == ["Ada", None]


ADA = {"order": {"by": "Ada"}, "total": 3}


@pytest.mark.parametrize(
    ("condition", "kind", "status"),
    [
        ("$.total > 2", None, "COMPLETED"),
        ("$.total > 3", "javascript", "SKIPPED"),
        ("$.total", "graaljs", "COMPLETED"),
        ("'yes'", "javascript", "SKIPPED"),
        ("$.order.by == 'Ada'", "of an engine nobody has", "COMPLETED"),
        ("return total > 2", "python", "COMPLETED"),
        ("while (true) {}", "javascript", "FAILED"),
        ("$.a.b.c", "javascript", "FAILED"),
    ],
)
def test_conditions_are_scripts(condition: str, kind: str | None, status: str) -> None:
    with environment([greet]) as env:
        env.client.register(greeting)
        document = {"name": "h", "event": EVENT, "active": True, "actions": [start()], "condition": condition}
        env.client.apply_event_handlers(event_handler_from_dict({**document, "evaluatorType": kind}))
        env.client.publish_event(EVENT, ADA)
        env.drain()
        assert [one.status for one in env.client.event_executions("h")] == [status]


def test_a_condition_in_no_language_is_refused_when_it_is_registered(scene: Scene) -> None:
    with pytest.raises(DefinitionInvalid, match="Expression is not well formatted"):
        scene.on(start(), condition="$.a >")
    with pytest.raises(DefinitionInvalid, match="Expression is not well formatted"):
        scene.on(start(), condition="import os", evaluatorType="python")


def test_javascript_without_its_engine_is_refused_with_the_line_that_installs_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "JAVASCRIPT", ("no_such_module", "js"))
    with pytest.raises(MissingExtra, match=r"pip install 'redis-orchestrator\[js\]'"):
        scene.on(start(), condition="$.a > 1")


# --- mishaps ----------------------------------------------------------------------------------------------------------


def test_what_fails_only_for_now_stays_and_is_a_dead_letter_in_the_end(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*arguments: Any, **options: Any) -> Plan[Any]:
        from orchestrator.errors import OutcomeUnknown

        raise OutcomeUnknown("nobody answered")
        yield

    monkeypatch.setattr("orchestrator.service.actions.terminate", away)
    scene.on({"action": "terminate_workflow", "terminate_workflow": {"workflowId": "w"}})
    scene.publish({})
    (message,) = scene.read()
    scene.handle([message])
    assert scene.left() == 1
    assert scene.executions()[0].status == "IN_PROGRESS"
    scene.handle([message._replace(deliveries=DELIVERIES_MAX)])
    assert scene.left() == 0
    assert (scene.executions()[0].status, scene.executions()[0].output) == (
        "FAILED",
        {"exception": "OutcomeUnknown: nobody answered"},
    )
    (letter,) = scene.client.run(events.dead_letters(scene.env.store, EVENT))
    assert letter.reason == "handler h, action 0: nobody answered"


def test_a_message_that_processes_die_on_is_put_aside(scene: Scene) -> None:
    scene.on(start())
    scene.publish({"order": {"by": "Ada"}})
    (message,) = scene.read()
    scene.handle([message._replace(deliveries=DELIVERIES_MAX + 1)])
    (letter,) = scene.client.run(events.dead_letters(scene.env.store, EVENT))
    assert "ended 10 times" in letter.reason
    assert scene.client.list_workflows(name="greeting").total == 0


def test_a_message_that_cannot_be_read_is_put_aside(scene: Scene) -> None:
    scene.on(start())
    scene.client.connection.sync().do(
        Command(("XADD", scene.env.store.keys.event_queue(EVENT), "*", "m", "m1", "b", b"\xc1"))
    )
    assert scene.handle() == 1
    (letter,) = scene.client.run(events.dead_letters(scene.env.store, EVENT))
    assert "cannot be read" in letter.reason
    assert scene.left() == 0


def test_a_message_of_a_dead_reader_is_taken_over_once(scene: Scene) -> None:
    scene.on(start())
    scene.publish({"order": {"by": "Ada"}})
    assert len(scene.read()) == 1
    store, run = scene.env.store, scene.client.run
    assert run(read_idle(store, [EVENT], "p2")) == []  # its reader may still be at it
    (taken,) = run(read_idle(store, [EVENT], "p2", idle_ms=0))
    assert (taken.message_id, taken.deliveries) == ("m1", 2)
    scene.handle([taken])
    assert run(read_idle(store, [EVENT], "p3", idle_ms=0)) == []
    assert scene.client.list_workflows(name="greeting").total == 1


# --- handlers that come and go ----------------------------------------------------------------------------------------


def test_a_handler_that_is_switched_off_does_nothing(scene: Scene) -> None:
    scene.on(start())
    assert scene.read() == []
    scene.on(start(), active=False)
    assert scene.client.run(read_new(scene.env.store, [EVENT], "p1")).gone == [EVENT]
    scene.publish({"order": {"by": "Ada"}})
    assert scene.read() == []
    assert scene.processor.events == []
    scene.on(start())  # what came meanwhile has waited
    assert scene.handle() == 1
    assert scene.client.list_workflows(name="greeting").total == 1


def test_a_message_that_was_read_when_its_handler_was_switched_off_waits(scene: Scene) -> None:
    scene.on(start())
    scene.publish({"order": {"by": "Ada"}})
    (message,) = scene.read()
    scene.on(start(), active=False)
    scene.client.run(scene.processor.refresh())
    scene.handle([message])
    assert scene.left() == 1
    assert scene.executions() == []


def test_readers_that_are_gone_are_forgotten_unless_they_have_something_in_hand(scene: Scene) -> None:
    scene.on(start())
    keys, executor = scene.env.store.keys, scene.client.connection.sync()
    scene.publish({"order": {"by": "Ada"}})
    (message,) = scene.read()
    assert executor.do(event_queue.sweep_readers(keys, EVENT, 0)) == 0
    scene.handle([message])
    assert executor.do(event_queue.sweep_readers(keys, EVENT, 60_000)) == 0
    assert executor.do(event_queue.sweep_readers(keys, EVENT, 0, "another")) == 0
    assert executor.do(event_queue.sweep_readers(keys, EVENT, 0, "p1")) == 1


def test_a_stream_of_the_users_is_read_from_the_moment_of_registration(scene: Scene) -> None:
    event, executor = "redis_stream:orders", scene.client.connection.sync()
    executor.do(Command(("XADD", "orders", "*", "by", "too early")))
    scene.on(start(input={"name": "${by}"}), event=event)
    entry_id = executor.do(Command(("XADD", "orders", "*", "by", "Ada", "payload_kind", "x"))).decode()
    scene.publish({"by": "Eve"}, "m9", event)
    assert scene.handle() == 2
    names = {
        one.message_id: scene.client.workflow(one.output["workflowId"]).describe().input["name"]
        for one in scene.executions()
    }
    assert names == {entry_id: "Ada", "m9": "Eve"}
    assert executor.do(Command(("XLEN", "orders"))) == 3  # it is not ours to shorten
    assert scene.client.run(read_idle(scene.env.store, [event], "p2", idle_ms=0)) == []


def test_records_are_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.store.event_queue.EXECUTIONS_MAX", 3)
    scene.on(start())
    for number in range(5):
        scene.publish({"order": {"by": "Ada"}}, f"m{number}")
        scene.handle()
        scene.env.clock.advance(1)
    assert [one.id for one in scene.executions()] == ["m4_0", "m3_0", "m2_0"]
    keys, executor = scene.env.store.keys, scene.client.connection.sync()
    assert executor.do(Command(("HLEN", keys.event_executions(EVENT)))) == 3
    assert executor.do(Command(("PTTL", keys.event_executions(EVENT)))) > 0
