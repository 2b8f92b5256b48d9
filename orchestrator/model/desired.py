"""What an installation shall have, as files say it: schemas, definitions, event handlers and schedules side by side.

A document is one of these, a list of them, or an object of lists (``{"workflows": [...], "schedules": [...]}``). What one
is shows in its fields, or is said by ``kind``. Knows no files and no store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from orchestrator.errors import DefinitionInvalid, Problem
from orchestrator.model.definitions import SchemaDef, TaskDef, WorkflowDef
from orchestrator.model.documents import load_documents
from orchestrator.model.event_handlers import EventHandler, event_handler_from_dict
from orchestrator.model.schedules import Schedule, schedule_from_dict
from orchestrator.model.wire import schema_def_from_dict, task_def_from_dict, workflow_def_from_dict
from orchestrator.model.wire_read import joined


class Desired(NamedTuple):
    """Everything that shall be there, in the order of the files. Example: ``Desired.none().workflows``"""

    schemas: list[SchemaDef]
    task_defs: list[TaskDef]
    workflows: list[WorkflowDef]
    handlers: list[EventHandler]
    schedules: list[Schedule]

    @classmethod
    def none(cls) -> Desired:
        """Nothing yet, to be filled."""
        return cls([], [], [], [], [])


class _Kind(NamedTuple):
    place: int  # in Desired
    read: Callable[[object], Any]
    list_name: str
    marks: frozenset[str]  # fields that show it, all of them


_KINDS = {
    "schedule": _Kind(4, schedule_from_dict, "schedules", frozenset({"startWorkflowRequest"})),
    "eventHandler": _Kind(3, event_handler_from_dict, "eventHandlers", frozenset({"event", "actions"})),
    "workflow": _Kind(2, workflow_def_from_dict, "workflows", frozenset({"tasks"})),
    "schema": _Kind(0, schema_def_from_dict, "schemas", frozenset({"data"})),
    "task": _Kind(1, task_def_from_dict, "tasks", frozenset()),
}
"""In the order in which they are looked for; what shows nothing is the definition of a task."""

_LISTS = {kind.list_name: name for name, kind in _KINDS.items()}


def parse_desired(text: str | bytes, filename: str, into: Desired) -> None:
    """Add everything that a JSON or YAML file holds.

    Raises one ``DefinitionInvalid`` for all problems of the file, ``MissingExtra`` for YAML without its library.
    Example: ``parse_desired(b'{"name": "charge"}', "charge.json", desired)``
    """
    documents = load_documents(text, filename)
    problems: list[Problem] = []
    for index, document in enumerate(documents):
        for path, name, item in _items(document, f"document[{index}]" if len(documents) > 1 else ""):
            kind = _KINDS.get(name)
            if kind is None:
                problems.append(Problem(joined(path, "kind"), f"must be one of {', '.join(_KINDS)}", name))
                continue
            try:
                into[kind.place].append(kind.read(item))
            except DefinitionInvalid as error:
                problems += [Problem(joined(path, one.path), one.message, one.value) for one in error.problems]
    if not documents:
        problems.append(Problem("", "holds nothing"))
    if problems:
        raise DefinitionInvalid(filename, problems)


def _items(document: Any, prefix: str) -> Iterator[tuple[str, str, object]]:
    """The parts of a document: place, kind, value."""
    if isinstance(document, list):
        for index, item in enumerate(document):
            yield f"{prefix}[{index}]", _kind(item), item
    elif isinstance(document, dict) and _is_bundle(document):
        for list_name, items in document.items():
            for index, item in enumerate(items if isinstance(items, list) else [items]):
                yield f"{joined(prefix, list_name)}[{index}]", _LISTS.get(list_name) or str(list_name), item
    else:
        yield prefix, _kind(document), document


def _is_bundle(document: dict[str, Any]) -> bool:
    """Only lists of things; a list of tasks alone is of their definitions unless it has reference names."""
    tasks = document.get("tasks")
    if set(document) == {"tasks"}:
        return not any(isinstance(one, dict) and "taskReferenceName" in one for one in tasks or ())
    return "name" not in document and bool(set(document) & set(_LISTS))


def _kind(item: object) -> str:
    if not isinstance(item, dict):
        return "task"
    if "kind" in item:
        return str(item["kind"])
    return next(name for name, kind in _KINDS.items() if kind.marks <= set(item))
