"""queue and limit: what an operator sees and changes from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from orchestrator import Workflow, task
from orchestrator.client import Client
from tests.cli.conftest import Invoke


@task(name="billing", concurrency=1)
def bill(tenant: str) -> None:
    pass


flow = Workflow("billed").then(bill, tenant="${workflow.input.tenant}")


@pytest.fixture
def client(fakeredis_url: str) -> Iterator[Client]:
    with Client(fakeredis_url) as made:
        yield made


def test_limits_are_set_and_shown(invoke: Invoke, client: Client) -> None:
    client.register(flow, bill)
    assert invoke("limit", "set", "billing", "--concurrency", "2", "--key", "${workflow.input.tenant}").exit_code == 0
    (row,) = json.loads(invoke("limit", "show", "billing", "-o", "json").stdout)
    assert (row["concurrentExecLimit"], row["limitsPerKey"]) == (2, True)
    assert "2 at once for each key" in invoke("limit", "show", "billing").stdout
    assert invoke("limit", "set", "billing").exit_code == 2
    assert invoke("limit", "set", "billing", "--key", "tenant").exit_code != 0
    assert invoke("limit", "holders", "billing", "-o", "json").stdout == "[]\n"
    assert invoke("limit", "waiters", "billing", "-o", "name").stdout == ""


def test_a_queue_is_paused_drained_and_resumed(invoke: Invoke, client: Client) -> None:
    client.register(flow, bill)
    assert invoke("queue", "pause", "billing").exit_code == 0
    assert client.queue("billing").is_paused
    assert invoke("queue", "resume", "billing").exit_code == 0
    assert not client.queue("billing").is_paused
    drained = invoke("queue", "drain", "billing", "--timeout", "0")
    assert (drained.exit_code, drained.stderr.split(" a ")[0]) == (0, "no worker has")
    assert client.queue("billing").is_paused
    assert invoke("queue", "peek", "billing", "-o", "jsonl").stdout == ""
    assert invoke("queue", "purge", "billing", "--yes").stderr == "0 tasks of billing were ended\n"
