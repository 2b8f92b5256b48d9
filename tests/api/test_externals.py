"""Large payloads over HTTP: brought to and fetched from addresses that are signed and expire, and named in calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from orchestrator.api import create_app
from orchestrator.client import AsyncClient
from orchestrator.model.access import KeyRole
from orchestrator.service import access, uploads
from orchestrator.settings import Settings
from tests.api.conftest import caller_of
from tests.api.flows import ended, get, register, start

Json = dict[str, Any]
LARGE = {"text": "x" * 3_000}
GATE: Json = {"name": "gate", "taskReferenceName": "gate", "type": "WAIT"}
FLOW: Json = {"name": "flow", "tasks": [GATE], "outputParameters": {"whole": "${gate.output.text}"}}


@pytest.fixture
def decider_settings(tmp_path: Path) -> dict[str, Any]:
    """Payloads beyond 1,000 bytes are kept in a folder."""
    return {"payload_storage": f"file://{tmp_path}/payloads", "payload_threshold_bytes": 1_000}


@pytest.fixture
async def locked(fakeredis_url: str, tmp_path: Path) -> AsyncIterator[tuple[httpx2.AsyncClient, str]]:
    """A caller of an app that has keys, and the token of a worker."""
    settings = Settings(redis_url=fakeredis_url, payload_storage=f"file://{tmp_path}")
    async with AsyncClient(settings=settings) as client:
        key, secret = await client.run(access.create_key(client.store, "w", KeyRole.WORKER))
        async with caller_of(create_app(client)) as http:
            yield http, await client.run(access.issue_token(client.store, key.id, secret))


async def location(http: httpx2.AsyncClient, operation: str, path: str = "", noun: str = "workflow") -> Json:
    query = {"operation": operation, "path": path, "payloadType": "WORKFLOW_INPUT"}
    answer = await http.get(f"/{noun}/externalstoragelocation", params=query)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def brought(http: httpx2.AsyncClient, payload: Json, noun: str = "workflow") -> str:
    """The path of a payload that was brought."""
    found = await location(http, "WRITE", noun=noun)
    assert (await http.put(found["uri"], json=payload)).status_code == 200
    path: str = found["path"]
    return path


async def test_a_start_and_a_report_name_what_was_brought_and_readers_fetch_it(flows: httpx2.AsyncClient) -> None:
    await register(flows, FLOW)
    request = {"name": "flow", "externalInputPayloadStoragePath": await brought(flows, LARGE)}
    workflow_id = (await flows.post("/workflow", json=request)).text
    found = await get(flows, workflow_id)
    assert found["input"] == LARGE
    there = await location(flows, "READ", found["externalInputPayloadStoragePath"])
    assert (await flows.get(there["uri"])).json() == LARGE
    result = {
        "workflowInstanceId": workflow_id,
        "taskId": found["tasks"][0]["taskId"],
        "status": "COMPLETED",
        "externalOutputPayloadStoragePath": await brought(flows, LARGE, "tasks"),
    }
    assert (await flows.post("/tasks", json=result)).status_code == 200
    done = await ended(flows, workflow_id)
    assert done["output"] == {"whole": LARGE["text"]}
    assert done["tasks"][0]["outputData"] == LARGE


async def test_a_small_payload_may_be_brought_too(flows: httpx2.AsyncClient) -> None:
    await register(flows, FLOW)
    request = {"name": "flow", "externalInputPayloadStoragePath": await brought(flows, {"a": 1})}
    workflow_id = (await flows.post("/workflow", json=request)).text
    assert (await get(flows, workflow_id))["input"] == {"a": 1}


async def test_only_what_was_brought_may_be_named(flows: httpx2.AsyncClient) -> None:
    await register(flows, FLOW)
    other = await get(flows, await start(flows, "flow", LARGE))
    never = (await location(flows, "WRITE"))["path"]
    for path in (other["externalInputPayloadStoragePath"], "../secret", never):
        answer = await flows.post("/workflow", json={"name": "flow", "externalInputPayloadStoragePath": path})
        assert answer.status_code == 400, answer.text
    both = {"name": "flow", "input": {"a": 1}, "externalInputPayloadStoragePath": await brought(flows, LARGE)}
    assert (await flows.post("/workflow", json=both)).status_code == 400
    for path in ("../x", "~uploads-1/" + "0" * 32, "/etc/passwd", ""):
        query = {"operation": "READ", "path": path}
        assert (await flows.get("/tasks/external-storage-location", params=query)).status_code == 404


async def test_an_address_is_good_for_one_direction_and_for_a_while(
    locked: tuple[httpx2.AsyncClient, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    http, token = locked
    query = {"operation": "WRITE"}
    assert (await http.get("/workflow/externalstoragelocation", params=query)).status_code == 401
    headers = {"X-Authorization": token}
    uri = (await http.get("/workflow/externalstoragelocation", params=query, headers=headers)).json()["uri"]
    assert (await http.get(uri)).status_code == 400
    assert (await http.put(uri, json={"a": 1})).status_code == 200
    assert (await http.put(uri[:-3] + "xyz", json={"a": 1})).status_code == 401
    assert (await http.put(f"/externalstorage/{token}", json={"a": 1})).status_code == 401
    monkeypatch.setattr(uploads, "LIFE_S", -1)
    late = (await http.get("/workflow/externalstoragelocation", params=query, headers=headers)).json()["uri"]
    assert (await http.put(late, json={"a": 1})).status_code == 401


async def test_without_a_storage_the_payload_itself_is_asked_for(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/workflow/externalstoragelocation?operation=WRITE")
    assert answer.status_code == 400
    assert "payload_storage" in answer.json()["message"]
