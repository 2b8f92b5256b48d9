"""Definitions, schemas and tags over HTTP: stored, read back, listed, forgotten."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.api.flows import GREET, HELLO, register

Json = dict[str, Any]

CHARGE: Json = {"name": "charge", "retryCount": 5, "rateLimitPerFrequency": 10, "rateLimitFrequencyInSeconds": 2}
TEAM: Json = {"key": "team", "type": "METADATA", "value": "payments"}
ENV: Json = {"key": "env", "type": "METADATA", "value": "prod"}
ORDER: Json = {"name": "order", "version": 1, "type": "JSON", "data": {"type": "object", "required": ["id"]}}


# --- workflows --------------------------------------------------------------------------------------------------------


async def test_versions_are_listed_in_every_form(http: httpx2.AsyncClient) -> None:
    await register(http, {**HELLO, "version": 2}, HELLO, {**HELLO, "name": "another"})
    assert (await http.get("/metadata/workflow/names")).json() == ["another", "hello"]
    every = (await http.get("/metadata/workflow")).json()
    assert [(one["name"], one["version"]) for one in every] == [("another", 1), ("hello", 1), ("hello", 2)]
    latest = (await http.get("/metadata/workflow/latest-versions")).json()
    assert [(one["name"], one["version"]) for one in latest] == [("another", 1), ("hello", 2)]
    by_name = (await http.get("/metadata/workflow/names-and-versions")).json()
    assert {name: [one["version"] for one in found] for name, found in by_name.items()} == {
        "another": [1],
        "hello": [1, 2],
    }
    assert [one["version"] for one in (await http.get("/metadata/workflow/hello/versions")).json()] == [1, 2]
    assert (await http.get("/metadata/workflow/none/versions")).status_code == 404


async def test_all_definitions_are_of_one_classifier(http: httpx2.AsyncClient) -> None:
    await register(http, HELLO)
    everything = (await http.get("/metadata/workflow")).json()
    for classifier, found in (("workflow", everything), ("", everything), ("agent", [])):
        assert (await http.get("/metadata/workflow", params={"classifier": classifier})).json() == found
    assert everything


async def test_an_empty_catalog_has_empty_lists(http: httpx2.AsyncClient) -> None:
    for path in ("workflow", "workflow/names", "workflow/latest-versions", "taskdefs", "tags"):
        assert (await http.get(f"/metadata/{path}")).json() == []
    assert (await http.get("/metadata/workflow/names-and-versions")).json() == {}


async def test_an_update_of_many_answers_by_name(http: httpx2.AsyncClient) -> None:
    await register(http, HELLO)
    bad = {"name": "bad", "tasks": [GREET, GREET]}
    answer = await http.put("/metadata/workflow?overwrite=True", json=[{**HELLO, "description": "new"}, bad])
    found = answer.json()
    assert (answer.status_code, found["bulkSuccessfulResults"]) == (200, ["hello"])
    assert "greet" in found["bulkErrorResults"]["bad"]
    assert found["message"] == "Bulk Request has been processed."
    assert (await http.get("/metadata/workflow/hello")).json()["description"] == "new"


async def test_a_definition_is_judged_without_being_stored(http: httpx2.AsyncClient) -> None:
    assert (await http.post("/metadata/workflow/validate", json=HELLO)).content == b""
    bad = await http.post("/metadata/workflow/validate", json={"name": "bad", "tasks": []})
    assert (bad.status_code, bad.json()["validationErrors"][0]["path"]) == (400, "tasks")
    assert (await http.get("/metadata/workflow/names")).json() == []


async def test_one_version_is_forgotten(http: httpx2.AsyncClient) -> None:
    await register(http, HELLO, {**HELLO, "version": 2})
    answer = await http.request("DELETE", "/metadata/workflow/hello/2", json={})
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await http.get("/metadata/workflow/hello")).json()["version"] == 1
    assert (await http.delete("/metadata/workflow/hello/2")).status_code == 404


async def test_definitions_know_when_they_were_made_and_changed(http: httpx2.AsyncClient) -> None:
    async def times() -> tuple[int, int]:
        (summary,) = (await http.get("/metadata/workflow/hello/versions")).json()
        return summary["createTime"], summary["updateTime"]

    await register(http, HELLO)
    made, changed = await times()
    assert made == changed > 1_700_000_000_000
    await register(http, HELLO)
    assert await times() == (made, changed)
    await http.put("/metadata/workflow", json=[{**HELLO, "description": "new", "createTime": 5}])
    assert (await times())[0] == made
    assert (await times())[1] >= changed
    await http.post("/metadata/taskdefs", json=[CHARGE])
    assert (await http.get("/metadata/taskdefs/charge")).json()["createTime"] >= made


# --- tasks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "body"), [("taskdefs", [CHARGE]), ("taskdefs", CHARGE), ("taskdef", CHARGE)])
async def test_tasks_are_registered_in_a_list_or_alone(http: httpx2.AsyncClient, path: str, body: Any) -> None:
    assert (await http.post(f"/metadata/{path}", json=body)).status_code == 200
    found = (await http.get("/metadata/taskdefs/charge")).json()
    assert (found["retryCount"], found["rateLimitPerFrequency"], found["timeoutPolicy"]) == (5, 10, "TIME_OUT_WF")
    assert [one["name"] for one in (await http.get("/metadata/taskdefs")).json()] == ["charge"]


async def test_a_task_is_replaced_only_where_there_is_one(http: httpx2.AsyncClient) -> None:
    assert (await http.put("/metadata/taskdefs", json=CHARGE)).status_code == 404
    await http.post("/metadata/taskdefs", json=[CHARGE])
    assert (await http.put("/metadata/taskdefs", json={**CHARGE, "retryCount": 1})).status_code == 200
    assert (await http.get("/metadata/taskdefs/charge")).json()["retryCount"] == 1


@pytest.mark.parametrize(
    ("body", "path"), [([], ""), ([{"name": "a", "retryCount": -1}], "retryCount"), ([{"retryCount": 1}], "name")]
)
async def test_a_task_that_breaks_rules_is_refused(http: httpx2.AsyncClient, body: Any, path: str) -> None:
    answer = await http.post("/metadata/taskdefs", json=body)
    assert answer.status_code == 400
    assert path in answer.text


async def test_a_task_is_forgotten(http: httpx2.AsyncClient) -> None:
    await http.post("/metadata/taskdefs", json=[CHARGE])
    assert (await http.request("DELETE", "/metadata/taskdefs/charge", json={})).status_code == 200
    assert (await http.get("/metadata/taskdefs/charge")).status_code == 404
    assert (await http.delete("/metadata/taskdefs/charge")).status_code == 404


# --- tags -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["workflow", "task"])
async def test_tags_are_added_replaced_and_taken_away(http: httpx2.AsyncClient, kind: str) -> None:
    await register(http, {**HELLO, "name": "charge"})
    await http.post("/metadata/taskdefs", json=[CHARGE])
    place = f"/metadata/{kind}/charge/tags"
    assert (await http.post(place, json=TEAM)).status_code == 200
    assert (await http.post(place, json=ENV)).status_code == 200
    assert (await http.get(place)).json() == [ENV, TEAM]
    assert (await http.get("/metadata/tags")).json() == [ENV, TEAM]
    assert (await http.request("DELETE", place, json=TEAM)).status_code == 200
    assert (await http.get(place)).json() == [ENV]
    assert (await http.put(place, json=[TEAM])).status_code == 200
    assert (await http.get(place)).json() == [TEAM]
    assert (await http.post(f"/metadata/{kind}/none/tags", json=TEAM)).status_code == 404


@pytest.mark.parametrize(
    ("kind", "definition"), [("workflow", "/metadata/workflow/charge/1"), ("task", "/metadata/taskdefs/charge")]
)
async def test_tags_go_with_the_definition_that_they_hang_on(
    http: httpx2.AsyncClient, kind: str, definition: str
) -> None:
    await register(http, {**HELLO, "name": "charge"}, {**HELLO, "name": "charge", "version": 2})
    await http.post("/metadata/taskdefs", json=[CHARGE])
    place = f"/metadata/{kind}/charge/tags"
    await http.post(place, json=TEAM)
    if kind == "workflow":
        assert (await http.delete("/metadata/workflow/charge/2")).status_code == 200
        assert (await http.get(place)).json() == [TEAM]
    assert (await http.delete(definition)).status_code == 200
    assert (await http.get(place)).json() == []
    assert (await http.get("/metadata/tags")).json() == []


async def test_a_rate_limit_is_a_tag_that_the_definition_follows(http: httpx2.AsyncClient) -> None:
    await register(http, HELLO, {**HELLO, "version": 2})
    limit = {"key": "hello", "type": "RATE_LIMIT", "value": 3}
    assert (await http.post("/metadata/tags/workflow/hello", json=limit)).status_code == 200
    for version in (1, 2):
        config = (await http.get(f"/metadata/workflow/hello?version={version}")).json()["rateLimitConfig"]
        assert config == {"concurrentExecLimit": 3, "policy": "QUEUE"}
    assert (await http.get("/metadata/tags/workflow/hello")).json() == [limit]
    assert (await http.request("DELETE", "/metadata/tags/workflow/hello", json=limit)).status_code == 200
    assert "rateLimitConfig" not in (await http.get("/metadata/workflow/hello")).json()
    wrong = await http.post("/metadata/workflow/hello/tags", json={**limit, "value": "many"})
    assert (wrong.status_code, (await http.get("/metadata/workflow/hello/tags")).json()) == (400, [])


async def test_executions_at_once_are_limited_at_an_address_of_its_own(http: httpx2.AsyncClient) -> None:
    await register(http, HELLO, {**HELLO, "version": 2})
    place, limit = (
        "/metadata/workflow/hello/rate-limit",
        {"rateLimitKey": "${workflow.input.who}", "concurrentExecLimit": 2},
    )
    assert (await http.get(place)).status_code == 404
    assert (await http.put(place, json=limit)).status_code == 200
    assert (await http.get(place)).json() == {**limit, "policy": "QUEUE"}
    for version in (1, 2):
        found = (await http.get(f"/metadata/workflow/hello?version={version}")).json()
        assert found["rateLimitConfig"] == {**limit, "policy": "QUEUE"}
    assert (await http.delete(place)).status_code == 200
    assert (await http.get(place)).status_code == 404
    assert (await http.put("/metadata/workflow/none/rate-limit", json=limit)).status_code == 404


# --- schemas ----------------------------------------------------------------------------------------------------------


async def test_schemas_are_kept_by_version(http: httpx2.AsyncClient) -> None:
    assert (await http.post("/schema", json=ORDER)).status_code == 200
    changed = {**ORDER, "data": {"type": "object"}}
    assert (await http.post("/schema?newVersion=True", json=[changed])).status_code == 200
    assert (await http.get("/schema/order/1")).json() == ORDER
    assert (await http.get("/schema/order")).json() == {**changed, "version": 2}
    assert [one["version"] for one in (await http.get("/schema")).json()] == [2]
    assert (await http.delete("/schema/order/2")).status_code == 200
    assert (await http.get("/schema/order")).json()["version"] == 1
    assert (await http.delete("/schema/order")).status_code == 200
    for path in ("/schema/order", "/schema/order/1"):
        assert (await http.get(path)).status_code == 404
        assert (await http.delete(path)).status_code == 404
    bad = await http.post("/schema", json={"name": "bad", "data": {"type": "sculpture"}})
    assert bad.status_code == 400
