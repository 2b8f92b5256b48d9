"""What an operator does with a queue: limits that change at once, who holds and who waits, pause, drain and purge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator import Workflow, task
from orchestrator.errors import DefinitionInvalid, InvalidRequest
from orchestrator.store import queue
from orchestrator.testing import Environment, environment


@task(limit_key="${workflow.input.tenant}", concurrency=1)
def call(tenant: str) -> None:
    pass


flow = Workflow("flow").then(call, tenant="${workflow.input.tenant}")


@pytest.fixture
def env() -> Iterator[Environment]:
    with environment() as made:
        made.client.register(flow, call)
        yield made


def take(env: Environment, count: int = 10) -> list[str]:
    (answer,) = env.run(queue.claim(env.store.queues, [queue.Ask("call", "w1", count)]))
    assert isinstance(answer, queue.Claim)
    return [one.task_id for one in answer.tasks]


def start(env: Environment, *tenants: str) -> list[str]:
    ids = [env.client.start_workflow(flow, tenant=tenant).id for tenant in tenants]
    env.decide()
    return ids


def test_limits_change_from_now_on_and_what_is_not_named_stays(env: Environment) -> None:
    start(env, "a", "a", "a", "b")
    assert len(take(env)) == 2
    changed = env.client.set_limits("call", concurrency=2)
    assert (changed.concurrent_exec_limit, changed.limit_key) == (2, "${workflow.input.tenant}")
    assert len(take(env)) == 1
    assert env.client.queue("call").limits == queue.Limits(2, 2, per_key=True)
    env.client.set_limits("call", concurrency=0, limit_key="", rate=7, per_s=60)
    limits = env.client.queue("call").limits
    assert limits is not None
    assert limits[1:4] == (0, 7, 60_000)
    assert len(take(env)) == 1


def test_a_type_without_a_definition_gets_one(env: Environment) -> None:
    assert env.client.set_limits("other", concurrency=3).retry_count == 3
    assert env.client.set_limits("HTTP", rate=3).retry_count == 0
    found = env.client.queue("other").limits
    assert found is not None
    assert found.concurrency == 3


@pytest.mark.parametrize("given", [{"concurrency": -1}, {"rate": -1}, {"per_s": 0}])
def test_limits_below_nothing_are_refused(env: Environment, given: dict[str, int]) -> None:
    with pytest.raises(InvalidRequest, match="limits of call"):
        env.client.set_limits(
            "call", concurrency=given.get("concurrency"), rate=given.get("rate"), per_s=given.get("per_s")
        )
    with pytest.raises(DefinitionInvalid, match="limitKey is the same for every task"):
        env.client.set_limits("call", limit_key="tenant")


def test_holders_and_waiters_say_where_each_task_stands(env: Environment) -> None:
    first, second, third = start(env, "a", "a", "b")
    (running,) = take(env, 1)
    (holder,) = env.client.queue_holders("call")
    assert (holder.task_id, holder.workflow_id, holder.standing, holder.key) == (running, first, "RUNNING", "a")
    assert holder.in_ms == 15_000
    waiting = {one.workflow_id: (one.standing, one.key) for one in env.client.queue_waiters("call")}
    assert waiting == {second: ("KEPT_BACK", "a"), third: ("READY", "b")}
    assert len(env.client.queue_waiters("call", 1)) == 1
    with pytest.raises(InvalidRequest, match="count"):
        env.client.queue_waiters("call", 0)
    assert env.client.queue_waiters("nobody") == []


def test_who_has_a_task_is_named(env: Environment) -> None:
    seen: list[str | None] = []

    @task(name="call")
    def look(tenant: str) -> None:
        seen.extend(one.worker for one in env.client.queue_holders("call"))

    start(env, "a")
    env.serve(look)
    env.drain()
    assert len(seen) == 1
    assert seen[0]


def test_a_paused_queue_hands_nothing_out_and_a_drained_one_says_what_is_out(env: Environment) -> None:
    start(env, "a", "b")
    assert len(take(env, 1)) == 1
    assert env.client.drain_queue("call") == 1
    assert take(env) == []
    assert env.client.queue("call").is_paused
    env.clock.advance(16)
    env.client.resume_queue("call")
    env.client.pause_queue("call")
    env.client.resume_queue("call")
    assert len(take(env)) == 2


def test_purged_tasks_end_in_their_workflows_and_no_other_does(env: Environment) -> None:
    start(env, "a", "a", "b")
    (running,) = take(env, 1)
    assert env.client.purge_queue("call", "sent twice", 1) == 1
    assert env.client.purge_queue("call") == 1
    assert env.client.purge_queue("call") == 0
    env.decide()
    found = env.client.queue("call")
    assert (found.ready, found.kept, found.leased) == (0, 0, 1)
    statuses = [one.status for one in env.client.search().items]
    assert sorted(statuses) == ["FAILED", "FAILED", "RUNNING"]
    env.clock.advance(61)
    env.serve(call)
    env.drain()
    assert sorted(one.status for one in env.client.search().items) == ["COMPLETED", "FAILED", "FAILED"]
    assert running
