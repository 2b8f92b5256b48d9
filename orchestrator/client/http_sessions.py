"""Sessions of clients that speak to a server: they carry out the exchanges of ``remote`` with one pool of connections.

Loads ``httpx2``, so it is imported only for an HTTP address. Proxies and certificates are those of the environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

from orchestrator.client.remote import Answer, Exchange, Lost, Pause, Remote
from orchestrator.client.sessions import warn_of_a_loop
from orchestrator.errors import InvalidRequest, MissingExtra
from orchestrator.plan import Outside, Plan
from orchestrator.settings import Settings
from orchestrator.store.connection import Connection
from orchestrator.store.context import StoreContext
from orchestrator.store.loops import OfLoop

try:
    import httpx2
except ImportError as error:
    raise MissingExtra("a client of an http:// address", "http") from error

P = ParamSpec("P")
T = TypeVar("T")

CONNECT_S = 5.0
KEPT_S = 3.0
"""Shorter than servers keep idle connections, so that a request seldom meets one that is just being closed."""

_UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=50, keepalive_expiry=KEPT_S)


class _OverHttp:
    """What both sessions share: the server, and that there is no store."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.remote = Remote(settings.server_url, settings.auth_key, settings.auth_secret)

    def plan(
        self, verb: Callable[Concatenate[StoreContext, P], Plan[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Plan[T]:
        """The plan of a verb, made of requests. Raises ``InvalidRequest`` for one that needs Redis."""
        return self.remote.plan(verb, *args, **kwargs)

    @property
    def connection(self) -> Connection:
        """There is none; raises ``InvalidRequest``."""
        self._need_redis("a connection to Redis")

    @property
    def store(self) -> StoreContext:
        """There is none; raises ``InvalidRequest``."""
        self._need_redis("the store")

    def _need_redis(self, what: str) -> NoReturn:
        raise InvalidRequest(
            f"a client of {self.remote.url} has not {what}; deciders, workers (but RemoteWorker) and plans of your own need "
            "the Redis itself: give its address, e.g. redis://localhost:6379/0"
        )


class HttpSession(_OverHttp):
    """A server for threads; safe to share between them and after a fork."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._clients: dict[int, httpx2.Client] = {}  # by process

    def run(self, plan: Plan[T]) -> T:
        """Drive a plan that ``plan`` made; raises what it raises."""
        warn_of_a_loop()
        try:
            step: Any = next(plan)
            while True:
                try:
                    reply = self._do(step)
                except Exception as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(reply)
        except StopIteration as stop:
            value: T = stop.value
            return value

    def close(self) -> None:
        """Close the connections."""
        client = self._clients.pop(os.getpid(), None)
        if client is not None:
            client.close()

    def _do(self, step: Any) -> Any:
        match step:
            case Exchange():
                with _lost():
                    return _answer(self._of_process().send(_request(step)))
            case Pause():
                return time.sleep(step.seconds)
            case Outside():
                return step.work()
        self._need_redis("a way to carry out plans of the store")

    def _of_process(self) -> httpx2.Client:
        # Without a lock, which a child would find locked for ever if another thread held it during the fork.
        pid = os.getpid()
        return self._clients.get(pid) or self._clients.setdefault(pid, httpx2.Client(limits=_LIMITS))


class AsyncHttpSession(_OverHttp):
    """A server for one event loop at a time."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._client = OfLoop(lambda: httpx2.AsyncClient(limits=_LIMITS))

    async def run(self, plan: Plan[T]) -> T:
        """Drive a plan that ``plan`` made; raises what it raises."""
        try:
            step: Any = next(plan)
            while True:
                try:
                    reply = await self._do(step)
                except Exception as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(reply)
        except StopIteration as stop:
            value: T = stop.value
            return value

    async def close(self) -> None:
        """Close the connections."""
        client = self._client.taken()
        if client is not None:
            await client.aclose()

    async def _do(self, step: Any) -> Any:
        match step:
            case Exchange():
                client = self._client.get()
                with _lost():
                    return _answer(await client.send(_request(step)))
            case Pause():
                return await asyncio.sleep(step.seconds)
            case Outside():
                return await asyncio.to_thread(step.work)
        self._need_redis("a way to carry out plans of the store")


@contextlib.contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except httpx2.HTTPError as error:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise Lost(reason, was_sent=not isinstance(error, _UNSENT)) from error


def _request(step: Exchange) -> httpx2.Request:
    headers = {"content-type": "application/json", "user-agent": "redis-orchestrator"}
    if step.token:
        headers["x-authorization"] = step.token
    timeout = httpx2.Timeout(step.timeout_s, connect=CONNECT_S)
    return httpx2.Request(
        step.method, step.url, headers=headers, content=step.body, extensions={"timeout": timeout.as_dict()}
    )


def _answer(response: httpx2.Response) -> Answer:
    return Answer(response.status_code, response.content, response.headers.get("retry-after"))
