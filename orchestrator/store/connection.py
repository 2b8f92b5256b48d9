"""Where a Redis URL becomes executors: one server, Sentinel, Cluster or the in-process fake.

Two kinds of clients, because one time-out cannot serve both. Command clients give up after ``COMMAND_TIMEOUT_S``:
nothing we send takes longer, so a longer silence is a dead peer. Blocking clients wait for their block plus a margin:
without a socket time-out a read hangs for ever when a failover eats the connection. Neither retries by itself: whether
a script may be repeated is known to its caller. RESP2 everywhere, so that replies look the same on every server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator.errors import SettingsInvalid, StoreRefused, StoreUnavailable
from orchestrator.plan import Argument, Command
from orchestrator.settings import Settings
from orchestrator.store.addresses import Address, parse_url
from orchestrator.store.cluster import AsyncClusterWire, ClusterWire
from orchestrator.store.exchange import Profile
from orchestrator.store.executors import AsyncExecutor, SyncExecutor
from orchestrator.store.fake import fake_async_client, fake_sync_client
from orchestrator.store.loops import OfLoop
from orchestrator.store.scripts import library
from orchestrator.store.wire import AsyncServerWire, AsyncWire, ServerWire, SyncWire

CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 10.0
BLOCKING_MARGIN_S = 3.0
CONNECTIONS_MAX = 256
REDIS_MIN = (7, 0)
VALKEY_MIN = (8, 0)

_untyped: Any = redis  # parts of redis-py that have no annotations


class Connection:
    """One store. Executors are made on first use and kept; ``close`` closes the sync ones, ``aclose`` all.

    Example: ``connect("redis://localhost:6379/0").sync().do(Command(("PING",)))``
    """

    def __init__(self, address: Address, settings: Settings, *, declared_clock: bool = False) -> None:
        self.address = address
        self.settings = settings
        self.profile = Profile(
            scripts=library(declared_clock=declared_clock, keep_shebang=address.kind != "fake"),
            declared_clock=declared_clock,
            is_cluster=self.is_cluster,
            barrier=_barrier(address, settings),
            barrier_wanted=settings.replicas if settings.durability == "replicas" else 1,
            where=address.shown,
        )
        self._sync: SyncExecutor | None = None
        self._async = OfLoop(lambda: AsyncExecutor(self._async_wire(COMMAND_TIMEOUT_S), self.profile))
        self._blocking: list[SyncExecutor | AsyncExecutor] = []

    @property
    def is_cluster(self) -> bool:
        """Whether slots may live on different servers."""
        return self.address.kind == "cluster"

    @property
    def is_fake(self) -> bool:
        """Whether this is the in-process fake, which has no INFO, CONFIG, WAIT and CLUSTER."""
        return self.address.kind == "fake"

    def sync(self) -> SyncExecutor:
        """The executor for threads; fork-safe."""
        if self._sync is None:
            self._sync = SyncExecutor(self._sync_wire(COMMAND_TIMEOUT_S), self.profile)
        return self._sync

    def asynchronous(self) -> AsyncExecutor:
        """The executor of the running event loop. Raises ``InvalidRequest`` while another one uses this connection."""
        return self._async.get()

    def blocking_sync(self, block_s: float = 2.0) -> SyncExecutor:
        """A new executor for commands that block up to ``block_s`` seconds, with connections of its own."""
        executor = SyncExecutor(self._sync_wire(block_s + BLOCKING_MARGIN_S), self.profile)
        self._blocking.append(executor)
        return executor

    def blocking_async(self, block_s: float = 2.0) -> AsyncExecutor:
        """A new async executor for commands that block up to ``block_s`` seconds, with connections of its own."""
        executor = AsyncExecutor(self._async_wire(block_s + BLOCKING_MARGIN_S), self.profile)
        self._blocking.append(executor)
        return executor

    def check(self) -> list[str]:
        """Start-up checks; returns warnings to log.

        Raises ``StoreUnavailable`` when the store does not answer and ``StoreRefused`` when it is too old or may evict
        keys. Example: ``for warning in connection.check(): log.warning(warning)``
        """
        if self.is_fake:
            return []
        try:
            info: bytes = self.sync().do(Command(("INFO",)))
        except StoreUnavailable as error:
            raise StoreUnavailable(f"{error}{_perhaps(self.address, str(error))}") from error
        facts = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
        _check_version(facts)
        return [*_check_eviction(facts, self.settings), *_check_persistence(facts)]

    def close(self) -> None:
        """Close the sync executors' connections. Processes with async executors await ``aclose`` instead."""
        for executor in (self._sync, *self._blocking):
            if isinstance(executor, SyncExecutor):
                executor.close()

    async def aclose(self) -> None:
        """Close every connection."""
        self.close()
        for executor in (self._async.taken(), *self._blocking):
            if isinstance(executor, AsyncExecutor):
                await executor.close()

    def _sync_wire(self, timeout_s: float) -> SyncWire:
        options = _options(self.address, timeout_s)
        match self.address.kind:
            case "fake":
                return ServerWire(fake_sync_client(self.address.name))
            case "sentinel":
                sentinel = _untyped.Sentinel(self.address.nodes, sentinel_kwargs=_sentinel_options(), **options)
                return ServerWire(sentinel.master_for(self.address.name, redis.Redis), sentinel.sentinels)
            case "cluster":
                nodes = [_untyped.cluster.ClusterNode(*node) for node in self.address.nodes]
                return ClusterWire(
                    lambda: redis.RedisCluster(startup_nodes=nodes, **options),
                    lambda host, port: _sync_pool(self.address, options, host, port),
                )
            case _:
                pool = redis.ConnectionPool.from_url(self.address.url, **options)
                return ServerWire(redis.Redis(connection_pool=pool))

    def _async_wire(self, timeout_s: float) -> AsyncWire:
        # No socket time-out here: the wire puts one deadline around a whole exchange.
        options = _options(self.address, None)
        match self.address.kind:
            case "fake":
                return AsyncServerWire(fake_async_client(self.address.name, CONNECTIONS_MAX), timeout_s)
            case "sentinel":
                sentinel = _untyped.asyncio.Sentinel(self.address.nodes, sentinel_kwargs=_sentinel_options(), **options)
                primary = sentinel.master_for(self.address.name, redis.asyncio.Redis)
                return AsyncServerWire(primary, timeout_s, sentinel.sentinels)
            case "cluster":
                nodes = [redis.asyncio.cluster.ClusterNode(*node) for node in self.address.nodes]
                client = redis.asyncio.RedisCluster(startup_nodes=nodes, **options)
                return AsyncClusterWire(
                    client, lambda host, port: _async_pool(self.address, options, host, port), timeout_s
                )
            case _:
                pool = redis.asyncio.ConnectionPool.from_url(self.address.url, **options)
                return AsyncServerWire(redis.asyncio.Redis(connection_pool=pool), timeout_s)


