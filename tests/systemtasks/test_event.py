"""EVENT tasks: where the message goes, what it says, and that it goes there once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator import testing
from orchestrator.codec import unpack
from orchestrator.engine import extras
from orchestrator.errors import MissingExtra
from orchestrator.model.definitions import TaskDef
from orchestrator.model.event_handlers import event_handler_from_dict
from orchestrator.plan import Command
from orchestrator.service import tasks
from orchestrator.store import event_queue
from orchestrator.testing import Environment
from tests.support.build import set_variable, simple, step, wait, workflow_def


@pytest.fixture
def env() -> Iterator[Environment]:
    with testing.environment() as environment:
        yield environment


def event(sink: str | None, given: dict[str, Any] | None = None, ref: str = "tell", **fields: Any) -> Any:
    return step("EVENT", ref, given, sink=sink, **fields)


def queued(env: Environment, name: str) -> list[tuple[str, Any]]:
    """Id and payload of every message that waits in a queue."""
    entries = env.connection.sync().do(Command(("XRANGE", env.store.keys.event_queue(name), "-", "+")))
    return [(fields[1].decode(), unpack(fields[3])) for _, fields in entries]


@pytest.mark.parametrize(
    ("sink", "produced"),
    [
        ("conductor", "conductor:flow:tell"),
        ("conductor:paid", "conductor:flow:paid"),
        ("conductor:${workflow.input.topic}", "conductor:flow:shoes"),
    ],
)
def test_the_message_is_the_output_of_the_task_under_its_id(env: Environment, sink: str, produced: str) -> None:
    env.client.register(workflow_def(event(sink, {"sum": "${workflow.input.sum}"})))
    handle = env.client.with_options(correlation_id="c1", domains={"x": "eu"}).start_workflow(
        "flow", sum=3, topic="shoes"
    )
    env.drain()
    task = handle.describe().task("tell")
    written = sink.replace("${workflow.input.topic}", "shoes")
    assert task.input_data == {"sum": 3, "sink": written, "asyncComplete": False}
    assert task.output_data == {
        **task.input_data,
        "workflowInstanceId": handle.id,
        "workflowType": "flow",
        "workflowVersion": 1,
        "correlationId": "c1",
        "taskToDomain": {"x": "eu"},
        "event_produced": produced,
    }
    assert queued(env, produced) == [(task.task_id, task.output_data)]
    assert handle.status() == "COMPLETED"


def test_a_stream_of_the_users_gets_the_message(env: Environment) -> None:
    handle = env.client.start_workflow(workflow_def(event("redis_stream:orders", {"a": 1})))
    env.drain()
    ((_, fields),) = env.connection.sync().do(Command(("XRANGE", "orders", "-", "+")))
    told = dict(zip(fields[::2], fields[1::2], strict=True))
    assert told[b"message_id"].decode() == handle.describe().task("tell").task_id
    assert b'"a":1' in told[b"payload"]


@pytest.mark.parametrize(
    ("sink", "reason"),
    [
        ("conductors", "Invalid / Unsupported sink specified: conductors"),
        ("conductor:", "Invalid / Unsupported sink specified: conductor:"),
        ("orders", "Illegal event orders"),
        ("sqs:orders", "Error loading queue:sqs:orders, for task:{id}, error: Unknown queue type sqs"),
        ("${workflow.input.nothing}", "Illegal event null"),
        ("redis_stream:orc:{orc.p0}:ev", "belongs to the installation itself"),
        ("kafka:orders", "no brokers are set"),
    ],
)
def test_a_sink_that_leads_nowhere_fails_the_task(env: Environment, sink: str, reason: str) -> None:
    handle = env.client.start_workflow(workflow_def(event(sink)))
    env.drain()
    task = handle.describe().task("tell")
    assert handle.status() == "FAILED"
    assert reason.format(id=task.task_id) in (task.reason_for_incompletion or "")


def test_with_async_complete_the_message_is_published_once_and_the_task_waits(env: Environment) -> None:
    """Conductor would publish it again at every decision that follows."""
    fork = step("FORK_JOIN", "fork", fork_tasks=[[event("conductor:asked", async_complete=True)], [wait("w")]])
    flow = workflow_def(fork, step("JOIN", "join", join_on=["tell", "w"]))
    handle = env.client.start_workflow(flow)
    env.drain()
    assert handle.describe().task("tell").status == "IN_PROGRESS"
    handle.signal("w")
    env.clock.advance(86_400)
    env.run_until_quiet()
    assert len(queued(env, "conductor:flow:asked")) == 1
    env.client.run(tasks.update_task_by_ref(env.store, handle.id, "tell", "COMPLETED", {"answer": 1}))
    assert handle.status() == "COMPLETED"
    assert handle.describe().task("tell").output_data["answer"] == 1
    assert handle.describe().task("tell").output_data["event_produced"] == "conductor:flow:asked"


def test_a_task_that_is_delivered_again_publishes_nothing_more(env: Environment, monkeypatch: Any) -> None:
    from orchestrator.service import dispatch

    told = dispatch.report_tasks
    env.client.register(workflow_def(event("conductor:paid")))
    monkeypatch.setattr(dispatch, "report_tasks", lambda *_: iter(()))  # the process dies before it reports
    handle = env.client.start_workflow("flow")
    with pytest.raises(TypeError):
        env.drain()
    monkeypatch.setattr(dispatch, "report_tasks", told)
    env.clock.advance(60)
    env.drain()
    assert handle.status() == "COMPLETED"
    assert len(queued(env, "conductor:flow:paid")) == 1


def test_a_full_queue_holds_the_task_up(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    start = {"action": "start_workflow", "start_workflow": {"name": "other"}}
    handler = {"name": "h", "event": "conductor:flow:paid", "active": True, "actions": [start]}
    env.client.apply_event_handlers(event_handler_from_dict(handler))
    env.client.publish_event("conductor:flow:paid", {})
    monkeypatch.setattr(event_queue.publish, "__defaults__", (1,))
    handle = env.client.start_workflow(workflow_def(event("conductor:paid")))
    env.run_worker_once()
    assert handle.describe().task("tell").status == "SCHEDULED"
    env.clock.advance(5)
    env.drain()
    assert handle.status() == "COMPLETED"


def test_an_event_starts_a_workflow_that_completes_a_task_of_the_first(env: Environment) -> None:
    """Two workflows talk: an EVENT starts the other, whose own EVENT completes a task of the first."""
    asking = workflow_def(event("conductor:ask", {"who": "Ada"}), wait("answer"), name="asking")
    back = {"to": "${workflow.input.to}", "text": "Hello, ${workflow.input.who}"}
    answering = workflow_def(event("conductor:answer", back), name="answering")
    env.client.register(asking, answering)
    start = {"name": "answering", "input": {"who": "${who}", "to": "${workflowInstanceId}"}}
    complete = {"workflowId": "${to}", "taskRefName": "answer", "output": {"text": "${text}"}}
    env.client.apply_event_handlers(
        *(
            event_handler_from_dict({"name": name, "event": f"conductor:{name}", "active": True, "actions": [action]})
            for name, action in (
                ("asking:ask", {"action": "start_workflow", "start_workflow": start}),
                ("answering:answer", {"action": "complete_task", "complete_task": complete}),
            )
        )
    )
    handle = env.client.start_workflow("asking")
    env.drain()
    assert handle.status() == "COMPLETED"
    assert handle.describe().task("answer").output_data["text"] == "Hello, Ada"


def test_a_task_that_failed_is_tried_again_as_its_definition_says(env: Environment) -> None:
    env.client.register(TaskDef(name="tell", retry_count=1, retry_delay_seconds=0))
    flow = workflow_def(set_variable("v", sink="orders"), event("${workflow.variables.sink}"))
    handle = env.client.start_workflow(flow)
    env.run_until_quiet()
    attempts = [task for task in handle.describe().tasks if task.reference_task_name == "tell"]
    assert [task.status for task in attempts] == ["FAILED", "FAILED"]


def test_kafka_without_its_client_is_refused_when_it_is_registered(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(extras.PACKAGES, "KAFKA_PUBLISH", ("no_such_module", "kafka"))
    with pytest.raises(MissingExtra, match=r"redis-orchestrator\[kafka\]"):
        env.client.register(workflow_def(event("kafka:orders")))
    env.client.register(workflow_def(event("conductor:orders"), simple("a")))
