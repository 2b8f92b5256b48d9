"""Access over HTTP: nothing needed while there are no keys, a token afterwards, and what a key and a browser may do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx2
import jwt
import pytest

from orchestrator import AsyncClient
from orchestrator.api import access as guard
from orchestrator.api import create_app
from orchestrator.model.access import AccessKey, KeyRole
from orchestrator.service import access
from tests.api.conftest import caller_of

HELLO = {"name": "hello", "tasks": [{"name": "greet", "taskReferenceName": "greet"}]}


class Locked(NamedTuple):
    """An app of an installation with one key of each role."""

    client: AsyncClient
    http: httpx2.AsyncClient
    keys: dict[KeyRole, tuple[AccessKey, str]]

    async def token(self, role: KeyRole) -> str:
        key, secret = self.keys[role]
        return await self.client.run(access.issue_token(self.client.store, key.id, secret))

    async def as_role(self, role: KeyRole) -> dict[str, str]:
        return {"X-Authorization": await self.token(role)}


@pytest.fixture
async def locked(fakeredis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Locked]:
    """Keys are looked at before every request here."""
    monkeypatch.setattr(guard, "KEYS_AGE_S_MAX", -1.0)
    async with AsyncClient(fakeredis_url) as client:
        keys = {role: await client.run(access.create_key(client.store, str(role), role)) for role in KeyRole}
        app = create_app(client)
        async with caller_of(app) as http:
            yield Locked(client, http, keys)


# --- open ---------------------------------------------------------------------------------------------------------------


async def test_without_keys_everything_is_open_and_no_token_is_needed(http: httpx2.AsyncClient) -> None:
    assert (await http.post("/metadata/workflow", json=HELLO)).status_code == 200
    asked = await http.post("/token", json={"keyId": "a", "keySecret": "b"})
    assert asked.status_code == 404


async def test_once_there_were_keys_it_is_never_open_again(locked: Locked) -> None:
    for key, _ in locked.keys.values():
        await locked.client.run(access.revoke_key(locked.client.store, key.id))
    assert (await locked.http.get("/metadata/taskdefs")).status_code == 401


# --- tokens -------------------------------------------------------------------------------------------------------------


async def test_a_token_is_taken_in_either_header(locked: Locked) -> None:
    key, secret = locked.keys[KeyRole.VIEWER]
    token = (await locked.http.post("/token", json={"keyId": key.id, "keySecret": secret})).json()["token"]
    for headers in ({"X-Authorization": token}, {"Authorization": f"Bearer {token}"}):
        assert (await locked.http.get("/metadata/taskdefs", headers=headers)).status_code == 200


@pytest.mark.parametrize("secret", ["wrong", "", "\ud800"])
async def test_a_wrong_secret_gets_no_token(locked: Locked, secret: str) -> None:
    key, _ = locked.keys[KeyRole.ADMIN]
    refused = await locked.http.post("/token", content=_json(key.id, secret))
    assert refused.status_code in (400, 401)
    unknown = await locked.http.post("/token", json={"keyId": "nobody", "keySecret": "x"})
    assert (unknown.status_code, unknown.json()["error"]) == (401, "INVALID_TOKEN")


def _json(key_id: str, secret: str) -> bytes:
    return f'{{"keyId": "{key_id}", "keySecret": "{secret}"}}'.encode("utf-8", "surrogatepass")


async def test_an_old_token_is_told_from_a_wrong_one(locked: Locked) -> None:
    key, secret = locked.keys[KeyRole.ADMIN]
    old = await locked.client.run(access.issue_token(locked.client.store, key.id, secret, now_s=1_000_000_000))
    refused = await locked.http.get("/metadata/taskdefs", headers={"X-Authorization": old})
    assert (refused.status_code, refused.json()["error"]) == (401, "EXPIRED_TOKEN")


def _forged(claims: dict[str, Any], secret: str, algorithm: str) -> str:
    return jwt.encode(claims, secret, algorithm=algorithm)


async def test_forged_tokens_are_refused(locked: Locked) -> None:
    claims = {"sub": locked.keys[KeyRole.ADMIN][0].id, "exp": 9_000_000_000}
    good = await locked.token(KeyRole.ADMIN)
    head, body, signature = good.split(".")
    forged = [
        _forged(claims, "guess" * 10, "HS256"),
        _forged(claims, "", "none"),
        f"{head}.{body}.",
        f"{head}.{body[:-2]}AA.{signature}",
        "a.b.c",
        "x",
    ]
    for token in forged:
        refused = await locked.http.get("/metadata/taskdefs", headers={"X-Authorization": token})
        assert (refused.status_code, refused.json()["error"]) == (401, "INVALID_TOKEN"), token


async def test_a_revoked_key_lets_nobody_in_not_even_by_the_tokens_it_was_exchanged_for(locked: Locked) -> None:
    key, secret = locked.keys[KeyRole.VIEWER]
    headers = await locked.as_role(KeyRole.VIEWER)
    await locked.client.run(access.revoke_key(locked.client.store, key.id))
    assert (await locked.http.get("/metadata/taskdefs", headers=headers)).status_code == 401
    asked = await locked.http.post("/token", json={"keyId": key.id, "keySecret": secret})
    assert asked.status_code == 401


async def test_no_secret_is_kept(locked: Locked) -> None:
    keyring = await locked.client.run(access.read_keyring(locked.client.store))
    for key, secret in locked.keys.values():
        assert secret not in keyring.keys[key.id].secret_hash
        assert len(secret) >= 43


# --- the record, the rate, the browser ----------------------------------------------------------------------------------


async def test_a_change_is_put_on_record_with_who_made_it(locked: Locked) -> None:
    headers = await locked.as_role(KeyRole.ADMIN)
    await locked.http.post("/metadata/workflow", json=HELLO, headers=headers)
    await locked.http.get("/metadata/workflow/hello", headers=headers)
    await locked.http.post("/metadata/workflow", json={}, headers=headers)
    (latest, *older) = (await locked.http.get("/admin/audit", headers=headers)).json()
    assert (latest["keyName"], latest["action"], latest["status"]) == ("admin", "POST /metadata/workflow", 200)
    assert {entry["action"] for entry in older} == {"key create"}


async def test_a_key_makes_only_so_many_requests_a_second(locked: Locked) -> None:
    key, secret = await locked.client.run(
        access.create_key(locked.client.store, "slow", KeyRole.VIEWER, requests_per_s=5)
    )
    token = (await locked.http.post("/token", json={"keyId": key.id, "keySecret": secret})).json()["token"]
    answers = [await locked.http.get("/metadata/taskdefs", headers={"X-Authorization": token}) for _ in range(8)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 1 <= len(refused) <= 3
    assert refused[0].headers["retry-after"] == "1"
    assert "wait" in refused[0].json()["message"]


async def test_pages_of_other_sites_are_refused_unless_they_are_named(fakeredis_url: str) -> None:
    async with AsyncClient(fakeredis_url) as client:
        async with caller_of(create_app(client)) as http:
            foreign = {"Origin": "https://evil.example"}
            assert (await http.post("/metadata/workflow", json=HELLO, headers=foreign)).status_code == 403
            assert (await http.post("/metadata/workflow", json=HELLO, headers={"Origin": "null"})).status_code == 403
            assert (await http.get("/version", headers={"Origin": "http://door"})).status_code == 200
        async with caller_of(create_app(client, origins=["https://ui.example"])) as http:
            named = {"Origin": "https://ui.example"}
            answer = await http.get("/version", headers=named)
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://ui.example")
            asked = {**named, "Access-Control-Request-Method": "PUT"}
            assert (await http.options("/metadata/taskdefs", headers=asked)).status_code == 200
            assert (await http.get("/version", headers=foreign)).status_code == 403
