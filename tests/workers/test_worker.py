"""A worker against a store: what it claims, runs, reports and gives back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from orchestrator import codec
from orchestrator.context import InProgress, TaskContext, in_progress
from orchestrator.errors import InvalidRequest, Retry, StoreUnavailable, TerminalError
from orchestrator.plan import Command
from orchestrator.settings import Settings
from orchestrator.store import catalog, installation
from orchestrator.task import RateLimit, Task, task
from orchestrator_workers import Worker
from orchestrator_workers.pauses import end_all
from orchestrator_workers.remote import RemoteWorker
from tests.support.eventually import eventually_async
from tests.workers.estate import Estate


@task
async def greet(name: str) -> str:
    return f"Hello, {name}"


@task
def add(left: int, right: int = 1) -> dict[str, int]:
    return {"sum": left + right}


@task
async def fails(text: str) -> None:
    raise ValueError(text)


@task
async def gives_up() -> None:
    raise TerminalError("the card number is not valid")


@task
async def wants_time() -> None:
    raise Retry("rate limited by the bank", after_s=1.5)


_NOT_YET = (AssertionError, ValueError, StoreUnavailable)


async def soon(check: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    """``check`` in a thread until it holds: the sync store must not hold up the worker's loop."""
    return await eventually_async(lambda: asyncio.to_thread(check), timeout_s, retry_on=_NOT_YET)


def worker_of(estate: Estate, *tasks: Task[..., Any], **options: Any) -> Worker:
    return Worker(estate.settings, tasks=tasks, **{"drain_timeout_s": 5, **options})


async def test_an_async_task_completes_and_its_queue_forgets_it(estate: Estate) -> None:
    task_id = estate.add("greet", {"name": "Ada"})
    async with worker_of(estate, greet) as worker:
        assert await soon(lambda: estate.output(task_id)) == {"result": "Hello, Ada"}
        await soon(lambda: estate.is_empty("greet"))
    (report,) = estate.reports(task_id)
    assert (report.worker_id, report.delivery, report.poll_count) == (worker.name, 1, 1)


async def test_a_plain_function_runs_in_a_thread_and_gets_converted_inputs(estate: Estate) -> None:
    task_id = estate.add("add", {"left": 2, "unknown": True})
    async with worker_of(estate, add):
        assert await soon(lambda: estate.output(task_id)) == {"sum": 3}


async def test_a_task_that_arrives_later_is_handed_to_a_waiting_worker(estate: Estate) -> None:
    events: list[str] = []
    async with worker_of(estate, greet, observer=lambda event, fields: events.append(event)):
        await soon(lambda: estate.queue("greet").domains[None].waiting == 1)
        for name in ("Bo", "Cy", "Di"):
            task_id = await asyncio.to_thread(estate.add, "greet", {"name": name})
            assert await soon(partial(estate.output, task_id), timeout_s=1.5) == {"result": f"Hello, {name}"}
        assert estate.queue("greet").domains[None].waiting == 1
        await soon(lambda: estate.is_empty("greet"))
    assert events == ["claimed", "started", "finished", "reported"] * 3
    (report,) = estate.reports(task_id)
    assert (report.delivery, report.poll_count) == (1, 1)


async def test_a_task_handed_to_a_worker_without_a_free_slot_goes_to_another(estate: Estate) -> None:
    gate = threading.Event()

    @task
    def blocks() -> None:
        gate.wait(20)

    async with worker_of(estate, blocks, greet, concurrency=1):
        await soon(lambda: estate.queue("greet").domains[None].waiting == 1)
        await asyncio.to_thread(estate.add, "blocks")
        await soon(lambda: estate.queue("blocks").leased == 1)
        task_id = await asyncio.to_thread(estate.add, "greet", {"name": "Bo"})
        async with worker_of(estate, greet):
            assert await soon(lambda: estate.output(task_id)) == {"result": "Hello, Bo"}
        gate.set()


