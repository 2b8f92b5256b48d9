"""What ``maskedFields`` of a workflow hides from whoever looks: values under these keys, at any depth, show as ``***``.

A failure workflow is given the input of the one that failed, and all of that one: it hides what that one hides as well.
What is stored, and what tasks and callers of ``result()`` get, is not changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from orchestrator.model.execution import Task, Workflow

MASK = "***"


def masked_workflow(workflow: Workflow) -> Workflow:
    """The execution as it may be shown. Example: ``masked_workflow(w).input["card"] == "***"``"""
    definition = workflow.workflow_definition
    names = [*(definition.masked_fields if definition is not None else ()), *_of_the_failed(workflow.input)]
    if not names:
        return workflow
    return replace(
        workflow,
        input=masked(workflow.input, names),
        output=masked(workflow.output, names),
        variables=masked(workflow.variables, names),
        tasks=[masked_task(task, names) for task in workflow.tasks],
    )


def _of_the_failed(given: Any) -> Iterator[str]:
    """What the workflow hides whose end a failure workflow was started by, and the one that was started by, and so on."""
    while isinstance(given, dict) and isinstance(failed := given.get("failedWorkflow"), dict):
        definition, given = failed.get("workflowDefinition"), failed.get("input")
        fields = definition.get("maskedFields") if isinstance(definition, dict) else None
        yield from (name for name in fields or () if isinstance(name, str))


def masked_task(task: Task, names: Sequence[str]) -> Task:
    """A task as it may be shown."""
    return replace(task, input_data=masked(task.input_data, names), output_data=masked(task.output_data, names))


def masked(value: Any, names: Sequence[str]) -> Any:
    """A copy of a JSON value in which every key of these names (``card``, or ``card.number`` below another) is hidden.

    Example: ``masked({"card": {"number": 1}}, ["card.number"]) == {"card": {"number": "***"}}``
    """
    return _masked(value, [tuple(name.split(".")) for name in names], ())


def _masked(value: Any, hidden: list[tuple[str, ...]], trail: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        shown = {}
        for name, item in value.items():
            path = (*trail, name)
            is_hidden = item is not None and any(path[-len(ending) :] == ending for ending in hidden)
            shown[name] = MASK if is_hidden else _masked(item, hidden, path)
        return shown
    if isinstance(value, list):
        return [_masked(item, hidden, trail) for item in value]
    return value
