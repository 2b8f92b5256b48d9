"""The role ``server`` as a process: the app under uvicorn on a socket that listens already, and a clean end.

SIGTERM and SIGINT let requests under way finish, within the drain time-out; a second signal ends them. A store that
goes away is no reason to end: requests are answered 503 until it is back. Clients that keep the server waiting are ended
(``connections``).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from orchestrator.api.app import create_app
from orchestrator.errors import MissingExtra
from orchestrator.settings import Settings

try:
    import uvicorn

    from orchestrator.api.connections import Connection, Reception, raise_file_limit
except ImportError as error:
    raise MissingExtra("the HTTP server", "server") from error

KEEP_ALIVE_S = 75
"""Longer than clients and proxies keep a connection that is idle, so that they close it and not we under their feet."""

LOOK_TICKS = 10
"""Every so many ticks of uvicorn, which are tenths of a second, all connections are looked at."""


class Tls(NamedTuple):
    """A certificate to serve HTTPS with; ``key`` None means that it is in the same file."""

    certificate: str
    key: str | None = None


def run_server(
    settings: Settings,
    listening: socket.socket,
    *,
    on_ready: Callable[[], None],
    on_turn: Callable[[], None] | None = None,
    origins: Sequence[str] = (),
    tls: Tls | None = None,
) -> None:
    """Serve the API on a socket until a signal; ``on_turn`` is called all the time while the event loop is not stuck.

    Example: ``run_server(Settings(), socket.create_server(("", 8080)), on_ready=...)``
    """
    http: Any = functools.partial(Connection, Reception(raise_file_limit()))
    config = uvicorn.Config(
        create_app(settings=settings, origins=origins),
        http=http,
        ws="none",
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(settings.drain_timeout_s)),
    )
    server = _Server(config, on_ready, on_turn)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve_until_signal(listening))


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it is ready, and leaves it to us what a signal means for the exit status."""

    def __init__(
        self, config: uvicorn.Config, on_ready: Callable[[], None], on_turn: Callable[[], None] | None
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._on_turn = on_turn

    async def serve_until_signal(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        await self.serve([listening])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def on_tick(self, counter: int) -> bool:
        if self._on_turn is not None:
            self._on_turn()
        if counter % LOOK_TICKS == 0:
            now_s = asyncio.get_running_loop().time()
            for connection in tuple(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.look(now_s)
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def _signalled(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
