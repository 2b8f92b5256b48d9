"""A Redis client for a library that speaks to Redis itself, such as RQ: what only this room may make.

It may be another server than the installation's. Failures of it come out as our errors. Called by the RQ bridge.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator.errors import SettingsInvalid, StoreUnavailable
from orchestrator.store.addresses import parse_url
from orchestrator.store.connection import COMMAND_TIMEOUT_S, CONNECT_TIMEOUT_S

_untyped: Any = redis  # parts of redis-py that have no annotations


def client_for_library(url: str, name: str) -> redis.Redis:
    """A client of one server, or of a primary behind Sentinel; nothing is sent yet.

    Raises ``SettingsInvalid``, in the name of the setting, for what libraries cannot use: a cluster or the fake.
    Example: ``client_for_library("redis://localhost:6379/1", "rq_url")``
    """
    address = parse_url(url)
    options = {
        **address.options,
        "socket_timeout": COMMAND_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
    }
    if address.kind == "server":
        return redis.Redis(connection_pool=redis.ConnectionPool.from_url(address.url, **options))
    if address.kind == "sentinel":
        sentinel = _untyped.Sentinel(address.nodes, sentinel_kwargs={"socket_timeout": CONNECT_TIMEOUT_S}, **options)
        primary: redis.Redis = sentinel.master_for(address.name, redis.Redis)
        return primary
    raise SettingsInvalid(f"{name}: it must be one server or a primary behind Sentinel, not a {address.kind}")


@contextlib.contextmanager
def failures_as_ours(what: str) -> Iterator[None]:
    """Turn the failures of such a client into ``StoreUnavailable``, in the name of ``what``."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise StoreUnavailable(f"the Redis of {what} is not available: {error}; repeat later") from error
