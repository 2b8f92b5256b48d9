"""Clients where programs put them: at import before a fork, beside threads, inside an event loop and in one after the other."""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import orchestrator.client
from orchestrator import AsyncClient, Client
from orchestrator.api import create_app
from orchestrator.errors import InvalidRequest
from orchestrator.plan import Command, Plan
from orchestrator.settings import Settings
from orchestrator.testing import environment
from tests.client.conftest import greet, waiting
from tests.support.served import Served

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@pytest.fixture(params=["redis", "http"])
def place(request: pytest.FixtureRequest, valkey_url: str) -> Iterator[str]:
    """Where clients speak to: a Redis, and a server before it."""
    if request.param == "redis":
        yield valkey_url
        return
    with Served(create_app(settings=Settings(redis_url=valkey_url))) as served:
        yield served.url


def asked(command: Command) -> Plan[Any]:
    return (yield command)


def sockets() -> set[str]:
    """The sockets that this process has open, by the numbers that the system gives them."""
    found = set()
    for entry in os.scandir("/proc/self/fd"):
        try:
            target = os.readlink(entry.path)
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


def in_a_child(work: Callable[[], bool]) -> bool:
    """Whether ``work`` is true in a forked child, which then ends without tidying up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 says that forking beside threads is delicate
        child = os.fork()
    if child == 0:
        code = 2
        try:
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# --- after a fork -----------------------------------------------------------------------------------------------------


@needs_fork
def test_a_child_and_its_parent_start_workflows_by_one_client(place: str) -> None:
    with Client(place) as client:
        fast = client.with_options(wait_commit=False)
        before = fast.start_workflow(waiting)

        def start_in_child() -> bool:
            handles = [fast.with_options(workflow_id=f"child-{number}").start_workflow(waiting) for number in range(20)]
            return before.status() == "RUNNING" and all(handle.status() == "RUNNING" for handle in handles)

        assert in_a_child(start_in_child)
        assert fast.start_workflow(waiting).status() == "RUNNING"
        assert {client.workflow(f"child-{number}").status() for number in range(20)} == {"RUNNING"}


@needs_fork
def test_a_child_shares_no_connection_with_its_parent(valkey_url: str) -> None:
    who = Command(("CLIENT", "ID"))
    with Client(valkey_url) as client:
        mine = client.run(asked(who))
        assert in_a_child(lambda: client.run(asked(who)) not in (mine, None))
        assert in_a_child(lambda: not client.close())  # type: ignore[func-returns-value]
        assert client.run(asked(who)) == mine


@needs_fork
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not show open files")
def test_a_client_that_was_not_used_yet_opens_its_connections_in_the_child(valkey_url: str) -> None:
    before = sockets()
    client = Client(valkey_url)
    assert sockets() == before
    assert in_a_child(lambda: client.with_options(wait_commit=False).start_workflow(waiting).status() == "RUNNING")
    assert sockets() == before
    client.close()


@needs_fork
def test_a_fork_while_threads_use_the_client_holds_no_child_up(valkey_url: str) -> None:
    with Client(valkey_url) as client:
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                Client(valkey_url).run(asked(Command(("PING",))))
                client.run(asked(Command(("PING",))))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            assert all(in_a_child(lambda: client.run(asked(Command(("PING",)))) == b"PONG") for _ in range(10))
        finally:
            stop.set()
            for thread in threads:
                thread.join(10)


@needs_fork
def test_an_async_client_is_used_in_a_child_and_goes_on_in_its_parent(place: str) -> None:
    client = AsyncClient(place)

    async def start() -> bool:
        return await (await client.with_options(wait_commit=False).start_workflow(waiting)).status() == "RUNNING"

    async def main() -> None:
        assert await start()
        assert await asyncio.to_thread(in_a_child, lambda: asyncio.run(start()))
        assert await start()
        await client.close()

    asyncio.run(main())


@needs_fork
def test_the_default_client_of_a_child_is_that_of_its_parent(monkeypatch: pytest.MonkeyPatch, valkey_url: str) -> None:
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", valkey_url)
    before = orchestrator.client.set_default_client(None)
    try:
        mine = greet.enqueue(name="Ada")
        assert in_a_child(lambda: greet.enqueue(name="Bob").id != mine.id and mine.status() == "RUNNING")
        assert greet.enqueue(name="Eve").status() == "RUNNING"
        orchestrator.client.default_client().close()
    finally:
        orchestrator.client.set_default_client(before)


# --- event loops ------------------------------------------------------------------------------------------------------


async def test_a_blocking_call_where_a_loop_runs_works_and_says_what_it_does(place: str) -> None:
    client = Client(place).with_options(wait_commit=False)
    with pytest.warns(RuntimeWarning, match="blocks the event loop") as told:
        handle = client.start_workflow(waiting)
    assert [warning.filename for warning in told] == [__file__]
    with pytest.warns(RuntimeWarning, match="AsyncClient"):
        assert handle.status() == "RUNNING"
    assert await asyncio.to_thread(handle.status) == "RUNNING"
    client.close()


async def test_a_task_that_enqueues_itself_where_a_loop_runs_is_told_on_its_own_line() -> None:
    with environment([greet]) as env:
        client = Client(env.settings.redis_url, settings=env.settings)
        before = orchestrator.client.set_default_client(client)
        try:
            with pytest.warns(RuntimeWarning) as told:
                greet.enqueue(name="Ada")
        finally:
            orchestrator.client.set_default_client(before)
    assert {warning.filename for warning in told} == {__file__}


def test_an_async_client_serves_one_loop_after_the_other(place: str) -> None:
    client = AsyncClient(place)

    async def start() -> str:
        handle = await client.with_options(wait_commit=False).start_workflow(waiting)
        status = await handle.status()
        await client.close()
        return status

    assert [asyncio.run(start()) for _ in range(3)] == ["RUNNING"] * 3


def test_an_async_client_that_is_in_use_elsewhere_is_refused(place: str) -> None:
    client = AsyncClient(place)

    async def list_all() -> int:
        return (await client.list_workflows()).total

    async def main() -> None:
        assert await list_all() == 0
        with pytest.raises(InvalidRequest, match="in use in another event loop"):
            await asyncio.to_thread(asyncio.run, list_all())
        assert await list_all() == 0
        await client.close()

    asyncio.run(main())
