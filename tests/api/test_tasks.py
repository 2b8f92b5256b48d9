"""The task routes over a real decider: a worker's whole conversation, the word from outside, logs and queues."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from orchestrator import AsyncClient, RetryPolicy, Workflow, task
from orchestrator.api import create_app
from orchestrator.client import AsyncWorkflowHandle
from orchestrator.settings import Settings
from tests.api.conftest import caller_of
from tests.support.deciding import deciding
from tests.support.eventually import eventually_async

Json = dict[str, Any]


@task(retry=RetryPolicy(limit=1, delay_s=0), response_timeout_s=60)
def pay(amount: int = 1) -> str:
    return "paid by a native worker"


order = Workflow("order").then(pay, amount="${workflow.input.amount}")
twice = Workflow("twice").then(pay, ref="first", amount=1).then(pay, ref="second", amount="${first.output.next}")
asking = Workflow("asking").wait(signal="go").then(pay, amount="${go.output.amount}")


@pytest.fixture
def settings(redis_url: str) -> Iterator[Settings]:
    """An installation with a decider in a thread."""
    with deciding(Settings(redis_url=redis_url, partitions=2)) as settings:
        yield settings


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[AsyncClient]:
    """A client straight on its store, which has registered the workflows."""
    async with AsyncClient(settings=settings) as client:
        await client.register(order, twice, asking)
        yield client


@pytest.fixture
async def door(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """A caller of the API on it."""
    app = create_app(settings=settings)
    async with app.router.lifespan_context(app), caller_of(app) as http:
        yield http


async def poll(door: httpx2.AsyncClient, **query: str) -> Json:
    """The next task of ``pay``; it comes as soon as there is one."""
    (found,) = (
        await door.get("/tasks/poll/batch/pay", params={"workerid": "host-1", "timeout": "5000", **query})
    ).json()
    return dict(found)


def result_of(shown: Json, status: str = "COMPLETED", **fields: Any) -> Json:
    ids = {"taskId": shown["taskId"], "workflowInstanceId": shown["workflowInstanceId"], "workerId": "host-1"}
    return {**ids, "status": status, **fields}


# --- a worker's conversation ------------------------------------------------------------------------------------------


async def test_a_worker_polls_reports_and_the_workflow_ends(client: AsyncClient, door: httpx2.AsyncClient) -> None:
    handle = await client.start_workflow(order, amount=7)
    shown = await poll(door, count="5")
    assert (shown["taskType"], shown["status"], shown["inputData"]) == ("pay", "IN_PROGRESS", {"amount": 7})
    assert (shown["referenceTaskName"], shown["workflowType"], shown["workerId"]) == ("pay", "order", "host-1")
    assert (shown["pollCount"], shown["responseTimeoutSeconds"], shown["callbackAfterSeconds"]) == (1, 60, 0)
    answer = await door.post("/tasks", json=result_of(shown, outputData={"receipt": 9, "none": None}))
    assert (answer.status_code, answer.text) == (200, shown["taskId"])
    assert answer.headers["content-type"].startswith("text/plain")
    assert await handle.status() == "COMPLETED"  # the answer comes when what follows is decided
    assert await handle.result() == {"receipt": 9, "none": None}
    again = await door.post("/tasks", json=result_of(shown, "FAILED"))
    assert (again.status_code, again.text) == (200, shown["taskId"])
    assert (await door.get(f"/tasks/{shown['taskId']}")).json()["status"] == "COMPLETED"


async def test_a_poll_that_finds_nothing_is_204_and_an_empty_list(door: httpx2.AsyncClient) -> None:
    answer = await door.get("/tasks/poll/pay", params={"workerid": "host-1"})
    assert (answer.status_code, answer.content) == (204, b"")
    answer = await door.get("/tasks/poll/batch/pay", params={"count": 3, "timeout": 10})
    assert (answer.status_code, answer.json()) == (200, [])
    answer = await door.get("/tasks/poll/batch/pay", params={"timeout": 5_001})
    assert (answer.status_code, answer.json()["message"]) == (
        400,
        "Long Poll Timeout value cannot be more than 5 seconds",
    )


async def test_a_single_poll_gives_one_task_of_the_domain(client: AsyncClient, door: httpx2.AsyncClient) -> None:
    handle = await client.with_options(domains={"pay": "eu"}).start_workflow(order, amount=1)
    assert (await door.get("/tasks/poll/pay")).status_code == 204
    shown = (await door.get("/tasks/poll/pay", params={"workerid": "host-1", "domain": "eu"})).json()
    assert (shown["workflowInstanceId"], shown["domain"]) == (handle.id, "eu")


async def test_update_v2_answers_with_the_next_task_of_the_queue(client: AsyncClient, door: httpx2.AsyncClient) -> None:
    handle = await client.start_workflow(twice)
    first = await poll(door)
    answer = await door.post("/tasks/update-v2", json=result_of(first, outputData={"next": 2}))
    second = answer.json()
    assert (second["referenceTaskName"], second["inputData"], second["status"]) == (
        "second",
        {"amount": 2},
        "IN_PROGRESS",
    )
    assert second["workerId"] == "host-1"
    answer = await door.post("/tasks/update-v2", json=result_of(second))
    assert (answer.status_code, answer.content) == (204, b"")
    assert await handle.status() == "COMPLETED"


async def test_update_v2_gives_no_task_while_the_reported_one_goes_on(
    client: AsyncClient, door: httpx2.AsyncClient
) -> None:
    await client.start_workflow(order, amount=1)
    await client.start_workflow(order, amount=2)
    shown = await poll(door)
    answer = await door.post("/tasks/update-v2", json=result_of(shown, "IN_PROGRESS", callbackAfterSeconds=60))
    assert answer.status_code == 204
    seen = (await door.get(f"/tasks/{shown['taskId']}")).json()
    assert (seen["status"], seen["callbackAfterSeconds"]) == ("SCHEDULED", 60)
    answer = await door.post("/tasks/update-v2", json=result_of(shown))
    assert answer.json()["inputData"] == {"amount": 2}


async def test_update_v2_never_looks_like_a_server_without_it(door: httpx2.AsyncClient) -> None:
    unknown = {"taskId": "nobody-aaaaaaaaaaaa", "workflowInstanceId": "nobody", "status": "COMPLETED"}
    assert (await door.post("/tasks/update-v2", json=unknown)).status_code == 204
    answer = await door.post("/tasks", json=unknown)
    assert (answer.status_code, answer.json()["status"]) == (404, 404)
    assert (await door.post("/tasks/update-v2", json={**unknown, "status": "DONE"})).status_code == 400


async def test_a_lease_extension_is_answered_with_the_task_id(client: AsyncClient, door: httpx2.AsyncClient) -> None:
    await client.start_workflow(order, amount=1)
    shown = await poll(door)
    answer = await door.post("/tasks", json=result_of(shown, "IN_PROGRESS", extendLease=True))
    assert (answer.status_code, answer.text) == (200, shown["taskId"])
    seen = (await door.get(f"/tasks/{shown['taskId']}")).json()
    assert seen["status"] == "IN_PROGRESS"
    assert seen["updateTime"] > shown["updateTime"]


async def test_a_failure_is_retried_and_the_worker_gets_the_next_attempt(
    client: AsyncClient, door: httpx2.AsyncClient
) -> None:
    handle = await client.start_workflow(order, amount=1)
    shown = await poll(door)
    await door.post("/tasks", json=result_of(shown, "FAILED", reasonForIncompletion="no money"))
    again = await poll(door)
    assert (again["retryCount"], again["retriedTaskId"]) == (1, shown["taskId"])
    await door.post("/tasks", json=result_of(again, "FAILED_WITH_TERMINAL_ERROR", reasonForIncompletion="never"))
    assert await handle.status() == "FAILED"


# --- from outside -----------------------------------------------------------------------------------------------------


async def started(client: AsyncClient, workflow: Workflow) -> AsyncWorkflowHandle:
    return await client.start_workflow(workflow, amount=1)


async def test_a_task_is_ended_by_its_reference(client: AsyncClient, door: httpx2.AsyncClient) -> None:
    handle = await started(client, order)
    task_id = (await handle.describe()).task("pay").task_id
    answer = await door.post(f"/tasks/{handle.id}/pay/COMPLETED", params={"workerid": "Ada"}, json={"by": "hand"})
    assert (answer.status_code, answer.text) == (200, task_id)
    assert await handle.result() == {"by": "hand"}
    answer = await door.post(f"/tasks/{handle.id}/pay/COMPLETED", json={})
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await door.post(f"/tasks/{handle.id}/pay/DONE", json={})).status_code == 400
    assert (await door.post("/tasks/nobody/pay/COMPLETED", json={})).status_code == 404


async def test_a_task_is_ended_by_its_reference_and_the_workflow_answered(
    client: AsyncClient, door: httpx2.AsyncClient
) -> None:
    handle = await started(client, order)
    answer = (await door.post(f"/tasks/{handle.id}/pay/COMPLETED/sync", json={"by": "hand"})).json()
    assert (answer["workflowId"], answer["status"], answer["output"]) == (handle.id, "COMPLETED", {"by": "hand"})
    assert (await door.post(f"/tasks/{handle.id}/pay/COMPLETED/sync", json={})).status_code == 404


async def test_a_signal_ends_what_waits(client: AsyncClient, door: httpx2.AsyncClient) -> None:
    handle = await started(client, asking)
    answer = await door.post(f"/tasks/{handle.id}/COMPLETED/signal", json={"amount": 5})
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await poll(door))["inputData"] == {"amount": 5}
    answer = await door.post(f"/tasks/{handle.id}/COMPLETED/signal", json={})
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("strategy", ["TARGET_WORKFLOW", "BLOCKING_WORKFLOW", "BLOCKING_TASK", "BLOCKING_TASK_INPUT"])
async def test_a_signal_is_answered_with_where_the_workflow_stands_then(
    client: AsyncClient, door: httpx2.AsyncClient, strategy: str
) -> None:
    again = Workflow("again").wait(signal="one").wait(signal="two")
    await client.register(again)
    handle = await client.start_workflow(again)
    path, query = f"/tasks/{handle.id}/COMPLETED/signal/sync", {"returnStrategy": strategy}
    answer = (await door.post(path, params=query, json={"a": 1})).json()
    assert (answer["responseType"], answer["targetWorkflowId"], answer["signalTimeout"]) == (strategy, handle.id, False)
    assert answer["targetWorkflowStatus"] == "RUNNING"
    if "TASK" in strategy:
        assert (answer["referenceTaskName"], answer["taskType"], answer["status"]) == ("two", "WAIT", "IN_PROGRESS")
    else:
        assert [one["referenceTaskName"] for one in answer["tasks"]] == ["one", "two"]
        assert answer["tasks"][0]["outputData"] == {"a": 1}
    answer = await door.post(path, params=query, json={})
    if "TASK" in strategy:
        assert (answer.status_code, answer.content) == (200, b"")  # nothing blocks any more
    else:
        assert answer.json()["status"] == "COMPLETED"
    assert (await door.post(path, params=query, json={})).status_code in (404, 409)
    assert (await door.post(path, params={"returnStrategy": "ALL"}, json={})).status_code == 400


# --- logs -------------------------------------------------------------------------------------------------------------


async def test_lines_are_added_to_a_log_and_read_back(client: AsyncClient, door: httpx2.AsyncClient) -> None:
    await client.start_workflow(order, amount=1)
    shown = await poll(door)
    path = f"/tasks/{shown['taskId']}/log"
    assert (await door.get(path)).status_code == 204
    answer = await door.post(path, content=b'half \\"way\\"', headers={"content-type": "application/json"})
    assert (answer.status_code, answer.content) == (200, b"")
    (line,) = (await door.get(path)).json()
    assert (line["log"], line["taskId"]) == ('half "way"', shown["taskId"])
    assert line["createdTime"] >= shown["startTime"]
    assert (await door.get("/tasks/nobody-aaaaaaaaaaaa/log")).status_code == 404
    assert (await door.get("/tasks/nobody-aaaaaaaaaaaa")).status_code == 404


# --- queues -----------------------------------------------------------------------------------------------------------


async def test_queues_say_what_waits_and_what_is_out(client: AsyncClient, door: httpx2.AsyncClient) -> None:
    for _ in range(3):
        await client.start_workflow(order, amount=1)
    await client.with_options(domains={"pay": "eu"}).start_workflow(order, amount=1)
    await poll(door)

    async def sizes() -> None:
        found = await door.get("/tasks/queue/sizes", params=[("taskType", "pay"), ("taskType", "other")])
        assert found.json() == {"pay": 3, "other": 0}

    await eventually_async(sizes)
    assert (await door.get("/tasks/queue/size", params={"taskType": "pay"})).json() == 3
    assert (await door.get("/tasks/queue/size", params={"taskType": "pay", "domain": "eu"})).json() == 1
    assert (await door.get("/tasks/queue/size", params={"taskType": "pay", "domain": "us"})).json() == 0
    assert (await door.get("/tasks/queue/all")).json() == {"eu:pay": 1, "pay": 2}
    verbose = (await door.get("/tasks/queue/all/verbose")).json()
    assert verbose == {"eu:pay": {"a": {"size": 1, "uacked": 0}}, "pay": {"a": {"size": 2, "uacked": 1}}}
    answer = await door.post("/tasks/queue/requeue/pay")
    assert (answer.status_code, answer.text) == (200, "0")


async def test_the_last_poll_of_each_queue_is_told(door: httpx2.AsyncClient) -> None:
    await door.get("/tasks/poll/pay", params={"workerid": "host-1", "domain": "eu"})

    async def told() -> None:
        (found,) = (await door.get("/tasks/queue/polldata", params={"taskType": "pay"})).json()
        assert (found["queueName"], found["domain"], found["workerId"]) == ("pay", "eu", "host-1")
        assert (await door.get("/tasks/queue/polldata/all")).json() == [found]

    await eventually_async(told)
