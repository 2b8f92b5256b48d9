"""How a client reaches its store: which settings, one connection, checked once before the first call.

A client that talks to the wrong Redis, one that evicts or belongs to an installation of another layout, is told so at
its first call and not by workflows that get lost. Nothing is sent before that call.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from orchestrator.client.sharing import Shared
from orchestrator.errors import InvalidRequest
from orchestrator.plan import Plan
from orchestrator.settings import Settings, load_settings
from orchestrator.store import installation
from orchestrator.store.connection import Connection, connect
from orchestrator.store.context import StoreContext

log = logging.getLogger(__name__)

DEV_FACTS = Path(".orchestrator") / "dev.json"

P = ParamSpec("P")
T = TypeVar("T")

HTTP = ("http://", "https://")


class Planner(Protocol):
    """From a verb of the service to its plan on what a session speaks to."""

    def __call__(
        self, verb: Callable[Concatenate[StoreContext, P], Plan[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Plan[T]: ...


class Session(Protocol):
    """What a ``Client`` needs: the plans of verbs, a way to run them, an end; and what only a store has."""

    settings: Settings

    @property
    def connection(self) -> Connection: ...

    @property
    def store(self) -> StoreContext: ...

    def plan(
        self, verb: Callable[Concatenate[StoreContext, P], Plan[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Plan[T]: ...

    def run(self, plan: Plan[T]) -> T: ...

    def close(self) -> None: ...


class AwaitedSession(Protocol):
    """What an ``AsyncClient`` needs: the same, awaited."""

    settings: Settings

    @property
    def connection(self) -> Connection: ...

    @property
    def store(self) -> StoreContext: ...

    def plan(
        self, verb: Callable[Concatenate[StoreContext, P], Plan[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Plan[T]: ...

    async def run(self, plan: Plan[T]) -> T: ...

    async def close(self) -> None: ...


def blocking_session(settings: Settings) -> Session:
    """The session of these settings: with a server when they name one, else with the Redis.

    Raises ``MissingExtra`` when HTTP needs a package that is not there.
    """
    if settings.server_url:
        from orchestrator.client.http_sessions import HttpSession

        return HttpSession(settings)
    return BlockingSession(settings)


def awaited_session(settings: Settings) -> AwaitedSession:
    """Like ``blocking_session``, for asyncio."""
    if settings.server_url:
        from orchestrator.client.http_sessions import AsyncHttpSession

        return AsyncHttpSession(settings)
    return AsyncSession(settings)


def client_settings(
    url: str | None = None,
    settings: Settings | None = None,
    namespace: str | None = None,
    *,
    key_id: str | None = None,
    key_secret: str | None = None,
) -> Settings:
    """The settings of a client; it speaks to the server ``server_url`` if that is set, else to the Redis.

    The address is ``url``, else that of ``settings``, else ``ORCHESTRATOR_REDIS_URL``, else ``ORCHESTRATOR_SERVER_URL``, else
    the ``dev`` that runs in the current folder, else ``redis://localhost:6379/0``. Raises ``SettingsInvalid``.
    Example: ``client_settings("redis://db:6379/0").redis_url``
    """
    given: dict[str, Any] = {"namespace": namespace, "auth_key": key_id, "auth_secret": key_secret}
    if url is not None:
        is_http = url.startswith(HTTP)
        given |= {"server_url": url} if is_http else {"redis_url": url, "server_url": ""}
    if settings is not None:
        changed = {name: value for name, value in given.items() if value is not None}
        return replace(settings, **changed, sources={**settings.sources, **dict.fromkeys(changed, "argument")})
    found = load_settings(**given)
    if url is None and found.source("redis_url") != "default":
        return load_settings(**{**given, "server_url": ""})
    if not found.server_url and found.source("redis_url") == "default":
        dev_url = _dev_url(DEV_FACTS)
        if dev_url is not None:
            return load_settings(**{**given, "redis_url": dev_url})
    return found


def store_settings(url: str | None = None) -> Settings:
    """The settings of a program that works on the Redis itself, found as those of a client.

    Raises ``InvalidRequest`` for the address of a server.
    """
    found = client_settings(url)
    if found.server_url:
        raise InvalidRequest(
            f"{found.server_url} is a server, and this needs the Redis behind it; give its address, e.g. "
            "redis://localhost:6379/0"
        )
    return found


def _dev_url(facts_path: Path) -> str | None:
    """The Redis of the ``dev`` that published these facts, if its process is still there."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        facts = json.loads(facts_path.read_text("utf-8"))
        if "pid" not in facts or _is_alive(int(facts["pid"])):
            return str(facts["redis_url"])
    return None


def _is_alive(pid: int) -> bool:
    if os.name == "nt":  # there is no dev on Windows, and signal 0 would be Ctrl-C
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class BlockingSession:
    """The store for threads; safe to share between them and after a fork."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.connection = connect(settings.redis_url, settings)
        self.store = StoreContext(settings, is_ordered=not self.connection.is_cluster)
        self._is_checked = False

    def plan(
        self, verb: Callable[Concatenate[StoreContext, P], Plan[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Plan[T]:
        """The plan of a verb on this store."""
        return verb(self.store, *args, **kwargs)

    def run(self, plan: Plan[T]) -> T:
        """Drive a plan; the first one checks the store. Raises what the plan or the check raises."""
        warn_of_a_loop()
        if not self._is_checked:
            # Without a lock, which a child would find locked for ever if another thread held it during the fork.
            check(self.connection, self.store)
            self._is_checked = True
        return self.connection.sync().run(plan)

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()


class AsyncSession:
    """The store for one event loop at a time. ``connection``: one that is open already."""

    def __init__(self, settings: Settings, connection: Connection | None = None) -> None:
        self.settings = settings
        self.connection = connection or connect(settings.redis_url, settings)
        self.store = StoreContext(settings, is_ordered=not self.connection.is_cluster)
        self._is_checked = False
        self._check = Shared(self._check_store)

    def plan(
        self, verb: Callable[Concatenate[StoreContext, P], Plan[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Plan[T]:
        """The plan of a verb on this store."""
        return verb(self.store, *args, **kwargs)

    async def run(self, plan: Plan[T]) -> T:
        """Drive a plan; the first one checks the store. Raises what the plan or the check raises."""
        if not self._is_checked:
            await self._check()
        return await self.connection.asynchronous().run(plan)

    async def close(self) -> None:
        """Close the connections."""
        await self.connection.aclose()

    async def _check_store(self) -> None:
        await asyncio.to_thread(check, self.connection, self.store)
        self._is_checked = True


def warn_of_a_loop() -> None:
    """Say so when a call is about to block an event loop; it goes on, as in a notebook it may."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("orchestrator."):
        frame, level = frame.f_back, level + 1
    warnings.warn(
        "a call of Client blocks the event loop of this thread, and waits for ever for what that loop would have to do: await "
        "the same call of an AsyncClient, or use asyncio.to_thread",
        RuntimeWarning,
        stacklevel=level,
    )


def check(connection: Connection, store: StoreContext) -> None:
    """Make sure that this store can be relied on and is laid out as we think.

    Raises ``StoreRefused`` and ``StoreUnavailable``; what is only doubtful is logged.
    """
    for warning in connection.check():
        log.warning(warning)
    connection.sync().do(installation.check_installation(store.keys))