async def test_a_hand_over_whose_lease_may_be_over_is_not_run(estate: Estate) -> None:
    async with worker_of(estate, greet, lease_ms=1_000):
        await soon(lambda: estate.queue("greet").domains[None].waiting == 1)
        task_id = await asyncio.to_thread(estate.open, "greet", {"name": "Bo"})
        wakes = estate.store.queues.wake_key("greet") or ""
        stale = f"{task_id} 1 0 {estate.queue('greet').now_ms - 1}"
        await asyncio.to_thread(estate.executor.do, Command(("RPUSH", wakes, stale)))
        await soon(lambda: estate.executor.do(Command(("LLEN", wakes))) == 0)
        await asyncio.to_thread(estate.offer, "greet", task_id)
        assert await soon(lambda: estate.output(task_id)) == {"result": "Hello, Bo"}
    (report,) = estate.reports(task_id)
    assert report.poll_count == 1


async def test_a_task_that_arrives_later_wakes_an_idle_worker(estate: Estate) -> None:
    estate.limit("greet", concurrency=5)  # a queue with limits hands nothing over
    async with worker_of(estate, greet):
        await soon(lambda: estate.queue("greet").domains[None].waiting == 1)
        task_id = await asyncio.to_thread(estate.add, "greet", {"name": "Bo"})
        assert await soon(lambda: estate.output(task_id), timeout_s=1.5) == {"result": "Hello, Bo"}


async def test_many_tasks_of_several_types_run_in_batches(estate: Estate) -> None:
    greets = [estate.open("greet", {"name": str(number)}) for number in range(60)]
    adds = [estate.open("add", {"left": number}) for number in range(60)]
    estate.offer("greet", *greets)
    estate.offer("add", *adds)
    async with worker_of(estate, greet, add, concurrency=10):
        await soon(lambda: estate.is_empty("greet") and estate.is_empty("add"), timeout_s=20)
    assert [estate.output(one) for one in greets] == [{"result": f"Hello, {number}"} for number in range(60)]
    assert [estate.output(one) for one in adds] == [{"sum": number + 1} for number in range(60)]


@pytest.mark.parametrize(
    ("failing", "status", "reason", "retry_after_ms"),
    [
        (fails, "FAILED", "ValueError: no such item", None),
        (gives_up, "FAILED_WITH_TERMINAL_ERROR", "the card number is not valid", None),
        (wants_time, "FAILED", "rate limited by the bank", 1500),
    ],
)
async def test_what_a_task_raises_becomes_its_outcome(
    fake_estate: Estate, failing: Task[..., Any], status: str, reason: str, retry_after_ms: int | None
) -> None:
    task_id = fake_estate.add(failing.name, {"text": "no such item"})
    async with worker_of(fake_estate, failing):
        outcome = await soon(lambda: fake_estate.outcome(task_id))
    assert (outcome.status, outcome.reason, outcome.retry_after_ms) == (status, reason, retry_after_ms)


async def test_the_log_of_a_failed_task_holds_what_it_logged_and_the_traceback(fake_estate: Estate) -> None:
    @task
    async def logs_then_fails() -> None:
        TaskContext.current().log("opening the file")
        raise OSError("disk on fire")

    task_id = fake_estate.add("logs_then_fails")
    async with worker_of(fake_estate, logs_then_fails):
        outcome = await soon(lambda: fake_estate.outcome(task_id))
    (logged_ms, logged), (_, traceback) = outcome.logs
    assert logged == "opening the file"
    assert logged_ms > 1_700_000_000_000
    assert 'raise OSError("disk on fire")' in traceback


async def test_input_that_does_not_fit_the_signature_is_a_terminal_failure(fake_estate: Estate) -> None:
    missing = fake_estate.add("greet", {})
    wrong = fake_estate.add("add", {"left": "two"})
    async with worker_of(fake_estate, greet, add):
        first = await soon(lambda: fake_estate.outcome(missing))
        second = await soon(lambda: fake_estate.outcome(wrong))
    assert first.status == second.status == "FAILED_WITH_TERMINAL_ERROR"
    assert "greet" in first.reason
    assert "name" in first.reason
    assert "left" in second.reason


async def test_a_result_that_is_not_json_is_a_terminal_failure_naming_its_place(fake_estate: Estate) -> None:
    @task
    async def leaks() -> dict[str, Any]:
        return {"order": {"total": float("nan")}}

    @task
    async def objects() -> dict[str, Any]:
        return {"handle": object()}

    nan, handle = fake_estate.add("leaks"), fake_estate.add("objects")
    async with worker_of(fake_estate, leaks, objects):
        first = await soon(lambda: fake_estate.outcome(nan))
        second = await soon(lambda: fake_estate.outcome(handle))
    assert first.status == second.status == "FAILED_WITH_TERMINAL_ERROR"
    assert "output.order.total" in first.reason
    assert "handle" in second.reason


