"""How a client finds its store, and that both clients and the package show the same face."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import orchestrator
from orchestrator.api import create_app
from orchestrator.client import (
    AsyncClient,
    AsyncTaskHandle,
    AsyncWorkflowHandle,
    Client,
    TaskHandle,
    WorkflowHandle,
    client_settings,
)
from orchestrator.errors import InvalidRequest, MissingExtra, StoreRefused, StoreUnavailable
from orchestrator.settings import Settings
from tests.client import twins
from tests.client.conftest import hello


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder and no settings in the environment."""
    for name in list(os.environ):
        if name.startswith(("ORCHESTRATOR_", "CONDUCTOR_AUTH_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("blocking", "waiting"),
    [(Client, AsyncClient), (WorkflowHandle, AsyncWorkflowHandle), (TaskHandle, AsyncTaskHandle)],
)
def test_both_clients_have_the_same_methods_and_arguments(blocking: type, waiting: type) -> None:
    methods = {name for name in vars(blocking) if not name.startswith("_")}
    assert methods == {name for name in vars(waiting) if not name.startswith("_")}
    for name in methods - {"over"}:
        mine, theirs = getattr(blocking, name), getattr(waiting, name)
        if inspect.isfunction(mine):
            assert list(inspect.signature(mine).parameters.values()) == list(
                inspect.signature(theirs).parameters.values()
            ), name


def test_the_faces_for_asyncio_are_made_of_the_blocking_ones() -> None:
    stale = [path.name for path, text in twins.made().items() if path.read_text() != text]
    assert stale == [], "change blocking.py or handles.py, then run: make faces"


@pytest.mark.parametrize("name", orchestrator.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(orchestrator, name) is not None
    assert name in dir(orchestrator)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = orchestrator.nothing


def test_task_is_the_decorator_whatever_was_imported_before() -> None:
    code = (
        "import orchestrator.task; from orchestrator import task; from orchestrator.task import Task;"
        "assert isinstance(task(name='t')(lambda: 1), Task)"
    )
    run = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert run.returncode == 0


# --- which Redis ------------------------------------------------------------------------------------------------------


def test_the_argument_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert client_settings().redis_url == "redis://localhost:6379/0"
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "redis://env:1/0")
    assert client_settings().redis_url == "redis://env:1/0"
    assert client_settings("redis://argument:1/0", namespace="mine").redis_url == "redis://argument:1/0"


def test_given_settings_are_used_and_changed_only_where_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "redis://env:1/0")
    given = Settings(redis_url="redis://given:1/0", partitions=3, secret_values={"A": "b"}, env_values={"C": "d"})
    found = client_settings(settings=given, namespace="mine")
    assert (found.redis_url, found.partitions, found.namespace) == ("redis://given:1/0", 3, "mine")
    assert (found.secret_values, found.env_values) == ({"A": "b"}, {"C": "d"})
    assert (found.source("namespace"), found.source("lease_ms")) == ("argument", "default")


def test_the_running_dev_of_the_folder_is_found(alone: Path) -> None:
    facts = alone / ".orchestrator" / "dev.json"
    facts.parent.mkdir()
    facts.write_text(json.dumps({"redis_url": "redis://127.0.0.1:7777/0", "pid": os.getpid()}))
    assert client_settings().redis_url == "redis://127.0.0.1:7777/0"


@pytest.mark.parametrize(
    "text", ["", "[]", '{"redis_url": 1, "pid": "x"}', '{"redis_url": "redis://x/0", "pid": 4194304}']
)
def test_facts_of_a_dev_that_is_gone_or_garbled_are_ignored(alone: Path, text: str) -> None:
    facts = alone / ".orchestrator" / "dev.json"
    facts.parent.mkdir()
    facts.write_text(text)
    assert client_settings().redis_url == "redis://localhost:6379/0"


def test_an_address_of_a_server_comes_from_the_argument_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert client_settings("http://argument:1").server_url == "http://argument:1"
    monkeypatch.setenv("ORCHESTRATOR_SERVER_URL", "http://env:1")
    assert client_settings().server_url == "http://env:1"
    assert client_settings("redis://argument:1/0").server_url == ""
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "redis://env:1/0")
    assert client_settings().server_url == ""


def test_the_key_of_a_client_is_found_under_our_names_and_conductors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDUCTOR_AUTH_KEY", "theirs")
    monkeypatch.setenv("CONDUCTOR_AUTH_SECRET", "sesame")
    found = client_settings("http://x:1")
    assert (found.auth_key, found.auth_secret) == ("theirs", "sesame")
    assert "sesame" not in repr(found)
    monkeypatch.setenv("ORCHESTRATOR_AUTH_KEY", "ours")
    assert client_settings("http://x:1").auth_key == "ours"
    assert client_settings("http://x:1", key_id="given").auth_key == "given"


def test_without_its_package_an_http_client_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "orchestrator.client.http_sessions", raising=False)
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(MissingExtra, match=r"pip install 'redis-orchestrator\[http\]'"):
        Client("http://127.0.0.1:1")


def test_what_works_on_redis_itself_is_not_given_a_server() -> None:
    with pytest.raises(InvalidRequest, match="needs the Redis behind it"):
        create_app("http://127.0.0.1:1")


def test_a_client_of_another_layout_is_refused_at_its_first_call(fakeredis_url: str) -> None:
    Client(settings=Settings(redis_url=fakeredis_url, partitions=2)).list_workflows()
    other = Client(settings=Settings(redis_url=fakeredis_url, partitions=4))
    with pytest.raises(StoreRefused, match="2 partitions"):
        other.list_workflows()


def test_a_redis_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        Client("redis://127.0.0.1:1/0").start_workflow(hello)
