"""Webhooks over HTTP: their definitions, the address that deliveries come to, and the configuration of event queues.

Anybody may call the address: the delivery itself proves who it is from.
"""

from __future__ import annotations

from typing import Any

from orchestrator.api.errors import Refused
from orchestrator.api.routes import Role, Route
from orchestrator.api.visits import Visit
from orchestrator.clock import SystemClock
from orchestrator.model.webhooks import Delivery, Webhook
from orchestrator.plan import Plan
from orchestrator.service import event_sources, webhooks
from orchestrator.store.context import StoreContext

Json = dict[str, Any]

_clock = SystemClock()


def create(store: StoreContext, body: Webhook) -> Plan[Webhook]:
    """Store a new webhook; the answer has its id."""
    return webhooks.put(store, body, is_new=True)


def update(store: StoreContext, id: str, body: Webhook) -> Plan[Webhook]:
    """Replace a webhook."""
    body.id = id
    return webhooks.put(store, body)


def get(store: StoreContext, id: str) -> Plan[Webhook]:
    """One webhook; its secrets are references."""
    return webhooks.get(store, id)


def list_all(store: StoreContext) -> Plan[list[Webhook]]:
    """Every webhook."""
    return webhooks.list_all(store)


def remove(store: StoreContext, id: str) -> Plan[None]:
    """Forget a webhook; its address is unknown from now on."""
    return webhooks.delete(store, id)


def deliveries(store: StoreContext, id: str, size: int = 100) -> Plan[list[Delivery]]:
    """What became of the latest deliveries, the last first."""
    return webhooks.deliveries(store, id, size)


async def receive(visit: Visit, id: str) -> str:
    """Take in a delivery; it is safe when this is answered."""
    limit = visit.store.settings.payload_bytes_max
    body = bytearray()
    async for part in visit.http.stream():
        body += part
        if len(body) > limit:
            raise Refused(413, f"the delivery is larger than {limit:,} bytes")
    headers = dict(visit.http.headers)
    receipt = await visit.run(webhooks.receive(visit.store, id, headers, bytes(body), _clock.now_ms()))
    return receipt.answer


async def verify(visit: Visit, id: str) -> str | dict[str, str]:
    """Answer the challenge by which a platform verifies the address."""
    return await visit.run(webhooks.challenge(visit.store, id, dict(visit.http.query_params)))


def queues(store: StoreContext) -> Plan[dict[str, str]]:
    """The names of the event queues that have a configuration, each with its type."""
    return event_sources.names(store)


def queue(store: StoreContext, queue_type: str, queue_name: str) -> Plan[Json]:
    """The configuration of an event queue."""
    return event_sources.get(store, queue_type, queue_name)


def put_queue(store: StoreContext, queue_type: str, queue_name: str, body: Json) -> Plan[None]:
    """Keep the configuration of an event queue."""
    return event_sources.put(store, queue_type, queue_name, body)


def remove_queue(store: StoreContext, queue_type: str, queue_name: str) -> Plan[None]:
    """Forget the configuration of an event queue."""
    return event_sources.delete(store, queue_type, queue_name)


ROUTES = (
    Route("POST", "/metadata/webhook", create, Role.ADMIN),
    Route("GET", "/metadata/webhook", list_all, Role.VIEWER),
    Route("GET", "/metadata/webhook/{id}", get, Role.VIEWER),
    Route("PUT", "/metadata/webhook/{id}", update, Role.ADMIN),
    Route("DELETE", "/metadata/webhook/{id}", remove, Role.ADMIN),
    Route("GET", "/metadata/webhook/{id}/deliveries", deliveries, Role.VIEWER),
    Route("POST", "/webhook/{id}", receive, Role.OPEN),
    Route("GET", "/webhook/{id}", verify, Role.OPEN),
    Route("GET", "/event/queue/config", queues, Role.VIEWER),
    Route("GET", "/event/queue/config/{queue_type}/{queue_name}", queue, Role.VIEWER),
    Route("PUT", "/event/queue/config/{queue_type}/{queue_name}", put_queue, Role.ADMIN),
    Route("DELETE", "/event/queue/config/{queue_type}/{queue_name}", remove_queue, Role.ADMIN),
)
