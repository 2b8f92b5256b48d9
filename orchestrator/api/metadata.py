"""Definitions over HTTP: of workflows by name and version, of tasks by name."""

from __future__ import annotations

from typing import Any

from orchestrator.api.bulk import response
from orchestrator.api.routes import Role, Route
from orchestrator.errors import DefinitionInvalid, NotFound
from orchestrator.model.definitions import RateLimitConfig, TaskDef, WorkflowDef
from orchestrator.model.summaries import CLASSIFIER
from orchestrator.plan import Plan
from orchestrator.service import metadata
from orchestrator.store.context import StoreContext

Json = dict[str, Any]

# --- workflows --------------------------------------------------------------------------------------------------------


def register_workflow(store: StoreContext, body: WorkflowDef, overwrite: bool = False) -> Plan[None]:
    """Store one version of a workflow; 409 when it holds another text and ``overwrite`` is off."""
    yield from metadata.register_workflow(store, body, overwrite=overwrite)


def put_workflows(store: StoreContext, body: list[WorkflowDef]) -> Plan[Json]:
    """Store each of these workflows, replacing what stands under its version; what could not be is answered by name."""
    result = yield from metadata.put_workflows(store, body)
    return response(result.succeeded, result.failed)


def every_version(store: StoreContext, classifier: str | None = None) -> Plan[list[WorkflowDef]]:
    """Every version of every workflow; none for another ``classifier`` than ``workflow``."""
    return (yield from metadata.every_version(store)) if classifier in (None, "", CLASSIFIER) else []


def names(store: StoreContext) -> Plan[list[str]]:
    """The names of all workflows."""
    return metadata.workflow_names(store)


def names_and_versions(store: StoreContext) -> Plan[dict[str, list[Json]]]:
    """Every version of every workflow in few words, by name, the oldest first."""
    found: dict[str, list[Json]] = {}
    for definition in (yield from metadata.every_version(store)):
        found.setdefault(definition.name, []).append(_summary(definition))
    return found


def versions(store: StoreContext, name: str) -> Plan[list[Json]]:
    """Every version of a workflow in few words, the oldest first."""
    return [_summary(definition) for definition in (yield from metadata.workflow_versions(store, name))]


def validate_workflow(store: StoreContext, body: WorkflowDef) -> Plan[None]:
    """Judge a workflow definition by everything that would make storing it fail; stores nothing."""
    problems = yield from metadata.validate(store, body)
    if problems:
        raise DefinitionInvalid(f"workflow {body.name!r}", problems)


def get_workflow(store: StoreContext, name: str, version: int | None = None) -> Plan[WorkflowDef]:
    """One version of a workflow, by default the latest."""
    return metadata.get_workflow(store, name, version)


def delete_workflow(store: StoreContext, name: str, version: int) -> Plan[None]:
    """Forget one version of a workflow; executions keep their own copy."""
    return metadata.delete_workflow(store, name, version)


def latest_versions(store: StoreContext) -> Plan[list[WorkflowDef]]:
    """The latest version of every workflow, by name."""
    return metadata.list_workflows(store)


def _summary(definition: WorkflowDef) -> Json:
    return {
        "name": definition.name,
        "version": definition.version,
        "createTime": definition.create_time,
        "updateTime": definition.update_time,
    }


# --- tasks ------------------------------------------------------------------------------------------------------------


def register_tasks(store: StoreContext, body: list[TaskDef]) -> Plan[None]:
    """Store task definitions, replacing those of the same names; a single one need not be a list."""
    yield from metadata.put_task_defs(store, body)


def replace_task(store: StoreContext, body: TaskDef) -> Plan[None]:
    """Replace the definition of a task; 404 when there is none."""
    yield from metadata.replace_task_def(store, body)


def delete_task(store: StoreContext, name: str) -> Plan[None]:
    """Forget the definition of a task; its limits end with it."""
    return metadata.delete_task_def(store, name)


def get_task(store: StoreContext, name: str) -> Plan[TaskDef]:
    """The definition of a task."""
    return metadata.get_task_def(store, name)


def list_tasks(store: StoreContext) -> Plan[list[TaskDef]]:
    """Every task definition, by name."""
    return metadata.list_task_defs(store)


# --- limits of executions at once -------------------------------------------------------------------------------------


def get_rate_limit(store: StoreContext, name: str) -> Plan[RateLimitConfig]:
    """How many executions of a workflow may run at once; 404 when any number may."""
    limit = (yield from metadata.get_workflow(store, name)).rate_limit_config
    if limit is None:
        raise NotFound(f"workflow {name} has no limit of executions at once; set one with PUT")
    return limit


def put_rate_limit(store: StoreContext, name: str, body: RateLimitConfig) -> Plan[None]:
    """Say how many executions of a workflow may run at once, whatever their version."""
    return metadata.limit_executions(store, name, body)


def delete_rate_limit(store: StoreContext, name: str) -> Plan[None]:
    """Let any number of executions of a workflow run at once."""
    return metadata.limit_executions(store, name, None)


ROUTES = (
    Route("POST", "/metadata/workflow", register_workflow, Role.ADMIN),
    Route("PUT", "/metadata/workflow", put_workflows, Role.ADMIN),
    Route("GET", "/metadata/workflow", every_version, Role.VIEWER),
    Route("GET", "/metadata/workflow/names", names, Role.VIEWER),
    Route("GET", "/metadata/workflow/names-and-versions", names_and_versions, Role.VIEWER),
    Route("GET", "/metadata/workflow/{name}/versions", versions, Role.VIEWER),
    Route("POST", "/metadata/workflow/validate", validate_workflow, Role.VIEWER),
    Route("GET", "/metadata/workflow/latest-versions", latest_versions, Role.VIEWER),
    Route("GET", "/metadata/workflow/{name}/rate-limit", get_rate_limit, Role.VIEWER),
    Route("PUT", "/metadata/workflow/{name}/rate-limit", put_rate_limit, Role.ADMIN),
    Route("DELETE", "/metadata/workflow/{name}/rate-limit", delete_rate_limit, Role.ADMIN),
    Route("GET", "/metadata/workflow/{name}", get_workflow, Role.VIEWER),
    Route("DELETE", "/metadata/workflow/{name}/{version}", delete_workflow, Role.ADMIN),
    Route("POST", "/metadata/taskdefs", register_tasks, Role.ADMIN),
    Route("PUT", "/metadata/taskdefs", replace_task, Role.ADMIN),
    Route("POST", "/metadata/taskdef", register_tasks, Role.ADMIN),
    Route("GET", "/metadata/taskdefs", list_tasks, Role.VIEWER),
    Route("GET", "/metadata/taskdefs/{name}", get_task, Role.VIEWER),
    Route("DELETE", "/metadata/taskdefs/{name}", delete_task, Role.ADMIN),
)
