"""Who may do what over HTTP: the guard in front of every route, and the route that gives tokens.

The guard knows the keys as they were within the last second. It lets everybody do everything while there are no keys, and
nobody without one afterwards. A request that a web page of another site made in somebody's browser is refused, unless that
site was named. Changes made with a key are put on record.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request

from orchestrator.api.routes import Role, Route
from orchestrator.client.sessions import AsyncSession
from orchestrator.client.sharing import Shared
from orchestrator.clock import Clock, SystemClock
from orchestrator.errors import Forbidden, OrchestratorError
from orchestrator.model.access import AccessKey, AuditEntry
from orchestrator.plan import Plan
from orchestrator.service import access
from orchestrator.store.access import Keyring
from orchestrator.store.context import StoreContext

log = logging.getLogger(__name__)

KEYS_AGE_S_MAX = 1.0
ON_RECORD = frozenset({Role.OPERATOR, Role.ADMIN})
READS = frozenset({"GET", "HEAD"})


class TokenRequest(msgspec.Struct, kw_only=True):
    """What a token is asked for with."""

    key_id: str
    key_secret: str


class Token(msgspec.Struct, kw_only=True):
    """A token, to be sent as ``X-Authorization``."""

    token: str


class Guard:
    """Judges requests; one per app. ``origins``: sites whose pages may call, ``*`` for all.

    Example: ``key = await guard.admit(route, request)``
    """

    def __init__(self, session: AsyncSession, origins: Sequence[str] = (), clock: Clock | None = None) -> None:
        self._session = session
        self._origins = frozenset(origins)
        self._clock = clock or SystemClock()
        self._keyring: Keyring | None = None
        self._read_at_s = 0.0
        self._fresh_keyring = Shared(self._read_keyring)

    async def admit(self, route: Route, request: Request) -> AccessKey | None:
        """The key a request comes with; None where none is needed. Raises ``Unauthorized``, ``Forbidden``, ``TooFast``."""
        self._require_known_origin(request)
        if route.role is Role.OPEN:
            return None
        keyring = await self._keys()
        if keyring.is_open:
            return None
        key = access.key_of(keyring, _token_of(request))
        if not key.role.may(route.role):
            raise Forbidden(f"{route.method} {route.path} needs the role {route.role}; key {key.name!r} has {key.role}")
        await self._session.run(access.count_request(self._session.store, key))
        return key

    async def note(self, key: AccessKey | None, route: Route, request: Request, status: int) -> None:
        """Put a change on record; one that cannot be is in the log instead, because it has happened."""
        if key is None or route.role not in ON_RECORD:
            return
        action, target = f"{route.method} {route.path}", request.scope["path"]
        origin = request.client.host if request.client else ""
        plan = access.record(self._session.store, key, action, target, status=status, origin=origin)
        try:
            await self._session.run(plan)
        except OrchestratorError as error:
            log.error("change_not_recorded", extra={"key": key.id, "action": action, "reason": str(error)})

    async def _keys(self) -> Keyring:
        if self._keyring is None or self._clock.monotonic_s() - self._read_at_s > KEYS_AGE_S_MAX:
            return await self._fresh_keyring()
        return self._keyring

    async def _read_keyring(self) -> Keyring:
        now_s = self._clock.monotonic_s()
        self._keyring = await self._session.run(access.read_keyring(self._session.store))
        self._read_at_s = now_s
        return self._keyring

    def _require_known_origin(self, request: Request) -> None:
        origin = request.headers.get("origin")
        if origin is None or origin in self._origins or "*" in self._origins:
            return
        if urlsplit(origin).netloc != request.headers.get("host"):
            raise Forbidden(f"pages of {origin[:200]} may not call this server; it names those that may with --cors")


def _token_of(request: Request) -> str:
    own = request.headers.get("x-authorization", "")
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    return own or (bearer.strip() if scheme.lower() == "bearer" else "")


def token(store: StoreContext, body: TokenRequest) -> Plan[Token]:
    """A token for key id and secret; 404 while there are no keys, which means that none is needed."""
    return Token(token=(yield from access.issue_token(store, body.key_id, body.key_secret)))


def audit(store: StoreContext, size: int = 100) -> Plan[list[AuditEntry]]:
    """The latest changes and who made them, the last first."""
    return access.changes(store, max(1, size))


ROUTES = (
    Route("POST", "/token", token, Role.OPEN),
    Route("GET", "/admin/audit", audit, Role.ADMIN),
)
