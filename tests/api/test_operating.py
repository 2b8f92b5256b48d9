"""Event handlers, secrets, environment, queues and what operators ask for, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from orchestrator.api import create_app
from orchestrator.service import secrets
from orchestrator.service.operations import shown_settings
from orchestrator.settings import Settings
from orchestrator.store.context import StoreContext
from tests.api.conftest import caller_of
from tests.api.flows import WAITING, ended, register, start

Json = dict[str, Any]

SHIP: Json = {
    "name": "ship",
    "event": "conductor:order:paid",
    "active": True,
    "actions": [{"action": "start_workflow", "start_workflow": {"name": "shipping", "input": {"id": "${orderId}"}}}],
}


@pytest.fixture
async def sealed(store_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A caller of an app that can keep secrets and has one in its environment."""
    settings = Settings(
        redis_url=store_url,
        secrets_key=secrets.new_key(),
        secret_values={"NEAR": "by"},
        env_values={"REGION": "eu"},
    )
    app = create_app(settings=settings)
    async with app.router.lifespan_context(app), caller_of(app) as http:
        yield http


# --- event handlers ---------------------------------------------------------------------------------------------------


async def test_event_handlers_are_kept_by_name_and_found_by_event(http: httpx2.AsyncClient) -> None:
    assert (await http.post("/event", json=SHIP)).content == b""
    assert (await http.post("/event", json={**SHIP, "active": False})).status_code == 409
    (found,) = (await http.get("/event/conductor%3Aorder%3Apaid")).json()
    assert (found["name"], found["actions"][0]["start_workflow"]["name"]) == ("ship", "shipping")
    assert (await http.put("/event", json={**SHIP, "active": False})).status_code == 200
    assert (await http.get("/event/conductor%3Aorder%3Apaid?activeOnly=true")).json() == []
    assert len((await http.get("/event/conductor%3Aorder%3Apaid?activeOnly=false")).json()) == 1
    assert [one["active"] for one in (await http.get("/event")).json()] == [False]
    assert (await http.request("DELETE", "/event/ship", json={})).status_code == 200
    assert (await http.delete("/event/ship")).status_code == 404
    assert (await http.put("/event", json=SHIP)).status_code == 404
    bad = await http.post("/event", json={**SHIP, "actions": [{"action": "dance"}]})
    assert (bad.status_code, bad.json()["validationErrors"][0]["path"]) == (400, "actions[0].action")


async def test_several_event_handlers_are_added_at_once_and_tagged(http: httpx2.AsyncClient) -> None:
    assert (await http.post("/event", json=[SHIP, {**SHIP, "name": "store"}])).status_code == 200
    assert [(await http.get(f"/event/handler/{name}")).json()["name"] for name in ("ship", "store")] == [
        "ship",
        "store",
    ]
    assert (await http.get("/event/handler/none")).status_code == 404
    tag = {"key": "team", "type": "METADATA", "value": "shop"}
    assert (await http.put("/event/ship/tags", json=[tag])).status_code == 200
    assert (await http.get("/event/ship/tags")).json() == [tag]
    assert (await http.request("DELETE", "/event/ship/tags", json=[tag])).status_code == 200
    assert (await http.get("/event/ship/tags")).json() == []
    assert (await http.put("/event/none/tags", json=[tag])).status_code == 404


async def test_tags_go_with_the_event_handler_that_they_hang_on(http: httpx2.AsyncClient) -> None:
    tag = {"key": "team", "type": "METADATA", "value": "shop"}
    await http.post("/event", json=[SHIP, {**SHIP, "name": "store"}])
    for name in ("ship", "store"):
        await http.put(f"/event/{name}/tags", json=[tag])
    await http.delete("/event/ship")
    await http.post("/event", json=SHIP)
    assert (await http.get("/event/ship/tags")).json() == []
    assert (await http.get("/event/store/tags")).json() == [tag]


async def test_events_with_active_handlers_are_listed(http: httpx2.AsyncClient) -> None:
    await http.post("/event", json=SHIP)
    assert (await http.get("/admin/queues")).json() == {"conductor:order:paid": ["ship"]}


# --- secrets and environment ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "content_type", "kept"),
    [
        ('two\\nlines \\"quoted\\"', "application/json", 'two\nlines "quoted"'),
        ('"whole"', "application/json", "whole"),
        ("not \\json", "application/json", "not \\json"),
        ("back\\nslash", "text/plain", "back\\nslash"),
    ],
)
async def test_a_secret_is_kept_as_its_client_meant_it(
    sealed: httpx2.AsyncClient, sent: str, content_type: str, kept: str
) -> None:
    put = await sealed.put("/secrets/db", content=sent.encode(), headers={"Content-Type": content_type})
    assert (put.status_code, put.content) == (200, b"")
    answer = await sealed.get("/secrets/db")
    assert (answer.text, answer.headers["content-type"]) == (kept, "text/plain; charset=utf-8")


