"""``orchestrator webhook``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke, write

HOOK = {
    "name": "github",
    "verifier": "SIGNATURE_BASED",
    "secretValue": "${workflow.secrets.GITHUB}",
    "receiverWorkflowNamesToVersions": {"release": 1},
    "workflowsToStart": {"review": 1, "idempotencyKey": "${workflow.input.number}", "idempotencyStrategy": "FAIL"},
}


def test_a_webhook_is_applied_listed_shown_and_deleted(invoke: Invoke, engine: None, tmp_path: Path) -> None:
    put = invoke("webhook", "apply", write(tmp_path, "github.json", json.dumps(HOOK)), "--id", "github")
    assert (put.exit_code, put.stdout.strip()) == (0, "github"), put.stderr
    assert "POST /api/webhook/github" in put.stderr
    assert invoke("webhook", "list").stdout.split()[-2:] == ["release", "review"]
    shown = json.loads(invoke("webhook", "get", "github", "-o", "json").stdout)
    assert shown["secretValue"] == "${workflow.secrets.GITHUB}"
    assert json.loads(invoke("webhook", "deliveries", "github", "-o", "json").stdout) == []
    assert invoke("webhook", "delete", "github").exit_code == 0
    gone = invoke("webhook", "get", "github")
    assert (gone.exit_code, "orchestrator webhook list" in gone.stderr) != (0, False)


@pytest.mark.parametrize("wrong", [{"name": "x", "verifier": "GUESS"}, {"name": "x", "verifier": "STRIPE"}])
def test_what_is_wrong_with_a_file_is_said(invoke: Invoke, engine: None, tmp_path: Path, wrong: dict[str, str]) -> None:
    refused = invoke("webhook", "apply", write(tmp_path, "w.json", json.dumps(wrong)))
    assert refused.exit_code != 0
    assert "verifier" in refused.stderr or "secretValue" in refused.stderr
