"""Workers as processes, seen and told what to do by commands, by a server and by its routes."""

from __future__ import annotations

import json
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result

from orchestrator.api import create_app
from orchestrator.ids import workflow_id_of
from orchestrator_cli.main import root
from tests.cli.conftest import Command, finished, write
from tests.support.eventually import eventually
from tests.support.served import Served
from tests.workers.estate import Estate

SHOP = """
import logging

from orchestrator.task import task

log = logging.getLogger("shop")


@task
async def on_the_loop():
    log.info("charging")


@task
def in_a_thread():
    log.info("charging")


@task(pool="process")
def in_a_child():
    log.info("charging")


@task(pool="rq")
def in_a_horse():
    log.info("charging")


@task
def fails():
    raise LookupError("nothing there")
"""
TASKS = """
from pathlib import Path
from threading import Event

from orchestrator.task import task


@task
def waits(path: str) -> str:
    while not Path(path).exists():
        Event().wait(0.02)
    return "done"


@task(pool="process")
def tells_its_process() -> int:
    import os

    return os.getpid()


@task(pool="process", domain="eu")
def counts(number: int) -> int:
    return number + 1


def shouts(context, input):
    context.log("hear, hear")
    yield
"""


@pytest.fixture
def estate(redis_url: str) -> Iterator[Estate]:
    estate = Estate(redis_url)
    yield estate
    estate.close()


