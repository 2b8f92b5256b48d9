"""The page that compares us with Conductor leaves nothing out, and every row names tests that speak of it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from orchestrator.core.kinds import DISPATCH, SYSTEM_TASK_TYPES
from orchestrator.model import definitions, event_handlers, execution
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


def proofs(row: Row) -> list[str]:
    """The tests that a row names, as ``path::name``."""
    return re.findall(r"`([\w/]+\.py::test_\w+)`", row.proof)


@cache
def top_level_of(path: str) -> dict[str, str]:
    """The text of everything that a file of tests defines at its top, by name, decorators included."""
    file, found = ROOT / "tests" / path, dict[str, str]()
    lines = file.read_text().splitlines() if file.exists() else []
    for node in ast.parse("\n".join(lines)).body:
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
        text = "\n".join(lines[first - 1 : node.end_lineno])
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found[node.name] = text
            case ast.Assign(targets=[ast.Name(name)]) | ast.AnnAssign(target=ast.Name(name)):
                found[name] = text
    return found


@cache
def text_of(proof: str) -> str:
    """The text of a test, of what it uses of its own file, and of the short names for steps."""
    path, _, name = proof.partition("::")
    known, wanted, text = top_level_of("support/build.py") | top_level_of(path), [name], ""
    for one in wanted:
        text += known[one] + "\n"
        wanted += [
            word for word in dict.fromkeys(re.findall(r"\w+", known[one])) if word in known and word not in wanted
        ]
    return text


def test_no_cell_is_blank() -> None:
    assert len(rows()) > 200
    assert [row for row in rows() if "" in row or row.compared not in COMPARED] == []


def test_every_row_is_proven_by_tests_that_there_are() -> None:
    assert [row.name for row in rows() if not proofs(row)] == []
    named = {proof for row in rows() for proof in proofs(row)}
    assert {proof for proof in named if proof.partition("::")[2] not in top_level_of(proof.partition("::")[0])} == set()


def test_every_proof_of_a_row_judges_something() -> None:
    named = {proof for row in rows() for proof in proofs(row)}
    assert {proof for proof in named if not re.search(r"\bassert\b|\.expect\(|pytest\.raises", text_of(proof))} == set()


@pytest.mark.parametrize("section", STRUCTS)
def test_the_proofs_of_a_field_speak_of_it(section: str) -> None:
    """By its name in JSON or in Python; a test of the form itself draws all fields of it."""
    silent = []
    for row in rows():
        if row.section == section and row.name.startswith("`"):
            texts = "\n".join(text_of(proof) for proof in proofs(row))
            is_drawn = re.search(rf"structs\({STRUCTS[section].__name__}\b", texts) or "structs(Workflow," in texts
            spoken = {word.replace("_", "").lower() for word in re.findall(r"\w+", texts)}
            names = re.findall(r"`(\w+)`", row.name)
            silent += [name for name in names if not is_drawn and name.lower() not in spoken]
    assert silent == []


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


def test_no_field_of_an_event_handler_and_of_its_executions_is_forgotten() -> None:
    forms = (event_handlers.EventHandler, event_handlers.EventExecution)
    fields = {json_name(field.name) for form in forms for field in msgspec.structs.fields(form)}
    assert fields - names("Events and listeners") == set()


def test_no_operation_is_forgotten() -> None:
    from orchestrator.core.operations import OPERATIONS

    listed = " ".join(row.name for row in rows() if row.section == "Operations")
    assert [name for name in OPERATIONS if re.split(r"[_ ]", name)[0] not in listed] == []
