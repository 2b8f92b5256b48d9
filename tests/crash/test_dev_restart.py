"""``orchestrator dev`` is killed with everything that belongs to it, in the middle of a run; the next one goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from examples.orders import demo
from examples.orders.report import Report
from orchestrator import Client
from orchestrator.errors import Unavailable
from orchestrator.model.status import is_terminal
from orchestrator_cli.folder import read_facts, running_redis_url
from orchestrator_cli.processes import Process
from tests.crash.processes import ROOT
from tests.support.eventually import eventually

ORDERS = 60


@contextmanager
def dev(data: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``orchestrator dev`` in a process group of its own, which is gone at the end of the block."""
    command = [sys.executable, "-m", "orchestrator_cli.main", "dev", "examples.orders.workflow", "--no-reload"]
    path = os.pathsep.join(str(ROOT / part) for part in ("", "workers", "cli"))
    environment = {**os.environ, "PYTHONPATH": path, "ORCHESTRATOR_LEASE_MS": "2000"}
    with (data.parent / "dev.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--data", str(data)], cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(20)


def url_of(data: Path) -> str:
    def found() -> str:
        url = running_redis_url(data)
        roles = {child["role"] for child in read_facts(data).get("children", ())}
        assert url is not None, (data.parent / "dev.log").read_text()
        assert "worker" in roles
        return url

    return eventually(found, timeout_s=20)


def has_ended(client: Client, workflow_id: str) -> bool:
    return is_terminal(client.workflow(workflow_id).status())


@pytest.mark.crash
@pytest.mark.timeout(120)
def test_a_dev_whose_whole_process_group_was_killed_finishes_every_order_when_it_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_DATA", str(tmp_path / "services"))
    data = tmp_path / "dev"
    orders = demo.read_orders()[:ORDERS]

    with dev(data) as process:
        with Client(url_of(data)) as client:
            started = eventually(lambda: demo.start_orders(client, orders), retry_on=(Unavailable,))

            def some_have_ended() -> int:
                ended = sum(is_terminal(client.workflow(workflow_id).status()) for workflow_id in started.values())
                assert ended >= ORDERS // 6
                return ended

            assert eventually(some_have_ended) < ORDERS
        children = [Process(child["pid"], child["began"]) for child in read_facts(data)["children"]]
        assert {child.is_alive for child in children} == {True}
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        eventually(lambda: not any(child.is_alive for child in children))

    with dev(data), Client(url_of(data)) as client:
        for workflow_id in started.values():
            eventually(partial(has_ended, client, workflow_id), timeout_s=30, retry_on=(AssertionError, Unavailable))
        compensations = [
            execution.output["conductor.failure_workflow"]
            for execution in demo.collect(client, started)[0].values()
            if "conductor.failure_workflow" in execution.output
        ]
        for workflow_id in compensations:
            client.workflow(workflow_id).result(timeout_s=10)
        report = Report(orders, *demo.collect(client, started), seconds=0)
        broken = [check for check in report.checks() if not check.kept and "limit" not in check.promise]
    assert broken == []
