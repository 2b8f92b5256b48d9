"""``testing.environment``: an installation that does nothing unless told, and questions about what was enqueued."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from orchestrator import Workflow, task, testing
from orchestrator.client import Client
from orchestrator.errors import InvalidRequest, WaitTimeout
from orchestrator.plan import Command, Plan
from orchestrator.testing import Environment


@task
def greet(name: str) -> str:
    return f"Hello, {name}"


def test_nothing_runs_before_it_is_told(orchestrator_env: Environment) -> None:
    env = orchestrator_env
    env.serve(greet)
    handle = env.client.enqueue(greet, name="Ada")
    assert handle.status() == "RUNNING"
    assert env.run_worker_once() == 1
    assert handle.status() == "COMPLETED"
    assert env.run_worker_once() == 0


def test_time_stands_still_until_it_is_moved() -> None:
    with testing.environment([greet], now=datetime(2031, 5, 1, tzinfo=UTC)) as env:
        handle = env.client.with_options(delay_s=60).enqueue(greet, name="Ada")
        assert env.drain() == 0
        env.clock.advance(59.999)
        assert env.drain() == 0
        env.clock.advance(0.001)
        assert env.drain() == 1
        assert handle.status() == "COMPLETED"
        assert env.clock.now == datetime(2031, 5, 1, 0, 1, tzinfo=UTC)


def test_the_clock_never_goes_back() -> None:
    with testing.environment() as env, pytest.raises(InvalidRequest, match="cannot be advanced"):
        env.clock.advance(-1)


def test_a_start_without_a_time_zone_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="time zone"):
        testing.environment(now=datetime.now(UTC).replace(tzinfo=None))


def test_environments_know_nothing_of_each_other() -> None:
    with testing.environment() as one, testing.environment() as other:
        one.client.enqueue(greet, name="Ada")
        assert (one.client.list_workflows().total, other.client.list_workflows().total) == (1, 0)


def test_waiting_for_what_cannot_happen_says_why() -> None:
    with testing.environment() as env:
        waiting = env.client.start_workflow(Workflow("w").wait(signal="go"))
        with pytest.raises(WaitTimeout, match="waits for something from outside"):
            waiting.result()
        unserved = env.client.enqueue(greet, name="Ada")
        with pytest.raises(WaitTimeout, match="no function serves greet"):
            unserved.result()


def test_a_task_that_nobody_serves_times_out_as_defined() -> None:
    @task(poll_timeout_s=30, timeout_policy="TIME_OUT_WF")
    def nobody() -> None:
        raise AssertionError("nobody runs this")

    with testing.environment() as env:
        handle = env.client.start_workflow(Workflow("w").then(nobody))
        env.run_until_quiet()
        assert handle.status() == "TIMED_OUT"
        assert env.clock.monotonic_s() == 30


def test_what_was_enqueued_can_be_asked_for(orchestrator_env: Environment) -> None:
    client = orchestrator_env.client
    testing.refute_enqueued(client, greet)
    client.enqueue(greet, name="Ada", language="en")
    client.with_options(delay_s=5, priority=3).enqueue("other", name="Bob")
    client.start_workflow(Workflow("greet").wait(signal="go"))
    found = testing.assert_enqueued(client, greet, name="Ada")
    assert (found.input, found.delay) == ({"name": "Ada", "language": "en"}, None)
    assert [(one.task, one.priority, one.delay) for one in testing.all_enqueued(client, "other")] == [
        ("other", 3, "PT5.000S")
    ]
    assert len(testing.all_enqueued(client)) == 2
    testing.refute_enqueued(client, greet, name="Bob")


def test_the_message_of_a_failed_assertion_lists_what_there_is(orchestrator_env: Environment) -> None:
    client = orchestrator_env.client
    with pytest.raises(AssertionError, match="nothing of that name is enqueued"):
        testing.assert_enqueued(client, greet)
    client.enqueue(greet, name="Ada")
    with pytest.raises(AssertionError, match=r"not enqueued with \{'name': 'Bob'\}(.|\n)*greet \{'name': 'Ada'\}"):
        testing.assert_enqueued(client, greet, name="Bob")
    with pytest.raises(AssertionError, match="was enqueued 1 times"):
        testing.refute_enqueued(client, greet, name="Ada")


def test_a_task_that_has_run_is_no_longer_enqueued() -> None:
    with testing.environment([greet]) as env:
        env.client.enqueue(greet, name="Ada")
        env.drain()
        assert testing.all_enqueued(env.client) == []


def test_a_real_server_is_there_for_those_who_want_one(orchestrator_redis: str) -> None:
    with Client(orchestrator_redis) as client:
        client.enqueue(greet, name="Ada")
        assert client.run(_keys()) > 0


def _keys() -> Plan[int]:
    count: int = yield Command(("DBSIZE",))
    return count
