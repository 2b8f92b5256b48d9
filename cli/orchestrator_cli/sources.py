"""Definitions from where users keep them: JSON and YAML files, folders of them, Python files and modules.

A target is a file, a folder (its ``.json``, ``.yaml`` and ``.yml`` files, all the way down; Python is never run
unasked), ``module:attribute``, a module, or ``-`` for standard input. Nothing here speaks to a store. Called by
``def``, ``taskdef``, ``workflow start``, and by the worker of ``dev``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.errors import DefinitionInvalid, InvalidRequest, Problem

if TYPE_CHECKING:
    from orchestrator.model.definitions import TaskDef, WorkflowDef
    from orchestrator.task import Task
    from orchestrator.workflow import Workflow

TEXT_SUFFIXES = (".json", ".yaml", ".yml")


class Found(NamedTuple):
    """The definitions of some targets, in order. What a workflow uses in Python comes with its task definitions."""

    workflows: list[WorkflowDef]
    task_defs: list[TaskDef]


def is_source(target: str) -> bool:
    """Whether a target names a file or Python code; a workflow's name can hold no colon and ends in no such suffix."""
    return ":" in target or target == "-" or target.endswith((*TEXT_SUFFIXES, ".py"))


def find(targets: Iterable[str]) -> Found:
    """All definitions of the targets, checked.

    Raises ``DefinitionInvalid`` naming the file, and ``InvalidRequest`` for a target that cannot be read or holds none.
    Example: ``find(["definitions", "shop.py:order"]).workflows``
    """
    found = Found([], [])
    for target in targets:
        for source in expanded(target):
            workflows, task_defs = _from_text(source) if _is_text(source) else _from_python(source)
            found.workflows.extend(workflows)
            found.task_defs.extend(task_defs)
    return found


def find_one(target: str) -> tuple[WorkflowDef, list[TaskDef]]:
    """The one workflow of a target, and the task definitions beside it.

    Raises like ``find``, and ``InvalidRequest`` when there is none or several. Example: ``find_one("order.yaml")[0]``
    """
    workflows, task_defs = find([target])
    if len(workflows) != 1:
        names = ", ".join(one.name for one in workflows) or "none"
        raise InvalidRequest(f"{target} must hold exactly one workflow; it holds {names}. Pick one: file.py:attribute")
    return workflows[0], task_defs


def python_objects(target: str) -> tuple[list[Workflow], list[Task[..., object]]]:
    """The workflow and task objects of a module, a Python file or ``module:attribute``, in order.

    Raises ``InvalidRequest`` when it does not import (with the line at fault) or has no such attribute.
    """
    from orchestrator.task import Task, tasks_in, unique_tasks
    from orchestrator.workflow import Workflow
    from orchestrator_workers.registry import load_module

    source, attribute = (target, "") if target.endswith(".py") else _split(target)
    module = load_module(source)
    if not attribute:
        workflows = {id(value): value for value in vars(module).values() if isinstance(value, Workflow)}
        return list(workflows.values()), list(tasks_in(module))
    if not hasattr(module, attribute):
        raise InvalidRequest(f"{target}: the module has no {attribute}")
    value = getattr(module, attribute)
    if isinstance(value, Workflow):
        return [value], list(value.tasks)
    if isinstance(value, Task):
        return [], [value]
    if isinstance(value, list | tuple) and value and all(isinstance(item, Task | Workflow) for item in value):
        chosen = [item for item in value if isinstance(item, Workflow)]
        tasks = [item for item in value if isinstance(item, Task)]
        return chosen, unique_tasks([*tasks, *(task for one in chosen for task in one.tasks)], target)
    raise InvalidRequest(f"{target} is a {type(value).__name__}, not a workflow, a task or a list of them")


def expanded(target: str) -> list[str]:
    """A folder's files of definitions, sorted, all the way down; any other target is itself."""
    path = Path(target)
    if target == "-" or not path.is_dir():
        return [target]
    files = sorted(str(file) for file in path.rglob("*") if file.suffix in TEXT_SUFFIXES and file.is_file())
    if not files:
        raise InvalidRequest(f"{target} holds no {', '.join(TEXT_SUFFIXES)} file")
    return files


def _is_text(source: str) -> bool:
    return source == "-" or source.endswith(TEXT_SUFFIXES)


def _from_text(source: str) -> Found:
    from orchestrator.model import wire
    from orchestrator.model.definitions import TaskDef, WorkflowDef

    try:
        content = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise InvalidRequest(f"cannot read {source}: {error.strerror}") from None
    definitions: list[WorkflowDef | TaskDef] = wire.parse_definitions(content, source)
    if not definitions:
        raise DefinitionInvalid(source, [Problem("", "holds no definition")])
    return Found(
        [one for one in definitions if isinstance(one, WorkflowDef)],
        [one for one in definitions if isinstance(one, TaskDef)],
    )


def _from_python(target: str) -> Found:
    from orchestrator.model.validation import validate_task_def, validate_workflow_def

    workflows, tasks = python_objects(target)
    if not workflows and not tasks:
        raise InvalidRequest(f"{target} holds no workflow and no task")
    found = Found([one.definition() for one in workflows], [task.definition() for task in tasks])
    for definition in found.workflows:
        _require_valid(f"workflow {definition.name!r} of {target}", validate_workflow_def(definition))
    for task_def in found.task_defs:
        _require_valid(f"task {task_def.name!r} of {target}", validate_task_def(task_def))
    return found


def _require_valid(what: str, problems: list[Problem]) -> None:
    if problems:
        raise DefinitionInvalid(what, problems)


def _split(target: str) -> tuple[str, str]:
    source, _, attribute = target.partition(":")
    return source, attribute


def input_keys(definition: WorkflowDef) -> list[str]:
    """The keys of the input that a definition names, declared ones first. Example: ``input_keys(hello) == ["name"]``"""
    import re

    import msgspec

    from orchestrator.model import wire

    written = msgspec.json.encode(wire.workflow_def_to_dict(definition)).decode()
    used = re.findall(r"\$\{workflow\.input\.([A-Za-z_][A-Za-z0-9_]*)", written)
    return list(dict.fromkeys([*definition.input_parameters, *used]))
