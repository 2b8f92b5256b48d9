"""Workflows that the tests of the HTTP API run, and the few calls that most of them begin with."""

from __future__ import annotations

from typing import Any

import httpx2

from tests.support.eventually import eventually_async

Json = dict[str, Any]

GREET: Json = {"name": "greet", "taskReferenceName": "greet", "inputParameters": {"name": "${workflow.input.name}"}}
GATE: Json = {"name": "gate", "taskReferenceName": "gate", "type": "WAIT"}

HELLO: Json = {"name": "hello", "tasks": [GREET], "outputParameters": {"said": "${greet.output.result}"}}
WAITING: Json = {"name": "waiting", "tasks": [GATE, GREET], "variables": {"n": 1, "none": None}}


async def register(http: httpx2.AsyncClient, *definitions: Json) -> None:
    """Store definitions."""
    for definition in definitions:
        answer = await http.post("/metadata/workflow", json=definition)
        assert answer.status_code == 200, answer.text


async def start(http: httpx2.AsyncClient, name: str, input: Json | None = None, **fields: Any) -> str:
    """Start a workflow; its id."""
    answer = await http.post("/workflow", json={"name": name, "input": input or {}, **fields})
    assert answer.status_code == 200, answer.text
    return answer.text


async def get(http: httpx2.AsyncClient, workflow_id: str) -> Json:
    """An execution as it stands."""
    found: Json = (await http.get(f"/workflow/{workflow_id}")).json()
    return found


async def ended(http: httpx2.AsyncClient, workflow_id: str, status: str = "COMPLETED") -> Json:
    """An execution that has ended so."""

    async def look() -> Json:
        found = await get(http, workflow_id)
        assert found["status"] == status
        return found

    return await eventually_async(look)
