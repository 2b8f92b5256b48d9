"""Searches over HTTP: the shapes of Conductor's answers, and the questions as its clients put them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from orchestrator import Workflow, task
from orchestrator.api import create_app
from orchestrator.testing import Environment
from tests.api.conftest import caller_of


@task
def charge(amount: int) -> dict[str, int]:
    return {"paid": amount}


flow = Workflow("order").then(charge, amount="${workflow.input.amount}")


@pytest.fixture
def env() -> Iterator[Environment]:
    """Two orders, one paid and one waiting."""
    with Environment([charge]) as env:
        env.client.with_options(workflow_id="w-1", correlation_id="c").start_workflow(flow, amount=41)
        env.run_until_quiet()
        env.clock.advance(1)
        env.client.with_options(workflow_id="w-2").start_workflow(flow, amount=42)
        yield env


@pytest.fixture
async def found(env: Environment) -> AsyncIterator[httpx2.AsyncClient]:
    """A caller of the API of that installation."""
    app = create_app(env.client)
    async with app.router.lifespan_context(app), caller_of(app) as http:
        yield http


async def page(http: httpx2.AsyncClient, path: str, **query: Any) -> tuple[int, list[dict[str, Any]]]:
    answer = await http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["totalHits"], answer.json()["results"]


async def test_lines_have_times_and_payloads_as_text(found: httpx2.AsyncClient) -> None:
    total, (line,) = await page(found, "/workflow/search", query='correlationId = "c" ', queryId="", freeText="*")
    assert (total, line["workflowId"], line["status"], line["workflowType"]) == (1, "w-1", "COMPLETED", "order")
    assert (line["input"], line["output"], line["inputSize"]) == ('{"amount":41}', '{"paid":41}', 13)
    assert line["startTime"].endswith("Z")
    assert line["endTime"] >= line["startTime"]
    assert (line["parentWorkflowId"], line["classifier"], line["version"]) == ("", "workflow", 1)


async def test_a_search_is_asked_as_conductors_clients_ask_it(found: httpx2.AsyncClient) -> None:
    total, lines = await page(found, "/workflow/search", queryId="", query="", size=1, sort="startTime:ASC")
    assert (total, [line["workflowId"] for line in lines]) == (2, ["w-1"])
    _, lines = await page(found, "/workflow/search", sort=["status:DESC", "startTime:ASC"], freeText="order")
    assert [line["workflowId"] for line in lines] == ["w-2", "w-1"]
    total, _ = await page(found, "/workflow/search", query="status IN (RUNNING,FAILED)", start=5)
    assert total == 1


@pytest.mark.parametrize("path", ["/workflow/search", "/workflow/search-v2"])
async def test_all_executions_are_of_one_classifier(found: httpx2.AsyncClient, path: str) -> None:
    for classifier, count in (("workflow", 2), ("", 2), ("agent", 0)):
        assert (await page(found, path, classifier=classifier))[0] == count
    assert (await page(found, path, query="status=COMPLETED", classifier="workflow", topLevelOnly="true"))[0] == 1


async def test_the_second_version_gives_the_things_themselves(found: httpx2.AsyncClient) -> None:
    _, (workflow,) = await page(found, "/workflow/search-v2", query="status=COMPLETED", topLevelOnly="True")
    assert (workflow["workflowId"], workflow["tasks"], workflow["workflowName"]) == ("w-1", [], "order")
    assert isinstance(workflow["startTime"], int)
    _, (task,) = await page(found, "/tasks/search-v2", query="status=COMPLETED")
    assert (task["referenceTaskName"], task["outputData"]) == ("charge", {"paid": 41})
    _, (workflow,) = await page(found, "/workflow/search-by-tasks-v2", query="status=COMPLETED")
    assert workflow["workflowId"] == "w-1"


async def test_tasks_are_found_and_executions_by_them(found: httpx2.AsyncClient) -> None:
    total, (line,) = await page(found, "/tasks/search", query="taskDefName=charge", freeText="41")
    assert (total, line["workflowId"], line["status"], line["output"]) == (1, "w-1", "COMPLETED", '{"paid":41}')
    assert line["scheduledTime"].endswith("Z")
    _, (line,) = await page(found, "/workflow/search-by-tasks", query="taskDefName=charge AND status=SCHEDULED")
    assert line["workflowId"] == "w-2"


async def test_executions_are_given_by_their_ids(found: httpx2.AsyncClient) -> None:
    answer = (await found.post("/workflow/bulk/search", json=["w-1", "gone"])).json()
    (workflow,) = answer["bulkSuccessfulResults"]
    assert (workflow["workflowId"], len(workflow["tasks"])) == ("w-1", 1)
    assert "No such workflow" in answer["bulkErrorResults"]["gone"]
    answer = (await found.post("/workflow/bulk/search", params={"includeTasks": "False"}, json=["w-1"])).json()
    assert answer["bulkSuccessfulResults"][0]["tasks"] == []
    for ids in ([], [str(number) for number in range(1_001)]):
        assert (await found.post("/workflow/bulk/search", json=ids)).status_code == 400


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"query": "colour=red"}, "there is no field 'colour'"),
        ({"query": "status="}, "a value"),
        ({"size": "5001"}, "size"),
    ],
)
async def test_what_cannot_be_understood_is_a_bad_request(
    found: httpx2.AsyncClient, query: dict[str, str], says: str
) -> None:
    for path in ("/workflow/search", "/tasks/search", "/workflow/search-by-tasks"):
        answer = await found.get(path, params=query)
        assert (answer.status_code, says in answer.json()["message"]) == (400, True)