async def test_a_result_that_is_too_large_is_a_terminal_failure(fakeredis_url: str) -> None:
    estate = Estate(fakeredis_url, payload_bytes_max=2_000)

    @task
    async def shouts() -> str:
        return "a" * 3_000

    task_id = estate.add("shouts")
    async with worker_of(estate, shouts):
        outcome = await soon(lambda: estate.outcome(task_id))
    assert outcome.status == "FAILED_WITH_TERMINAL_ERROR"
    assert "permissible limit: 2000 bytes" in outcome.reason
    estate.close()


async def test_a_task_in_progress_keeps_its_slot_and_is_called_again(estate: Estate) -> None:
    deliveries: list[int] = []

    @task
    async def upload(context: TaskContext) -> Any:
        deliveries.append(context.delivery)
        return {"done": True} if len(deliveries) > 1 else in_progress(callback_after_s=0.2, output={"percent": 50})

    estate.limit("upload", concurrency=1)
    task_id = estate.add("upload")
    async with worker_of(estate, upload):
        await soon(lambda: estate.queue("upload").held == 1)
        await soon(lambda: estate.is_empty("upload"))
    first, second = estate.reports(task_id)
    assert (first.outcome.status, first.outcome.callback_after_ms) == ("IN_PROGRESS", 200)
    assert second.outcome.status == "COMPLETED"
    assert deliveries == [1, 2]


async def test_the_context_tells_a_task_who_it_is(fake_estate: Estate) -> None:
    @task
    def whoami(context: TaskContext) -> dict[str, Any]:
        assert TaskContext.current() is context
        return {"key": context.idempotency_key, "attempt": context.attempt, "workflow": context.workflow_name}

    task_id = fake_estate.add("whoami", attempt=2)
    async with worker_of(fake_estate, whoami):
        output = await soon(lambda: fake_estate.output(task_id))
    assert output == {"key": "w1:step:0:0", "attempt": 2, "workflow": "order"}


async def test_no_task_runs_beyond_the_concurrency_of_the_worker(fake_estate: Estate) -> None:
    running, most = 0, 0

    @task
    async def counts() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(20):
            await asyncio.sleep(0)
        running -= 1

    for _ in range(12):
        fake_estate.add("counts")
    async with worker_of(fake_estate, counts, concurrency=3):
        await soon(lambda: fake_estate.is_empty("counts"))
    assert most == 3


async def test_a_worker_serves_the_domain_it_is_given(estate: Estate) -> None:
    here = estate.add("greet", {"name": "Ada"}, domain="eu")
    elsewhere = estate.add("greet", {"name": "Bo"})
    async with worker_of(estate, greet, domain="eu"):
        assert await soon(lambda: estate.output(here)) == {"result": "Hello, Ada"}
        later = await asyncio.to_thread(estate.add, "greet", {"name": "Cy"}, domain="eu")
        assert await soon(lambda: estate.output(later)) == {"result": "Hello, Cy"}
    assert estate.reports(elsewhere) == []


async def test_a_task_its_partition_does_not_know_is_not_run_and_its_queue_forgets_it(estate: Estate) -> None:
    runs: list[str] = []

    @task
    async def records(context: TaskContext) -> None:
        runs.append(context.task_id)

    gone = estate.open("records")
    estate.close_task(gone)
    estate.offer("records", gone)
    async with worker_of(estate, records):
        await soon(lambda: estate.is_empty("records"))
    assert runs == []


async def test_a_task_delivered_too_often_is_reported_as_lost_without_running(fakeredis_url: str) -> None:
    estate = Estate(fakeredis_url, deliveries_max=1)
    runs: list[str] = []

    @task
    async def kills_its_worker(context: TaskContext) -> None:
        runs.append(context.task_id)

    task_id = estate.add("kills_its_worker")
    estate.executor.do(Command(("HSET", estate.store.keys.records("kills_its_worker"), task_id, "1 1 0 0 1 0 0 -")))
    async with worker_of(estate, kills_its_worker):
        outcome = await soon(lambda: estate.outcome(task_id))
    assert (outcome.status, runs) == ("FAILED", [])
    assert outcome.reason.startswith("lost after 1 deliveries")
    estate.close()


