"""apply and diff: an installation from a folder of files, and what a mistake in one of them leaves undone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import Invoke, write

WORKFLOW = {
    "name": "report",
    "version": 1,
    "schemaVersion": 2,
    "tasks": [{"name": "render", "taskReferenceName": "r", "type": "SIMPLE"}],
    "inputSchema": {"name": "kinds", "version": 1},
}
TASK = {"name": "render", "retryCount": 2}
SCHEMA = {"name": "kinds", "version": 1, "data": {"type": "object", "required": ["kind"]}}
HANDLER = {
    "name": "on-order",
    "event": "conductor:orders",
    "active": True,
    "actions": [{"action": "start_workflow", "start_workflow": {"name": "report", "input": {"kind": "order"}}}],
}
SCHEDULE = {"name": "nightly", "cronExpression": "0 0 2 * * ?", "startWorkflowRequest": {"name": "report"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One of everything, in several forms."""
    folder = tmp_path / "definitions"
    (folder / "more").mkdir(parents=True)
    write(folder, "workflows.yaml", yaml.safe_dump_all([WORKFLOW, TASK]))
    write(folder, "schema.json", json.dumps({**SCHEMA, "kind": "schema"}))
    write(folder / "more", "rest.json", json.dumps({"eventHandlers": [HANDLER], "schedules": [SCHEDULE]}))
    return folder


def results(printed: str) -> dict[str, str]:
    return {f"{row['kind']} {row['name']}": row["change"] for row in json.loads(printed)}


EVERYTHING = ("schema kinds", "task render", "workflow report", "eventHandler on-order", "schedule nightly")


def test_a_folder_is_stored_whole_and_a_second_time_changes_nothing(invoke: Invoke, folder: Path) -> None:
    apply = ("apply", "-f", str(folder), "-o", "json")
    assert results(invoke(*apply, "--dry-run").stdout) == dict.fromkeys(EVERYTHING, "new")
    assert invoke("def", "list", "-o", "name").stdout == ""
    assert results(invoke(*apply).stdout) == dict.fromkeys(EVERYTHING, "stored")
    assert invoke("def", "list", "-o", "name").stdout == "report\n"
    assert json.loads(invoke("schedule", "get", "nightly").stdout)["cronExpression"] == "0 0 2 * * ?"
    assert json.loads(invoke("event", "handler", "list", "-o", "json").stdout)[0]["name"] == "on-order"
    stored = json.loads(invoke("def", "get", "report").stdout)
    assert stored["inputSchema"]["data"]["required"] == ["kind"]
    assert results(invoke(*apply).stdout) == dict.fromkeys(EVERYTHING, "unchanged")
    assert invoke("diff", "-f", str(folder), "--exit-code").exit_code == 0


def test_diff_shows_what_is_changed_and_says_so_by_its_status(invoke: Invoke, folder: Path) -> None:
    assert invoke("apply", "-f", str(folder)).exit_code == 0
    write(folder, "workflows.yaml", yaml.safe_dump_all([WORKFLOW, {**TASK, "retryCount": 5}]))
    write(folder, "other.json", json.dumps({"name": "other"}))
    shown = invoke("diff", "-f", str(folder))
    assert shown.exit_code == 0
    assert '-  "retryCount": 2,' in shown.stdout
    assert '+  "retryCount": 5,' in shown.stdout
    assert "--- (none)" in shown.stdout
    assert "workflow report" not in shown.stdout
    assert invoke("diff", "-f", str(folder), "--exit-code").exit_code == 1
    assert json.loads(invoke("taskdef", "get", "render").stdout)["retryCount"] == 2
    changed = results(invoke("apply", "-f", str(folder), "-o", "json").stdout)
    assert changed["task render"] == "replaced"
    assert changed["task other"] == "stored"
    assert changed["workflow report"] == "unchanged"


BROKEN: list[tuple[str, str | dict[str, Any], str]] = [
    ("syntax", "{", "broken.json"),
    (
        "rule",
        {"name": "w", "tasks": [{"name": "a", "taskReferenceName": "a"}, {"name": "b", "taskReferenceName": "a"}]},
        "a",
    ),
    ("schedule", {**SCHEDULE, "cronExpression": "every day"}, "every day"),
    ("handler", {**HANDLER, "actions": []}, "actions"),
    ("schema", {"name": "s", "data": {"type": "nothing"}}, "nothing"),
    ("kind", {"name": "s", "kind": "robot"}, "must be one of schedule"),
    ("past", {"name": "s", "runAt": 1_000, "startWorkflowRequest": {"name": "report"}}, "is past"),
    ("twice", SCHEDULE, "twice: nightly"),
    ("extra", {**WORKFLOW, "name": "w2", "inputSchema": {"name": "unknown", "version": 1}}, "unknown"),
]


@pytest.mark.parametrize(("what", "content", "word"), BROKEN, ids=[what for what, _, _ in BROKEN])
@pytest.mark.parametrize("command", [("apply",), ("apply", "--dry-run"), ("diff",)], ids=["apply", "dry-run", "diff"])
def test_one_mistake_in_one_file_and_nothing_is_stored(
    invoke: Invoke, folder: Path, command: tuple[str, ...], what: str, content: str | dict[str, Any], word: str
) -> None:
    write(folder, "broken.json", content if isinstance(content, str) else json.dumps(content))
    refused = invoke(*command, "-f", str(folder))
    assert refused.exit_code not in (0, 1)
    assert word in refused.stderr
    for listed in (("def", "list"), ("taskdef", "list"), ("schema", "list"), ("schedule", "list")):
        assert invoke(*listed, "-o", "name").stdout == ""


def test_all_mistakes_of_all_files_are_said_at_once(invoke: Invoke, folder: Path) -> None:
    write(folder, "a.json", json.dumps({**SCHEDULE, "cronExpression": "every day"}))
    write(folder, "b.json", json.dumps({"name": "", "retryCount": -1}))
    refused = invoke("apply", "-f", str(folder)).stderr
    assert "a.json" in refused
    assert "b.json" in refused


def test_standard_input_is_a_file(invoke: Invoke) -> None:
    assert invoke("apply", "-f", "-", "-o", "name", stdin=json.dumps([TASK, SCHEDULE])).stdout == "render\nnightly\n"
    assert invoke("apply", "-f", "nowhere").exit_code == 2
