"""The example on RQ, with real processes: its jobs are steps of a workflow, and workers are killed in mid-job.

RQ gives a silent worker more than a minute. Here RQ's registry is told that the minute has passed; ``make rq`` waits for
real, also with the oldest RQ that works.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from redis import Redis
from rq.registry import StartedJobRegistry

from examples.rq_project import shop_jobs
from orchestrator import Client
from orchestrator.client.handles import WorkflowHandle
from orchestrator.model.execution import Task
from orchestrator.model.wire import workflow_def_from_dict
from tests.support.eventually import eventually
from tests.support.rq_project import RqProject, kill_group

EXAMPLE = Path(shop_jobs.__file__).parent
ROOT = EXAMPLE.parents[1]
PATIENT = "RQ_VERSION" in os.environ


class Shop:
    """The project with a worker, and a decider that follows its jobs."""

    def __init__(self, project: RqProject) -> None:
        self.project = project
        chosen = {"ORCHESTRATOR_REDIS_URL": project.url, "ORCHESTRATOR_RQ_QUEUES": "default"}
        paths = os.pathsep.join(str(ROOT / folder) for folder in ("", "workers", "cli"))
        self._environment = {**os.environ, **chosen, "PYTHONPATH": paths, "ORCHESTRATOR_LEASE_MS": "2000"}
        self._log = (project.folder / "decider.log").open("ab")
        self.decider = self.start_decider()
        self.client = Client(project.url)
        definition = yaml.safe_load((EXAMPLE / "fulfil.yaml").read_text())
        self.client.register(workflow_def_from_dict(definition))

    def start_decider(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "orchestrator_cli.main", "decider"]
        return subprocess.Popen(
            command, env=self._environment, stdout=self._log, stderr=self._log, start_new_session=True
        )

    def order(self, order: str, seconds: float, cents: int = 1250) -> WorkflowHandle:
        return self.client.start_workflow("fulfil", order=order, cents=cents, seconds=seconds)

    def begun(self) -> list[str]:
        """The parcels whose packing was begun, as often as it was."""
        notes = self.project.folder / "packing.log"
        return notes.read_text().split() if notes.exists() else []

    def forget_workers(self, redis: Redis) -> None:
        """Tell RQ's registry that the time it gives a silent worker has passed."""
        registry = StartedJobRegistry("default", connection=redis)
        for running in registry.get_job_and_execution_ids(cleanup=False):
            redis.zadd(registry.key, {":".join(running): 1})
        redis.delete(*redis.keys("rq:execution:*"))

    def close(self) -> None:
        self.client.close()
        kill_group(self.decider)
        self._log.close()


@pytest.fixture
def shop(redis_url: str) -> Iterator[Shop]:
    version = os.environ.get("RQ_VERSION")
    with tempfile.TemporaryDirectory() as folder:
        code = (EXAMPLE / "shop_jobs.py").read_text()
        with RqProject(Path(folder), code, redis_url, name="shop_jobs", installs=version) as project:
            shop = Shop(project)
            yield shop
            shop.close()


@pytest.mark.timeout(400 if PATIENT else 60)
def test_the_jobs_of_a_project_become_a_workflow_that_survives_kills(shop: Shop) -> None:
    assert not shop.project.knows("orchestrator")
    worker = shop.project.start_worker()
    assert shop.order("A-1", 0).result(timeout_s=30) == {"receipt": "R-A-1", "parcel": "parcel A-1"}

    # The worker is killed, its work-horse lives: the job goes on.
    survived = shop.order("A-2", 2)
    eventually(lambda: "A-2" in shop.begun(), timeout_s=30)
    os.kill(worker.pid, signal.SIGKILL)
    assert survived.result(timeout_s=30)["parcel"] == "parcel A-2"
    assert shop.begun().count("A-2") == 1

    # Both are killed, and the decider with its bridge as well: the attempt is lost, the next one packs.
    worker = shop.project.start_worker()
    lost = shop.order("A-3", 600)
    eventually(lambda: "A-3" in shop.begun(), timeout_s=30)
    kill_group(worker)
    kill_group(shop.decider)
    with Redis.from_url(shop.project.url) as redis:
        if not PATIENT:
            shop.forget_workers(redis)
        shop.decider = shop.start_decider()
        eventually(lambda: len(attempts(lost)) == 2, timeout_s=200 if PATIENT else 30)
        first, second = attempts(lost)
        assert first.status == "FAILED"
        assert "is lost" in (first.reason_for_incompletion or "")
        shop.project.start_worker()
        eventually(lambda: shop.begun().count("A-3") == 2, timeout_s=30)
        assert redis.hget(f"rq:job:orc-{first.task_id}", "status") == b"canceled"

        # An operator ends it: the running job is stopped.
        lost.terminate("no longer wanted")
        eventually(lambda: redis.hget(f"rq:job:orc-{second.task_id}", "status") == b"stopped", timeout_s=30)
    assert shop.order("A-4", 0).result(timeout_s=30)["parcel"] == "parcel A-4"
    failed = shop.order("A-5", 0, cents=100_001)
    eventually(lambda: failed.status() == "FAILED", timeout_s=30)
    assert "ValueError: 100001 cents" in (failed.describe().reason_for_incompletion or "")


def attempts(handle: WorkflowHandle) -> list[Task]:
    """The attempts of packing."""
    return [task for task in handle.describe().tasks if task.reference_task_name == "pack"]
