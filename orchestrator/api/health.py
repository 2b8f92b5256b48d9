"""Whether this server is of use, and which version it is."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

import orchestrator
from orchestrator.api.errors import JSON, RETRY_AFTER_S
from orchestrator.api.routes import Role, Route
from orchestrator.api.visits import Visit
from orchestrator.errors import OrchestratorError
from orchestrator.plan import Command, Plan
from orchestrator.store.context import StoreContext


async def health(visit: Visit) -> Response:
    """Whether this server can answer requests: 200 when its store answers, 503 otherwise."""
    try:
        await visit.run(_ping())
    except OrchestratorError as error:
        return _told(503, [{"name": "store", "healthy": False, "errorMessage": str(error)}])
    return _told(200, [])


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
    Route("GET", "/version", version, Role.OPEN),
)
