"""Servers that are killed, cut off from Redis or left by their clients at the worst moment: nothing is lost or done twice.

The moments are exact: a proxy in front of Redis keeps the answer of one script back, so that its effect is there, and the
server that asked for it is killed before it knows.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from orchestrator.engine.process import DeciderProcess
from orchestrator.settings import Settings
from orchestrator.store.scripts import library
from tests.support.eventually import eventually, eventually_async
from tests.support.redis_server import RedisServer
from tests.support.server_process import ServerProcess
from tests.support.wire_proxy import WireProxy

Json = dict[str, Any]

LEASE_MS = 1_000
PROMPT_S = 1.8  # looking again without a wake-up takes two seconds
AWAY_S = 10.0
COMMAND_TIMEOUT_S = 1.0
BOUND_S = 8.0
CHARGE: Json = {
    "name": "charge",
    "ownerEmail": "a@b.c",
    "retryCount": 3,
    "retryDelaySeconds": 0,
    "responseTimeoutSeconds": 1,
    "timeoutSeconds": 60,
}
STEP: Json = {"name": "charge", "taskReferenceName": "charge"}
GATES: list[Json] = [{"name": ref, "taskReferenceName": ref, "type": "WAIT"} for ref in ("first", "second")]
ORDER: Json = {"name": "order", "tasks": [STEP], "outputParameters": {"paid": "${charge.output.paid}"}}
TWO_GATES: Json = {"name": "two_gates", "tasks": GATES}

pytestmark = pytest.mark.crash


@pytest.fixture(scope="module")
def decider(redis_server: RedisServer) -> Iterator[Settings]:
    """An installation with a decider in a thread."""
    redis_server.flush()
    yield from deciding(Settings(redis_url=redis_server.url, lease_ms=LEASE_MS))


def deciding(settings: Settings) -> Iterator[Settings]:
    process, ready = DeciderProcess(settings), threading.Event()
    thread = threading.Thread(target=process.run, args=(ready.set,))
    thread.start()
    assert ready.wait(10)
    yield settings
    process.stop()
    thread.join(10)


@pytest.fixture(scope="module")
def server(decider: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that lives on; every script has run once, so that from now on they go by their hashes."""
    with serving(decider.redis_url, tmp_path_factory.mktemp("server")) as server:
        with httpx2.Client(base_url=server.url, timeout=20) as http:
            define(http)
            start(http, "order")
            complete(http, poll(http))
            signalled(http, start(http, "two_gates"), "warm")
        yield server


def serving(store_url: str, folder: Path) -> ServerProcess:
    return ServerProcess(store_url, folder / "log", environment={"ORCHESTRATOR_LEASE_MS": str(LEASE_MS)})


@pytest.fixture
def http(server: ServerProcess) -> Iterator[httpx2.Client]:
    """A caller of the server that lives on."""
    with httpx2.Client(base_url=server.url, timeout=20) as http:
        yield http


@pytest.fixture
def redis_proxy(decider: Settings) -> Iterator[WireProxy]:
    """What stands between the doomed server and Redis."""
    port = int(decider.redis_url.rpartition(":")[2].partition("/")[0])
    with WireProxy(("127.0.0.1", port)) as proxy:
        yield proxy


@pytest.fixture
def doomed(server: ServerProcess, redis_proxy: WireProxy, tmp_path: Path) -> Iterator[ServerProcess]:
    """A second server on the same Redis, which is going to be killed."""
    with serving(f"redis://127.0.0.1:{redis_proxy.port}/0", tmp_path) as doomed:
        yield doomed


def define(http: httpx2.Client) -> None:
    for path, document in (("taskdefs", [CHARGE]), ("workflow", ORDER), ("workflow", TWO_GATES)):
        assert http.post(f"/metadata/{path}", json=document).status_code == 200


def start(http: httpx2.Client, name: str, **fields: Any) -> str:
    answer = http.post("/workflow", json={"name": name, **fields})
    assert answer.status_code == 200, answer.text
    return answer.text


