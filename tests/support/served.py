"""A real server on a real socket in front of a test's environment: what a client says over HTTP happens in that one."""

from __future__ import annotations

import asyncio
import socket
import threading
from types import TracebackType
from typing import Any, Self, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from orchestrator.api.access import Guard
from orchestrator.api.app import BODY_BYTES_MAX, Door
from orchestrator.api.tables import ROUTES
from orchestrator.plan import Plan
from orchestrator.store.context import StoreContext
from orchestrator.testing import Environment

T = TypeVar("T")


class _Stage:
    """The session of the server: that of whichever environment is in front of it at the moment."""

    def __init__(self) -> None:
        self.environment: Environment | None = None
        self._lock = asyncio.Lock()

    @property
    def store(self) -> StoreContext:
        assert self.environment is not None
        return self.environment.store

    @property
    def connection(self) -> Any:
        assert self.environment is not None
        return self.environment.connection

    async def run(self, plan: Plan[T]) -> T:
        assert self.environment is not None
        async with self._lock:
            return await asyncio.to_thread(self.environment.run, plan)


class Served:
    """An app on a socket of this machine, in a thread; ``url`` is its address."""

    def __init__(self, app: Any) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()


class ServedEnvironment(Served):
    """One server for many tests: ``show`` puts an environment behind it."""

    def __init__(self) -> None:
        self._stage = _Stage()
        session: Any = self._stage
        super().__init__(Starlette(routes=[Mount("/", Door(session, ROUTES, BODY_BYTES_MAX, Guard(session)))]))

    def show(self, environment: Environment) -> None:
        """Have requests happen in this environment from now on."""
        self._stage.environment = environment
