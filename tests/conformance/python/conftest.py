"""One installation for all tests of a version of the Python SDK: a store, ``orchestrator dev`` on it, the SDK beside it.

The tests share it, so each has names of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from orchestrator import Client
from orchestrator.service import secrets
from orchestrator.settings import Settings
from tests.cli.conftest import PATHS, end_group
from tests.conformance.python.calls import Calls
from tests.conformance.python.hand import Sdk
from tests.support.redis_server import RedisServer, ServerMissing

ENVIRONMENTS = Path(__file__).resolve().parents[3] / ".venv-sdk"
HERE = Path(__file__).parent
CALLS = pytest.StashKey[Calls]()
VERSIONS = sorted(path.parents[1].name for path in ENVIRONMENTS.glob("*/bin/python")) or ["missing"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What all tests have driven is asked last."""
    places = [index for index, item in enumerate(items) if item.path.parent == HERE]
    ours = sorted((items[index] for index in places), key=lambda item: (version_of(item), asks_of_others(item)))
    for index, item in zip(places, ours, strict=True):
        items[index] = item


def version_of(item: pytest.Item) -> str:
    """The version of the SDK that a test is for."""
    assert isinstance(item, pytest.Function)
    return str(item.callspec.params["installation"])


def asks_of_others(item: pytest.Item) -> bool:
    """Whether a test is about what the other tests have called."""
    return item.path.name == "test_surface.py"


class Installation(NamedTuple):
    """Where it is: the SDK's interpreter, its server with ``/api``, its store."""

    python: Path
    url: str
    redis_url: str


@pytest.fixture(scope="session", params=VERSIONS)
def installation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation that works, new for each version of the SDK."""
    python = ENVIRONMENTS / request.param / "bin" / "python"
    try:
        if not python.exists():
            raise ServerMissing("the SDK is not installed: make conformance")
        store = RedisServer("redis")
    except ServerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))
    with store:
        folder = tmp_path_factory.mktemp("installation")
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator_cli.main", "--redis", store.url, "dev", "--port", "0"],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": PATHS,
                "ORCHESTRATOR_SECRETS_KEY": secrets.new_key(),
                "ORCHESTRATOR_HTTP_ALLOW": "127.0.0.1",
            },
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stderr is not None
        said = iter(process.stderr.readline, "")
        yield Installation(python, next(line.split()[1] for line in said if line.startswith("HTTP ")), store.url)
        end_group(process)


@pytest.fixture(scope="session", autouse=True)
def calls(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Calls:
    """What the tests of this version have called, in all processes of the test run."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    request.config.stash[CALLS] = Calls(shared, installation.python.parents[1].name)
    return request.config.stash[CALLS]


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Note that a test is over, also one whose fixtures have failed."""
    if CALLS in item.config.stash:
        item.config.stash[CALLS].note("over", item.nodeid)


@pytest.fixture(scope="session")
def sdk(installation: Installation, calls: Calls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sdk]:
    """The SDK's clients."""
    sdk = Sdk(installation.python, installation.url, tmp_path_factory.mktemp("sdk"), calls)
    yield sdk
    sdk.close()


@pytest.fixture
def client(installation: Installation) -> Iterator[Client]:
    """A client straight on the store, to look at what came of it."""
    with Client(settings=Settings(redis_url=installation.redis_url)) as client:
        yield client


@pytest.fixture
def http(installation: Installation) -> Iterator[httpx2.Client]:
    """A plain caller of the server, for what the SDK cannot say."""
    with httpx2.Client(base_url=installation.url, timeout=20) as http:
        yield http
