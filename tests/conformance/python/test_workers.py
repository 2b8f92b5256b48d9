"""Worker processes of the official Python SDK, unmodified: retries, steps, lease extension, domains, the update-v2 loop."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Client
from orchestrator.client import WorkflowHandle
from orchestrator.errors import WorkflowFailed
from orchestrator.model.definitions import TaskDef, WorkflowDef, WorkflowTask
from orchestrator.service import metadata, poll_data, tasks
from tests.cli.conftest import end_group
from tests.conformance.python.conftest import Installation
from tests.support.eventually import eventually

pytestmark = [pytest.mark.slow, pytest.mark.alone]

WORKERS = Path(__file__).with_name("sdk_workers.py")
NAMES = ("greet", "greet_eu", "count_up", "flaky", "hopeless", "stepwise", "slow")


@pytest.fixture(scope="module", autouse=True)
def _workers(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The SDK's workers at work, each in a process of its own."""
    folder = tmp_path_factory.mktemp("workers")
    with (folder / "workers.log").open("w") as said:
        process = subprocess.Popen(
            [installation.python, WORKERS, installation.url],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    while (line := process.stdout.readline()) and line != "working\n":
        continue
    yield
    process.stdin.close()
    end_group(process)


def step(kind: str, ref: str | None = None, **given: Any) -> WorkflowTask:
    return WorkflowTask(name=kind, task_reference_name=ref or kind, input_parameters=given)


def start(client: Client, *steps: WorkflowTask, **options: Any) -> WorkflowHandle:
    """Start a workflow of these steps, under task definitions that retry at once and wait for a worker for long."""
    defs = [
        TaskDef(name=name, retry_count=1, retry_delay_seconds=0, response_timeout_seconds=5 if name == "slow" else 60)
        for name in NAMES
    ]
    client.run(metadata.put_task_defs(client.store, defs))
    client.run(metadata.register_workflow(client.store, WorkflowDef(name="story", tasks=list(steps)), overwrite=True))
    return client.with_options(**options).start_workflow("story")


def test_a_task_is_done_and_its_result_is_the_output(client: Client) -> None:
    handle = start(client, step("greet", name="Ada"))
    assert handle.result(timeout_s=20) == {"result": "Hello, Ada"}
    found = handle.describe().task("greet")
    assert (found.poll_count, found.retry_count) == (1, 0)
    assert found.worker_id


def test_a_worker_that_fails_gets_the_task_again(client: Client) -> None:
    handle = start(client, step("flaky"))
    assert handle.result(timeout_s=20) == {"result": "attempt 1"}
    first, second = handle.describe().tasks
    assert (first.status, second.status) == ("FAILED", "COMPLETED")
    assert "not at the first attempt" in (first.reason_for_incompletion or "")
    assert any("RuntimeError" in line.log for line in client.run(tasks.logs(client.store, first.task_id)))


def test_a_terminal_failure_is_not_retried(client: Client) -> None:
    handle = start(client, step("hopeless"))
    with pytest.raises(WorkflowFailed):
        handle.result(timeout_s=20)
    (only,) = handle.describe().tasks
    assert (only.status, only.reason_for_incompletion) == ("FAILED_WITH_TERMINAL_ERROR", "never")


def test_a_task_in_progress_comes_back_until_it_is_done(client: Client) -> None:
    handle = start(client, step("stepwise"))
    assert handle.result(timeout_s=20) == {"polls": 3}
    (only,) = handle.describe().tasks
    assert (only.poll_count, only.retry_count) == (3, 0)
    lines = client.run(tasks.logs(client.store, only.task_id))
    assert [line.log for line in lines] == ["poll 1", "poll 2", "poll 3"]


def test_a_task_that_takes_longer_than_its_response_time_out_is_kept_by_lease_extension(client: Client) -> None:
    handle = start(client, step("slow", seconds=11))
    assert handle.result(timeout_s=30) == {"result": "slept 11 s"}
    (only,) = handle.describe().tasks
    assert (only.poll_count, only.retry_count) == (1, 0)


def test_a_worker_of_a_domain_serves_that_domain_only(client: Client) -> None:
    plain = start(client, step("greet_eu", name="Ada"))
    handle = start(client, step("greet_eu", name="Ada"), domains={"greet_eu": "eu"})
    assert handle.result(timeout_s=20) == {"result": "Hello from the EU, Ada"}
    assert plain.describe().task("greet_eu").status == "SCHEDULED"
    eventually(lambda: [one.domain for one in client.run(poll_data.read(client.store, "greet_eu"))] == ["eu"])


def test_a_chain_runs_in_the_loop_of_update_and_next_task(client: Client) -> None:
    steps = [step("count_up", "c1", number=0)]
    steps += [step("count_up", f"c{n}", number=f"${{c{n - 1}.output.number}}") for n in range(2, 31)]
    handle = start(client, *steps)
    assert handle.result(timeout_s=20) == {"number": 30}
    found = handle.describe()
    assert {task.poll_count for task in found.tasks} == {1}
