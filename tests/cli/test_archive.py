"""The decider role archives: what has ended leaves Redis, and a decider that cannot see the archive does not start."""

from __future__ import annotations

from pathlib import Path

from orchestrator import Workflow
from orchestrator.client import Client
from orchestrator.service.workflows import get
from orchestrator.store.partition import load_workflow
from tests.cli.conftest import Command, finished
from tests.support.eventually import eventually


def is_in_redis(client: Client, workflow_id: str) -> bool:
    keys = client.store.keys
    return client.connection.sync().do(load_workflow(keys, keys.partition_of(workflow_id), workflow_id)) is not None


def test_a_decider_archives_and_another_host_is_refused(command: Command, redis_url: str, tmp_path: Path) -> None:
    archive = {"ORCHESTRATOR_ARCHIVE_URL": f"sqlite:///{tmp_path}/archive.db", "ORCHESTRATOR_ARCHIVE_AFTER_S": "0"}
    with Client(redis_url) as client:
        first = command("--redis", redis_url, "decider", "--no-system-tasks")
        done = client.start_workflow(Workflow("done").set(word="kept"))
        eventually(lambda: done.status() == "COMPLETED", timeout_s=20)
        first.terminate()
        assert finished(first)[0] == 0
        assert is_in_redis(client, done.id)

        second = command("--redis", redis_url, "decider", "--no-system-tasks", environment=archive)
        eventually(lambda: not is_in_redis(client, done.id), timeout_s=20)
        assert client.run(get(client.store, done.id)).variables == {"word": "kept"}
        assert client.search("workflowType=done", free_text="done").total == 1
        listed = finished(command("--redis", redis_url, "doctor"))[1]
        assert f"sqlite:///{tmp_path}/archive.db"[:20] in listed
        second.terminate()
        assert finished(second)[0] == 0

        (tmp_path / "archive.db").rename(tmp_path / "elsewhere.db")
        status, _, said = finished(command("--redis", redis_url, "decider", environment=archive))
        assert status != 0
        assert "pip install 'redis-orchestrator[postgres]'" in said
        assert not (tmp_path / "archive.db").exists()
