"""def and taskdef: from files, folders and Python into the catalog and back, and what is wrong with a definition."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from orchestrator_cli import sources
from tests.cli import shop
from tests.cli.conftest import SHOP, Invoke, write

ORDER = {
    "name": "order",
    "ownerEmail": "shop@example.com",
    "tasks": [{"name": "charge", "taskReferenceName": "charge", "inputParameters": {"sum": "${workflow.input.sum}"}}],
}
CHARGE = {"name": "charge", "retryCount": 7, "concurrentExecLimit": 2}


def test_what_is_applied_can_be_listed_and_read_back(invoke: Invoke, tmp_path: Path) -> None:
    file = write(tmp_path, "order.json", json.dumps({"workflows": [ORDER], "tasks": [CHARGE]}))
    applied = invoke("def", "apply", file)
    assert (applied.exit_code, applied.stderr) == (0, "")
    assert [line.split() for line in applied.stdout.splitlines()[1:]] == [
        ["task", "charge", "-", "stored"],
        ["workflow", "order", "1", "stored"],
    ]
    assert "unchanged" in invoke("def", "apply", file).stdout
    assert invoke("def", "list", "-o", "name").stdout == "order\n"
    assert invoke("taskdef", "list").stdout.splitlines()[1].split()[:2] == ["charge", "7"]
    assert json.loads(invoke("taskdef", "get", "charge").stdout)["retryCount"] == 7
    assert yaml.safe_load(invoke("def", "get", "order", "-o", "yaml").stdout)["tasks"][0]["name"] == "charge"
    assert "charge" in invoke("def", "get", "order", "-o", "table").stdout


def test_what_get_prints_can_be_applied_again(invoke: Invoke, tmp_path: Path) -> None:
    invoke("def", "apply", write(tmp_path, "order.json", json.dumps(ORDER)))
    printed = invoke("def", "get", "order").stdout
    again = invoke("def", "apply", "-", stdin=printed)
    assert (again.exit_code, "unchanged" in again.stdout) == (0, True)


def test_a_folder_gives_all_its_definitions_and_runs_no_python(invoke: Invoke, tmp_path: Path) -> None:
    write(tmp_path, "all/order.yaml", yaml.safe_dump(ORDER))
    write(tmp_path, "all/deeper/charge.json", json.dumps(CHARGE))
    write(tmp_path, "all/boom.py", "raise SystemExit('was run')")
    assert invoke("def", "apply", str(tmp_path / "all"), "-o", "name").stdout.split() == ["charge", "order"]


def test_python_gives_its_workflows_and_the_tasks_they_use(invoke: Invoke) -> None:
    assert invoke("def", "apply", SHOP, "-o", "name").stdout.split() == [
        "greet",
        "refuse",
        "hello",
        "refused",
        "patient",
    ]
    assert invoke("def", "apply", "tests.cli.shop:hello", "-o", "name").stdout.split() == ["greet", "hello"]
    assert invoke("taskdef", "apply", "tests.cli.shop:TASKS", "-o", "name").stdout.split() == ["greet", "refuse"]


def test_create_only_does_not_replace_a_version_that_differs(invoke: Invoke, tmp_path: Path) -> None:
    invoke("def", "apply", write(tmp_path, "order.json", json.dumps(ORDER)))
    changed = write(tmp_path, "changed.json", json.dumps({**ORDER, "description": "new"}))
    result = invoke("def", "apply", changed, "--create-only")
    assert result.exit_code == 4
    assert "order.1 already exists" in result.stderr
    assert invoke("def", "apply", changed).exit_code == 0


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        ('{"name": "x", "tasks": []}', 7, "not valid"),
        ('{"name": "x", "tasks": [{"name": "a"}]}', 7, "taskReferenceName"),
        ('{"name": "x", "tasks": ["many"]}', 7, "tasks[0]"),
        (
            '{"name": "x", "timeoutSeconds": "soon", "tasks": [{"name": "a", "taskReferenceName": "a"}]}',
            7,
            "timeoutSec",
        ),
        ('{"name": ', 7, "bad.json"),
        ("", 7, "bad.json"),
        ("[]", 7, "holds no definition"),
    ],
)
@pytest.mark.parametrize("verb", ["apply", "validate"])
def test_an_invalid_definition_is_refused_with_every_problem(
    invoke: Invoke, tmp_path: Path, verb: str, content: str, status: int, message: str
) -> None:
    result = invoke("def", verb, write(tmp_path, "bad.json", content))
    assert (result.exit_code, result.stdout) == (status, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert invoke("def", "list", "-o", "name").stdout == ""


def test_nothing_is_stored_when_one_of_many_is_invalid(invoke: Invoke, tmp_path: Path) -> None:
    good = write(tmp_path, "good.json", json.dumps(ORDER))
    bad = write(tmp_path, "bad.json", '{"name": "bad", "tasks": []}')
    assert invoke("def", "apply", good, bad).exit_code == 7
    assert invoke("def", "list", "-o", "name").stdout == ""


def test_validate_needs_no_redis(invoke: Invoke) -> None:
    result = invoke("def", "validate", SHOP, url="redis://127.0.0.1:1/0")
    assert result.exit_code == 0
    assert [line.split()[-1] for line in result.stdout.splitlines()[1:]] == ["valid"] * 5


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("missing.json", "cannot read missing.json: No such file"),
        ("no.such.module", "module no.such.module does not import: ModuleNotFoundError"),
        ("tests.cli.shop:nothing", "has no nothing"),
        ("tests.cli.shop:SHOP", "has no SHOP"),
        ("tests.cli.conftest:ROOT", "not a workflow, a task or a list"),
        ("empty.py", "holds no workflow and no task"),
        ("broken.py", "SyntaxError"),
        ("folder", "holds no .json"),
    ],
)
def test_a_target_without_definitions_is_a_usage_error(
    invoke: Invoke, tmp_path: Path, target: str, message: str
) -> None:
    write(tmp_path, "empty.py", "x = 1\n")
    write(tmp_path, "broken.py", "def (:\n")
    (tmp_path / "folder").mkdir()
    result = invoke("def", "apply", target)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_taskdef_apply_wants_task_definitions(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("taskdef", "apply", write(tmp_path, "order.json", json.dumps(ORDER)))
    assert result.exit_code == 2
    assert "orchestrator def apply" in result.stderr


@pytest.mark.parametrize("noun", ["def", "taskdef"])
def test_an_unknown_definition_is_not_found(invoke: Invoke, noun: str) -> None:
    result = invoke(noun, "get", "nothing")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "nothing" in result.stderr


def test_an_unknown_version_is_not_found(invoke: Invoke, tmp_path: Path) -> None:
    invoke("def", "apply", write(tmp_path, "order.json", json.dumps(ORDER)))
    result = invoke("def", "get", "order", "--version", "9")
    assert (result.exit_code, "version 9" in result.stderr) == (3, True)


def test_a_graph_is_drawn_of_a_file_and_of_a_stored_workflow(invoke: Invoke, tmp_path: Path) -> None:
    file = write(tmp_path, "order.json", json.dumps(ORDER))
    assert invoke("def", "graph", file, url="redis://127.0.0.1:1/0").stdout.startswith("flowchart TD\n")
    invoke("def", "apply", file)
    assert invoke("def", "graph", "order", "--format", "text").stdout == "order version 1\n└─ charge\n"
    assert invoke("def", "graph", f"{SHOP}:hello", "--format", "text").stdout.startswith("hello version 1")


def test_a_graph_wants_one_workflow(invoke: Invoke) -> None:
    result = invoke("def", "graph", SHOP)
    assert result.exit_code == 2
    assert "it holds hello, refused, patient" in result.stderr


def test_the_input_keys_of_a_workflow_are_found_in_its_expressions() -> None:
    assert sources.input_keys(shop.hello.definition()) == ["name"]
    assert sources.input_keys(shop.refused.definition()) == []


@pytest.mark.parametrize(
    ("target", "expected"), [("order", False), ("order.v1", False), ("a.py", True), ("m:x", True), ("-", True)]
)
def test_files_and_code_are_told_from_names(target: str, expected: bool) -> None:
    assert sources.is_source(target) is expected


def test_schemas_are_applied_listed_shown_and_deleted(invoke: Invoke, tmp_path: Path) -> None:
    file = write(tmp_path, "order.schema.json", json.dumps({"title": "Orders", "required": ["sum"]}))
    assert invoke("schema", "apply", "order-input", file).stdout.splitlines()[1].split() == [
        "order-input",
        "1",
        "stored",
    ]
    assert "unchanged" in invoke("schema", "apply", "order-input", file).stdout
    assert invoke("schema", "list").stdout.splitlines()[1].split() == ["order-input", "1", "Orders"]
    assert json.loads(invoke("schema", "get", "order-input").stdout)["data"]["required"] == ["sum"]
    order = write(tmp_path, "order.json", json.dumps({**ORDER, "inputSchema": {"name": "order-input"}}))
    invoke("def", "apply", order)
    refused = invoke("workflow", "start", "order")
    assert (refused.exit_code, "input: must have the property 'sum'" in refused.stderr) == (7, True)
    assert invoke("schema", "delete", "order-input", "--version", "1").exit_code == 0
    assert invoke("schema", "get", "order-input").exit_code == 3


def test_a_file_that_is_no_schema_is_refused(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("schema", "apply", "x", write(tmp_path, "x.json", "[1]"))
    assert (result.exit_code, "is no JSON Schema" in result.stderr) == (2, True)
    result = invoke("schema", "apply", "x", write(tmp_path, "x.json", '{"type": "text"}'))
    assert (result.exit_code, "data.type: unknown type" in result.stderr) == (7, True)


def test_versions_are_listed_and_one_is_forgotten(invoke: Invoke, tmp_path: Path) -> None:
    for version in (1, 2):
        invoke("def", "apply", write(tmp_path, "order.json", json.dumps({**ORDER, "version": version})))
    assert sorted(invoke("def", "versions", "order", "-o", "name").stdout.split()) == ["1", "2"]
    assert invoke("def", "delete", "order", "--version", "2").stdout == "order 2\n"
    assert invoke("def", "versions", "order", "-o", "name").stdout == "1\n"
    assert invoke("def", "delete", "order", "--version", "2").exit_code == 3
