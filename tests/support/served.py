"""A real server on a real socket in front of tests' environments: what a client says over HTTP happens in one of them."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from orchestrator.api.access import Guard
from orchestrator.api.app import BODY_BYTES_MAX, Door
from orchestrator.api.tables import ROUTES
from orchestrator.plan import Plan
from orchestrator.store.context import StoreContext
from orchestrator.testing import Environment

P = ParamSpec("P")
T = TypeVar("T")

MakeEnvironment = Callable[..., Environment]
"""Makes environments, as ``testing.environment`` does; where their clients speak to is up to the fixture."""

_asked: ContextVar[Environment] = ContextVar("asked")


def asked(
    env: Environment, verb: Callable[Concatenate[StoreContext, P], Plan[T]], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Ask for a verb the way the client of this environment does. Example: ``asked(env, tasks.get_task, task_id)``"""
    return env.client.run(env.client._session.plan(verb, *args, **kwargs))


class _Stage:
    """The session of the server: that of whichever environment is asked."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    @property
    def store(self) -> StoreContext:
        return _asked.get().store

    @property
    def connection(self) -> Any:
        return _asked.get().connection

    async def run(self, plan: Plan[T]) -> T:
        async with self._lock:
            return await asyncio.to_thread(_asked.get().run, plan)


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
    """One server for the environments of many tests, each under an address of its own."""

    def __init__(self) -> None:
        session: Any = _Stage()
        self._door = Door(session, ROUTES, BODY_BYTES_MAX, Guard(session))
        self._environments: dict[str, Environment] = {}
        self._names = itertools.count(1)
        super().__init__(Starlette(routes=[Mount("/{name}", self._answer)]))

    def show(self, environment: Environment) -> str:
        """The address under which requests happen in this environment."""
        name = f"env-{next(self._names)}"
        self._environments[name] = environment
        return f"{self.url}/{name}"

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        _asked.set(self._environments[scope["path_params"]["name"]])
        await self._door(scope, receive, send)