def poll(http: httpx2.Client, timeout_ms: int = 5_000) -> Json:
    """The next task, which must come within that time."""
    answer = http.get("/tasks/poll/batch/charge", params={"workerid": "host", "timeout": timeout_ms})
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()
    return dict(found)


def result(task: Json, paid: int = 1) -> Json:
    ids = {"taskId": task["taskId"], "workflowInstanceId": task["workflowInstanceId"]}
    return {**ids, "status": "COMPLETED", "outputData": {"paid": paid}}


def complete(http: httpx2.Client, task: Json) -> None:
    assert http.post("/tasks", json=result(task)).text == task["taskId"]


def signalled(http: httpx2.Client, workflow_id: str, key: str) -> httpx2.Response:
    return http.post(f"/tasks/{workflow_id}/COMPLETED/signal", json={}, headers={"Idempotency-Key": key})


def workflow(http: httpx2.Client, workflow_id: str) -> Json:
    return dict(http.get(f"/workflow/{workflow_id}").json())


def ended(http: httpx2.Client, workflow_id: str) -> Json:
    """A workflow that has completed."""

    def look() -> Json:
        found = workflow(http, workflow_id)
        assert found["status"] == "COMPLETED", found
        return found

    return eventually(look)


def statuses(found: Json) -> list[str]:
    return [task["status"] for task in found["tasks"]]


def killed_behind(
    script: str, doomed: ServerProcess, proxy: WireProxy, call: Callable[[httpx2.Client], httpx2.Response]
) -> None:
    """Make a call of the doomed server, and kill it when the script has run and the server does not know."""
    with httpx2.Client(base_url=doomed.url, timeout=20) as http, ThreadPoolExecutor(1) as caller:
        assert http.get("/readyz").status_code == 200
        proxy.hold(library()[script].sha.encode())
        answer: Future[httpx2.Response] = caller.submit(call, http)
        proxy.wait_held()
        doomed.kill()
        with pytest.raises(httpx2.TransportError):
            answer.result(10)


# --- killed between effect and answer ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/tasks", "/tasks/update-v2"])
def test_a_result_whose_answer_was_lost_with_its_server_is_answered_alike_when_it_is_sent_again(
    http: httpx2.Client, doomed: ServerProcess, redis_proxy: WireProxy, path: str
) -> None:
    start(http, "order")
    task = poll(http)
    killed_behind("accept", doomed, redis_proxy, lambda lost: lost.post(path, json=result(task, paid=7)))
    found = ended(http, task["workflowInstanceId"])
    again = http.post(path, json=result(task, paid=8))
    assert (again.status_code, again.text) == ((200, task["taskId"]) if path == "/tasks" else (204, ""))
    assert (found["output"], statuses(found)) == ({"paid": 7}, ["COMPLETED"])
    assert workflow(http, task["workflowInstanceId"]) == found


def test_a_signal_whose_answer_was_lost_with_its_server_ends_no_second_wait_when_it_is_sent_again(
    http: httpx2.Client, doomed: ServerProcess, redis_proxy: WireProxy
) -> None:
    workflow_id = start(http, "two_gates")
    killed_behind("request", doomed, redis_proxy, lambda lost: signalled(lost, workflow_id, "once"))
    assert signalled(http, workflow_id, "once").status_code == 200
    assert statuses(workflow(http, workflow_id)) == ["COMPLETED", "IN_PROGRESS"]
    assert signalled(http, workflow_id, "twice").status_code == 200
    ended(http, workflow_id)


