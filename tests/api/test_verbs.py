"""The routes of ``/verbs`` are described by the plans behind them."""

from __future__ import annotations

from typing import Any

import httpx2

from orchestrator.model.wire_write import json_name
from orchestrator.protocol import forms
from orchestrator.protocol.verbs import VERBS

Json = dict[str, Any]


async def described(http: httpx2.AsyncClient) -> tuple[dict[str, Json], Json]:
    """The body that each verb is described with, and the schemas that are named."""
    found = (await http.get("/api-docs")).json()
    bodies = {
        path.removeprefix("/verbs/"): methods["post"]["requestBody"]
        for path, methods in found["paths"].items()
        if path.startswith("/verbs/")
    }
    return bodies, found["components"]["schemas"]


async def test_every_verb_is_described_with_its_arguments(http: httpx2.AsyncClient) -> None:
    bodies, _ = await described(http)
    assert bodies.keys() == {verb.path for verb in VERBS}
    for verb in VERBS:
        given = {name: one for name, one in forms.parameters_of(verb.plan).items() if f"{{{name}}}" not in verb.path}
        schema = bodies[verb.path]["content"]["application/json"]["schema"]
        assert schema["properties"].keys() == {json_name(name) for name in given}
        assert schema["required"] == [json_name(name) for name, (_, is_required) in given.items() if is_required]
        assert bodies[verb.path]["required"] == bool(schema["required"])


async def test_launches_definitions_and_maps_are_described_as_they_are_read(http: httpx2.AsyncClient) -> None:
    bodies, schemas = await described(http)

    def argument(path: str, name: str) -> Json:
        found: Json = bodies[path]["content"]["application/json"]["schema"]["properties"][name]
        return found

    launch = argument("workflows/start-many", "launches")["items"]
    assert launch["properties"]["request"] == {"$ref": "#/components/schemas/StartWorkflowRequest"}
    assert not {"resolved", "event"} & launch["properties"].keys()
    kinds = argument("definitions/apply", "definitions")["items"]["anyOf"]
    assert [one["required"] for one in kinds] == [["workflow"], ["task"], ["schema"]]
    assert argument("schedules/times", "crons")["items"] == {"$ref": "#/components/schemas/CronSchedule"}
    assert argument("workflows/{workflow_id}/upgrade", "version")["anyOf"][1] == {"type": "null"}
    assert {"StartWorkflowRequest", "CronSchedule", "TaskDef"} <= schemas.keys()


async def test_a_body_that_follows_the_description_is_understood(http: httpx2.AsyncClient) -> None:
    task = {"task": {"name": "charge", "retryCount": 1}}
    answer = await http.post("/verbs/definitions/apply", json={"definitions": [task], "overwrite": True})
    assert (answer.status_code, answer.json()[0]["name"]) == (200, "charge")
    refused = await http.post("/verbs/definitions/apply", json={"definitions": [task["task"]]})
    assert refused.status_code == 400
