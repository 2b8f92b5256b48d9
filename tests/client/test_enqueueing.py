"""Enqueueing single tasks: underneath a workflow of one step, to the user a task with a handle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orchestrator import set_default_client, task
from orchestrator.client.enqueueing import one_task_workflow
from orchestrator.errors import Conflict, InvalidRequest, TerminalError, WaitTimeout, WorkflowFailed, WorkflowTerminated
from orchestrator.testing import Environment
from tests.client.conftest import greet


@task(name="delay", domain="eu")
def oddly_named(value: int) -> int:
    return value + 1


def test_an_enqueued_task_gives_its_output(env: Environment) -> None:
    assert env.client.enqueue(greet, name="Ada").result() == {"result": "Hello, Ada"}


def test_defaults_of_the_function_survive_and_given_inputs_arrive(env: Environment) -> None:
    assert env.client.enqueue(greet, {"name": "Ada", "greeting": "Hi"}).result() == {"result": "Hi, Ada"}


def test_a_task_can_be_enqueued_by_name_and_with_inputs_of_any_name(env: Environment) -> None:
    env.serve(odd=lambda **inputs: inputs)
    assert env.client.enqueue("odd", {"two words": 1, "a'b": [2], "x.y": None}).result() == {
        "two words": 1,
        "a'b": [2],
        "x.y": None,
    }


def test_a_task_is_served_in_its_own_domain(env: Environment) -> None:
    env.serve(oddly_named)
    handle = env.client.enqueue(oddly_named, value=1)
    env.drain()
    assert handle.workflow().describe().task("delay").domain == "eu"


@pytest.mark.parametrize("enqueued", [greet, oddly_named])
def test_a_delayed_task_starts_to_the_millisecond(env: Environment, enqueued: Any) -> None:
    env.serve(oddly_named)
    began_ms = env.clock.now_ms()
    handle = env.client.with_options(delay_s=2.5).enqueue(enqueued, name="Ada", value=1)
    handle.result()
    assert env.clock.now_ms() - began_ms == 2_500
    assert handle.workflow().describe().task(enqueued.name).output_data


def test_a_task_can_be_delayed_until_a_moment(env: Environment) -> None:
    at = env.clock.now + timedelta(hours=1, milliseconds=7)
    env.client.with_options(at=at).enqueue(greet, name="Ada").result()
    assert env.clock.now == at


def test_a_moment_of_any_time_zone_is_that_moment(env: Environment) -> None:
    at = (env.clock.now + timedelta(hours=1)).astimezone(ZoneInfo("Asia/Kathmandu"))
    env.client.enqueue(greet.with_options(at=at), name="Ada").result()
    assert env.clock.now == at


def test_a_moment_that_has_passed_is_now(env: Environment) -> None:
    began_ms = env.clock.now_ms()
    handle = env.client.with_options(at=env.clock.now - timedelta(days=1)).enqueue(greet, name="Ada")
    assert handle.result() == {"result": "Hello, Ada"}
    assert env.clock.now_ms() == began_ms


def test_delays_do_not_make_definitions(env: Environment) -> None:
    for delay_s in (1, 2, 3):
        env.client.with_options(delay_s=delay_s).enqueue(greet, name="Ada")
    assert one_task_workflow("greet", ("name",), "_delay") is one_task_workflow("greet", ("name",), "_delay")
    hashes = {item.version for item in env.client.list_workflows(name="greet").items}
    assert hashes == {1}


@pytest.mark.parametrize(
    "options",
    [
        {"delay_s": -1},
        {"delay_s": 1, "at": datetime.now(UTC)},
        {"at": datetime.now(UTC).replace(tzinfo=None)},
        {"delay_s": float("nan")},
    ],
)
def test_a_delay_without_a_meaning_is_refused(env: Environment, options: Any) -> None:
    with pytest.raises(InvalidRequest, match="greet"):
        env.client.with_options(**options).enqueue(greet, name="Ada")


def test_an_input_that_would_delay_the_task_is_refused(env: Environment) -> None:
    with pytest.raises(InvalidRequest, match="_delay"):
        env.client.enqueue(greet, _delay="PT1S")


def test_a_unique_key_gives_the_first_handle(env: Environment) -> None:
    first = env.client.enqueue(greet.with_options(unique_key="k"), name="Ada")
    second = env.client.enqueue(greet.with_options(unique_key="k"), name="Bob")
    assert (first.existed, second.existed) == (False, True)
    assert second.id == first.id
    assert second.result() == {"result": "Hello, Ada"}


def test_a_unique_key_holds_among_many_and_for_each_task_by_itself(env: Environment) -> None:
    env.serve(oddly_named)
    once, other = greet.with_options(unique_key="k"), oddly_named.with_options(unique_key="k")
    handles = env.client.enqueue_many([(once, {"name": "Ada"}), (once, {"name": "Bob"}), (other, {"value": 1})])
    assert [handle.existed for handle in handles] == [False, True, False]
    assert [handle.result() for handle in handles] == [{"result": "Hello, Ada"}] * 2 + [{"result": 2}]


def test_a_unique_key_is_free_again_when_its_task_is_removed(env: Environment) -> None:
    first = env.client.enqueue(greet.with_options(unique_key="k"), name="Ada")
    first.result()
    assert env.client.enqueue(greet.with_options(unique_key="k"), name="Bob").existed
    first.workflow().remove()
    second = env.client.enqueue(greet.with_options(unique_key="k"), name="Bob")
    assert (second.existed, second.result()) == (False, {"result": "Hello, Bob"})


def test_a_task_of_a_larger_priority_runs_first(env: Environment) -> None:
    ran: list[str] = []
    env.serve(note=lambda name: ran.append(name))
    for name, priority in (("low", 1), ("none", 0), ("high", 9)):
        env.client.with_options(priority=priority).enqueue("note", name=name)
    env.drain()
    assert ran == ["high", "low", "none"]


def test_many_tasks_are_enqueued_in_order(env: Environment) -> None:
    handles = env.client.enqueue_many([(greet, {"name": str(number)}) for number in range(300)])
    assert handles[299].workflow().describe().input == {"name": "299"}
    assert env.drain() == 300
    assert [handle.output() for handle in (handles[0].workflow(), handles[299].workflow())] == [
        {"result": "Hello, 0"},
        {"result": "Hello, 299"},
    ]


def test_one_bad_task_among_many_is_raised_after_the_others_are_enqueued(env: Environment) -> None:
    client = env.client.with_options(priority=5, idempotency_key="k")
    client.enqueue(greet, name="first")
    with pytest.raises(Exception, match="idempotency key") as caught:
        client.enqueue_many([(greet, {"name": "second"}), (oddly_named, {"value": 1})])
    assert caught.value.__notes__ == ["1 of 2 tasks were not enqueued, the others were"]
    assert env.client.list_workflows(name="delay").total == 1


def test_a_cancelled_task_is_not_run(env: Environment) -> None:
    handle = env.client.enqueue(greet, name="Ada")
    handle.cancel()
    assert env.drain() == 0
    assert handle.status() == "TERMINATED"
    with pytest.raises(WorkflowTerminated, match="cancelled"):
        handle.result()


def test_a_cancelled_delay_is_over(env: Environment) -> None:
    handle = env.client.enqueue(greet.with_options(delay_s=60), name="Ada")
    handle.cancel("not wanted any more")
    env.clock.advance(120)
    assert env.drain() == 0
    with pytest.raises(WorkflowTerminated, match="not wanted any more"):
        handle.result()


def test_a_task_that_has_ended_cannot_be_cancelled(env: Environment) -> None:
    handle = env.client.enqueue(greet, name="Ada")
    handle.result()
    with pytest.raises(Conflict):
        handle.cancel()
    assert handle.status() == "COMPLETED"


def test_the_result_of_a_task_that_fails_is_its_reason(env: Environment) -> None:
    env.serve(broken=fails)
    handle = env.client.enqueue("broken")
    with pytest.raises(WorkflowFailed, match="card number is not valid"):
        handle.result()
    assert handle.status() == "FAILED"


def test_a_result_that_is_not_there_yet_can_be_asked_for_again(env: Environment) -> None:
    handle = env.client.enqueue(greet.with_options(delay_s=60), name="Ada")
    with pytest.raises(WaitTimeout):
        handle.result(timeout_s=1)
    assert handle.status() == "RUNNING"
    again = env.client.workflow(handle.id)
    assert again.result(timeout_s=120) == handle.result() == {"result": "Hello, Ada"}


def fails() -> None:
    raise TerminalError("card number is not valid")


def test_a_task_enqueues_itself_through_the_default_client(env: Environment) -> None:
    before = set_default_client(env.client)
    try:
        assert greet.enqueue(name="Ada").result() == {"result": "Hello, Ada"}
        assert greet.with_options(delay_s=1, priority=3).enqueue(name="Bob").result() == {"result": "Hello, Bob"}
    finally:
        set_default_client(before)
