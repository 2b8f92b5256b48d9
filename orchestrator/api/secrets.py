"""Secrets and environment values over HTTP. Their tags are among ``tags``."""

from __future__ import annotations

from typing import Any

from orchestrator.api.routes import Role, Route
from orchestrator.plan import Plan
from orchestrator.service import secrets, tags
from orchestrator.service.tag_members import Tagged
from orchestrator.store.context import StoreContext

Json = dict[str, Any]


def names(store: StoreContext) -> Plan[list[str]]:
    """The names of all secrets."""
    return list((yield from secrets.names(store)))


def names_with_tags(store: StoreContext) -> Plan[list[Json]]:
    """The names of all secrets with their tags."""
    found: list[Json] = []
    for name in (yield from secrets.names(store)):
        found.append({"name": name, "tags": (yield from tags.of(store, Tagged.SECRET, name))})
    return found


def value(store: StoreContext, key: str) -> Plan[str]:
    """The value of a secret, as text."""
    return secrets.value(store, key)


def put(store: StoreContext, key: str, body: str) -> Plan[None]:
    """Keep a secret, encrypted."""
    return secrets.put(store, key, body)


def delete(store: StoreContext, key: str) -> Plan[None]:
    """Forget a secret."""
    return secrets.delete(store, key)


def exists(store: StoreContext, key: str) -> Plan[bool]:
    """Whether there is a secret of this name."""
    return key in (yield from secrets.names(store))


def environment(store: StoreContext) -> Plan[dict[str, str]]:
    """Every value that ``${workflow.env.NAME}`` may read."""
    return secrets.environment_values(store)


def environment_value(store: StoreContext, key: str) -> Plan[str]:
    """One of these values, as text."""
    return secrets.environment_value(store, key)


ROUTES = (
    Route("GET", "/secrets", names, Role.ADMIN),
    Route("POST", "/secrets", names, Role.ADMIN),
    Route("GET", "/secrets/v2", names_with_tags, Role.ADMIN),
    Route("GET", "/secrets-v2", names_with_tags, Role.ADMIN),
    Route("GET", "/secrets/{key}", value, Role.ADMIN),
    Route("PUT", "/secrets/{key}", put, Role.ADMIN),
    Route("DELETE", "/secrets/{key}", delete, Role.ADMIN),
    Route("GET", "/secrets/{key}/exists", exists, Role.ADMIN),
    Route("GET", "/environment", environment, Role.VIEWER),
    Route("GET", "/environment/{key}", environment_value, Role.VIEWER),
)