async def test_a_task_that_asks_to_be_called_again_is_never_lost_for_it(fakeredis_url: str) -> None:
    estate = Estate(fakeredis_url, deliveries_max=2)

    @task
    async def poll(context: TaskContext) -> int | InProgress:
        return context.delivery if context.delivery == 5 else in_progress(0)

    task_id = estate.add("poll")
    async with worker_of(estate, poll):
        await soon(lambda: len(estate.reports(task_id)) == 5)
    last = estate.reports(task_id)[-1].outcome
    assert (last.status, codec.unpack(bytes(last.output))) == ("COMPLETED", {"result": 5})
    estate.close()


async def test_a_cancelled_task_is_stopped_and_frees_its_slot(estate: Estate) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    @task
    async def waits() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    task_id = estate.add("waits")
    async with worker_of(estate, waits, lease_ms=1_000):
        await started.wait()
        await asyncio.to_thread(estate.cancel, "waits", task_id)
        await stopped.wait()
        await soon(lambda: estate.is_empty("waits"))
    assert estate.reports(task_id) == []


async def test_a_lost_lease_stops_the_task_and_nothing_is_reported(estate: Estate) -> None:
    events: list[tuple[str, dict[str, object]]] = []
    began = threading.Semaphore(0)

    @task
    def works(context: TaskContext) -> int:
        began.release()
        while context.delivery == 1 and not context.cancelled:
            threading.Event().wait(0.01)
        return context.delivery

    task_id = estate.add("works")
    async with worker_of(estate, works, lease_ms=1_000, observer=lambda event, fields: events.append((event, fields))):
        await asyncio.to_thread(began.acquire)
        await asyncio.to_thread(estate.steal, "works", task_id)
        assert await soon(lambda: estate.output(task_id)) == {"result": 3}
        await soon(lambda: estate.is_empty("works"))
    lost = [fields["delivery"] for event, fields in events if event == "lease_lost"]
    dropped = [fields["delivery"] for event, fields in events if fields.get("status") == "DROPPED"]
    assert (lost, dropped) == ([1], [1])


async def test_a_lease_is_extended_for_as_long_as_the_task_runs(estate: Estate) -> None:
    finish = asyncio.Event()

    @task
    async def takes_long() -> str:
        await finish.wait()
        return "ok"

    task_id = estate.add("takes_long", response_ms=60_000)
    leases = estate.store.keys.leases("takes_long")

    def expiry() -> int:
        return int(float(estate.executor.do(Command(("ZSCORE", leases, task_id)))))

    async with worker_of(estate, takes_long, lease_ms=1_000):
        first = await soon(expiry, timeout_s=5) if await soon(lambda: estate.queue("takes_long").leased == 1) else 0
        await soon(lambda: expiry() > first + 1_500)
        touched = int(estate.dispatch(task_id).split()[3])
        assert touched > int(estate.dispatch(task_id).split()[2])
        finish.set()
        assert await soon(lambda: estate.output(task_id)) == {"result": "ok"}
    assert estate.reports(task_id)[0].delivery == 1


async def test_drain_lets_running_tasks_end_and_claims_nothing_more(estate: Estate) -> None:
    finish, started = asyncio.Event(), asyncio.Event()

    @task
    async def slow() -> str:
        started.set()
        await finish.wait()
        return "ended"

    first = estate.add("slow")
    worker = worker_of(estate, slow, concurrency=1)
    await worker.start()
    await started.wait()
    draining = asyncio.create_task(worker.drain())
    second = await asyncio.to_thread(estate.add, "slow")
    finish.set()
    await draining
    assert estate.output(first) == {"result": "ended"}
    assert estate.reports(second) == []
    assert (estate.queue("slow").ready, estate.queue("slow").leased) == (1, 0)


