"""Redis, its users and Sentinel as configured here: a failover is carried out, and our roles go on with the new primary."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from orchestrator import Client, Workflow, task
from orchestrator.errors import Unavailable
from orchestrator.settings import Settings
from tests.cli.conftest import PATHS, Command
from tests.deploy.conftest import DEPLOY
from tests.store.test_cluster import free_port
from tests.support.eventually import eventually
from tests.support.redis_server import Kind, RedisServer, find_binary

FOLDER = DEPLOY / "redis"
MODULE = "tests.deploy.test_sentinel"
PASSWORD = "change-me"
RETRIED = (AssertionError, redis.RedisError)


@task
def greet(name: str) -> str:
    return f"Hello, {name}"


class Watched(NamedTuple):
    """A primary and a replica, watched by one Sentinel."""

    servers: list[RedisServer]
    port: int
    url: str

    def primary(self) -> RedisServer:
        """Which server the Sentinel names."""
        with redis.Redis(port=self.port) as sentinel:
            named = sentinel.sentinel_get_master_addr_by_name("orchestrator")
        return next(one for one in self.servers if named and f":{named[1]}/" in one.url)


@pytest.fixture
def watched(redis_server: RedisServer, tmp_path: Path) -> Iterator[Watched]:
    kind = redis_server.kind
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(server(kind, tmp_path / "first"))
        place = first.url.split("@")[1].split("/")[0].split(":")
        second = stack.enter_context(server(kind, tmp_path / "second", replicaof=" ".join(place)))
        port = free_port()
        text = (FOLDER / "sentinel.conf").read_text().replace("26379", str(port)).replace("HOST", "127.0.0.1")
        text = text.replace("redis-1 6379 2", f"{place[0]} {place[1]} 1")
        (tmp_path / "sentinel.conf").write_text(text)
        process = subprocess.Popen(
            [str(find_binary(kind)), str(tmp_path / "sentinel.conf"), "--sentinel"],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)
        with redis.Redis(port=port) as sentinel:

            def knows_the_replica() -> bool:
                return [one["flags"] for one in sentinel.sentinel_slaves("orchestrator")] == ["slave"]

            eventually(knows_the_replica, timeout_s=30, retry_on=RETRIED)
        url = f"redis+sentinel://orchestrator:{PASSWORD}@127.0.0.1:{port}/orchestrator/0"
        yield Watched([first, second], port, url)


def server(kind: Kind, folder: Path, **options: str) -> RedisServer:
    """A server with our configuration and users."""
    folder.mkdir()
    text = (FOLDER / f"{kind}.conf").read_text().replace("dir /data", f"dir {folder}")
    (folder / f"{kind}.conf").write_text(text)
    given = {
        "aclfile": str(FOLDER / "users.acl"),
        "enable-debug-command": "no",
        "repl-diskless-sync-delay": "0",
        **options,
    }
    return RedisServer(kind, options=given, config=folder / f"{kind}.conf", credentials=f"operator:{PASSWORD}")


def test_roles_go_on_with_the_primary_that_sentinel_chooses(watched: Watched, command: Command) -> None:
    before = watched.primary()
    eventually(lambda: has_replica(before), timeout_s=20, retry_on=RETRIED)
    settings = Settings(redis_url=watched.url, durability="replicas")
    environment = {"ORCHESTRATOR_REDIS_URL": watched.url, "ORCHESTRATOR_DURABILITY": "replicas", "PYTHONPATH": PATHS}
    command("decider", "--no-system-tasks", environment=environment)
    command("worker", f"{MODULE}:greet", environment=environment)
    with Client(settings=settings) as client:
        flow = Workflow("greeting").wait(ref="go", signal="go").then(greet, name="Ada")
        client.register(greet, flow)
        # Nobody restarts a role that comes in the middle of a failover and ends.
        assert client.enqueue(greet, name="Bob").result(timeout_s=30) == {"result": "Hello, Bob"}
        handle = client.start_workflow(flow)
        eventually(lambda: [one.status for one in handle.describe().tasks] == ["IN_PROGRESS"], timeout_s=20)

        def signalled() -> None:
            handle.signal(
                "go", request_id="once"
            )  # an answer may be lost with a connection, the signal is not given twice

        with redis.Redis(port=watched.port) as sentinel:
            sentinel.sentinel_failover("orchestrator")
        eventually(lambda: watched.primary() is not before, timeout_s=20)
        eventually(lambda: has_replica(watched.primary()), timeout_s=40, retry_on=RETRIED)
        eventually(signalled, timeout_s=40, retry_on=(Unavailable,))
        assert handle.result(timeout_s=30) == {"result": "Hello, Ada"}
    for one in watched.servers:
        refusals = {(entry["username"], entry["object"]) for entry in asked(one, "ACL", "LOG")}
        assert refusals <= {("orchestrator", "client|setinfo")}


def has_replica(server: RedisServer) -> bool:
    """Whether a replica keeps up: one that is still being copied to confirms nothing in time."""
    with redis.Redis.from_url(server.url) as operator:
        operator.set("written", "1")
        return int(operator.wait(1, 500)) == 1


def asked(server: RedisServer, *words: str) -> Any:
    """What a server answers its operator."""
    with redis.Redis.from_url(server.url, decode_responses=True) as operator:
        return operator.execute_command(*words)
