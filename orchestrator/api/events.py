"""Event handlers over HTTP."""

from __future__ import annotations

from typing import Any

from orchestrator.api.routes import Role, Route
from orchestrator.model.event_handlers import event_handler_from_dict, event_handler_to_dict
from orchestrator.plan import Plan
from orchestrator.service import events
from orchestrator.store.context import StoreContext

Json = dict[str, Any]


def add(store: StoreContext, body: list[Json]) -> Plan[None]:
    """Store new event handlers, one or a list; 409 when a name is taken."""
    for handler in [event_handler_from_dict(one) for one in body]:
        yield from events.add_handler(store, handler)


def update(store: StoreContext, body: Json) -> Plan[None]:
    """Replace an event handler; 404 when there is none of its name."""
    return events.update_handler(store, event_handler_from_dict(body))


def remove(store: StoreContext, name: str) -> Plan[None]:
    """Forget an event handler."""
    return events.remove_handler(store, name)


def list_all(store: StoreContext) -> Plan[list[Json]]:
    """Every event handler, by name."""
    found = yield from events.list_handlers(store)
    return [event_handler_to_dict(handler) for handler in found]


def get(store: StoreContext, name: str) -> Plan[Json]:
    """One event handler."""
    return event_handler_to_dict((yield from events.get_handler(store, name)))


def of_event(store: StoreContext, event: str, active_only: bool = True) -> Plan[list[Json]]:
    """The handlers of an event, those that are not active too when ``activeOnly`` is off."""
    found = yield from events.list_handlers(store, event, active=active_only)
    return [event_handler_to_dict(handler) for handler in found]


ROUTES = (
    Route("POST", "/event", add, Role.ADMIN),
    Route("PUT", "/event", update, Role.ADMIN),
    Route("GET", "/event", list_all, Role.VIEWER),
    Route("GET", "/event/handler/{name}", get, Role.VIEWER),
    Route("GET", "/event/{event}", of_event, Role.VIEWER),
    Route("DELETE", "/event/{name}", remove, Role.ADMIN),
)
