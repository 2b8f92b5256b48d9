"""Workers that reach a server and not its Redis: everything happens over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from orchestrator import AsyncClient, Workflow
from orchestrator.api import create_app
from orchestrator.context import TaskContext, in_progress
from orchestrator.errors import InvalidRequest, Unauthorized
from orchestrator.model.access import KeyRole
from orchestrator.model.workers import WorkerState
from orchestrator.service import access, tasks, workflows
from orchestrator.settings import Settings
from orchestrator.task import RetryPolicy, Task, task
from orchestrator_workers import RemoteWorker, presence
from tests.support.deciding import deciding
from tests.support.eventually import eventually_async
from tests.support.served import Served
from tests.workers.middlewares import outer
from tests.workers.process_tasks import tells


@task
async def greet(name: str) -> str:
    return f"Hello, {name}"


@task(retry=RetryPolicy(limit=1, delay_s=0))
def at_the_second_attempt(context: TaskContext) -> dict[str, Any]:
    if context.attempt == 0:
        raise LookupError("not yet")
    return {"attempt": context.attempt, "ref": context.ref, "workflow": context.workflow_name}


@task
def at_the_second_call(context: TaskContext) -> Any:
    return in_progress(0) if context.delivery == 1 else {"delivery": context.delivery}


@pytest.fixture
def settings(redis_url: str) -> Iterator[Settings]:
    with deciding(Settings(redis_url=redis_url, partitions=2)) as settings:
        yield settings


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    with Served(create_app(settings=settings)) as served:
        yield served.url


@pytest.fixture
async def client(url: str, settings: Settings) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(settings=settings) as client:
        yield client


def worker_of(url: str, *served: Task[..., Any], **options: Any) -> RemoteWorker:
    return RemoteWorker(Settings(server_url=url), tasks=served, **{"drain_timeout_s": 5, **options})


async def test_tasks_of_every_pool_run_with_their_middleware_logs_and_retries(url: str, client: AsyncClient) -> None:
    flow = (
        Workflow("flow")
        .then(greet, name="${workflow.input.name}")
        .then(at_the_second_attempt)
        .then(at_the_second_call)
        .then(tells, word="hi")
        .output(
            greeting="${greet.output.result}",
            second="${at_the_second_attempt.output}",
            called="${at_the_second_call.output.delivery}",
            word="${tells.output.word}",
        )
    )
    async with worker_of(url, greet, at_the_second_attempt, at_the_second_call, tells, middleware=[outer]) as worker:
        handle = await client.start_workflow(flow, name="Ada")
        output = await handle.result(timeout_s=40)
        execution = await client.run(workflows.get(client.store, handle.id))
    assert output == {
        "greeting": "Hello, Ada",
        "second": {"attempt": 1, "ref": "at_the_second_attempt", "workflow": "flow"},
        "called": 2,
        "word": "hi",
    }
    first, failed, *_ = execution.tasks
    assert (first.worker_id, failed.reason_for_incompletion) == (worker.name, "LookupError: not yet")
    logged = [line.log for line in await client.run(tasks.logs(client.store, first.task_id))]
    assert logged == ["outer before", "outer after Hello, Ada"]


async def test_it_is_listed_paused_resumed_and_drained_like_any_other(
    url: str, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "EVERY_S", 0.05)
    begun, end = asyncio.Event(), asyncio.Event()

    @task
    async def lasts() -> str:
        begun.set()
        await end.wait()
        return "done"

    async def state(expected: WorkerState) -> bool:
        return [one.state for one in await client.workers("lasts")] == [expected]

    worker = worker_of(url, lasts, concurrency=1, build="v7")
    await worker.start()
    running = await client.enqueue(lasts)
    await begun.wait()
    (seen,) = await client.workers("lasts")
    assert (seen.name, seen.build, seen.concurrency) == (worker.name, "v7", 1)
    await client.pause_workers(worker.name)
    await eventually_async(lambda: state(WorkerState.PAUSED), 20)
    await client.resume_workers(worker.name)
    await eventually_async(lambda: state(WorkerState.RUNNING), 20)
    await client.drain_workers(task_type="lasts")
    await eventually_async(lambda: state(WorkerState.DRAINING), 20)
    end.set()
    await worker.run_to_end()
    assert await running.result(timeout_s=10) == {"result": "done"}
    assert await client.workers() == []


async def test_a_worker_that_is_stopped_gives_its_task_to_another(url: str, client: AsyncClient) -> None:
    begun = asyncio.Event()
    calls: list[int] = []

    @task
    async def hangs_once() -> str:
        calls.append(1)
        if len(calls) == 1:
            begun.set()
            await asyncio.Event().wait()
        return "done"

    async with worker_of(url, hangs_once):
        handle = await client.enqueue(hangs_once)
        await begun.wait()
    async with worker_of(url, hangs_once):
        assert await handle.result(timeout_s=20) == {"result": "done"}


async def test_a_long_task_gives_signs_of_life_and_one_that_is_not_wanted_is_stopped(
    url: str, client: AsyncClient
) -> None:
    begun, stopped, end = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @task(response_timeout_s=2, retry=RetryPolicy(limit=0))
    async def outlasts_its_time_out() -> str:
        await asyncio.wait_for(end.wait(), 20)
        return "done"

    @task(response_timeout_s=2)
    async def unwanted() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with worker_of(url, outlasts_its_time_out, unwanted):
        long = await client.enqueue(outlasts_its_time_out)
        other = await client.enqueue(unwanted)
        await begun.wait()
        asyncio.get_running_loop().call_later(4, end.set)
        assert await long.result(timeout_s=30) == {"result": "done"}
        await client.workflow(other.id).terminate()
        await asyncio.wait_for(stopped.wait(), 20)


async def test_a_key_of_the_worker_role_is_enough_and_none_is_refused(
    url: str, client: AsyncClient, settings: Settings
) -> None:
    await client.register(greet)
    key, secret = await client.run(access.create_key(client.store, "worker", KeyRole.WORKER))
    with pytest.raises(Unauthorized):
        await worker_of(url, greet).start()
    keyed = Settings(server_url=url, auth_key=key.id, auth_secret=secret)
    async with RemoteWorker(keyed, tasks=[greet]):
        assert await (await client.enqueue(greet, name="Ada")).result(timeout_s=20) == {"result": "Hello, Ada"}


def test_a_worker_without_tasks_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="a worker needs tasks"):
        RemoteWorker(Settings(server_url="http://localhost:1"))
