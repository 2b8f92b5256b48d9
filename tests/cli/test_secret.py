"""secret and env: values go in by standard input, names come out, values never do."""

from __future__ import annotations

import pytest

from orchestrator.service.secrets import new_key
from tests.cli.conftest import Invoke


def test_a_secret_is_set_listed_and_deleted_and_its_value_is_never_shown(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SECRETS_KEY", invoke("secret", "key").stdout.strip())
    monkeypatch.setenv("ORCHESTRATOR_SECRET_NEAR", "nearby-value")
    kept = invoke("secret", "set", "STRIPE", stdin="tok-123456\n")
    assert (kept.exit_code, kept.stdout, "STRIPE is kept" in kept.stderr) == (0, "", True)
    listed = invoke("secret", "list")
    assert [line.split() for line in listed.stdout.splitlines()[1:]] == [["NEAR", "environment"], ["STRIPE", "redis"]]
    assert "value" not in listed.stdout
    assert invoke("secret", "delete", "STRIPE").exit_code == 0
    assert invoke("secret", "delete", "STRIPE").exit_code == 3


def test_without_a_key_nothing_is_kept(invoke: Invoke) -> None:
    result = invoke("secret", "set", "STRIPE", stdin="x")
    assert (result.exit_code, "orchestrator secret key" in result.stderr) == (2, True)
    assert len(new_key()) == 44


def test_environment_values_are_set_listed_and_deleted(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_ENV_NAMES", "STAGE")
    monkeypatch.setenv("STAGE", "test")
    assert invoke("env", "set", "REGION", "eu-west-1").exit_code == 0
    listed = invoke("env", "list").stdout.splitlines()[1:]
    assert [line.split() for line in listed] == [["REGION", "eu-west-1"], ["STAGE", "test"]]
    assert invoke("env", "delete", "REGION").exit_code == 0
    assert invoke("env", "delete", "REGION").exit_code == 3
