"""Tags over HTTP: of workflows, tasks, secrets and event handlers."""

from __future__ import annotations

from orchestrator.api.routes import Role, Route
from orchestrator.model.requests import Tag
from orchestrator.plan import Plan
from orchestrator.service import tags
from orchestrator.service.tag_members import Tagged
from orchestrator.store.context import StoreContext


def all_tags(store: StoreContext) -> Plan[list[Tag]]:
    """Every tag in use, each once."""
    return tags.everywhere(store)


def of_workflow(store: StoreContext, name: str) -> Plan[list[Tag]]:
    """The tags of a workflow."""
    return tags.of(store, Tagged.WORKFLOW, name)


def add_to_workflow(store: StoreContext, name: str, body: list[Tag]) -> Plan[None]:
    """Hang a tag on a workflow; one of type RATE_LIMIT says how many of its executions may run at once."""
    return tags.add(store, Tagged.WORKFLOW, name, body)


def replace_of_workflow(store: StoreContext, name: str, body: list[Tag]) -> Plan[None]:
    """Hang exactly these tags on a workflow."""
    return tags.replace_all(store, Tagged.WORKFLOW, name, body)


def remove_from_workflow(store: StoreContext, name: str, body: list[Tag]) -> Plan[None]:
    """Take a tag from a workflow."""
    return tags.remove(store, Tagged.WORKFLOW, name, body)


def of_task(store: StoreContext, name: str) -> Plan[list[Tag]]:
    """The tags of a task."""
    return tags.of(store, Tagged.TASK, name)


def add_to_task(store: StoreContext, name: str, body: list[Tag]) -> Plan[None]:
    """Hang a tag on a task."""
    return tags.add(store, Tagged.TASK, name, body)


def replace_of_task(store: StoreContext, name: str, body: list[Tag]) -> Plan[None]:
    """Hang exactly these tags on a task."""
    return tags.replace_all(store, Tagged.TASK, name, body)


def remove_from_task(store: StoreContext, name: str, body: list[Tag]) -> Plan[None]:
    """Take a tag from a task."""
    return tags.remove(store, Tagged.TASK, name, body)


def of_secret(store: StoreContext, key: str) -> Plan[list[Tag]]:
    """The tags of a secret."""
    return tags.of(store, Tagged.SECRET, key)


def replace_of_secret(store: StoreContext, key: str, body: list[Tag]) -> Plan[None]:
    """Hang exactly these tags on a secret."""
    return tags.replace_all(store, Tagged.SECRET, key, body)


def remove_from_secret(store: StoreContext, key: str, body: list[Tag]) -> Plan[None]:
    """Take tags from a secret."""
    return tags.remove(store, Tagged.SECRET, key, body)


def of_event_handler(store: StoreContext, name: str) -> Plan[list[Tag]]:
    """The tags of an event handler."""
    return tags.of(store, Tagged.EVENT_HANDLER, name)


def replace_of_event_handler(store: StoreContext, name: str, body: list[Tag]) -> Plan[None]:
    """Hang exactly these tags on an event handler."""
    return tags.replace_all(store, Tagged.EVENT_HANDLER, name, body)


def remove_from_event_handler(store: StoreContext, name: str, body: list[Tag]) -> Plan[None]:
    """Take tags from an event handler."""
    return tags.remove(store, Tagged.EVENT_HANDLER, name, body)


ROUTES = (
    Route("GET", "/metadata/tags", all_tags, Role.VIEWER),
    Route("GET", "/metadata/tags/workflow/{name}", of_workflow, Role.VIEWER),
    Route("POST", "/metadata/tags/workflow/{name}", add_to_workflow, Role.ADMIN),
    Route("DELETE", "/metadata/tags/workflow/{name}", remove_from_workflow, Role.ADMIN),
    Route("GET", "/metadata/workflow/{name}/tags", of_workflow, Role.VIEWER),
    Route("POST", "/metadata/workflow/{name}/tags", add_to_workflow, Role.ADMIN),
    Route("PUT", "/metadata/workflow/{name}/tags", replace_of_workflow, Role.ADMIN),
    Route("DELETE", "/metadata/workflow/{name}/tags", remove_from_workflow, Role.ADMIN),
    Route("GET", "/metadata/task/{name}/tags", of_task, Role.VIEWER),
    Route("POST", "/metadata/task/{name}/tags", add_to_task, Role.ADMIN),
    Route("PUT", "/metadata/task/{name}/tags", replace_of_task, Role.ADMIN),
    Route("DELETE", "/metadata/task/{name}/tags", remove_from_task, Role.ADMIN),
    Route("GET", "/secrets/{key}/tags", of_secret, Role.ADMIN),
    Route("PUT", "/secrets/{key}/tags", replace_of_secret, Role.ADMIN),
    Route("DELETE", "/secrets/{key}/tags", remove_from_secret, Role.ADMIN),
    Route("GET", "/event/{name}/tags", of_event_handler, Role.VIEWER),
    Route("PUT", "/event/{name}/tags", replace_of_event_handler, Role.ADMIN),
    Route("DELETE", "/event/{name}/tags", remove_from_event_handler, Role.ADMIN),
)
