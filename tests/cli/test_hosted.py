"""A decider hosts the system tasks: its child is replaced when it dies, and never outlives it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from orchestrator.client import Client
from orchestrator_cli.hosted import HostedRole
from orchestrator_cli.processes import Process, process
from tests.cli.conftest import PATHS, Command, finished
from tests.support.build import step, workflow_def
from tests.support.eventually import eventually
from tests.systemtasks.peer import Peer, answer

ENDS_WITH_ITS_HOST = """
import os, sys
open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
os.read(int(sys.argv[3]), 1)
"""


def hosted(folder: Path, program: str = ENDS_WITH_ITS_HOST, grace_s: float = 10) -> HostedRole:
    return HostedRole([sys.executable, "-c", program, str(folder / "pids")], os.environ, grace_s)


def pids(folder: Path) -> list[int]:
    """The children so far."""
    path = folder / "pids"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_child_that_dies_is_replaced_and_the_last_one_ends_with_its_host(tmp_path: Path) -> None:
    with hosted(tmp_path) as role:
        role.start()
        eventually(lambda: len(pids(tmp_path)) == 1)
        os.kill(pids(tmp_path)[0], signal.SIGKILL)
        eventually(lambda: len(pids(tmp_path)) == 2)
        second = process(pids(tmp_path)[1])
        assert second.is_alive
    assert not second.is_alive


def test_a_child_that_does_not_end_is_killed_after_its_time(tmp_path: Path) -> None:
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + ENDS_WITH_ITS_HOST.replace(
        "os.read(int(sys.argv[3]), 1)", "signal.pause(); signal.pause()"
    )
    with hosted(tmp_path, program, grace_s=0.2) as role:
        role.start()
        eventually(lambda: len(pids(tmp_path)) == 1)
        child = process(pids(tmp_path)[0])
    assert not child.is_alive


def test_a_role_that_was_never_started_has_nothing_to_end(tmp_path: Path) -> None:
    with hosted(tmp_path):
        pass
    assert pids(tmp_path) == []


def children_of(pid: int) -> list[Process]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [process(int(child)) for child in listed.stdout.split()]


def workers_in(stream: object, found: list[str]) -> None:
    for line in stream:  # type: ignore[attr-defined]
        found += re.findall(r"worker_started .*worker_id=(\S+) task_types=.*HTTP", line)


def started(command: Command, *arguments: str) -> tuple[subprocess.Popen[str], list[str]]:
    """A decider, and the system workers it said to have started."""
    decider = command("decider", *arguments)
    found: list[str] = []
    threading.Thread(target=workers_in, args=(decider.stderr, found), daemon=True).start()
    return decider, found


def test_a_decider_carries_out_system_tasks_and_takes_its_child_along(command: Command, redis_url: str) -> None:
    decider, workers = started(command, "--redis", redis_url)
    eventually(lambda: len(workers) == 1, timeout_s=20)
    (child,) = children_of(decider.pid)
    os.kill(child.pid, signal.SIGKILL)
    eventually(lambda: len(workers) == 2, timeout_s=20)
    (child,) = children_of(decider.pid)
    decider.kill()
    eventually(lambda: not child.is_alive, timeout_s=20)


def test_a_decider_ends_its_child_in_order_on_a_signal(command: Command, redis_url: str) -> None:
    decider, workers = started(command, "--redis", redis_url)
    eventually(lambda: len(workers) == 1, timeout_s=20)
    (child,) = children_of(decider.pid)
    decider.terminate()
    assert decider.wait(20) == 0
    assert not child.is_alive


def test_a_decider_can_do_without(command: Command, redis_url: str) -> None:
    ready, tell = os.pipe()
    environment = {**os.environ, "PYTHONPATH": PATHS}
    arguments = [sys.executable, "-m", "orchestrator_cli.main", "--redis", redis_url, "decider", "--no-system-tasks"]
    with subprocess.Popen([*arguments, "--ready-fd", str(tell)], env=environment, pass_fds=(tell,)) as decider:
        os.close(tell)
        assert os.read(ready, 100) == b"{}\n"
        assert children_of(decider.pid) == []
        decider.terminate()
    os.close(ready)


@pytest.mark.parametrize("arguments", [("system", "--only", "GOPHER")])
def test_a_type_that_there_is_not_is_a_usage_error(command: Command, redis_url: str, arguments: tuple[str]) -> None:
    status, _, stderr = finished(command("--redis", redis_url, *arguments))
    assert status == 2
    assert "GOPHER is no system task" in stderr


def test_a_decider_by_itself_runs_a_workflow_of_system_tasks(command: Command, redis_url: str) -> None:
    flow = workflow_def(
        step("HTTP", "call", {"http_request": {"uri": "http://peer.example/", "method": "GET"}}),
        step("JSON_JQ_TRANSFORM", "pick", {"queryExpression": ".body.a", "body": "${call.output.response.body}"}),
    )
    with Peer({"/": answer(b'{"a": 7}')}) as peer, Client(redis_url) as client:
        command("decider", "--redis", redis_url, environment={"ORCHESTRATOR_HTTP_HOSTS": peer.hosts})
        output = client.start_workflow(flow).result(timeout_s=30)
    assert output == {"result": 7, "resultList": [7]}
