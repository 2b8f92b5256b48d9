"""Secrets on a real worker: the code gets them, in its process or in a child, and what is told of it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.context import TaskContext
from tests.workers import process_tasks
from tests.workers.estate import Estate
from tests.workers.test_worker import fails, greet, soon, worker_of

TOKEN = "tok-1234567890"


@pytest.fixture
def secret_estate(fakeredis_url: str) -> Iterator[Estate]:
    """A store whose workers know a secret."""
    estate = Estate(fakeredis_url, secret_values={"TOKEN": TOKEN})
    yield estate
    estate.close()


async def test_the_code_gets_the_value_and_the_record_keeps_the_reference(secret_estate: Estate) -> None:
    task_id = secret_estate.add("greet", {"name": "${workflow.secrets.TOKEN}"}, secrets=["TOKEN"])
    other_id = secret_estate.add("greet", {"name": "${workflow.secrets.TOKEN}"})
    async with worker_of(secret_estate, greet):
        assert await soon(lambda: secret_estate.output(task_id)) == {"result": f"Hello, {TOKEN}"}
        assert await soon(lambda: secret_estate.output(other_id)) == {"result": "Hello, ${workflow.secrets.TOKEN}"}


async def test_a_reason_and_a_traceback_are_told_without_the_value(secret_estate: Estate) -> None:
    task_id = secret_estate.add("fails", {"text": "401 for ${workflow.secrets.TOKEN}"}, secrets=["TOKEN"])
    async with worker_of(secret_estate, fails):
        outcome = await soon(lambda: secret_estate.outcome(task_id))
    assert outcome.reason == "ValueError: 401 for ***"
    assert TOKEN not in str(outcome.logs)


async def test_a_secret_that_is_not_known_fails_the_task_without_running_it(secret_estate: Estate) -> None:
    task_id = secret_estate.add("greet", {"name": "${workflow.secrets.NOBODY}"}, secrets=["NOBODY"])
    async with worker_of(secret_estate, greet):
        outcome = await soon(lambda: secret_estate.outcome(task_id))
    assert (outcome.status, "orchestrator secret set NOBODY" in (outcome.reason or "")) == ("FAILED", True)


async def test_a_child_process_gets_the_runtime_metadata(secret_estate: Estate) -> None:
    task_id = secret_estate.add("metadata_length", {}, runtime=["TOKEN", "NOBODY"])
    async with worker_of(secret_estate, process_tasks.metadata_length):
        assert await soon(lambda: secret_estate.output(task_id)) == {"names": ["TOKEN"], "length": len(TOKEN)}


def test_a_context_without_runtime_metadata_has_none() -> None:
    assert TaskContext("t", "w", "flow", "ref", "type").runtime_metadata == {}
