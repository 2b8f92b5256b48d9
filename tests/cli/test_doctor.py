"""doctor: every finding has a fix, and only failures fail."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Invoke


def findings(output: str) -> dict[str, dict[str, str]]:
    return {row["check"]: row for row in json.loads(output)}


def test_all_is_well_beside_an_engine(invoke: Invoke, engine: None) -> None:
    result = invoke("doctor", "-o", "json")
    assert result.exit_code == 0, result.stdout
    found = findings(result.stdout)
    assert found["deciders"]["result"] == "ok"
    assert found["redis"]["found"].endswith("(from --redis)")
    assert all(row["fix"] for row in found.values() if row["result"] != "ok")


def test_without_a_decider_it_fails_and_says_how_to_start_one(invoke: Invoke) -> None:
    result = invoke("doctor")
    assert result.exit_code == 1
    line = next(line for line in result.stdout.splitlines() if line.startswith("deciders"))
    assert "fail" in line
    assert "start one: orchestrator decider" in line
    assert result.stderr == "1 check failed\n"


def test_a_redis_that_does_not_answer_is_a_finding_not_an_error(invoke: Invoke) -> None:
    result = invoke("doctor", "-o", "json", url="redis://127.0.0.1:1/0")
    assert result.exit_code == 1
    found = findings(result.stdout)
    assert found["redis"]["result"] == "fail"
    assert "Check that the server runs" in found["redis"]["fix"]
    assert "deciders" not in found


def test_a_real_server_is_named_with_its_version(invoke: Invoke, redis_url: str) -> None:
    found = findings(invoke("doctor", "-o", "json", url=redis_url).stdout)
    assert found["server"]["found"].startswith("Redis ")
    assert abs(int(found["clock"]["found"].split()[0])) < 1000


def test_other_partitions_than_recorded_are_a_failure(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke("workflow", "list").exit_code == 0
    monkeypatch.setenv("ORCHESTRATOR_PARTITIONS", "4")
    result = invoke("doctor", "-o", "json")
    assert result.exit_code == 1
    assert "partitions=16" in findings(result.stdout)["redis"]["found"]