@pytest.fixture
def run(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command line on the estate."""
    monkeypatch.setenv("ORCHESTRATOR_PARTITIONS", "2")
    return lambda *arguments: CliRunner().invoke(root, ["--redis", estate.settings.redis_url, *arguments])


@pytest.fixture
def start(estate: Estate, command: Command, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a worker of the tasks above, or of others."""

    def start(*options: str, tasks: str = TASKS, **environment: str) -> subprocess.Popen[str]:
        path = write(tmp_path, "yard.py", tasks)
        environment["ORCHESTRATOR_PARTITIONS"] = "2"
        return command("--redis", estate.settings.redis_url, "worker", path, *options, environment=environment)

    return start


def workers(run: Callable[..., Result], *options: str) -> list[dict[str, Any]]:
    found = run("workers", "list", "-o", "json", *options)
    assert found.exit_code == 0, found.output
    rows: list[dict[str, Any]] = json.loads(found.stdout)
    return rows


def test_two_workers_are_listed_paused_resumed_and_drained_to_an_exit_status_of_0(
    estate: Estate, run: Callable[..., Result], start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    first = start(
        "--name", "first", "--build", "v1", "--concurrency", "3", "--middleware", f"{tmp_path}/yard.py:shouts"
    )
    flag = tmp_path / "flag"
    held = estate.add("waits", {"path": str(flag)})

    def holding() -> dict[str, Any]:
        found = workers(run, "--type", "waits")
        assert [one["held"] for one in found] == [[held]]
        return found[0]

    row = eventually(holding, timeout_s=30)
    assert (row["name"].rpartition("-")[0], row["pid"], row["state"]) == ("first", first.pid, "RUNNING")
    assert (row["build"], row["running"], row["concurrency"]) == ("v1", 1, 3)
    assert row["taskTypes"] == [
        {"name": "counts", "domain": "eu", "pool": "process"},
        {"name": "tells_its_process", "pool": "process"},
        {"name": "waits", "pool": "thread"},
    ]
    shown = run("workers", "get", row["name"]).stdout
    assert held in shown
    assert "eu:counts (process), tells_its_process (process), waits (thread)" in shown

    def states() -> list[str]:
        return [one["state"] for one in workers(run)]

    def are(*expected: str) -> None:
        assert states() == [*expected]

    assert run("workers", "pause", "--type", "waits").stdout == f"{row['name']}\n"
    eventually(lambda: are("PAUSED"), timeout_s=30)
    second = start("--name", "second")
    eventually(lambda: are("PAUSED", "RUNNING"), timeout_s=30)
    assert run("workers", "resume", row["name"]).exit_code == 0
    eventually(lambda: are("RUNNING", "RUNNING"), timeout_s=30)

    with Served(create_app(settings=estate.settings)) as served, httpx2.Client(base_url=f"{served.url}/api") as http:
        assert http.get(f"/workers/{row['name']}").json()["pid"] == first.pid
        assert len(http.get("/workers", params={"taskType": "counts"}).json()) == 2
        assert http.post(f"/workers/{row['name']}/drain").json() == [row["name"]]
        assert http.post("/workers/nobody/drain").status_code == 404
    eventually(lambda: are("DRAINING", "RUNNING"), timeout_s=30)
    flag.touch()
    assert finished(first)[0] == 0
    assert estate.output(held) == {"result": "done"}
    assert [text for _, text in estate.outcome(held).logs] == ["hear, hear"]
    assert run("workers", "drain", "--type", "counts").exit_code == 0
    assert finished(second)[0] == 0
    assert workers(run) == []
    gone = run("workers", "drain", row["name"])
    assert (gone.exit_code, "orchestrator workers list" in gone.stderr) == (3, True)


def test_a_worker_that_was_killed_is_shown_as_lost(
    estate: Estate,
    run: Callable[..., Result],
    start: Callable[..., subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = start("--name", "first")
    (row,) = eventually(lambda: _one(workers(run)), timeout_s=30)
    process.kill()
    process.wait()
    monkeypatch.setattr("orchestrator.service.workers.SILENT_MS", 0)
    assert [one["state"] for one in workers(run)] == ["LOST"]
    assert row["name"] in run("workers", "list").stdout


def test_a_worker_replaces_its_children_as_it_was_told_and_loses_nothing(
    estate: Estate, start: Callable[..., subprocess.Popen[str]]
) -> None:
    added = [estate.add("tells_its_process") for _ in range(30)]
    process = start("--concurrency", "2", "--recycle-tasks", "5", "--recycle-memory", "4096")

    def outputs() -> list[int]:
        assert all(estate.reports(one) for one in added)
        return [estate.output(one)["result"] for one in added]

    ran = Counter(eventually(outputs, timeout_s=40))
    assert (max(ran.values()), sum(ran.values())) == (5, 30)
    process.terminate()
    status, _, told = finished(process)
    assert status == 0
    assert told.count("child_recycled") >= 5


def test_whatever_a_task_logs_has_its_ids_in_every_pool_and_so_has_its_failure(
    estate: Estate, start: Callable[..., subprocess.Popen[str]]
) -> None:
    pools = ("on_the_loop", "in_a_thread", "in_a_child", "in_a_horse")
    added = {estate.add(name): name for name in (*pools, "fails")}
    process = start("--name", "first", tasks=SHOP, ORCHESTRATOR_LOG_FORMAT="json")
    eventually(lambda: all(estate.reports(one) for one in added), timeout_s=40)
    process.terminate()
    status, _, told = finished(process)
    assert status == 0
    lines = [json.loads(line) for line in told.splitlines()]
    (worker_id,) = {line["worker_id"] for line in lines if line["event"] == "worker_started"}
    charged = {line["task_id"]: line for line in lines if line["event"] == "charging"}
    assert {task_id: line["task_type"] for task_id, line in charged.items()} == {
        task_id: name for task_id, name in added.items() if name in pools
    }
    for task_id, line in charged.items():
        assert (line["workflow_id"], line["attempt"], line["delivery"]) == (workflow_id_of(task_id), 0, 1)
        assert (line["worker_id"], line["logger"], line["level"]) == (worker_id, "shop", "INFO")
    (ended,) = [line for line in lines if line["event"] == "task_ended"]
    assert (ended["task_type"], ended["status"], ended["level"]) == ("fails", "FAILED", "WARNING")
    assert (ended["reason"], ended["worker_id"]) == ("LookupError: nothing there", worker_id)


VERSIONED = """
from orchestrator.task import task


@task
def version() -> str:
    return "first"
"""


def test_a_worker_that_reloads_runs_the_code_as_it_is_now_and_waits_out_a_mistake(
    estate: Estate, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    pytest.importorskip("watchfiles")
    process = start("--reload", tasks=VERSIONED)
    said: list[str] = []
    threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True).start()

    def count(text: str) -> int:
        return sum(text in line for line in said)

    def ran() -> str:
        task_id = estate.add("version")
        eventually(lambda: bool(estate.reports(task_id)), timeout_s=20)
        return str(estate.output(task_id)["result"])

    def breaks() -> bool:  # written anew each time: a change before the watch began is not seen
        write(tmp_path, "yard.py", VERSIONED.replace("version()", "version("))
        return count("starts again: the code has changed") > 0

    eventually(lambda: count("worker   ready") > 0, timeout_s=20)
    assert ran() == "first"
    eventually(breaks, timeout_s=20)
    eventually(lambda: count("waiting for a change of the code") > 0, timeout_s=20)
    write(tmp_path, "yard.py", VERSIONED.replace("first", "second"))
    eventually(lambda: count("worker   ready") > 1, timeout_s=20)
    assert ran() == "second"
    process.terminate()
    assert process.wait(20) == 0


def test_reloading_without_the_package_that_watches_says_what_to_install(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator_cli.reloading.can_watch", lambda: False)
    refused = run("worker", "yard.py", "--reload")
    assert (refused.exit_code, "pip install 'redis-orchestrator[dev]'" in refused.stderr) == (2, True)


def test_a_worker_of_a_server_never_speaks_to_its_redis_and_drains_on_a_signal(
    estate: Estate, command: Command, run: Callable[..., Result], tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    added = estate.add("waits", {"path": str(flag)})
    with Served(create_app(settings=estate.settings)) as served:
        path = write(tmp_path, "yard.py", TASKS)
        nowhere = {"ORCHESTRATOR_REDIS_URL": "redis://localhost:1/0"}
        process = command("--server", served.url, "worker", path, "--name", "far", environment=nowhere)
        eventually(lambda: estate.dispatch(added).startswith("R"), timeout_s=30)
        eventually(lambda: [one["running"] for one in workers(run, "--type", "waits")] == [1], timeout_s=20)
        process.terminate()
        eventually(lambda: [one["state"] for one in workers(run)] == ["DRAINING"], timeout_s=20)
        flag.touch()
        assert finished(process)[0] == 0
    assert estate.output(added) == {"result": "done"}
    assert workers(run) == []


def _one(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assert rows
    return rows
