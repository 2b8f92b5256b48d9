"""Webhooks and configurations of event queues over HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import httpx2
import pytest

from orchestrator.api import create_app
from orchestrator.settings import Settings
from tests.api.conftest import caller_of

HOOK = {"name": "hub", "verifier": "SIGNATURE_BASED", "secretValue": "${workflow.secrets.HUB}", "workflowsToStart": {}}


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SECRET_HUB", "s3cret")


def signed(event: Any) -> dict[str, Any]:
    body = json.dumps(event).encode()
    mac = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    return {"content": body, "headers": {"X-Hub-Signature-256": f"sha256={mac}", "X-GitHub-Delivery": "d-1"}}


async def test_a_webhook_is_kept_shown_changed_and_forgotten(http: httpx2.AsyncClient) -> None:
    made = (await http.post("/metadata/webhook", json=HOOK)).json()
    where = f"/metadata/webhook/{made['id']}"
    assert (await http.get(where)).json() == made
    assert made["secretValue"] == "${workflow.secrets.HUB}"
    changed = (await http.put(where, json={**HOOK, "receiverWorkflowNamesToVersions": {"flow": 2}})).json()
    assert (changed["createTime"], changed["receiverWorkflowNamesToVersions"]) == (made["createTime"], {"flow": 2})
    assert (await http.get("/metadata/webhook")).json() == [changed]
    assert (await http.delete(where)).status_code == 200
    for method in ("GET", "DELETE"):
        assert (await http.request(method, where)).status_code == 404
    assert (await http.put(where, json=HOOK)).status_code == 404


async def test_a_delivery_is_acknowledged_when_it_is_signed_and_a_repetition_too(http: httpx2.AsyncClient) -> None:
    made = (await http.post("/metadata/webhook", json=HOOK)).json()
    address = f"/webhook/{made['id']}"
    for _ in range(2):
        answer = await http.post(address, **signed({"a": 1}))
        assert (answer.status_code, answer.text) == (200, "")
    assert (await http.post(address, json={"a": 1})).status_code == 401
    assert (await http.post("/webhook/unknown", **signed({}))).status_code == 404
    log = (await http.get(f"/metadata/webhook/{made['id']}/deliveries")).json()
    assert [(one["status"], one["reason"]) for one in log] == [("REJECTED", "the signature is missing or wrong")]


async def test_a_delivery_that_is_too_large_is_refused(fakeredis_url: str) -> None:
    app = create_app(settings=Settings(redis_url=fakeredis_url, payload_bytes_max=20_000))
    async with app.router.lifespan_context(app), caller_of(app) as http:
        made = (await http.post("/metadata/webhook", json=HOOK)).json()
        assert (await http.post(f"/webhook/{made['id']}", **signed("x" * 20_000))).status_code == 413


async def test_a_platform_verifies_the_address_by_the_secret(http: httpx2.AsyncClient) -> None:
    made = (await http.post("/metadata/webhook", json=HOOK)).json()
    address = f"/webhook/{made['id']}"
    asked = {"hub.mode": "subscribe", "hub.challenge": "42"}
    right = await http.get(address, params={**asked, "hub.verify_token": "s3cret"})
    assert (right.status_code, right.text) == (200, "42")
    assert (await http.get(address, params={**asked, "hub.verify_token": "guess"})).status_code == 401
    assert (await http.get(address)).status_code == 200
    assert (await http.get("/webhook/unknown")).status_code == 404


async def test_twitter_is_shown_that_the_secret_is_known(http: httpx2.AsyncClient) -> None:
    made = (await http.post("/metadata/webhook", json={**HOOK, "verifier": "TWITTER"})).json()
    address = f"/webhook/{made['id']}"
    shown = await http.get(address, params={"crc_token": "NWRjYWY4", "nonce": "1"})
    signed = base64.b64encode(hmac.new(b"s3cret", b"NWRjYWY4", hashlib.sha256).digest()).decode()
    assert (shown.status_code, shown.json()) == (200, {"response_token": f"sha256={signed}"})
    assert shown.headers["content-type"] == "application/json"
    assert (await http.get(address, params={"crc_token": '{"a": 1}'})).status_code == 401
    assert (await http.get(address)).text == ""
    other = (await http.post("/metadata/webhook", json=HOOK)).json()
    assert (await http.get(f"/webhook/{other['id']}", params={"crc_token": "NWRjYWY4"})).text == ""


async def test_an_event_queue_keeps_the_configuration_that_the_sdk_sends(http: httpx2.AsyncClient) -> None:
    given = {"consumer": {"bootstrap.servers": "kafka:9092"}, "producer": {"bootstrap.servers": "kafka:9092"}}
    where = "/event/queue/config/kafka/orders"
    assert (await http.get(where)).status_code == 404
    assert (await http.put(where, json=given)).status_code == 200
    assert (await http.get(where)).json() == given
    assert (await http.get("/event/queue/config")).json() == {"orders": "kafka"}
    assert (await http.request("DELETE", where, json={})).status_code == 200
    assert (await http.request("DELETE", where, json={})).status_code == 404
