"""top: the figures of one look, rates between two, a screen that is given back, and an installation that goes away."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator.api import create_app
from orchestrator.errors import StoreUnavailable
from orchestrator.model.execution import PollData
from orchestrator.model.workers import WorkerInfo
from orchestrator.settings import Settings
from orchestrator_cli import panes, top
from orchestrator_cli.main import root
from orchestrator_cli.session import Session
from tests.cli.conftest import PATHS, SHOP, Invoke, end_group
from tests.support.eventually import eventually
from tests.support.served import Served


def once(invoke: Invoke) -> dict[str, Any]:
    result = invoke("top", "--once", "-o", "json")
    assert result.exit_code == 0, result.output
    page: dict[str, Any] = json.loads(result.stdout)
    return page


def test_one_look_has_executions_queues_deciders_and_no_rates(invoke: Invoke, engine: None) -> None:
    assert invoke("def", "apply", SHOP).exit_code == 0
    assert invoke("workflow", "run", "hello", "-i", "name=Ada").exit_code == 0
    assert invoke("workflow", "start", "patient").exit_code == 0
    eventually(lambda: once(invoke)["executions"]["RUNNING"] == 1)
    page = once(invoke)
    assert page["executions"]["COMPLETED"] == 1
    assert page["endedPerS"] is None
    assert "greet" in [queue["name"] for queue in page["queues"]]
    (worker,) = page["workers"]
    assert (worker["state"], worker["tasks"]) == ("RUNNING", ["greet", "refuse"])
    (decider,) = page["deciders"]
    assert (decider["partitions"], page["partitions"]["unowned"]) == (16, [])


def test_a_server_shows_the_same(invoke: Invoke, engine: None, fakeredis_url: str) -> None:
    with Served(create_app(settings=Settings(redis_url=fakeredis_url))) as served:
        asked = CliRunner().invoke(root, ["--server", served.url, "top", "--once"])
    assert asked.exit_code == 0, asked.output
    assert asked.stdout.splitlines()[0].startswith(served.url)


def test_rates_are_what_changed_between_two_looks_on_the_clock_of_the_store(fakeredis_url: str) -> None:
    with Session({"redis": fakeredis_url}).store() as store:
        first = panes.look(store)
    later_ms = first.at_ms + 4_000
    partitions = [one._replace(stats=one.stats._replace(now_ms=later_ms)) for one in first.overview.partitions]
    executions = {**first.overview.executions, "COMPLETED": 6, "FAILED": 2, "RUNNING": 50}
    second = first._replace(overview=first.overview._replace(partitions=partitions, executions=executions))
    assert panes.page_of(second, first)["endedPerS"] == 2.0
    third = second._replace(overview=first.overview._replace(partitions=partitions))  # they moved to the archive
    assert panes.page_of(third, first)["endedPerS"] == 0.0
    assert panes.page_of(first, first)["endedPerS"] is None


def test_a_queue_s_rate_is_that_of_its_grants(invoke: Invoke, fakeredis_url: str, engine: None) -> None:
    assert invoke("def", "apply", SHOP).exit_code == 0
    assert invoke("workflow", "run", "hello", "-i", "name=Ada").exit_code == 0
    with Session({"redis": fakeredis_url}).store() as store:
        now = panes.look(store)
    greet = now.queues["greet"]
    before = now._replace(queues={"greet": greet._replace(now_ms=greet.now_ms - 500, granted=greet.granted - 1)})
    row = next(row for row in panes.page_of(now, before)["queues"] if row["name"] == "greet")
    assert (row["startedPerS"], row["expiredPerS"]) == (2.0, 0.0)


def test_a_worker_that_only_polls_is_shown_while_it_does(fakeredis_url: str) -> None:
    with Session({"redis": fakeredis_url}).store() as store:
        now = panes.look(store)
    polls = [
        PollData(queue_name="b", worker_id="sdk-1", last_poll_time=now.at_ms - 9_000),
        PollData(queue_name="a", worker_id="sdk-1", last_poll_time=now.at_ms - 2_000),
        PollData(queue_name="a", worker_id="sdk-2", last_poll_time=now.at_ms - 61_000),
        PollData(queue_name="a", worker_id="ours", last_poll_time=now.at_ms),
    ]
    ours = WorkerInfo(name="ours", concurrency=5, running=2, silent_ms=10)
    rows = panes.page_of(now._replace(polls=polls, workers=[ours]))["workers"]
    assert [(row["name"], row["state"], row["silentMs"], row["tasks"]) for row in rows] == [
        ("ours", "RUNNING", 10, []),
        ("sdk-1", "POLLS", 2_000, ["a", "b"]),
    ]


def page_with(queues: int) -> panes.Page:
    partitions = {"count": 4, "unowned": [2], "inbox": 1, "lagMs": 5, "outbox": 0, "timers": 0, "deadLetters": 0}
    server = {"name": None, "version": None, "usedMemoryBytes": 2048, "memoryBytesMax": 4096, "latencyMs": 0.1}
    row: dict[str, Any] = {
        "ready": 1,
        "leased": 0,
        "delayed": 0,
        "held": 0,
        "kept": 0,
        "limitsPerKey": False,
        "oldestReadyMs": None,
        "waiting": 0,
        "paused": False,
    }
    row |= {
        "concurrentExecLimit": 0,
        "rateLimitPerFrequency": 0,
        "domains": {},
        "startedPerS": 1.5,
        "expiredPerS": None,
    }
    return {
        "at": "now",
        "server": server,
        "executions": {"RUNNING": 1200, "FAILED": 0},
        "endedPerS": 0.0,
        "partitions": partitions,
        "deciders": [{"name": f"d{number}", "partitions": 1, "inbox": 0, "lagMs": 0} for number in range(9)],
        "queues": [{"name": f"queue-{number:02}", **row} for number in range(queues)],
        "workers": [
            {"name": "w", "state": "RUNNING", "running": 1, "concurrency": 2, "silentMs": 4, "tasks": ["a", "b"]}
        ],
    }


@pytest.mark.parametrize("height", [24, 40, 200])
def test_a_page_fits_the_screen_and_says_what_it_leaves_out(height: int) -> None:
    lines = panes.lines_of(page_with(50), "redis://here", height)
    assert len(lines) <= height
    shown = sum(line.startswith("queue-") for line in lines)
    assert (f"... and {50 - shown} more" in lines) == (shown < 50)
    assert "1 WITHOUT A DECIDER" in lines[3]
    assert lines[1].startswith("server    memory 2.0 kB of 4.0 kB")
    assert "1,200 RUNNING, 0 ended/s" in lines[2]
    assert len(panes.lines_of(page_with(50), "redis://here")) > 60


def test_an_installation_that_is_not_there_ends_a_single_look_with_its_status(invoke: Invoke) -> None:
    assert invoke("top", "--once", url="redis://127.0.0.1:1/0").exit_code == 5


class Enough(Exception):
    """Ends what would go on."""


def test_it_goes_on_when_the_installation_goes_away_and_comes_back(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, looks, rests = panes.look, iter([True, False, True]), iter([0, 0])

    def sometimes(store: Any) -> panes.Look:
        if next(looks):
            return look(store)
        raise StoreUnavailable("gone")

    def rest(seconds: float) -> None:
        assert seconds == 0.5
        if next(rests, None) is None:
            raise Enough

    monkeypatch.setattr(panes, "look", sometimes)
    monkeypatch.setattr("orchestrator_cli.top.time.sleep", rest)
    result = invoke("top", "--interval", "0.5", "-o", "jsonl")
    assert [json.loads(line)["endedPerS"] for line in result.stdout.splitlines()] == [None, None]
    assert result.stderr.splitlines()[0].endswith("gone")


def test_a_terminal_gets_its_screen_back_on_ctrl_c(redis_url: str) -> None:
    terminal, other_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator_cli.main", "--redis", redis_url, "top", "--interval", "0.1"],
        env={**os.environ, "PYTHONPATH": PATHS},
        stdin=other_end,
        stdout=other_end,
        stderr=other_end,
        start_new_session=True,
    )
    seen = b""
    try:
        while seen.count(top.HOME.encode()) < 3:
            seen += os.read(terminal, 65_536)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        while not seen.endswith(top.LEAVE.encode()):
            seen += os.read(terminal, 65_536)
    finally:
        end_group(process)
        os.close(terminal)
        os.close(other_end)
    assert seen.startswith(top.ENTER.encode())
    assert b"PARTITIONS" in seen
    assert b"Traceback" not in seen
