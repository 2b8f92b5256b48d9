"""What roles tell the service manager that started them, on a real socket: ready, alive, stuck, at the end."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from orchestrator import Client
from orchestrator.api import create_app
from orchestrator.settings import Settings
from orchestrator_cli.liveness import Liveness
from orchestrator_cli.notify import Notifier
from tests.cli.conftest import Command
from tests.support.eventually import eventually
from tests.support.served import Served

PING_EVERY_US = 200_000


class Watch:
    """A clock that is set by hand."""

    at_s = 0.0

    def now_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return self.at_s


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.address = address.replace("\0", "@")

    def environment(self, pid: int | None = None) -> dict[str, str]:
        watchdog = {"WATCHDOG_USEC": str(PING_EVERY_US)} | ({"WATCHDOG_PID": str(pid)} if pid else {})
        return {"NOTIFY_SOCKET": self.address, **watchdog}

    def hear(self, timeout_s: float = 20) -> str:
        """The next word; ``TimeoutError`` when nothing is said."""
        self.socket.settimeout(timeout_s)
        return self.socket.recv(1024).decode()

    def hear_until(self, word: str) -> None:
        eventually(lambda: self.hear() == word)

    def forget(self) -> None:
        """What was said so far."""
        self.socket.setblocking(False)
        try:
            while True:
                self.socket.recv(1024)
        except BlockingIOError:
            return


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    with manager.socket:
        yield manager


def test_every_loop_must_turn_for_a_process_to_be_alive() -> None:
    watch = Watch()
    liveness = Liveness(watch)
    watch.at_s = 1_000
    assert liveness.is_live(), "nothing has begun yet"
    first, second = liveness.pulse(), liveness.pulse()
    watch.at_s = 1_059
    first()
    assert liveness.is_live()
    watch.at_s = 1_061
    assert not liveness.is_live(), "one of two is silent"
    second()
    assert liveness.is_live()


def test_the_manager_is_told_of_the_beginning_of_life_and_of_the_end(manager: Manager) -> None:
    environ = manager.environment(os.getpid())
    with Notifier(lambda: True, environ) as notifier:
        assert environ == {}, "no child speaks for its parent"
        notifier.ready()
        assert [manager.hear() for _ in range(3)] == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
    manager.hear_until("STOPPING=1")


def test_a_stuck_process_is_not_reported_alive(manager: Manager) -> None:
    alive = [False]
    with Notifier(lambda: alive[0], manager.environment()) as notifier:
        notifier.ready()
        assert manager.hear() == "READY=1"
        with pytest.raises(TimeoutError):
            manager.hear(3 * PING_EVERY_US / 1e6)
        alive[0] = True
        manager.hear_until("WATCHDOG=1")


def test_a_watchdog_of_another_process_is_not_fed(manager: Manager) -> None:
    with Notifier(lambda: True, manager.environment(os.getppid())) as notifier:
        notifier.ready()
        assert manager.hear() == "READY=1"
        with pytest.raises(TimeoutError):
            manager.hear(3 * PING_EVERY_US / 1e6)


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}, {"WATCHDOG_USEC": "soon"}])
def test_without_a_manager_nothing_is_said(environ: dict[str, str]) -> None:
    with Notifier(lambda: True, environ) as notifier:
        notifier.ready()


def test_a_manager_with_a_name_that_is_no_file_is_told() -> None:
    manager = Manager(f"\0orchestrator-test-{os.getpid()}")
    with manager.socket, Notifier(lambda: True, {"NOTIFY_SOCKET": manager.address}) as notifier:
        notifier.ready()
        assert manager.hear() == "READY=1"


@pytest.mark.parametrize("role", ["decider", "system", "worker", "server"])
def test_every_role_is_ready_alive_and_says_that_it_ends(
    role: str, command: Command, redis_url: str, manager: Manager, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text("from orchestrator import task\n\n@task\ndef charge():\n    return 1\n")
    arguments = {"worker": ["mine.py"], "server": ["--port", "0"]}.get(role, [])
    process = command("--redis", redis_url, role, *arguments, environment=manager.environment())
    assert manager.hear() == "READY=1"
    assert [manager.hear() for _ in range(3)] == ["WATCHDOG=1"] * 3
    process.send_signal(signal.SIGTERM)
    manager.hear_until("STOPPING=1")
    assert process.wait(20) == 0


STUCK = """
import threading
from orchestrator import task
from orchestrator_cli import liveness

liveness.SILENCE_S_MAX = 2.5  # a worker without work turns every two seconds

@task
async def hang() -> str:
    threading.Event().wait(5)  # holds up the event loop, which is where tasks are claimed
    return "at last"
"""


@pytest.mark.parametrize("way", ["redis", "server"])
def test_a_worker_whose_consumer_is_stuck_is_not_reported_alive(
    way: str, redis_url: str, manager: Manager, command: Command, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        url = redis_url
        if way == "server":
            url = stack.enter_context(Served(create_app(settings=Settings(redis_url=redis_url)))).url
        _is_not_reported_alive_while_stuck([f"--{way}", url], redis_url, manager, command, tmp_path)


def _is_not_reported_alive_while_stuck(
    where: list[str], redis_url: str, manager: Manager, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "stuck.py").write_text(STUCK)
    command("--redis", redis_url, "decider", "--no-system-tasks")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    probed = ["--metrics-port", str(port)]
    command(*where, "worker", "stuck.py", *probed, environment=manager.environment())
    manager.hear_until("WATCHDOG=1")
    probe = f"http://127.0.0.1:{port}/livez"
    assert httpx2.get(probe).status_code == 200
    with Client(redis_url) as client:
        hang = client.enqueue("hang")

        def is_silent() -> None:
            manager.forget()
            with pytest.raises(TimeoutError):
                manager.hear(5 * PING_EVERY_US / 1e6)

        eventually(is_silent, timeout_s=15, retry_on=(pytest.fail.Exception,))
        assert httpx2.get(probe).status_code == 503
        assert hang.result(timeout_s=20) == {"result": "at last"}
        manager.hear_until("WATCHDOG=1")
        assert httpx2.get(probe).status_code == 200
