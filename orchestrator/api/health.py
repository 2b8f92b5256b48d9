"""Whether this server is of use, and which version it is."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

import orchestrator
from orchestrator.api.errors import JSON, RETRY_AFTER_S
from orchestrator.api.routes import Document, Role, Route
from orchestrator.api.visits import Visit
from orchestrator.errors import OrchestratorError
from orchestrator.metrics import CONTENT_TYPE
from orchestrator.plan import Command, Plan
from orchestrator.store.context import StoreContext


class Exposition(Document):
    """An answer in the format of Prometheus."""

    media_type = CONTENT_TYPE


async def health(visit: Visit) -> Response:
    """Whether this server can answer requests: 200 when its store answers, 503 otherwise."""
    try:
        await visit.run(_ping())
    except OrchestratorError as error:
        return _told(503, [{"name": "store", "healthy": False, "errorMessage": str(error)}])
    return _told(200, [])


async def ready(visit: Visit) -> Response:
    """Whether requests should be sent here: as ``/health``."""
    return await health(visit)


async def live(_: Visit) -> str:
    """Whether this process is alive; its store is not asked, because restarting a server does not mend a store."""
    return "ok"


async def actuator(visit: Visit) -> Response:
    """As ``/health``, in the words of Conductor's deployment files."""
    is_up = (await health(visit)).status_code == 200
    document = {"status": "UP" if is_up else "DOWN"}
    return Response(msgspec.json.encode(document), 200 if is_up else 503, media_type=JSON)


async def metrics(visit: Visit) -> Exposition:
    """What this server counts and what is true of the installation, for Prometheus."""
    return Exposition(await visit.run(visit.metrics.page(visit.store)))


def version(_: StoreContext) -> Plan[str]:
    """The version of this server."""
    return orchestrator.__version__
    yield


def _ping() -> Plan[None]:
    yield Command(("PING",))


def _told(status: int, faults: list[dict[str, Any]]) -> Response:
    document = {"healthy": not faults, "healthResults": faults, "suppressedHealthResults": []}
    headers = {"retry-after": str(RETRY_AFTER_S)} if faults else {}
    return Response(msgspec.json.encode(document), status, headers=headers, media_type=JSON)


ROUTES = (
    Route("GET", "/health", health, Role.OPEN),
    Route("GET", "/livez", live, Role.OPEN),
    Route("GET", "/readyz", ready, Role.OPEN),
    Route("GET", "/startupz", ready, Role.OPEN),
    Route("GET", "/actuator/health", actuator, Role.OPEN),
    Route("GET", "/metrics", metrics, Role.VIEWER),
    Route("GET", "/actuator/prometheus", metrics, Role.VIEWER),
    Route("GET", "/version", version, Role.OPEN),
)
