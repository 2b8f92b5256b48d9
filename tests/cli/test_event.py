"""event: handlers from files into the catalog and back, a message, and what is shown of it."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.cli.conftest import Invoke, write

SHIP = {
    "name": "ship",
    "event": "conductor:order:paid",
    "active": True,
    "actions": [{"action": "start_workflow", "start_workflow": {"name": "shipping", "input": {"id": "${id}"}}}],
}


def test_a_handler_is_applied_listed_read_back_and_deleted(invoke: Invoke, tmp_path: Path) -> None:
    file = write(tmp_path, "ship.yaml", yaml.safe_dump([SHIP, {**SHIP, "name": "later", "active": False}]))
    applied = invoke("event", "handler", "apply", file)
    assert applied.exit_code == 0
    assert "not active" in applied.stderr
    assert "later" in applied.stderr
    assert invoke("event", "handler", "list", "-o", "name").stdout == "later\nship\n"
    printed = invoke("event", "handler", "get", "ship").stdout
    assert json.loads(printed)["actions"][0]["start_workflow"]["name"] == "shipping"
    assert invoke("event", "handler", "apply", "-", stdin=printed).exit_code == 0
    assert invoke("event", "handler", "delete", "ship", "later").exit_code == 0
    assert invoke("event", "handler", "get", "ship").exit_code == 3


def test_a_handler_that_is_wrong_is_refused_with_all_its_problems(invoke: Invoke, tmp_path: Path) -> None:
    file = write(tmp_path, "bad.json", json.dumps({"name": "bad", "event": "sqs:x", "actions": []}))
    refused = invoke("event", "handler", "apply", file)
    assert refused.exit_code == 7
    assert "Unknown queue type sqs" in refused.stderr
    assert "at-least one action" in refused.stderr


def test_a_message_is_published_under_its_id_and_nothing_is_done_for_it_without_a_handler(invoke: Invoke) -> None:
    published = invoke("event", "publish", "conductor:order:paid", "-i", "id=7", "--id", "m1")
    assert (published.exit_code, published.stdout) == (0, "m1\n")
    assert invoke("event", "dead-letters", "conductor:order:paid", "-o", "json").stdout.strip() == "[]"
    assert invoke("event", "executions", "--event", "conductor:order:paid", "-o", "json").stdout.strip() == "[]"
    assert invoke("event", "publish", "nowhere").exit_code == 2
