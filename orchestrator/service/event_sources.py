"""The configuration of event queues by type and name, as Conductor's EventClient keeps and reads it.

It is kept for those who use it; where messages come from and go to here is said by event handlers and settings.
"""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.codec import pack
from orchestrator.errors import NotFound
from orchestrator.plan import Plan
from orchestrator.store import catalog
from orchestrator.store.context import StoreContext

BYTES_MAX = 64 * 1024


def put(store: StoreContext, kind: str, name: str, configuration: dict[str, Any]) -> Plan[None]:
    """Keep a configuration. Raises ``InvalidPayload``."""
    pack(configuration, "configuration", BYTES_MAX)
    yield catalog.put_event_source(store.keys, kind, name, msgspec.json.encode(configuration))


def get(store: StoreContext, kind: str, name: str) -> Plan[dict[str, Any]]:
    """A configuration. Raises ``NotFound``."""
    body: bytes | None = yield catalog.get_event_source(store.keys, kind, name)
    if body is None:
        raise _unknown(kind, name)
    found: dict[str, Any] = msgspec.json.decode(body)
    return found


def names(store: StoreContext) -> Plan[dict[str, str]]:
    """The names of the queues that have one, each with its type."""
    found: dict[str, bytes] = yield catalog.list_event_sources(store.keys)
    return {name: kind for kind, _, name in (field.partition("\n") for field in found)}


def delete(store: StoreContext, kind: str, name: str) -> Plan[None]:
    """Forget a configuration. Raises ``NotFound``."""
    if not (yield catalog.delete_event_source(store.keys, kind, name)):
        raise _unknown(kind, name)


def _unknown(kind: str, name: str) -> NotFound:
    return NotFound(f"the event queue {name} of type {kind} has no configuration")
