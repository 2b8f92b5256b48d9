"""A rolling deploy: old and new code of one team serve executions of old and new definitions side by side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Client
from orchestrator.model.definitions import WorkflowDef
from orchestrator.model.wire import workflow_def_from_dict
from tests.support.eventually import eventually

ROOT = Path(__file__).parents[2]
OLD = """
from orchestrator import task

@task
def charge(amount: int) -> dict[str, object]:
    return {"amount": amount, "by": "old"}
"""
NEW = """
from orchestrator import task

@task
def charge(amount: int, currency: str = "EUR") -> dict[str, object]:
    return {"amount": amount, "currency": currency, "by": "new"}

@task
def receipt(of: dict[str, object]) -> str:
    return f"{of['amount']} by {of['by']}"
"""
COUNT = 12

Run = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def run(redis_url: str, tmp_path: Path) -> Iterator[Run]:
    """Start a role of the command line."""
    started: list[subprocess.Popen[bytes]] = []
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("", "workers", "cli"))

    def start(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "orchestrator_cli.main", "--redis", redis_url, *words]
        started.append(subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def step(kind: str, ref: str, **inputs: str) -> dict[str, Any]:
    return {"type": kind, "name": ref, "taskReferenceName": ref, "inputParameters": inputs}


def order(version: int) -> WorkflowDef:
    """The first version charges; the second waits for an approval before, and writes a receipt."""
    charge = step("SIMPLE", "charge", amount="${workflow.input.amount}")
    receipt = step("SIMPLE", "receipt", of="${charge.output}")
    steps = [charge] if version == 1 else [step("WAIT", "approval"), charge, receipt]
    return workflow_def_from_dict({"name": "order", "version": version, "schemaVersion": 2, "tasks": steps})


def test_old_and_new_workers_and_definitions_work_side_by_side(redis_url: str, run: Run, tmp_path: Path) -> None:
    for name, text in (("old", OLD), ("new", NEW)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shop.py").write_text(text)
    run("decider", "--no-system-tasks")
    old = run("worker", "old/shop.py")
    with Client(redis_url) as client:
        client.register(order(1))
        first = [client.start_workflow("order", amount=number) for number in range(COUNT)]
        for number, handle in enumerate(first):
            assert handle.result(timeout_s=30) == {"amount": number, "by": "old"}

        client.register(order(2))
        second = [client.start_workflow("order", amount=number) for number in range(COUNT)]
        late = [client.with_options(version=1).start_workflow("order", amount=number) for number in range(COUNT)]
        another_decider = run("decider", "--no-system-tasks")
        run("worker", "new/shop.py")
        eventually(lambda: len(client.workers()) == 2, timeout_s=30)
        for handle in second:
            eventually(lambda one=handle: bool(one.describe().tasks), timeout_s=20)  # type: ignore[misc]
            handle.signal("approval")
        old.send_signal(signal.SIGTERM)
        for number, handle in enumerate(second):
            assert handle.result(timeout_s=30)["result"] in (f"{number} by old", f"{number} by new")
        for number, handle in enumerate(late):
            output = handle.result(timeout_s=30)
            assert (output["amount"], output["by"] in ("old", "new")) == (number, True)
            assert [one.reference_task_name for one in handle.describe().tasks] == ["charge"]
        assert old.wait(30) == 0
        assert client.with_options(version=1).start_workflow("order", amount=7).result(timeout_s=30) == {
            "amount": 7,
            "currency": "EUR",
            "by": "new",
        }
        assert another_decider.poll() is None
