"""The page that compares us with Conductor leaves nothing out, and every row names a test that there is."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from orchestrator.core.kinds import DISPATCH, SYSTEM_TASK_TYPES
from orchestrator.model import definitions, execution
from orchestrator.model.definitions import TaskType
from orchestrator.model.event_handlers import ActionKind
from orchestrator.model.status import TaskStatus, WorkflowStatus
from orchestrator.model.wire_write import json_name

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "conductor-compatibility.md"
COMPARED = {"as in Conductor", "more", "different"}
STRUCTS: dict[str, Any] = {
    "Workflow definitions": definitions.WorkflowDef,
    "Steps": definitions.WorkflowTask,
    "Sub-workflow parameters": definitions.SubWorkflowParams,
    "Task definitions": definitions.TaskDef,
    "Executions": execution.Workflow,
    "Tasks of an execution": execution.Task,
    "Reports on tasks": execution.TaskResult,
    "Starts": execution.StartWorkflowRequest,
}


class Row(NamedTuple):
    """One line of a table of the page."""

    section: str
    name: str
    compared: str
    text: str
    proof: str


def rows() -> list[Row]:
    found, section = [], ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith("| name |"):
            found.append(Row(section, *(cell.strip() for cell in line.strip("|").split(" | "))))
    return found


def names(section: str) -> set[str]:
    """Everything that stands in the first column of a section, also when several share a row."""
    return {name for row in rows() if row.section == section for name in re.findall(r"[A-Za-z_]+", row.name)}


@cache
def proofs_in(path: str) -> frozenset[str]:
    file = ROOT / "tests" / path
    return frozenset(re.findall(r"def (test_\w+)", file.read_text())) if file.exists() else frozenset()


def test_no_cell_is_blank() -> None:
    assert len(rows()) > 200
    assert [row for row in rows() if "" in row or row.compared not in COMPARED] == []


def test_every_row_is_proven_by_a_test_that_there_is() -> None:
    missing = []
    for row in rows():
        path, _, name = row.proof.strip("`").partition("::")
        if name not in proofs_in(path):
            missing.append((row.name, row.proof))
    assert missing == []


@pytest.mark.parametrize("section", STRUCTS)
def test_no_field_is_forgotten(section: str) -> None:
    fields = {json_name(field.name) for field in msgspec.structs.fields(STRUCTS[section])}
    assert fields - names(section) == set()


def test_no_type_and_no_status_is_forgotten() -> None:
    listed = names("Operators and system tasks")
    assert {str(kind) for kind in TaskType} - listed == set()
    assert (DISPATCH.keys() | SYSTEM_TASK_TYPES) - {"SCRIPT"} - listed == set()
    assert {str(status) for status in (*WorkflowStatus, *TaskStatus)} - names("Statuses") == set()


def test_no_action_of_an_event_handler_is_forgotten() -> None:
    assert {str(action) for action in ActionKind} - names("Events and listeners") == set()


def test_no_operation_is_forgotten() -> None:
    from orchestrator.core.operations import OPERATIONS

    listed = " ".join(row.name for row in rows() if row.section == "Operations")
    assert [name for name in OPERATIONS if re.split(r"[_ ]", name)[0] not in listed] == []
