"""What a command works with: the settings, the store, the log, all from the shared options and the environment.

Which installation that is ``PRECEDENCE`` says; a server can be asked in place of a Redis, and what needs Redis itself says so.
The Redis client is loaded here, at first use. Called by every command that asks the store for something.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from orchestrator.settings import Settings, load_settings
from orchestrator_cli import folder, logs, profiles

if TYPE_CHECKING:
    from orchestrator.client.http_sessions import HttpSession
    from orchestrator.plan import Plan
    from orchestrator.store.connection import Connection
    from orchestrator.store.context import StoreContext

log = logging.getLogger(__name__)

PRECEDENCE = (
    "`--redis` or `--server`",
    "the profile that `--profile` names",
    "`ORCHESTRATOR_REDIS_URL` (or `ORCHESTRATOR_REDIS_URL_FILE`), else `ORCHESTRATOR_SERVER_URL`",
    "the profile that `ORCHESTRATOR_PROFILE` names",
    "the `orchestrator dev` that runs in the current folder",
    "the profile in use (`orchestrator profile use`); a new `dev` leaves it alone",
    "`redis://localhost:6379/0`",
)
"""What names the installation that a command is about, the first of these that is there."""

P = ParamSpec("P")
T = TypeVar("T")

_OPTIONS = {"redis_url": "redis", "server_url": "server", "namespace": "namespace"}
"""The settings that options give, each with its option."""
_SECRETS = {item.name for item in fields(Settings) if not item.repr and item.compare}
_QUIET = ("WARNING", "INFO", "DEBUG")


class Session:
    """One command's surroundings. ``settings`` are complete, the URL included; ``found`` says where that came from."""

    def __init__(self, given: dict[str, Any], *, is_new: bool = False) -> None:
        self.verbosity: int = given.get("verbose", 0)
        options: dict[str, Any] = {name: given.get(option) for name, option in _OPTIONS.items() if given.get(option)}
        settings = load_settings(**options)
        profile: profiles.Profile | None = None
        if not {"redis_url", "server_url"} & options.keys():
            profile = profiles.chosen(given.get("profile"))
        running = None if profile is not None and profile.is_asked_for else self._running(settings)
        if running is not None:
            self.found = f"the dev running in {Path.cwd()}"
            settings = load_settings(**{**options, "redis_url": running})
        elif profile is not None and not (is_new and profile.is_in_use):
            self.found = f"profile {profile.name}"
            settings = _by_profile(profile, options)
        else:
            source = settings.source("redis_url")
            self.found = "--redis" if source == "argument" else source
        self.is_remote = bool(settings.server_url) and (
            "server_url" in options
            or settings.source("server_url").startswith("profile ")
            or settings.source("redis_url") == "default"
        )
        self.settings: Settings = settings

    @staticmethod
    def _running(settings: Settings) -> str | None:
        """The Redis of a ``dev`` in the current folder, when nobody named an address or a profile."""
        is_named = settings.server_url or settings.source("redis_url") != "default" or os.environ.get(profiles.VARIABLE)
        return None if is_named else folder.running_redis_url(Path(folder.DEFAULT))

    @property
    def is_named(self) -> bool:
        """Whether the user named a Redis, by option, profile or environment."""
        return self.found != "default" and not self.found.startswith("the dev")

    @property
    def shown_url(self) -> str:
        """The Redis URL without user and password."""
        shown: str = masked("redis_url", self.settings.redis_url)
        return shown

    @property
    def hint(self) -> str:
        """What to do when that Redis does not answer."""
        if self.found == "default":
            return (
                "No Redis was named and no dev runs in this folder. Start one with: orchestrator dev\n"
                "or name your Redis: --redis redis://HOST:6379/0 or ORCHESTRATOR_REDIS_URL"
            )
        return f"{self.origin} Check that the server runs and can be reached from here."

    @property
    def origin(self) -> str:
        """Where the Redis URL came from, as a sentence."""
        if self.found == "default":
            return "No Redis was named, so this is the one on this machine."
        return f"The Redis URL came from {self.found}."

    @contextlib.contextmanager
    def store(self, *, is_checked: bool = True) -> Iterator[Store]:
        """The store, closed at the end; checked first, as every process does before it touches an installation.

        Raises ``StoreUnavailable`` and ``StoreRefused``. Example: ``with session.store() as store: ...``
        """
        if self.is_remote:
            from orchestrator.client.http_sessions import HttpSession

            session = HttpSession(self.settings)
            try:
                yield Store(session)
            finally:
                session.close()
            return
        from orchestrator.store import installation
        from orchestrator.store.connection import connect
        from orchestrator.store.context import StoreContext

        connection = connect(self.settings.redis_url, self.settings)
        context = StoreContext(self.settings)
        try:
            if is_checked:
                for warning in connection.check():
                    log.info("store_warning", extra={"reason": warning})
                connection.sync().do(installation.check_installation(context.keys))
            yield Store(_Beside(connection, context))
        finally:
            connection.close()


def _by_profile(profile: profiles.Profile, options: dict[str, Any]) -> Settings:
    """The settings with a profile's values: behind options, before the environment only when the command names it."""
    own = load_settings(**options)
    taken = {
        name: value
        for name, value in profile.values.items()
        if own.source(name) == "default" or (profile.is_asked_for and name not in options)
    }
    settings = load_settings(**{**taken, **options})
    named = dict.fromkeys(taken, f"profile {profile.name}")
    return replace(settings, sources={**settings.sources, **named})


def masked(name: str, value: Any) -> Any:
    """A setting's value as it may be shown: no secret, no password, and of a URL nothing behind a question mark.

    Example: ``masked("redis_url", "redis://:pw@db/0") == "redis://db/0"``
    """
    if name in _SECRETS:
        return "(set)" if value else ""
    if name.endswith("_url") and value:
        scheme, separator, rest = value.partition("://")
        return f"{scheme}{separator}{rest.rpartition('@')[2].partition('?')[0]}"
    return value


class _Beside:
    """A session on a connection that is open and checked."""

    def __init__(self, connection: Connection, context: StoreContext) -> None:
        self.connection = connection
        self._context = context

    def plan(
        self, verb: Callable[Concatenate[StoreContext, P], Plan[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Plan[T]:
        return verb(self._context, *args, **kwargs)

    def run(self, plan: Plan[T]) -> T:
        return self.connection.sync().run(plan)


class Store:
    """The verbs of the service, carried out on the Redis or by a server.

    Example: ``store.run(workflows.get, workflow_id)``
    """

    def __init__(self, session: _Beside | HttpSession) -> None:
        self._session = session

    @property
    def connection(self) -> Connection:
        """The connection to Redis; raises ``InvalidRequest`` when a server was named instead."""
        return self._session.connection

    def run(self, verb: Callable[Concatenate[StoreContext, P], Plan[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Carry out one verb of ``orchestrator.service`` and give its answer; raises what the verb raises."""
        return self._session.run(self._session.plan(verb, *args, **kwargs))


def current_session(*, is_role: bool = False, is_new: bool = False) -> Session:
    """The session of the running command, made at first use; logging is set up with it.

    A long-running role logs at the level of its settings, other commands only warnings; ``-v`` raises both. What starts
    an installation of its own (``is_new``) does not go by the profile that is merely in use.
    """
    given: dict[str, Any] = click.get_current_context().find_root().ensure_object(dict)
    session = given.get("session")
    if not isinstance(session, Session):
        session = given["session"] = Session(given, is_new=is_new)
        is_told = is_role and session.verbosity == 0
        level = session.settings.log_level if is_told else _QUIET[min(session.verbosity, 2)]
        logs.configure(level)
    return session
