"""Payloads that callers bring to the payload storage, or fetch from it, by themselves, as Conductor's clients do.

They ask for a location first: an address that is signed, good for one payload and one direction, and soon too old. What
was brought is named in a start or a report and copied from there; the places for it are used again after some days,
so what nobody named is forgotten. Called by the HTTP server, by ``starting`` and by ``tasks``.
"""

from __future__ import annotations

import re
import secrets
from enum import StrEnum
from typing import Any, NamedTuple

from orchestrator.clock import SystemClock
from orchestrator.codec import pack, unpack
from orchestrator.errors import InvalidRequest, NotFound, PayloadMissing
from orchestrator.plan import Plan
from orchestrator.service import access
from orchestrator.store.context import StoreContext

LIFE_S = 900
DAY_MS = 86_400_000
PLACES = 4
"""One for each day: today's is filled, tomorrow's is emptied."""

_UPLOAD = re.compile(r"~uploads-[0-9]/[0-9a-f]{32}")
_STORED = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*/[0-9a-f]{64}")
_clock = SystemClock()


class Operation(StrEnum):
    """What a location is for."""

    READ = "READ"
    WRITE = "WRITE"


class Location(NamedTuple):
    """``path`` names the payload, ``pass_`` is good for reading or writing it."""

    path: str
    pass_: str


def locate(store: StoreContext, operation: Operation, path: str) -> Plan[Location]:
    """Where to bring a payload to, under a new name, or to fetch the one from that an execution shows as ``path``.

    Raises ``InvalidRequest`` without a payload storage, ``NotFound`` for a path that no payload can have.
    """
    if not store.payloads.is_used:
        raise InvalidRequest(
            "this installation keeps no payloads outside its store (payload_storage); send the payload itself"
        )
    if operation is Operation.WRITE:
        day = _clock.now_ms() // DAY_MS
        store.payloads.forget(f"~uploads-{(day + 1) % PLACES}")
        path = f"~uploads-{day % PLACES}/{secrets.token_hex(16)}"
    elif not _STORED.fullmatch(path):
        raise NotFound(f"no payload is kept under {path[:200]!r}; executions show the path of theirs")
    claims = {"path": path, "operation": str(operation)}
    return Location(path, (yield from access.sign(store, claims, LIFE_S)))


def fetch(store: StoreContext, pass_: str) -> Plan[dict[str, Any]]:
    """The payload that a pass is good for. Raises ``Unauthorized``, ``TokenExpired``, ``PayloadMissing``."""
    path = yield from _admitted(store, pass_, Operation.READ)
    found: dict[str, Any] = unpack(store.payloads.read(path))
    return found


def bring(store: StoreContext, pass_: str, payload: dict[str, Any]) -> Plan[None]:
    """Keep a payload where a pass allows it; the first stays. Raises like ``fetch``, and ``InvalidPayload``."""
    path = yield from _admitted(store, pass_, Operation.WRITE)
    store.payloads.write(path, pack(payload, "payload", store.settings.payload_bytes_max))


def taken(store: StoreContext, path: str | None, given: dict[str, Any], what: str) -> dict[str, Any]:
    """The payload brought as ``path``, or the one that was ``given``. Raises ``InvalidRequest``, ``PayloadUnavailable``."""
    if not path:
        return given
    if given:
        raise InvalidRequest(f"{what}: give the payload or the path of one, not both")
    if not _UPLOAD.fullmatch(path):
        raise InvalidRequest(f"{what}: {path[:200]!r} is not a path that externalstoragelocation gave for writing")
    try:
        found: dict[str, Any] = unpack(store.payloads.read(path))
    except PayloadMissing as error:
        raise InvalidRequest(f"{what}: {error}; bring the payload first") from None
    return found


def _admitted(store: StoreContext, pass_: str, operation: Operation) -> Plan[str]:
    claims = yield from access.signed(store, pass_, ["path", "operation"])
    if claims["operation"] != operation:
        raise InvalidRequest(f"this address is for {claims['operation']}; ask for one for {operation}")
    path: str = claims["path"]
    return path
