"""What a registered workflow needs to run somewhere else: the workflows it starts by name, and the TaskDefs of all.

A plan that only reads. Called for tests of registered definitions with mocked outcomes, and for exports.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.errors import DefinitionNotFound
from orchestrator.model.definitions import TaskDef, WorkflowDef, walk
from orchestrator.plan import Plan
from orchestrator.service import metadata
from orchestrator.store.context import StoreContext

COMPANIONS_MAX = 200
"""So many other workflows are followed; the rest is left out."""


class Company(NamedTuple):
    """A workflow with the others it may start and the registered TaskDefs of all their steps."""

    workflow: WorkflowDef
    others: list[WorkflowDef]
    task_defs: list[TaskDef]


def company_of(store: StoreContext, name: str, version: int | None = None) -> Plan[Company]:
    """The registered workflow ``name`` and its companions. Raises ``DefinitionNotFound`` for the workflow itself."""
    workflow = yield from metadata.get_workflow(store, name, version)
    return (yield from company(store, workflow))


def company(store: StoreContext, workflow: WorkflowDef) -> Plan[Company]:
    """The companions of a definition at hand; one that is not registered is left out."""
    found: dict[tuple[str, int | None], WorkflowDef] = {}
    seen: set[tuple[str, int | None]] = {(workflow.name, workflow.version)}
    wanted = list(_started(workflow))
    while wanted and len(found) < COMPANIONS_MAX:
        key = wanted.pop()
        if key in seen:
            continue
        seen.add(key)
        try:
            found[key] = yield from metadata.get_workflow(store, *key)
        except DefinitionNotFound:
            continue
        wanted += _started(found[key])
    names = {task.name for definition in (workflow, *found.values()) for _, task in walk(definition)}
    registered = yield from metadata.list_task_defs(store)
    return Company(workflow, list(found.values()), [one for one in registered if one.name in names])


def _started(definition: WorkflowDef) -> Iterator[tuple[str, int | None]]:
    """Names and versions of the workflows it starts; expressions are known only when it runs."""
    if definition.failure_workflow and "$" not in definition.failure_workflow:
        yield definition.failure_workflow, definition.failure_workflow_version
    for _, task in walk(definition):
        params = task.sub_workflow_param
        if params is not None and isinstance(params.workflow_definition, WorkflowDef):
            yield from _started(params.workflow_definition)
        elif params is not None and params.name and "${" not in params.name:
            yield params.name, params.version if isinstance(params.version, int) else None
        request = task.input_parameters.get("startWorkflow")
        if isinstance(request, dict) and isinstance(request.get("name"), str) and "${" not in request["name"]:
            version = request.get("version")
            yield request["name"], version if isinstance(version, int) else None
