"""Workflows written with the SDK's own classes: one of two workers made in code, one with every class of tasks there is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer

from tests.conformance.python.conftest import Installation
from tests.conformance.python.hand import Model, Sdk, models
from tests.support.eventually import eventually
from tests.support.kafka_server import KafkaServer

pytestmark = [pytest.mark.slow, pytest.mark.alone]

HERE = Path(__file__).parent
NOT_DONE = {
    "TaskInterface": "what all classes of tasks inherit from; no task by itself",
    "EventTaskInterface": "what the two classes of events inherit from; no task by itself",
    "GetDocument": "reads documents for language models",
    "SqsEventTask": "its sink is none that we publish to; that is said and passed over",
}


def said(installation: Installation, script: str, word: str, *arguments: str) -> str:
    """What a script of the SDK's says behind a word."""
    run = subprocess.run(
        [installation.python, HERE / script, installation.url, *arguments], capture_output=True, text=True, timeout=50
    )
    lines = [line for line in run.stdout.splitlines() if line.startswith(f"{word} ")]
    assert lines, run.stderr[-2000:]
    return lines[0].removeprefix(f"{word} ")


def test_a_workflow_of_two_workers_is_made_in_code_and_runs_at_once(installation: Installation, sdk: Sdk) -> None:
    told = json.loads(said(installation, "sdk_emails.py", "ended", "ada"))
    assert told["status"] == "COMPLETED"
    assert told["output"] == {"email": "ada@mail.example", "sent": "Hello -> ada@mail.example: How are you?"}
    assert [task.task_def_name for task in sdk.workflow.get_workflow(told["id"]).tasks] == [
        "get_user_email",
        "send_email",
    ]


class Kitchen(NamedTuple):
    """A run of the kitchen sink, after all of it has happened."""

    workflow: Model
    tasks: dict[str, Model]  # by their references
    classes: dict[str, str]  # of the SDK, by the references of the steps that were made of them


@pytest.fixture(scope="module")
def kitchen(installation: Installation, sdk: Sdk, broker: KafkaServer) -> Kitchen:
    """A run of the kitchen sink."""
    health = installation.url.removesuffix("/api") + "/health"
    started = json.loads(said(installation, "sdk_kitchen.py", "started", health, broker.address))
    workflow_id = started["id"]
    for ref in ("simple", "dynamic"):
        _cook(sdk, workflow_id, ref)
    _reached(sdk, workflow_id, "human")
    sdk.task.update_task_by_ref_name(workflow_id, "human", "COMPLETED", "tastes well")
    _reached(sdk, workflow_id, "message")
    sdk.workflow.send_message(workflow_id, {"more": "salt"})
    _reached(sdk, workflow_id, "webhook")
    sdk.executor.update_task_by_ref_name({"dish": "soup"}, workflow_id, "webhook", "COMPLETED")
    ended = eventually(lambda: _ended(sdk, workflow_id))
    return Kitchen(ended, {task.reference_task_name: task for task in ended.tasks}, started["classes"])


def _cook(sdk: Sdk, workflow_id: str, ref: str) -> None:
    def poll() -> Any:
        task = sdk.task.poll_task("cook", worker_id="cook")
        assert task.reference_task_name == ref, _shown(sdk, workflow_id)
        return task

    result = {"workflow_instance_id": workflow_id, "task_id": eventually(poll, 20).task_id, "status": "COMPLETED"}
    sdk.task.update_task(models.TaskResult(output_data={"cooked": ref}, **result))


def _shown(sdk: Sdk, workflow_id: str) -> str:
    """Where it stands, for whoever reads why it came no further."""
    found = sdk.workflow.get_workflow(workflow_id)
    last = found.tasks[-1]
    return f"{found.status}, {last.reference_task_name} {last.status}: {found.reason_for_incompletion}"


def _reached(sdk: Sdk, workflow_id: str, ref: str) -> None:
    eventually(lambda: ref in [task.reference_task_name for task in sdk.workflow.get_workflow(workflow_id).tasks])


def _ended(sdk: Sdk, workflow_id: str) -> Model:
    found: Model = sdk.workflow.get_workflow(workflow_id)
    assert found.status == "COMPLETED"
    return found


def test_a_task_of_every_class_that_there_is_has_been_done(kitchen: Kitchen, sdk: Sdk) -> None:
    _, classes = sdk.surface()
    done = {ref.partition("__")[0] for ref, task in kitchen.tasks.items() if task.status == "COMPLETED"}
    assert sorted(set(classes) - {kitchen.classes[ref] for ref in done if ref in kitchen.classes}) == sorted(NOT_DONE)