@pytest.mark.parametrize("way", ["header", "field", "execute"])
def test_a_start_whose_answer_was_lost_with_its_server_is_no_second_workflow_when_it_is_sent_again(
    http: httpx2.Client, doomed: ServerProcess, redis_proxy: WireProxy, way: str
) -> None:
    path = "/workflow/execute/order/1?waitForSeconds=1" if way == "execute" else "/workflow"
    request, headers = {"name": "order", "correlationId": way}, {"Idempotency-Key": way}
    if way == "field":
        request |= {"idempotencyKey": way, "idempotencyStrategy": "RETURN_EXISTING"}
        headers = {}

    def begin(caller: httpx2.Client) -> httpx2.Response:
        return caller.post(path, json=request, headers=headers)

    killed_behind("start", doomed, redis_proxy, begin)
    again = [begin(http) for _ in range(2)]
    (only,) = http.get(f"/workflow/order/correlated/{way}").json()
    ids = [answer.json()["workflowId"] if way == "execute" else answer.text for answer in again]
    assert ids == [only["workflowId"]] * 2
    complete(http, poll(http))
    assert statuses(ended(http, only["workflowId"])) == ["COMPLETED"]


@pytest.mark.parametrize(("script", "attempts"), [("claim", 1), ("start_task", 1), ("lend", 2)])
def test_a_task_whose_poll_was_cut_off_with_its_server_comes_back_and_is_done_once(
    http: httpx2.Client, doomed: ServerProcess, redis_proxy: WireProxy, script: str, attempts: int
) -> None:
    workflow_id = start(http, "order")
    killed_behind(
        script, doomed, redis_proxy, lambda lost: lost.get("/tasks/poll/batch/charge?workerid=lost&timeout=5000")
    )
    task = poll(http)  # behind its lease, or as another attempt when its worker has been silent for too long
    assert task["workflowInstanceId"] == workflow_id
    complete(http, task)
    found = ended(http, workflow_id)
    assert statuses(found) == ["TIMED_OUT"] * (attempts - 1) + ["COMPLETED"]
    assert http.get("/tasks/queue/sizes?taskType=charge").json() == {"charge": 0}


# --- clients that go --------------------------------------------------------------------------------------------------


def polling(server: ServerProcess, http: httpx2.Client) -> socket.socket:
    """A poll on a bare socket, which stands there."""
    line = socket.create_connection(server.address, timeout=10)
    line.sendall(b"GET /api/tasks/poll/batch/charge?workerid=gone&timeout=5000 HTTP/1.1\r\nhost: here\r\n\r\n")
    assert http.get("/metadata/taskdefs").status_code == 200  # what came before it has been read
    return line


def half_close(line: socket.socket) -> None:
    line.shutdown(socket.SHUT_WR)


def close(line: socket.socket) -> None:
    line.close()


def reset(line: socket.socket) -> None:
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()


@pytest.mark.parametrize("leave", [half_close, close, reset])
def test_a_poll_whose_client_left_before_a_task_came_takes_none(
    server: ServerProcess, http: httpx2.Client, leave: Callable[[socket.socket], None]
) -> None:
    line = polling(server, http)
    leave(line)
    workflow_id = start(http, "order")
    task = poll(http)
    assert (task["workflowInstanceId"], task["retryCount"]) == (workflow_id, 0)
    complete(http, task)
    assert statuses(ended(http, workflow_id)) == ["COMPLETED"]
    line.close()


def test_polls_whose_clients_leave_while_tasks_come_lose_none(server: ServerProcess, http: httpx2.Client) -> None:
    lines, started = [], []
    for leave in (half_close, close, reset) * 5:
        lines.append(polling(server, http))
        started.append(start(http, "order"))
        leave(lines[-1])
    left = set(started)
    while left:
        task = poll(http)
        complete(http, task)
        left.discard(task["workflowInstanceId"])
    for workflow_id in started:
        assert statuses(ended(http, workflow_id)).count("COMPLETED") == 1
    for line in lines:
        line.close()


def test_a_task_handed_to_a_client_that_never_reads_it_comes_back_behind_its_response_timeout(
    server: ServerProcess, http: httpx2.Client
) -> None:
    with polling(server, http):
        workflow_id = start(http, "order")
        eventually(lambda: statuses(workflow(http, workflow_id)) == ["IN_PROGRESS"])
        complete(http, poll(http))
        assert statuses(ended(http, workflow_id)) == ["TIMED_OUT", "COMPLETED"]


