"""def test and workflow replay: runs without workers, with mocked or recorded outcomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import SHOP, Invoke, write


@pytest.fixture
def mocks(tmp_path: Path) -> Any:
    return lambda document: write(tmp_path, "mocks.json", json.dumps(document))


PATIENT = {"approval": [{"output": {"by": "Ada"}}], "greet": [{"output": {"result": "mocked"}}]}


def test_a_stored_workflow_runs_with_mocked_outcomes_and_nothing_is_stored(invoke: Invoke, mocks: Any) -> None:
    assert invoke("def", "apply", SHOP).exit_code == 0
    run = invoke("def", "test", "patient", "--mocks", mocks(PATIENT))
    assert (run.exit_code, json.loads(run.stdout)) == (0, {"result": "mocked"})
    assert run.stderr.splitlines()[-1].split() == ["0.000", "COMPLETED"]
    assert invoke("workflow", "list", "-o", "name").stdout == ""


def test_a_request_of_conductor_brings_its_input_and_options_win(invoke: Invoke, mocks: Any, tmp_path: Path) -> None:
    step = {"name": "a", "taskReferenceName": "a", "inputParameters": {"who": "${workflow.input.who}"}}
    output = {"who": "${a.input.who}", "n": "${workflow.input.n}"}
    file = write(tmp_path, "flow.json", json.dumps({"name": "flow", "tasks": [step], "outputParameters": output}))
    request = {"input": {"who": "Ada", "n": 1}, "taskRefToMockOutput": {"a": [{"output": {}}]}}
    run = invoke("def", "test", file, "--mocks", mocks(request), "-i", "n:=2")
    assert json.loads(run.stdout) == {"who": "Ada", "n": 2}


@pytest.mark.parametrize(
    ("outcomes", "status", "said"),
    [
        ([{"status": "FAILED_WITH_TERMINAL_ERROR", "reasonForIncompletion": "no"}], 10, "FAILED: Task"),
        ([], 8, "no mock left for greet"),
    ],
)
def test_the_exit_status_is_that_of_the_end(
    invoke: Invoke, mocks: Any, outcomes: list[Any], status: int, said: str
) -> None:
    run = invoke("def", "test", f"{SHOP}:hello", "--mocks", mocks({"greet": outcomes}))
    assert (run.exit_code, said in run.stderr) == (status, True)


def test_mocks_of_steps_that_there_are_not_are_refused(invoke: Invoke, mocks: Any) -> None:
    assert "no step 'other'" in invoke("def", "test", f"{SHOP}:hello", "--mocks", mocks({"other": [{}]})).stderr
    assert invoke("def", "test", f"{SHOP}:hello", "--mocks", "none.json").exit_code == 2


@pytest.mark.usefixtures("engine")
def test_a_replay_tells_what_today_s_definition_would_do_otherwise(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("def", "apply", SHOP).exit_code == 0
    assert invoke("workflow", "run", "hello", "--id", "mine", "-i", "name=Ada").exit_code == 0
    file = str(tmp_path / "run.json")
    assert invoke("workflow", "export", "mine", "-f", file).exit_code == 0
    same = invoke("workflow", "replay", file)
    assert (same.exit_code, same.stdout, same.stderr.splitlines()[-1]) == (0, "", "nothing differs")
    assert invoke("workflow", "replay", file, "hello").exit_code == 0
    step = {"name": "greet", "taskReferenceName": "greet", "inputParameters": {"name": "nobody"}}
    other = write(tmp_path, "other.json", json.dumps({"name": "hello", "tasks": [step]}))
    changed = invoke("workflow", "replay", file, other)
    assert changed.exit_code == 1
    assert changed.stdout.splitlines() == ['greet: input name was "Ada", is "nobody"']