def test_the_workflow_ends_as_its_terminate_task_says(kitchen: Kitchen) -> None:
    workflow = kitchen.workflow
    assert (workflow.status, workflow.output) == ("COMPLETED", {"inline": 10})
    assert kitchen.tasks["end"].status == "COMPLETED"
    assert "never" not in kitchen.tasks
    assert workflow.variables == {"spoon": True, "n": "few"}


@pytest.mark.parametrize(
    ("ref", "kind", "output"),
    [
        ("script", "INLINE", {"result": {"sum": 5}}),
        ("inline", "INLINE", {"result": 10}),
        ("jq", "JSON_JQ_TRANSFORM", {"result": 3}),
        ("by_value", "SWITCH", {"selectedCase": "soup"}),
        ("by_script", "SWITCH", {"selectedCase": "few"}),
        ("soup", "SET_VARIABLE", {}),
        ("fork_join", "JOIN", {"left": {"result": 1}, "right": {"result": 2}}),
        ("by_join_script", "JOIN", {"one": {"result": 1}, "two": {"result": 2}}),
        ("dynamic_join", "JOIN", {"plate_1": {"result": 10}, "plate_2": {"result": 20}}),
        ("repeat", "DO_WHILE", {"iteration": 2}),
        ("times", "DO_WHILE", {"iteration": 3}),
        ("knead__3", "INLINE", {"result": "k"}),
        ("each", "DO_WHILE", {"iteration": 2, "loopItem": "b"}),
        ("season__1", "INLINE", {"result": "a!"}),
        ("season__2", "INLINE", {"result": "b!"}),
        ("helper", "SUB_WORKFLOW", {"result": "peeled"}),
        ("helper_inline", "SUB_WORKFLOW", {"result": "cut"}),
        ("http_poll", "HTTP_POLL", {}),
        ("wait", "WAIT", {}),
        ("wait_until", "WAIT", {}),
        ("wait_duration", "WAIT", {}),
        ("wait_date", "WAIT", {}),
        ("simple", "cook", {"cooked": "simple"}),
        ("dynamic", "cook", {"cooked": "dynamic"}),
        ("human", "HUMAN", {"result": "tastes well"}),
        ("message", "PULL_WORKFLOW_MESSAGES", {"count": 1}),
        ("webhook", "WAIT_FOR_WEBHOOK", {"dish": "soup"}),
    ],
)
def test_a_task_ends_well_with_its_output(kitchen: Kitchen, ref: str, kind: str, output: dict[str, Any]) -> None:
    task = kitchen.tasks[ref]
    assert (task.task_type, task.status) == (kind, "COMPLETED")
    assert {name: task.output_data.get(name) for name in output} == output


def test_http_tasks_call_as_they_are_told(kitchen: Kitchen) -> None:
    for ref in ("http", "http_poll"):
        response = kitchen.tasks[ref].output_data["response"]
        assert response["statusCode"] == 200
        assert response["body"]["healthy"] is True
    assert kitchen.tasks["http"].input_data["http_request"]["headers"] == {"x-dish": ["soup"]}


def test_another_workflow_is_started_beside(kitchen: Kitchen, sdk: Sdk) -> None:
    started = eventually(lambda: _ended(sdk, kitchen.tasks["beside"].output_data["workflowId"]))
    assert (started.workflow_name, started.input, started.correlation_id) == (
        "kitchen_helper",
        {"by": "kitchen"},
        "kitchen",
    )


def test_an_event_is_published_under_the_name_of_the_workflow(kitchen: Kitchen) -> None:
    assert kitchen.tasks["event"].status == "COMPLETED"
    assert kitchen.tasks["event"].output_data["event_produced"] == "conductor:kitchen_sink:served"


def test_where_nobody_listens_the_reason_says_so(kitchen: Kitchen) -> None:
    assert kitchen.tasks["sqs"].status == "COMPLETED_WITH_ERRORS"
    assert "sqs" in kitchen.tasks["sqs"].reason_for_incompletion


async def test_a_message_is_published_to_kafka(kitchen: Kitchen, broker: KafkaServer) -> None:
    assert kitchen.tasks["kafka"].status == "COMPLETED"
    consumer = AIOKafkaConsumer("orders", bootstrap_servers=broker.address, auto_offset_reset="earliest")
    async with consumer:
        message = await consumer.getone()
    assert (message.key, message.value) == (b"dish", b'"soup"')
