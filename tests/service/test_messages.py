"""Messages from end to end: pushed by a client, stored in the partition, pulled by the workflow, gone with it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.client.handles import WorkflowHandle
from orchestrator.errors import Conflict, InvalidRequest, QueueFull, WorkflowNotFound
from orchestrator.plan import Command, Plan
from orchestrator.service import messages, workflows
from orchestrator.testing import Environment
from tests.support.build import simple, step, workflow_def
from tests.support.served import MakeEnvironment, asked

FLOW = workflow_def(step("PULL_WORKFLOW_MESSAGES", "pull", {"batchSize": 2}))
LATE = workflow_def(simple("first"), step("PULL_WORKFLOW_MESSAGES", "pull", {"batchSize": 10}))


def pulled(handle: WorkflowHandle) -> list[object]:
    return [message["payload"] for message in handle.describe().task("pull").output_data["messages"]]


def fields_of(env: Environment, handle: WorkflowHandle) -> set[bytes]:
    """The messages that are stored with a workflow."""
    number = env.store.keys.partition_of(handle.id)
    stored: list[bytes] = env.run(_one(Command(("HKEYS", env.store.keys.workflow(number, handle.id)))))
    return {name for name in stored if name.startswith(b"M")}


def _one(command: Command) -> Plan[Any]:
    return (yield command)


def test_a_waiting_workflow_goes_on_with_the_message_without_any_time_passing(environment: MakeEnvironment) -> None:
    with environment() as env:
        handle = env.client.start_workflow(FLOW)
        before = env.clock.now_ms()
        assert handle.push_message({"paid": 1200}, message_id="payment-7") == "payment-7"
        env.drain()
        assert handle.status() == "COMPLETED"
        assert pulled(handle) == [{"paid": 1200}]
        assert env.clock.now_ms() == before


def test_a_message_is_stored_until_it_is_pulled_and_a_repetition_adds_nothing(environment: MakeEnvironment) -> None:
    with environment(fakes={"first": {}}) as env:
        handle = env.client.start_workflow(LATE)
        for number in (1, 2, 2, 3):
            handle.push_message({"n": number}, message_id=f"m{number}")
        assert fields_of(env, handle) == {b"M0", b"M1", b"M2"}
        env.drain()
        assert pulled(handle) == [{"n": 1}, {"n": 2}, {"n": 3}]
        assert fields_of(env, handle) == set()


def test_a_new_owner_hands_out_what_the_former_one_stored(environment: MakeEnvironment) -> None:
    with environment(fakes={"first": {}}) as env:
        handle = env.client.start_workflow(LATE)
        handle.push_message({"n": 1})
        for estate in env._decider.estates.values():
            estate.forget(handle.id)
        env.drain()
        assert pulled(handle) == [{"n": 1}]


def test_refusals_say_why(environment: MakeEnvironment) -> None:
    with environment(fakes={"first": {}}) as env:
        handle = env.client.start_workflow(LATE)
        with pytest.raises(InvalidRequest, match="larger than 262,144 bytes"):
            handle.push_message({"text": "x" * 300_000})
        for _ in range(33):
            handle.push_message({"text": "x" * 250_000})
        with pytest.raises(QueueFull, match="push again when some were pulled"):
            handle.push_message({"text": "x" * 250_000})
        env.drain()
        with pytest.raises(Conflict, match="is COMPLETED, only a RUNNING one takes messages"):
            handle.push_message({})
        with pytest.raises(WorkflowNotFound):
            asked(env, messages.push, "nobody", {})


def test_messages_go_with_their_workflow(environment: MakeEnvironment) -> None:
    with environment() as env:
        handle = env.client.start_workflow(LATE)
        handle.push_message({"n": 1})
        handle.terminate()
        assert fields_of(env, handle) == {b"M0"}
        asked(env, workflows.remove, handle.id)
        assert fields_of(env, handle) == set()