# --- several servers --------------------------------------------------------------------------------------------------


def test_servers_share_polls_results_and_waits_and_one_goes_on_without_the_other(
    http: httpx2.Client, doomed: ServerProcess
) -> None:
    with httpx2.Client(base_url=doomed.url, timeout=20) as other, ThreadPoolExecutor(2) as callers:

        def execute(caller: httpx2.Client) -> tuple[Json, float]:
            answer = caller.post("/workflow/execute/order/1", params={"waitForSeconds": 15}, json={})
            return dict(answer.json()), time.monotonic()

        for starter, worker in ((http, other), (other, http)):
            executed = callers.submit(execute, starter)
            task = poll(worker)
            complete(starter, task) if starter is other else complete(worker, task)
            completed_s = time.monotonic()
            answer, answered_s = executed.result(15)
            assert (answer["status"], answer["output"]) == ("COMPLETED", {"paid": 1})
            assert answered_s - completed_s < PROMPT_S
        polled = callers.submit(poll, http)
        executed = callers.submit(execute, http)
        complete(http, polled.result(15))
        assert executed.result(15)[0]["status"] == "COMPLETED"

        lost = callers.submit(execute, other)
        task = poll(other)
        doomed.kill()
        with pytest.raises(httpx2.TransportError):
            lost.result(15)
    complete(http, task)
    assert ended(http, task["workflowInstanceId"])["output"] == {"paid": 1}
    start(http, "order")
    complete(http, poll(http))


def test_who_waits_for_longer_than_a_server_takes_to_end_is_told_to_come_back(
    decider: Settings, http: httpx2.Client, tmp_path: Path
) -> None:
    drain = {"ORCHESTRATOR_DRAIN_TIMEOUT_S": "1"}
    with (
        ServerProcess(decider.redis_url, tmp_path / "log", environment=drain) as server,
        ThreadPoolExecutor(1) as caller,
    ):
        with httpx2.Client(base_url=server.url, timeout=30) as other:
            asked = caller.submit(other.post, "/workflow/execute/order/1?waitForSeconds=20", json={})
            task = poll(http)
            assert server.stop() == 0
            answer = asked.result(10)
        assert (answer.status_code, answer.headers["retry-after"], answer.json()["retryable"]) == (503, "1", True)
        assert "Traceback" not in server.log()
    complete(http, task)


# --- Redis goes away --------------------------------------------------------------------------------------------------


@pytest.fixture
def store() -> Iterator[RedisServer]:
    """A Redis of one's own, to be killed."""
    with RedisServer("redis") as store:
        yield store


