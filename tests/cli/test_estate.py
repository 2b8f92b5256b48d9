"""store, metrics, archive, and what is said of all schedules, workflows and schemas at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import SHOP, Invoke, write


def test_the_store_is_shown_with_its_partitions(invoke: Invoke, engine: None) -> None:
    shown = json.loads(invoke("store", "info", "-o", "json").stdout)
    assert shown["partitions"] == 16
    assert len(shown["deciders"]) == 1
    rows = json.loads(invoke("store", "partitions", "-o", "json").stdout)
    assert [row["partition"] for row in rows] == list(range(16))
    assert {row["owner"] for row in rows} == set(shown["deciders"])
    assert invoke("store", "info").stdout.startswith("SERVER")


def test_metrics_are_those_of_the_installation(invoke: Invoke, engine: None) -> None:
    page = invoke("metrics")
    assert page.exit_code == 0
    assert "orchestrator_deciders 1.0" in page.stdout.splitlines()


def test_what_ended_moves_to_the_archive_and_is_brought_back(
    invoke: Invoke, engine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert invoke("archive", "run").exit_code == 2
    assert invoke("archive", "info").stdout.startswith("ARCHIVE      none")
    assert invoke("def", "apply", SHOP).exit_code == 0
    assert invoke("workflow", "run", "hello", "-i", "name=Ada").exit_code == 0
    workflow_id = invoke("workflow", "list", "-o", "name").stdout.strip()
    monkeypatch.setenv("ORCHESTRATOR_ARCHIVE_URL", f"sqlite:///{tmp_path}/archive.db")
    monkeypatch.setenv("ORCHESTRATOR_ARCHIVE_AFTER_S", "0")
    assert invoke("archive", "run").exit_code == 0
    assert json.loads(invoke("archive", "info", "-o", "json").stdout)["url"] == f"sqlite:///{tmp_path}/archive.db"
    assert invoke("archive", "restore", workflow_id).stderr == "1 execution came back\n"
    assert invoke("archive", "restore", workflow_id).stderr == "0 executions came back\n"


def test_all_schedules_are_paused_and_go_on(invoke: Invoke) -> None:
    assert invoke("schedule", "create", "nightly", "report", "--cron", "0 0 9 * * ?").exit_code == 0
    assert invoke("schedule", "pause-all").exit_code == 0
    assert invoke("schedule", "resume-all").exit_code == 0
    assert "1 schedule waits" in invoke("schedule", "requeue-all").stderr


def test_executions_of_a_workflow_are_limited_and_freed(invoke: Invoke) -> None:
    assert invoke("def", "apply", SHOP).exit_code == 0
    assert "any number" in invoke("def", "limit", "hello").stdout
    limited = json.loads(invoke("def", "limit", "hello", "2", "--key", "${workflow.input.name}", "-o", "json").stdout)
    assert limited == {
        "name": "hello",
        "concurrentExecLimit": 2,
        "rateLimitKey": "${workflow.input.name}",
        "policy": "QUEUE",
    }
    assert json.loads(invoke("def", "limit", "hello", "0", "-o", "json").stdout)["concurrentExecLimit"] == 0
    assert invoke("def", "limit", "hello", "--key", "x").exit_code == 2


def test_definitions_schemas_values_and_queue_configurations_come_and_go(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("taskdef", "apply", SHOP).exit_code == 0
    assert invoke("taskdef", "delete", "greet").stdout == "greet\n"
    assert invoke("taskdef", "delete", "greet").exit_code == 3
    schema = write(tmp_path, "shape.json", '{"type": "object"}')
    assert invoke("schema", "apply", "shape", schema).exit_code == 0
    assert invoke("schema", "delete", "shape").exit_code == 2
    assert invoke("schema", "delete", "shape", "--all").exit_code == 0
    assert invoke("schema", "get", "shape").exit_code == 3
    assert invoke("env", "set", "REGION", "north").exit_code == 0
    assert invoke("env", "get", "REGION").stdout == "north\n"
    assert invoke("event", "queue", "set", "kafka", "orders", "-i", "topic=a").exit_code == 0
    assert invoke("event", "queue", "list", "-o", "name").stdout == "orders\n"
    assert json.loads(invoke("event", "queue", "get", "kafka", "orders").stdout)["configuration"] == {"topic": "a"}
    assert invoke("event", "queue", "delete", "kafka", "orders").exit_code == 0
    assert invoke("event", "queue", "get", "kafka", "orders").exit_code == 3
