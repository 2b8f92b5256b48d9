"""Schemas over HTTP, by name and version."""

from __future__ import annotations

from orchestrator.api.routes import Role, Route
from orchestrator.model.definitions import SchemaDef
from orchestrator.plan import Plan
from orchestrator.service import metadata, schemas
from orchestrator.store.context import StoreContext


def put(store: StoreContext, body: list[SchemaDef], new_version: bool = False) -> Plan[None]:
    """Store schemas, replacing those of the same version, or each as its next version with ``newVersion``."""
    return metadata.put_schemas(store, body, new_version=new_version)


def list_all(store: StoreContext) -> Plan[list[SchemaDef]]:
    """The latest version of every schema, by name."""
    return schemas.list_all(store)


def latest(store: StoreContext, name: str) -> Plan[SchemaDef]:
    """The latest version of a schema."""
    return schemas.get(store, name)


def get(store: StoreContext, name: str, version: int) -> Plan[SchemaDef]:
    """One version of a schema."""
    return schemas.get(store, name, version)


def delete(store: StoreContext, name: str, version: int) -> Plan[None]:
    """Forget one version of a schema; definitions keep their copies."""
    return schemas.delete(store, name, version)


def delete_all(store: StoreContext, name: str) -> Plan[None]:
    """Forget every version of a schema."""
    return schemas.delete_all(store, name)


ROUTES = (
    Route("POST", "/schema", put, Role.ADMIN),
    Route("GET", "/schema", list_all, Role.VIEWER),
    Route("GET", "/schema/{name}", latest, Role.VIEWER),
    Route("GET", "/schema/{name}/{version}", get, Role.VIEWER),
    Route("DELETE", "/schema/{name}/{version}", delete, Role.ADMIN),
    Route("DELETE", "/schema/{name}", delete_all, Role.ADMIN),
)
