"""Fixtures of all rooms: real servers for the session, and one store address per backend.

Fixtures only; what they are made of is in tests/support. A missing server skips its tests on a laptop and fails them
where `CI` is set, because a suite that quietly shrinks is worse than a red one.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import settings

from orchestrator import Client, testing
from orchestrator.testing import Environment
from tests.support.kafka_server import KafkaServer
from tests.support.maven import JavaMissing
from tests.support.redis_server import Kind, RedisServer, ServerMissing
from tests.support.served import MakeEnvironment, ServedEnvironment

# Deadlines of single examples measure the machine, not the code; the per-test time-out bounds the whole.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")

pytest_plugins = ["tests.summary"]

_names = itertools.count(1)


def _running(kind: Kind) -> Iterator[RedisServer]:
    try:
        server = RedisServer(kind)
    except ServerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The session's Redis. Whoever kills or reconfigures a server starts one of their own instead."""
    yield from _running("redis")


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[RedisServer]:
    """The session's Valkey."""
    yield from _running("valkey")


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Address of an empty Redis."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture
def valkey_url(valkey_server: RedisServer) -> str:
    """Address of an empty Valkey."""
    valkey_server.flush()
    return valkey_server.url


@pytest.fixture
def fakeredis_url() -> str:
    """Address of an empty fakeredis inside this process; every test gets a name of its own."""
    return f"fakeredis://test-{os.getpid()}-{next(_names)}"


@pytest.fixture(params=["fakeredis", "valkey", "redis"])
def store_url(request: pytest.FixtureRequest) -> str:
    """Address of an empty store, once per backend: a test that asks for it is a contract all of them must keep."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaServer]:
    """A running Kafka broker, one for each module, so that topics may have any name."""
    try:
        server = KafkaServer()
    except JavaMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture(scope="session")
def served() -> Iterator[ServedEnvironment]:
    """A server for the environments of all tests."""
    with ServedEnvironment() as served:
        yield served


@pytest.fixture(params=["redis", "http"])
def environment(request: pytest.FixtureRequest) -> Iterator[MakeEnvironment]:
    """``testing.environment``; the client of what it makes speaks to the store, and the other time to a server before it.

    A test that takes its environments from here is about behaviour that must be the same for both.
    """
    with ExitStack() as clients:

        def made(*tasks: Any, **options: Any) -> Environment:
            env = testing.environment(*tasks, **options)
            if request.param == "http":
                served: ServedEnvironment = request.getfixturevalue("served")
                env.client = clients.enter_context(Client(served.show(env)))
            return env

        yield made