def connect(url: str | None = None, settings: Settings | None = None, *, declared_clock: bool = False) -> Connection:
    """A store by URL (default: the settings'); nothing is sent before the first step or ``check``.

    ``redis:// rediss:// unix://`` one server; ``redis+sentinel://host:port,host:port/primary/db``;
    ``redis+cluster://host:port,...``; ``fakeredis://name`` in this process. ``declared_clock`` is for tests and
    simulations: scripts read the time from a key of their slot. Raises ``SettingsInvalid`` for any other URL, and when a
    file that it names is not there.
    """
    settings = settings or Settings()
    address = parse_url(url or settings.redis_url)
    for option in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if (file := address.option(option)) is not None and not Path(file).is_file():
            raise SettingsInvalid(f"redis_url: {option} of {address.shown} names {file}, which is no file here")
    return Connection(address, settings, declared_clock=declared_clock)


def _perhaps(address: Address, text: str) -> str:
    """What may be meant when a server that listens breaks off or keeps silent: it does so without giving a reason."""
    broken_off = any(sign in text for sign in ("reset by peer", "closed by server", "EOF occurred", "while reading"))
    if address.is_encrypted and "Timeout connecting" in text:
        return "; if it does not speak TLS, write redis:// instead of rediss:// into the URL"
    if address.is_encrypted and broken_off:
        return (
            "; if it asks clients for a certificate, name one that it trusts in the URL, "
            "?ssl_certfile=FILE&ssl_keyfile=FILE"
        )
    if broken_off:
        return "; if it speaks TLS only, write rediss:// instead of redis:// into the URL"
    return ""


def _barrier(address: Address, settings: Settings) -> tuple[Argument, ...]:
    if address.kind == "fake" or settings.durability == "none":
        return ()
    if settings.durability == "fsync":
        return ("WAITAOF", 1, 0, settings.barrier_timeout_ms)
    return ("WAIT", settings.replicas, settings.barrier_timeout_ms)


def _options(address: Address, timeout_s: float | None) -> dict[str, Any]:
    return {
        **address.options,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        **({} if address.url.startswith("unix:") else {"socket_keepalive": True}),  # a unix socket has none
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "decode_responses": False,
        "max_connections": CONNECTIONS_MAX,
    }


def _sentinel_options() -> dict[str, Any]:
    return {"socket_timeout": CONNECT_TIMEOUT_S, "socket_connect_timeout": CONNECT_TIMEOUT_S, "protocol": 2}


def _node_options(address: Address, options: dict[str, Any], module: Any) -> dict[str, Any]:
    chosen = {name: value for name, value in options.items() if name != "ssl"}
    return chosen | ({"connection_class": module.SSLConnection} if address.options.get("ssl") else {})


def _sync_pool(address: Address, options: dict[str, Any], host: str, port: int) -> redis.ConnectionPool:
    return redis.ConnectionPool(host=host, port=port, **_node_options(address, options, redis))


def _async_pool(address: Address, options: dict[str, Any], host: str, port: int) -> redis.asyncio.ConnectionPool:
    return redis.asyncio.ConnectionPool(host=host, port=port, **_node_options(address, options, redis.asyncio))


def _check_version(facts: dict[str, str]) -> None:
    if "valkey_version" in facts:
        name, text, least = "Valkey", facts["valkey_version"], VALKEY_MIN
    else:
        name, text, least = "Redis", facts.get("redis_version", "0.0"), REDIS_MIN
    version = tuple(int(part) for part in text.split(".")[:2])
    if version < least:
        raise StoreRefused(
            f"{name} {text} is too old: {name} {least[0]}.{least[1]} or newer is needed", "upgrade the server"
        )


def _check_eviction(facts: dict[str, str], settings: Settings) -> list[str]:
    policy = facts.get("maxmemory_policy")
    if policy == "noeviction":
        return []
    what = f"maxmemory-policy is {policy}" if policy else "the server does not say its maxmemory-policy"
    if not settings.allow_eviction:
        raise StoreRefused(
            f"{what}: Redis may delete live workflows",
            "run CONFIG SET maxmemory-policy noeviction (and put it into the server's configuration), or "
            "set ORCHESTRATOR_ALLOW_EVICTION=true to run at your own risk",
        )
    return [f"{what}: Redis may delete live workflows when memory runs out"]


def _check_persistence(facts: dict[str, str]) -> list[str]:
    if facts.get("aof_enabled") == "1":
        return []
    return ["appendonly is off: a restart of Redis loses every workflow since its last snapshot; set appendonly yes"]