async def test_stop_hands_running_tasks_back_to_their_queue_at_once(estate: Estate) -> None:
    started = asyncio.Event()

    @task
    async def endless() -> None:
        started.set()
        await asyncio.Event().wait()

    task_id = estate.add("endless")
    worker = worker_of(estate, endless)
    await worker.start()
    await started.wait()
    await worker.stop()
    assert (estate.queue("endless").ready, estate.queue("endless").leased) == (1, 0)
    assert estate.reports(task_id) == []


async def test_what_is_handed_over_at_the_last_moment_of_a_worker_is_for_others_at_once(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    estate = Estate(redis_url)
    worker = worker_of(estate, greet)
    await worker.start()
    await soon(lambda: estate.queue("greet").domains[None].waiting == 1)

    async def ending(loops: list[asyncio.Task[None]]) -> None:
        estate.add("greet", {"name": "Bo"})  # in this very moment: the loop sees nothing of it before its end
        await end_all(loops)

    monkeypatch.setattr("orchestrator_workers.worker.end_all", ending)
    await worker.stop()
    assert (estate.queue("greet").ready, estate.queue("greet").leased) == (1, 0)
    estate.close()


async def test_a_drain_that_takes_too_long_ends_with_a_hand_back(fake_estate: Estate) -> None:
    @task
    async def endless() -> None:
        await asyncio.Event().wait()

    fake_estate.add("endless")
    worker = worker_of(fake_estate, endless, drain_timeout_s=0)
    await worker.start()
    await soon(lambda: fake_estate.queue("endless").leased == 1)
    await worker.drain()
    assert fake_estate.queue("endless").ready == 1


async def test_a_starting_worker_registers_absent_definitions_with_their_limits(estate: Estate) -> None:
    @task(concurrency=3, rate_limit=RateLimit(100, 2))
    async def limited() -> None: ...

    async with worker_of(estate, limited):
        body = await asyncio.to_thread(estate.executor.do, catalog.get_task_definition(estate.store.keys, "limited"))
    limits = estate.queue("limited").limits
    assert b'"concurrentExecLimit":3' in body
    assert limits is not None
    assert (limits.concurrency, limits.rate, limits.window_ms) == (3, 100, 2_000)
    assert estate.executor.do(installation.list_queues(estate.store.keys)) == ["limited"]


async def test_a_definition_that_differs_from_the_catalog_is_left_alone_and_warned_of(
    fake_estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    fake_estate.executor.do(
        catalog.put_task_definition(fake_estate.store.keys, "greet", b'{"name": "greet", "retryCount": 7}')
    )
    async with worker_of(fake_estate, greet):
        pass
    (warning,) = [record for record in caplog.records if record.message == "task_definition_differs"]
    assert "retryCount" in vars(warning)["fields"]
    assert fake_estate.executor.do(catalog.get_task_definition(fake_estate.store.keys, "greet")).endswith(b"7}")


def test_a_worker_without_tasks_is_refused(fake_estate: Estate) -> None:
    with pytest.raises(InvalidRequest, match="needs tasks"):
        Worker(fake_estate.settings)
    with pytest.raises(InvalidRequest, match="at least 1"):
        Worker(fake_estate.settings, tasks=[greet], concurrency=0)


def test_a_worker_of_a_server_without_tasks_or_slots_is_refused() -> None:
    settings = Settings(server_url="http://127.0.0.1:1")
    with pytest.raises(InvalidRequest, match="needs tasks"):
        RemoteWorker(settings)
    with pytest.raises(InvalidRequest, match="at least 1"):
        RemoteWorker(settings, tasks=[greet], concurrency=0)


async def test_a_task_that_calls_heartbeat_is_told_at_once_that_it_is_cancelled(fake_estate: Estate) -> None:
    began = threading.Event()

    @task
    def listens(context: TaskContext) -> None:
        began.set()
        while not context.cancelled:
            context.heartbeat()
            threading.Event().wait(0.02)

    task_id = fake_estate.add("listens")
    async with worker_of(fake_estate, listens, lease_ms=60_000):
        await asyncio.to_thread(began.wait)
        await asyncio.to_thread(fake_estate.cancel, "listens", task_id)
        # A third of the lease would be 20 s; a heartbeat that is asked for reaches the store once a second.
        await soon(lambda: fake_estate.is_empty("listens"), timeout_s=5)
