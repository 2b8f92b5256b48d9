"""The ASGI app: a request finds its route, its arguments are read, one plan runs, and its answer is sent.

The same plans run here as under the command line and the clients. Every error ends in ``errors``. Called by the role
``server`` and by applications that mount it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestrator.client.sessions import AsyncSession, store_settings
from orchestrator.clock import SystemClock
from orchestrator.errors import MissingExtra
from orchestrator.metrics import ServerMetrics
from orchestrator.settings import Settings
from orchestrator.store.connection import Connection

try:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.cors import CORSMiddleware
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import Response
except ImportError as error:
    raise MissingExtra("the HTTP server", "server") from error

from orchestrator.api import tables
from orchestrator.api.access import Guard
from orchestrator.api.documents import response_of
from orchestrator.api.errors import Refused, response_to, status_for
from orchestrator.api.polling import Polls
from orchestrator.api.reading import arguments_of
from orchestrator.api.router import Router, segments_of
from orchestrator.api.routes import Route
from orchestrator.api.visits import Visit

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from orchestrator.client import AsyncClient, Client

BODY_BYTES_MAX = 10 * 1024 * 1024
"""Larger bodies are refused; what may be stored of one is a setting, and smaller."""


def create_app(
    target: str | Client | AsyncClient | Connection | None = None,
    *,
    settings: Settings | None = None,
    body_bytes_max: int = BODY_BYTES_MAX,
    origins: Sequence[str] = (),
) -> Starlette:
    """The HTTP API as an ASGI app, to be served by itself or mounted into an application's own.

    ``target``: the URL of a Redis, or a client or connection that stays the caller's; without it the address is found as
    clients find theirs. Nothing is sent before the first request, and what the app opened it closes when its lifespan
    ends. ``origins``: sites whose pages may call it from a browser (CORS), none by default. Raises ``MissingExtra`` (on
    import), ``SettingsInvalid``.
    Example: ``application.mount("/orchestrator", create_app("redis://localhost:6379/0"))``
    """
    if target is None or isinstance(target, str):
        session, is_ours = AsyncSession(_settings(target, settings)), True
    else:
        connection = target if isinstance(target, Connection) else target.connection
        session, is_ours = AsyncSession(connection.settings, connection), False
    door = Door(session, tables.ROUTES, body_bytes_max, Guard(session, origins))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await door.polls.close()
        if is_ours:
            await session.close()

    shared = Middleware(
        CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"], expose_headers=["Retry-After"]
    )
    app = Starlette(lifespan=lifespan, middleware=[shared] if origins else [])
    app.router.default = door  # not a mount, whose pattern ends at the first line break of a path
    return app


def _settings(url: str | None, given: Settings | None) -> Settings:
    """Settings that are given stand as they are, with what they took from the environment."""
    if given is None:
        return store_settings(url)
    return given if url is None else replace(given, redis_url=url)


class Door:
    """Answers requests; one per app."""

    def __init__(self, session: AsyncSession, routes: Sequence[Route], body_bytes_max: int, guard: Guard) -> None:
        self.session = session
        self.routes = routes
        self.polls = Polls(session)
        self.metrics = ServerMetrics()
        self._router = Router(routes)
        self._guard = guard
        self._clock = SystemClock()
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except Exception as error:
            response = response_to(error, f"{request.method} {scope['path']}")
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        route, values = self._router.find(method, segments_of(dict(request.scope)))
        begun_s, status = self._clock.monotonic_s(), 500
        try:
            key = await self._guard.admit(route, request)
            response = await self._carried_out(route, values, request)
            status = response.status_code
            await self._guard.note(key, route, request, status)
        except Exception as error:
            status = status_for(error)
            raise
        except asyncio.CancelledError:  # the drain time-out of the server is over
            status = 503
            raise Refused(status, "the server ends before this is answered; repeat it later") from None
        finally:
            self.metrics.answered(method, route.path, status, self._clock.monotonic_s() - begun_s)
        return response

    async def _carried_out(self, route: Route, values: Sequence[str], request: Request) -> Response:
        body = await self._body(request) if route.shape.body is not None else b""
        arguments = arguments_of(route, values, request.scope["query_string"], request.headers, body)
        if route.shape.is_async:
            answer: Any = await route.handler(
                Visit(self.session, self.routes, self.polls, request, self.metrics), **arguments
            )
        else:
            answer = await self.session.run(route.handler(self.session.store, **arguments))
        return response_of(route, answer)

    async def _body(self, request: Request) -> bytes:
        """All of the body. Raises ``Refused`` as soon as it is too large, before it is read if it says so itself."""
        said = request.headers.get("content-length", "0")
        if said.isdigit() and int(said) > self._body_bytes_max:
            raise self._too_large()
        parts = bytearray()
        async for part in request.stream():
            parts += part
            if len(parts) > self._body_bytes_max:
                raise self._too_large()
        return bytes(parts)

    def _too_large(self) -> Refused:
        return Refused(413, f"the body is larger than the {self._body_bytes_max:,} bytes that one may have")
