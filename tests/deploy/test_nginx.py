"""The nginx example, in front of real servers: requests pass, polls that wait are waited for, metrics are not for the world."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from orchestrator import Client
from tests.cli.conftest import Command
from tests.deploy.conftest import DEPLOY, tool
from tests.store.test_cluster import free_port
from tests.support.eventually import eventually

WHOLE = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {site}
}}
"""


@pytest.fixture
def proxy(tmp_path: Path, command: Command, redis_url: str) -> Iterator[str]:
    """The address of nginx with the example's files, in front of two servers of which one is not there."""
    nginx = tool("nginx", "apt-get install nginx-light")
    port, ours, absent = free_port(), free_port(), free_port()
    site = (DEPLOY / "nginx" / "compose.conf").read_text()
    site = site.replace("server server:8080;", f"server 127.0.0.1:{ours}; server 127.0.0.1:{absent};")
    site = site.replace("listen 8080;", f"listen 127.0.0.1:{port};")
    site = site.replace("/etc/nginx/orchestrator.conf", str(DEPLOY / "nginx" / "orchestrator.conf"))
    (tmp_path / "nginx.conf").write_text(WHOLE.format(folder=tmp_path, site=site))
    arguments = [nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    assert subprocess.run([*arguments, "-t"], capture_output=True).returncode == 0
    command("--redis", redis_url, "decider", "--no-system-tasks")
    command("--redis", redis_url, "server", "--port", str(ours))
    answers(ours)  # first: nginx leaves a server in peace for 10 s that was not there
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    answers(port)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)


def answers(port: int) -> None:
    url = f"http://127.0.0.1:{port}/livez"
    retried = (AssertionError, httpx2.TransportError)
    eventually(lambda: httpx2.get(url).status_code == 200, timeout_s=20, retry_on=retried)


def test_polls_wait_behind_the_proxy_until_there_is_a_task(proxy: str, redis_url: str) -> None:
    for _ in range(4):  # whichever server is chosen: one that is not there costs nobody an error
        assert httpx2.get(f"{proxy}/api/health").status_code == 200
    with Client(redis_url) as client:
        client.with_options(delay_s=1.5).enqueue("charge", card="1")
    started = httpx2.get(f"{proxy}/api/tasks/poll/batch/charge", params={"count": 1, "timeout": 5_000}, timeout=20)
    assert [task["inputData"] for task in started.json()] == [{"card": "1"}]
    assert started.elapsed.total_seconds() > 1


def test_the_server_refuses_what_is_too_large_in_its_own_words_and_this_machine_reads_the_metrics(proxy: str) -> None:
    answer = httpx2.post(f"{proxy}/api/workflow/hello", content=b'{"a":"' + b"a" * 10_600_000 + b'"}', timeout=20)
    assert (answer.status_code, answer.json()["status"]) == (413, 413)
    assert "orchestrator_deciders" in httpx2.get(f"{proxy}/metrics").text
