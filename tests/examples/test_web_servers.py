"""The web applications of docs/applications.md behind real servers: several processes, forked before or after the import."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from orchestrator.settings import Settings
from tests.support.deciding import deciding
from tests.support.eventually import eventually
from tests.support.shop import Shop

REQUESTS = 40
UNDER_TEST = {
    # The client has been used when the workers are forked from the process that imported it.
    "used_wsgi.py": """
import os, wsgi
wsgi.client.list_workflows()
def app(environ, start_response):
    def begin(status, headers):
        return start_response(status, [*headers, ("x-pid", str(os.getpid()))])
    return wsgi.app(environ, begin)
""",
    "told_api.py": """
import os
from api import app
@app.middleware("http")
async def tell(request, call_next):
    answer = await call_next(request)
    answer.headers["x-pid"] = str(os.getpid())
    return answer
""",
}


@pytest.fixture
def served_shop(shop: Shop, tmp_path: Path) -> Iterator[Shop]:
    """The shop with a decider, and its applications in a form that says which process answered."""
    for name, code in UNDER_TEST.items():
        (tmp_path / name).write_text(code)
    with deciding(Settings(redis_url=shop.url)):
        yield shop


@contextmanager
def web_server(shop: Shop, folder: Path, command: list[str]) -> Iterator[httpx2.Client]:
    """A client of a server that is running; it ends in an orderly way and without complaints."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    log = folder / "server.log"
    process = shop.begin(*[word.replace("PORT", port) for word in command], log=log)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, headers={"connection": "close"}) as http:
            eventually(lambda: http.get("/nothing"), 30, retry_on=(httpx2.TransportError,))
            yield http
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, log.read_text()
    except subprocess.TimeoutExpired:
        pytest.fail(f"the server did not end: {log.read_text()}")
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text()
    assert "Warning" not in log.read_text()


def order(http: httpx2.Client, number: int) -> tuple[str, str, str]:
    """Order ``A-<number>``: which order that was, the workflow it started, and the process that answered."""
    answer = http.post(f"/orders/A-{number}")
    assert answer.status_code == 202, answer.text
    return f"A-{number}", answer.json()["workflow"], answer.headers["x-pid"]


GUNICORN = ["-m", "gunicorn", "--workers", "2", "--bind", "127.0.0.1:PORT"]
SERVERS = {
    "gunicorn": [*GUNICORN, "used_wsgi:app"],
    "gunicorn-preload": [*GUNICORN, "--preload", "used_wsgi:app"],
    "gunicorn-preload-threads": [*GUNICORN, "--preload", "--threads", "4", "used_wsgi:app"],
    "gunicorn-uvicorn": [*GUNICORN, "--preload", "-k", "uvicorn_worker.UvicornWorker", "told_api:app"],
    "uvicorn": ["-m", "uvicorn", "--workers", "2", "--port", "PORT", "--log-level", "warning", "told_api:app"],
}


@pytest.mark.parametrize("name", SERVERS)
def test_each_process_of_a_server_starts_what_it_was_asked_for(name: str, served_shop: Shop, tmp_path: Path) -> None:
    with web_server(served_shop, tmp_path, SERVERS[name]) as http, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: order(http, number), range(REQUESTS)))
        started = {workflow_id: order_id for order_id, workflow_id, _ in answers}
        assert len(started) == REQUESTS
        assert {workflow_id: served_shop.order_of(workflow_id) for workflow_id in started} == started
        pids = {pid for *_, pid in answers}

        def both_answered() -> None:
            pids.update(pid for *_, pid in pool.map(lambda number: order(http, number), range(8)))
            assert len(pids) == 2

        eventually(both_answered)


def test_a_worker_that_was_killed_is_forked_anew_from_a_client_in_use(served_shop: Shop, tmp_path: Path) -> None:
    with web_server(served_shop, tmp_path, SERVERS["gunicorn-preload"]) as http:
        *_, first = order(http, 1)
        os.kill(int(first), signal.SIGKILL)

        def a_new_one_answered() -> None:
            order_id, workflow_id, pid = order(http, 2)
            assert served_shop.order_of(workflow_id) == order_id
            seen.add(pid)
            assert len(seen) == 3

        seen = {first}
        eventually(a_new_one_answered, 20, retry_on=(AssertionError, httpx2.TransportError))
