"""The drill of docs/operations/backup.md, for real: a backup of a busy installation comes back elsewhere and goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import redis

from orchestrator import Client, Workflow, task
from tests.cli.conftest import PATHS, Command
from tests.deploy.conftest import DEPLOY, tool
from tests.support.eventually import eventually
from tests.support.redis_server import Kind, RedisServer

WORKFLOWS = 20
MODULE = "tests.deploy.test_restore"


@task
def reserve(number: int) -> int:
    return number


@task
def ship(number: int) -> str:
    return f"van {number}"


def order() -> Workflow:
    flow = Workflow("order")
    flow.then(reserve, number=flow.input.number).wait(ref="approval", signal="approved")
    return flow.then(ship, number=flow.input.number)


def run_roles(command: Command, url: str) -> list[subprocess.Popen[str]]:
    # What the dead deciders held is free again after so long.
    environment = {"ORCHESTRATOR_REDIS_URL": url, "ORCHESTRATOR_OWNERSHIP_MS": "2000", "PYTHONPATH": PATHS}
    roles = (["decider", "--no-system-tasks"], ["worker", f"{MODULE}:reserve", f"{MODULE}:ship"])
    return [command(*role, environment=environment) for role in roles]


def begun(url: str) -> list[str]:
    """Orders of which half the work is done: each waits for its approval."""
    with Client(url) as client:
        client.register(reserve, ship, order())
        handles = [client.start_workflow("order", number=number) for number in range(WORKFLOWS)]

        def all_wait() -> None:
            for handle in handles:
                waiting = [one for one in handle.describe().tasks if one.status == "IN_PROGRESS"]
                assert [one.reference_task_name for one in waiting] == ["approval"]

        eventually(all_wait, timeout_s=30)
        return [handle.id for handle in handles]


def finish(url: str, ids: list[str]) -> None:
    """Approve all of them: each goes on where it was and ends as if nothing had happened; new ones start."""
    with Client(url) as client:
        for workflow_id in ids:
            client.workflow(workflow_id).signal("approved", timeout_s=30)
        outputs = [client.workflow(workflow_id).result(timeout_s=30) for workflow_id in ids]
        assert outputs == [{"result": f"van {number}"} for number in range(WORKFLOWS)]
        for workflow_id in ids:
            assert [one.retry_count for one in client.workflow(workflow_id).describe().tasks] == [0, 0, 0], (
                "nothing ran twice"
            )
        assert client.list_workflows(name="order", status="COMPLETED", size=1).total == WORKFLOWS
        assert client.start_workflow("order", number=99).id not in ids


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_a_snapshot_comes_back_on_another_server(
    kind: Kind, command: Command, tmp_path: Path, redis_server: RedisServer, valkey_server: RedisServer
) -> None:
    backup = tmp_path / "backup.rdb"
    environment = {**os.environ, "REDIS_CLI": tool("redis-cli", "apt-get install redis-tools")}
    with RedisServer(kind) as lost:
        roles = run_roles(command, lost.url)
        ids = begun(lost.url)
        script = [str(DEPLOY / "redis" / "backup.sh"), lost.url, str(lost.folder), str(backup)]
        run = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=50)
        assert (run.returncode, run.stdout.strip()) == (0, str(backup)), run.stderr
        for role in roles:
            role.kill()
        lost.kill()
    restored = RedisServer(kind, options={"appendonly": "no"})
    shutil.copy(backup, restored.folder / "dump.rdb")
    with restored:
        with redis.Redis.from_url(restored.url) as client:
            client.config_set("appendonly", "yes")
            eventually(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0)
        run_roles(command, restored.url)
        finish(restored.url, ids)


def test_the_append_only_files_of_a_dead_host_come_back_on_another(command: Command, redis_server: RedisServer) -> None:
    with RedisServer("redis", options={"appendfsync": "always"}) as lost:
        roles = run_roles(command, lost.url)
        ids = begun(lost.url)
        lost.kill()
        for role in roles:
            role.kill()
        restored = RedisServer("redis")
        shutil.copytree(lost.folder / "appendonlydir", restored.folder / "appendonlydir")
    with restored:
        run_roles(command, restored.url)
        finish(restored.url, ids)


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_a_snapshot_is_not_read_by_a_server_that_expects_append_only_files(
    kind: Kind, tmp_path: Path, redis_server: RedisServer, valkey_server: RedisServer
) -> None:
    with RedisServer(kind) as server, redis.Redis.from_url(server.url) as client:
        client.set("orc:{orc.c}:x", "1")
        client.save()
        shutil.copy(server.folder / "dump.rdb", tmp_path / "dump.rdb")
    restored = RedisServer(kind)
    shutil.copy(tmp_path / "dump.rdb", restored.folder / "dump.rdb")
    with restored, redis.Redis.from_url(restored.url) as client:
        assert client.dbsize() == 0, "the page on backups warns of what is no longer so"
