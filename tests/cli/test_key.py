"""key: made, listed without secrets, revoked; and a server that will not be open to other machines by accident."""

from __future__ import annotations

import json

import httpx2
import pytest

from orchestrator.api import create_app
from orchestrator.settings import Settings
from tests.cli.conftest import Command, Invoke, finished
from tests.support.eventually import eventually
from tests.support.served import Served


def test_a_key_is_made_listed_and_revoked(invoke: Invoke) -> None:
    made = json.loads(invoke("key", "create", "ops", "--role", "admin", "-o", "json").stdout)
    listed = invoke("key", "list", "-o", "jsonl").stdout
    assert made["keySecret"] not in listed
    assert "secretHash" not in listed
    assert json.loads(listed)["role"] == "admin"
    assert invoke("key", "revoke", made["keyId"]).exit_code == 0
    assert json.loads(invoke("key", "list", "-o", "jsonl").stdout)["revokeTime"] > 0
    assert invoke("key", "revoke", "nobody").exit_code == 3
    actions = [json.loads(line)["action"] for line in invoke("key", "audit", "-o", "jsonl").stdout.splitlines()]
    assert actions == ["key revoke", "key create"]


def test_a_token_for_a_key_opens_the_api_and_a_wrong_secret_gives_none(invoke: Invoke, fakeredis_url: str) -> None:
    assert invoke("key", "token", "nobody", stdin="x").exit_code == 3  # nobody needs one yet
    made = json.loads(invoke("key", "create", "ops", "--role", "viewer", "-o", "json").stdout)
    token = invoke("key", "token", made["keyId"], stdin=f"{made['keySecret']}\n").stdout.strip()
    with Served(create_app(settings=Settings(redis_url=fakeredis_url))) as served:
        assert httpx2.get(f"{served.url}/api/queue").status_code == 401
        assert httpx2.get(f"{served.url}/api/queue", headers={"X-Authorization": token}).status_code == 200
    assert invoke("key", "token", made["keyId"], stdin="guess").exit_code == 6


@pytest.mark.parametrize("arguments", [["--role", "king"], ["--role", "admin", "--requests-per-s", "1000000"]])
def test_a_key_that_cannot_be_is_refused(invoke: Invoke, arguments: list[str]) -> None:
    assert invoke("key", "create", "x", *arguments).exit_code == 2
    assert invoke("key", "create", "", "--role", "viewer").exit_code == 2


def test_a_server_without_keys_does_not_listen_to_other_machines_unless_told(
    command: Command, invoke: Invoke, redis_url: str
) -> None:
    everywhere = ("--redis", redis_url, "server", "--host", "0.0.0.0", "--port", "0")
    status, _, said = finished(command(*everywhere))
    assert status == 2
    assert "orchestrator key create" in said
    assert "Serving" in first_line(command(*everywhere, "--open"))
    assert invoke("key", "create", "ops", "--role", "admin", url=redis_url).exit_code == 0
    assert "Serving" in first_line(command(*everywhere))


def first_line(process: object) -> str:
    """What a process says first."""
    stream = process.stderr  # type: ignore[attr-defined]
    return str(eventually(lambda: stream.readline() or False, timeout_s=20))