async def test_secrets_are_listed_tagged_and_forgotten(sealed: httpx2.AsyncClient) -> None:
    await sealed.put("/secrets/db", content=b"x")
    assert (await sealed.get("/secrets")).json() == ["NEAR", "db"]
    assert (await sealed.post("/secrets", json={})).json() == ["NEAR", "db"]
    tag = {"key": "team", "type": "METADATA", "value": "payments"}
    assert (await sealed.put("/secrets/db/tags", json=[tag])).status_code == 200
    assert (await sealed.get("/secrets/db/tags")).json() == [tag]
    for path in ("/secrets/v2", "/secrets-v2"):
        assert (await sealed.get(path)).json() == [{"name": "NEAR", "tags": []}, {"name": "db", "tags": [tag]}]
    assert (await sealed.request("DELETE", "/secrets/db/tags", json=[tag])).status_code == 200
    assert (await sealed.get("/secrets/db/exists")).json() is True
    assert (await sealed.delete("/secrets/db")).status_code == 200
    assert (await sealed.get("/secrets/db/exists")).json() is False
    for method, path in (("GET", "/secrets/db"), ("DELETE", "/secrets/db")):
        assert (await sealed.request(method, path)).status_code == 404
    assert (await sealed.put("/secrets/none/tags", json=[tag])).status_code == 404
    assert (await sealed.put("/secrets/no%20name", content=b"x")).status_code == 400


async def test_tags_go_with_the_secret_that_they_hang_on(sealed: httpx2.AsyncClient) -> None:
    tag = {"key": "team", "type": "METADATA", "value": "payments"}
    await sealed.put("/secrets/db", content=b"x")
    for name in ("db", "NEAR"):
        assert (await sealed.put(f"/secrets/{name}/tags", json=[tag])).status_code == 200
    assert (await sealed.delete("/secrets/db")).status_code == 200
    assert (await sealed.delete("/secrets/NEAR")).status_code == 404
    assert (await sealed.get("/secrets/db/tags")).json() == []
    assert (await sealed.get("/secrets/NEAR/tags")).json() == [tag]


async def test_environment_values_are_read(sealed: httpx2.AsyncClient) -> None:
    assert (await sealed.get("/environment")).json() == {"REGION": "eu"}
    assert (await sealed.get("/environment/REGION")).text == "eu"
    assert (await sealed.get("/environment/NONE")).status_code == 404


# --- installation -----------------------------------------------------------------------------------------------------


async def test_the_settings_are_shown_without_what_is_secret(fakeredis_url: str) -> None:
    settings = Settings(redis_url="redis://user:hush@127.0.0.1:1/0?password=hush", secrets_key="hush")
    app = create_app(settings=Settings(redis_url=fakeredis_url, secrets_key="hush", webhook_secret="hush"))
    async with app.router.lifespan_context(app), caller_of(app) as http:
        shown = await http.get("/admin/config")
    assert (shown.json()["partitions"], "hush" in shown.text) == (16, False)
    assert shown.json()["redis_url"] == fakeredis_url
    with pytest.raises(StopIteration) as told:
        next(shown_settings(StoreContext(settings)))
    assert told.value.value["redis_url"] == "redis://127.0.0.1:1/0"


async def test_open_tasks_and_queues_are_seen_and_tasks_ended(flows: httpx2.AsyncClient) -> None:
    alone = {"name": "alone", "taskReferenceName": "alone"}
    await register(flows, WAITING, {"name": "queued", "tasks": [alone]})
    queued, waiting = await start(flows, "queued"), await start(flows, "waiting", {"name": "Ada"})
    other = await start(flows, "waiting", {"name": "Bob"})
    (task,) = (await flows.get("/admin/task/alone")).json()
    assert (task["workflowInstanceId"], task["status"]) == (queued, "SCHEDULED")
    assert (await flows.get("/admin/task/alone?start=1")).json() == []
    assert (await flows.get("/queue/size")).json()["alone"] == 1
    assert (await flows.get("/queue")).json()["alone"] == "alone"
    assert (await flows.post(f"/queue/update/{waiting}/gate/COMPLETED", json={"by": "hand"})).content == b""
    done = await ended(flows, waiting)
    assert [one["outputData"] for one in done["tasks"]] == [{"by": "hand"}, {"result": "Hello, Ada"}]
    gate = (await flows.get(f"/workflow/{other}")).json()["tasks"][0]["taskId"]
    assert (await flows.post(f"/queue/update/{other}/task/{gate}/COMPLETED")).status_code == 200
    await ended(flows, other)
    assert (await flows.post(f"/queue/update/{queued}/none/COMPLETED")).status_code == 404


async def test_repairs_answer_what_they_found(flows: httpx2.AsyncClient) -> None:
    await register(flows, WAITING)
    workflow_id = await start(flows, "waiting")
    assert (await flows.post(f"/admin/sweep/requeue/{workflow_id}")).text == f"true.{workflow_id}"
    assert (await flows.post(f"/admin/consistency/verifyAndRepair/{workflow_id}")).text == "false"
    for path in ("sweep/requeue", "consistency/verifyAndRepair"):
        assert (await flows.post(f"/admin/{path}/none")).status_code == 404
