"""bulk: one action on many executions that a query finds, nothing done before somebody agreed; through Redis and a server."""

from __future__ import annotations

import json

import pytest

from orchestrator_cli import bulk as commands
from tests.cli.conftest import SHOP, Invoke
from tests.support.eventually import eventually

WAITING = "workflowType=patient AND status=RUNNING"


@pytest.fixture
def patients(ask: Invoke) -> list[str]:
    """Three executions that wait for a signal."""
    assert ask("def", "apply", SHOP).exit_code == 0
    return [ask("workflow", "start", "patient").stdout.strip() for _ in range(3)]


def test_what_a_query_finds_is_ended_after_a_look_at_it(
    ask: Invoke, patients: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "PAGE", 2)
    seen = ask("bulk", "terminate", "--query", WAITING, "--dry-run", "-o", "name")
    assert seen.exit_code == 0
    assert sorted(seen.stdout.split()) == sorted(patients)
    unasked = ask("bulk", "terminate", "--query", WAITING)
    assert unasked.exit_code == 2
    assert "3 executions were found: give --yes" in unasked.stderr
    assert ask("workflow", "status", patients[0], "-o", "json").stdout.count("RUNNING") == 1
    ended = ask("bulk", "terminate", "--query", WAITING, "--yes", "-i", "reason=too late", "-o", "json")
    assert ended.exit_code == 0
    assert {row["workflowId"] for row in json.loads(ended.stdout)} == set(patients)
    for one in patients:
        shown = json.loads(ask("workflow", "status", one, "-o", "json").stdout)
        assert (shown["status"], shown["reason"]) == ("TERMINATED", "too late")
    assert ask("bulk", "terminate", "--query", WAITING, "--yes", "-o", "json").stdout.strip() == "[]"


def test_ids_come_from_a_pipe_and_one_that_refuses_fails_alone(ask: Invoke, patients: list[str]) -> None:
    first, second, third = patients
    assert ask("workflow", "terminate", third).exit_code == 0
    paused = ask("bulk", "pause", "-", "-o", "jsonl", stdin=f"{first}\n{second}\n{first}\n{third}\nnobody\n")
    assert paused.exit_code == 1
    rows = {row["workflowId"]: row for row in map(json.loads, paused.stdout.splitlines())}
    assert [rows[one]["result"] for one in (first, second, third, "nobody")] == ["done", "done", "refused", "refused"]
    assert "nobody" in rows["nobody"]["reason"]
    assert paused.stderr == "4 executions, 2 refused\n"
    eventually(lambda: "PAUSED" in ask("workflow", "status", first, second).stdout)


def test_variables_are_set_under_the_name_of_the_single_command(ask: Invoke, patients: list[str]) -> None:
    told = ask("bulk", "set-variables", *patients, "-i", 'variables:={"desk": 7}')
    assert told.exit_code == 0, told.stdout
    assert json.loads(ask("workflow", "get", patients[1], "-o", "json").stdout)["variables"] == {"desk": 7}


@pytest.mark.parametrize("arguments", [("pause",), ("pause", "ID", "--query", "status=RUNNING"), ("explode", "ID")])
def test_what_is_meant_must_be_clear(ask: Invoke, arguments: tuple[str, ...]) -> None:
    assert ask("bulk", *arguments).exit_code == 2
