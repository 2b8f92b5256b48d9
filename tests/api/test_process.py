"""The server as a process: it says when it can be used, outlives its store, and ends in order."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import httpx2
import pytest

from orchestrator_cli.server import address, listen
from tests.cli.conftest import Command, command, finished
from tests.support.eventually import eventually
from tests.support.redis_server import RedisServer

__all__ = ["command"]


def test_it_says_where_it_serves_and_ends_in_order(command: Command, redis_url: str) -> None:
    process = command("--redis", redis_url, "server", "--port", "0")
    assert process.stderr is not None
    line = process.stderr.readline()
    url = line.split()[1]
    assert line == f"Serving {url} (described at {url.removesuffix('/api')}/docs)\n"
    assert httpx2.get(f"{url}/health").json()["healthy"] is True
    process.send_signal(signal.SIGTERM)
    assert finished(process) == (0, "", "")


def test_it_refuses_a_port_in_use_and_a_store_that_is_away(command: Command, redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, _, said = finished(command("--redis", redis_url, "server", "--port", port))
        assert (status, f"port {port} of 127.0.0.1 is in use" in said) == (4, True)
    status, _, said = finished(command("--redis", f"redis://127.0.0.1:{port}/0", "server", "--port", "0"))
    assert (status, "Redis is not available" in said) == (5, True)


def test_it_outlives_its_store(command: Command, tmp_path: Path) -> None:
    with RedisServer("redis") as store:
        process = command("--redis", store.url, "server", "--port", "0")
        assert process.stderr is not None
        url = process.stderr.readline().split()[1]
        assert httpx2.get(f"{url}/metadata/taskdefs").status_code == 200
        store.kill()
        answer = httpx2.get(f"{url}/metadata/taskdefs")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        store.restart()
        eventually(lambda: httpx2.get(f"{url}/metadata/taskdefs").status_code == 200)
        process.send_signal(signal.SIGTERM)
        assert finished(process)[0] == 0


@pytest.mark.parametrize(("host", "url"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")])
def test_an_address_is_one_that_can_be_called(host: str, url: str) -> None:
    try:
        listening = listen(host, 0)
    except OSError:
        pytest.skip("no such network here")
    with listening:
        assert address(listening).startswith(url)
