"""Large payloads beside the calls that need them: where to bring or fetch one, and that address itself.

The address carries its own permission, since Conductor's clients send no token to it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.api.routes import Role, Route
from orchestrator.api.visits import Visit
from orchestrator.plan import Plan
from orchestrator.service import uploads
from orchestrator.service.uploads import Operation
from orchestrator.store.context import StoreContext

Json = dict[str, Any]


class ExternalStorageLocation(msgspec.Struct, kw_only=True):
    """``uri`` is read with GET or written with PUT, within a quarter of an hour; ``path`` is named in calls."""

    uri: str
    path: str


async def location(visit: Visit, operation: Operation, path: str = "") -> ExternalStorageLocation:
    """Where to bring a payload to (WRITE; ``path`` says nothing), or to fetch that of ``path`` from (READ)."""
    found = await visit.run(uploads.locate(visit.store, operation, path))
    base = str(visit.http.base_url).rstrip("/").removesuffix("/api")
    return ExternalStorageLocation(uri=f"{base}/api/externalstorage/{found.pass_}", path=found.path)


def fetch(store: StoreContext, pass_: str) -> Plan[Json]:
    """The payload of a location for READ."""
    return uploads.fetch(store, pass_)


def bring(store: StoreContext, pass_: str, body: Json) -> Plan[None]:
    """Bring the payload of a location for WRITE: a JSON object."""
    return uploads.bring(store, pass_, body)


ROUTES = (
    Route("GET", "/workflow/externalstoragelocation", location, Role.WORKER),
    Route("GET", "/workflow/external-storage-location", location, Role.WORKER),
    Route("GET", "/tasks/externalstoragelocation", location, Role.WORKER),
    Route("GET", "/tasks/external-storage-location", location, Role.WORKER),
    Route("GET", "/externalstorage/{pass_}", fetch, Role.OPEN),
    Route("PUT", "/externalstorage/{pass_}", bring, Role.OPEN),
)