@pytest.fixture
def exposed(store: RedisServer, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server before it, with a decider; it has little patience with Redis."""
    constants = {"orchestrator.store.connection.COMMAND_TIMEOUT_S": COMMAND_TIMEOUT_S}
    for _ in deciding(Settings(redis_url=store.url)):
        with ServerProcess(store.url, tmp_path / "exposed.log", constants=constants) as exposed:
            yield exposed
            assert "Traceback" not in exposed.log()
            assert exposed.stop() == 0


LONG_POLL = "/tasks/poll/batch/charge?workerid=host&timeout=5000"
CALLS: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/metadata/taskdefs", None),
    ("POST", "/workflow", {"name": "order"}),
    ("GET", LONG_POLL, None),
    ("GET", "/readyz", None),
    ("GET", "/workflow/search", None),
)


async def call(http: httpx2.AsyncClient, method: str, path: str, body: Any = None) -> httpx2.Response:
    """One call, which must be answered within the time that anything may take, with or without Redis."""
    asked_s = time.monotonic()
    answer = await http.request(method, path, json=body)
    assert time.monotonic() - asked_s < BOUND_S, f"{method} {path}"
    assert answer.status_code in (200, 503), answer.text
    return answer


def standing(http: httpx2.AsyncClient, count: int) -> list[asyncio.Task[httpx2.Response]]:
    """Long polls."""
    return [asyncio.create_task(call(http, "GET", LONG_POLL)) for _ in range(count)]


async def is_noted(http: httpx2.AsyncClient) -> bool:
    return "host" in (await http.get("/tasks/queue/polldata?taskType=charge")).text


async def one_order(http: httpx2.AsyncClient) -> None:
    """A whole order, of which everybody who waits hears at once."""
    executed = asyncio.create_task(http.post("/workflow/execute/order/1", params={"waitForSeconds": 15}, json={}))
    found = (await http.get(LONG_POLL)).json()
    assert (await http.post("/tasks", json=result(found[0]))).status_code == 200
    completed_s = time.monotonic()
    assert (await executed).json()["status"] == "COMPLETED"
    assert time.monotonic() - completed_s < PROMPT_S


async def test_without_redis_calls_are_refused_for_the_moment_and_then_all_is_well_without_help(
    store: RedisServer, exposed: ServerProcess
) -> None:
    async with httpx2.AsyncClient(base_url=exposed.url, timeout=30) as http:
        with httpx2.Client(base_url=exposed.url) as defining:
            define(defining)
        await one_order(http)
        workflow_id = (await http.post("/workflow", json={"name": "order"})).text
        (out,) = (await http.get(LONG_POLL)).json()
        polls = standing(http, 20)
        executed = asyncio.create_task(http.post("/workflow/execute/two_gates/1?waitUntilTaskRef=second", json={}))
        await eventually_async(lambda: is_noted(http))
        store.kill()
        away_s = time.monotonic()
        while time.monotonic() - away_s < AWAY_S:
            for answer in [await call(http, *one) for one in CALLS]:
                assert (answer.status_code, answer.headers.get("retry-after")) == (503, "1"), answer.text
            assert (await http.get("/livez")).status_code == 200
        assert {(await one).status_code for one in polls} <= {200, 503}
        assert (await executed).status_code == 503
        await asyncio.to_thread(store.restart)
        await eventually_async(lambda: is_ready(http))
        assert (await http.post("/tasks", json=result(out))).text == out["taskId"]
        await eventually_async(lambda: has_completed(http, workflow_id))
        await eventually_async(lambda: one_order(http), retry_on=(AssertionError, IndexError))
        polls = standing(http, 20)
        await eventually_async(lambda: is_noted(http))
        for _ in polls:
            assert (await call(http, "POST", "/workflow", {"name": "order"})).status_code == 200
        assert sorted([len((await one).json()) for one in polls]) == [1] * 20


async def is_ready(http: httpx2.AsyncClient) -> bool:
    return (await call(http, "GET", "/readyz")).status_code == 200


async def has_completed(http: httpx2.AsyncClient, workflow_id: str) -> bool:
    return bool((await http.get(f"/workflow/{workflow_id}")).json()["status"] == "COMPLETED")


async def test_a_redis_that_stands_still_holds_nobody_for_longer_than_one_command_may_take(
    store: RedisServer, exposed: ServerProcess
) -> None:
    assert store.pid is not None
    async with httpx2.AsyncClient(base_url=exposed.url, timeout=30) as http:
        with httpx2.Client(base_url=exposed.url) as defining:
            define(defining)
        os.kill(store.pid, signal.SIGSTOP)
        try:
            answers = await asyncio.gather(*[call(http, *one) for one in CALLS * 8])
            answers += await asyncio.gather(*[call(http, *one) for one in CALLS * 8])  # the keys are to be read anew
        finally:
            os.kill(store.pid, signal.SIGCONT)
        assert {(answer.status_code, answer.headers.get("retry-after")) for answer in answers} == {(503, "1")}
        await eventually_async(lambda: is_ready(http))
        await eventually_async(lambda: one_order(http), retry_on=(AssertionError, IndexError))
