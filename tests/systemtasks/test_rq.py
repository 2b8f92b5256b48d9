"""RQ tasks: an unmodified function, run by RQ's own worker without a package of ours, ends the task as RQ's record says."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job, JobStatus
from rq.registry import StartedJobRegistry

from orchestrator import testing
from orchestrator.clock import SystemClock
from orchestrator.context import TaskContext
from orchestrator.errors import SettingsInvalid, StoreUnavailable, Unauthorized
from orchestrator.model.definitions import TaskDef
from orchestrator.model.execution import Task
from orchestrator.plan import Command, Plan
from orchestrator.service import rq_jobs
from orchestrator.service.tasks import logs
from orchestrator.settings import Settings
from orchestrator.store.foreign import client_for_library
from orchestrator.systemtasks.context import Resources
from orchestrator.systemtasks.rq import BadRequest, read_request, serializers
from orchestrator.systemtasks.rq_bridge import RqBridge
from orchestrator.systemtasks.rq_jobs import PlainPickle, RqJobs
from tests.support.build import step, workflow_def
from tests.support.eventually import eventually
from tests.support.rq_project import RqProject, kill_group
from tests.systemtasks.peer import Peer, answer

CODE = """
import datetime, os, pathlib, signal, time, uuid
from rq import Retry, get_current_job

def add(a, b=0):
    return {"sum": a + b}

def plain():
    return [1, "x", uuid.UUID(int=7), datetime.date(2026, 1, 2)]

def nothing():
    return None

def boom():
    raise ValueError("no such card")

class Own:
    pass

def own():
    return Own()

def evil():
    return Evil()

class Evil:
    def __reduce__(self):
        return (os.system, ("touch evil",))

def horse_dies():
    os.kill(os.getpid(), signal.SIGKILL)

def too_long():
    time.sleep(30)

def at_second():
    with open("tries", "a") as tries:
        tries.write("x")
    if pathlib.Path("tries").stat().st_size < 2:
        raise RuntimeError("not yet")
    return {"tries": pathlib.Path("tries").stat().st_size}

def asks_for_more():
    return Retry(max=1)

def known():
    return get_current_job().meta["orchestrator"]

def hang():
    pathlib.Path("begun").write_text(str(os.getpid()))
    time.sleep(60)
"""


class Clock(SystemClock):
    """The machine's, moved on by ``shift_s``: what RQ's registries are judged by."""

    shift_s = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.shift_s * 1000


class Stage:
    """An installation in this process beside a real RQ; time is at the test's command."""

    def __init__(self, project: RqProject, **settings: Any) -> None:
        self.project = project
        defaults = {"rq_url": project.url, "rq_queues": "default,plain=json"}
        chosen = Settings(partitions=1, **{**defaults, **settings})
        self.env = testing.environment(allow_http=True, settings=chosen)
        self.redis = Redis.from_url(project.url)
        self.clock = Clock()

    def begin(self, function: str, *args: Any, attempts: int = 1, **request: Any) -> str:
        """Start a workflow of one RQ task; gives its id."""
        if attempts > 1:
            self.env.client.register(TaskDef(name="call", retry_count=attempts - 1, retry_delay_seconds=0))
        given = {"function": f"jobs.{function}", "args": list(args), **request}
        handle = self.env.client.start_workflow(workflow_def(step("RQ", "call", {"rq_request": given})))
        self.env.drain()
        return handle.id

    def look(self) -> None:
        """The bridge looks at all jobs, as it does every five seconds."""

        async def run(plan: Plan[Any]) -> Any:
            return self.env.run(plan)

        async def turn() -> None:
            async with Resources(self.env.store, run) as shared:
                await RqBridge(shared, self.clock).turn()

        self.env.clock.advance(6)
        asyncio.run(turn())
        self.env.drain()

    def tasks(self, workflow_id: str) -> list[Task]:
        return self.env.client.workflow(workflow_id).describe().tasks

    def task(self, workflow_id: str) -> Task:
        return self.tasks(workflow_id)[-1]

    def job(self, workflow_id: str) -> Job:
        """The job of the last attempt."""
        return Job.fetch(f"orc-{self.task(workflow_id).task_id}", connection=self.redis, serializer=PlainPickle)

    def outstanding(self) -> int:
        found: int = self.env.connection.sync().do(Command(("HLEN", self.env.store.keys.rq_jobs())))
        return found


@pytest.fixture
def project(tmp_path: Path, redis_url: str) -> Iterator[RqProject]:
    with RqProject(tmp_path, CODE, redis_url) as project:
        yield project


@pytest.fixture
def stage(project: RqProject) -> Iterator[Stage]:
    stage = Stage(project)
    with stage.env:
        yield stage
    stage.redis.close()


def test_what_an_unmodified_function_returns_is_the_output(stage: Stage) -> None:
    assert not stage.project.knows("orchestrator")
    assert stage.project.knows("rq")
    calls = {
        stage.begin("add", 2, kwargs={"b": 3}): {"sum": 5},
        stage.begin("plain"): {"result": [1, "x", "00000000-0000-0000-0000-000000000007", "2026-01-02"]},
        stage.begin("nothing"): {},
    }
    workflow_id = stage.begin("known")
    task = stage.task(workflow_id)
    assert (task.status, task.output_data) == ("IN_PROGRESS", {"jobId": f"orc-{task.task_id}", "queue": "default"})
    stage.project.work_off()
    stage.look()
    assert {one: stage.task(one).output_data for one in calls} == calls
    assert stage.task(workflow_id).output_data["task_id"] == task.task_id
    assert (stage.task(workflow_id).worker_id or "").startswith("rq-")
    assert {str(stage.task(one).status) for one in (*calls, workflow_id)} == {"COMPLETED"}
    assert stage.outstanding() == 0


FAILURES: dict[str, tuple[dict[str, Any], str, str]] = {
    "boom": ({}, "ValueError: no such card", "in boom"),
    "horse_dies": ({}, "Work-horse terminated unexpectedly", ""),
    "too_long": ({"timeout": 1}, "JobTimeoutException: Task exceeded maximum timeout value (1 seconds)", "in too_long"),
    "absent": ({}, "Invalid attribute name: absent", "Traceback"),
    "asks_for_more": ({}, "the retries that the function asked RQ for are used up", ""),
}


def test_a_job_that_failed_fails_its_attempt_with_the_reason(stage: Stage) -> None:
    begun = {name: stage.begin(name, **request) for name, (request, _, _) in FAILURES.items()}
    stage.project.work_off(options=("--job-monitoring-interval", "1"))
    stage.look()
    for name, (_, reason, log) in FAILURES.items():
        task = stage.task(begun[name])
        assert task.status == "FAILED"
        assert reason in (task.reason_for_incompletion or ""), name
        assert log in "".join(line.log for line in stage.env.run(logs(stage.env.store, task.task_id)))


def test_what_is_more_than_plain_values_is_never_made_here(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun = [stage.begin("own"), stage.begin("evil")]
    stage.project.work_off()
    monkeypatch.chdir(tmp_path)
    stage.look()
    for workflow_id in begun:
        task = stage.task(workflow_id)
        assert task.status == "FAILED_WITH_TERMINAL_ERROR"
        assert "only what JSON can say is read" in (task.reason_for_incompletion or "")
    assert not (tmp_path / "evil").exists()


def test_plain_values_are_read_and_nothing_that_calls_is() -> None:
    assert PlainPickle.loads(pickle.dumps({"a": (1, 2.5, None, b"x")})) == {"a": (1, 2.5, None, b"x")}
    with pytest.raises(pickle.UnpicklingError, match=r"pathlib.*only what JSON can say"):
        PlainPickle.loads(pickle.dumps(Path("x")))


def test_rq_s_own_retries_happen_within_one_attempt(stage: Stage) -> None:
    workflow_id = stage.begin("at_second", retries=2)
    stage.project.work_off()
    stage.look()
    assert [(str(one.status), one.output_data) for one in stage.tasks(workflow_id)] == [("COMPLETED", {"tries": 2})]


def test_a_queue_with_rq_s_json_serializer_is_spoken_to_in_json(stage: Stage) -> None:
    workflow_id = stage.begin("add", 1, queue="plain")
    stage.project.work_off("plain", options=("--serializer", "json"))
    stage.look()
    assert stage.task(workflow_id).output_data == {"sum": 1}


def test_a_worker_killed_in_mid_job_is_a_lost_attempt_and_the_next_one_runs(stage: Stage) -> None:
    workflow_id = stage.begin("hang", attempts=2)
    first = stage.task(workflow_id).task_id
    worker = stage.project.start_worker()
    stage.project.wait_for("begun")
    kill_group(worker)
    stage.look()
    assert stage.task(workflow_id).status == "IN_PROGRESS", "RQ gives a silent worker more than a minute"
    stage.clock.shift_s = 3_600
    stage.redis.delete(*stage.redis.keys("rq:execution:*"))  # they end by themselves meanwhile
    stage.look()
    lost, again = stage.tasks(workflow_id)
    assert (lost.task_id, lost.status) == (first, "FAILED")
    assert "is lost" in (lost.reason_for_incompletion or "")
    assert Job.fetch(f"orc-{first}", connection=stage.redis).get_status() == JobStatus.CANCELED
    assert StartedJobRegistry("default", connection=stage.redis).get_job_ids(cleanup=False) == []
    assert again.status == "IN_PROGRESS"
    assert Queue("default", connection=stage.redis).get_job_ids() == [f"orc-{again.task_id}"]


def test_a_job_that_a_dead_worker_took_without_beginning_it_is_lost_after_a_minute(stage: Stage) -> None:
    workflow_id = stage.begin("add", 1)
    queue = Queue("default", connection=stage.redis)
    job_id = f"orc-{stage.task(workflow_id).task_id}"
    stage.redis.lmove(queue.key, queue.intermediate_queue_key, "LEFT", "RIGHT")
    stage.look()
    assert stage.task(workflow_id).status == "IN_PROGRESS"
    stage.redis.set(queue.intermediate_queue.get_first_seen_key(job_id), "1000000000")
    stage.look()
    assert "is lost" in (stage.task(workflow_id).reason_for_incompletion or "")
    assert queue.intermediate_queue.get_job_ids() == []


def test_a_job_whose_record_is_gone_fails_its_attempt(stage: Stage) -> None:
    workflow_id = stage.begin("add", 1)
    stage.job(workflow_id).delete()
    stage.look()
    assert stage.task(workflow_id).status == "FAILED"
    assert "no longer knows the job" in (stage.task(workflow_id).reason_for_incompletion or "")


def test_a_result_that_is_gone_fails_its_attempt(stage: Stage) -> None:
    workflow_id = stage.begin("add", 1)
    stage.project.work_off()
    stage.redis.delete(f"rq:results:orc-{stage.task(workflow_id).task_id}")
    stage.look()
    assert "its result is gone" in (stage.task(workflow_id).reason_for_incompletion or "")


def test_a_job_cancelled_at_rq_ends_the_task_for_good(stage: Stage) -> None:
    workflow_id = stage.begin("add", 1, attempts=4)
    stage.job(workflow_id).cancel()
    stage.look()
    (task,) = stage.tasks(workflow_id)
    assert task.status == "FAILED_WITH_TERMINAL_ERROR"
    assert "canceled at RQ" in (task.reason_for_incompletion or "")


@pytest.mark.parametrize("status", ["scheduled", "deferred", "started", "of_a_later_rq"])
def test_a_job_that_waits_at_rq_is_waited_for(stage: Stage, status: str) -> None:
    workflow_id = stage.begin("add", 1)
    stage.redis.hset(stage.job(workflow_id).key, "status", status)
    stage.look()
    assert stage.task(workflow_id).status == "IN_PROGRESS"
    assert stage.outstanding() == 1


def test_a_terminated_workflow_takes_back_a_job_that_waits(stage: Stage) -> None:
    workflow_id = stage.begin("add", 1)
    stage.env.client.workflow(workflow_id).terminate()
    stage.look()
    assert stage.job(workflow_id).get_status() == JobStatus.CANCELED
    assert Queue("default", connection=stage.redis).get_job_ids() == []
    stage.look()
    assert stage.outstanding() == 0


def test_a_task_that_timed_out_has_its_running_job_stopped(stage: Stage) -> None:
    stage.env.client.register(TaskDef(name="call", timeout_seconds=60, response_timeout_seconds=30))
    workflow_id = stage.begin("hang")
    stage.project.start_worker()
    stage.project.wait_for("begun")
    stage.env.clock.advance(61)
    stage.env.drain()
    assert stage.tasks(workflow_id)[0].status == "TIMED_OUT"
    stage.look()
    eventually(lambda: stage.job(workflow_id).get_status() == JobStatus.STOPPED, timeout_s=20)
    stage.look()
    assert stage.outstanding() == 0


def test_a_delivery_after_a_crash_enqueues_no_second_job(stage: Stage) -> None:
    workflow_id = stage.begin("add", 1)
    task = stage.task(workflow_id)
    again = {"function": "jobs.add", "args": [99]}
    context = TaskContext(task.task_id, workflow_id, "w", "call", "RQ", attempt=0, delivery=2)
    RqJobs(stage.env.settings).enqueue(context, read_request({"rq_request": again}, stage.env.settings))
    assert Queue("default", connection=stage.redis).get_job_ids() == [f"orc-{task.task_id}"]
    stage.project.work_off()
    stage.look()
    assert stage.task(workflow_id).output_data == {"sum": 1}


def test_a_job_that_is_not_enqueued_yet_is_not_taken_for_a_vanished_one(stage: Stage) -> None:
    workflow_id = stage.begin("add", 1)
    task_id = stage.task(workflow_id).task_id
    stage.job(workflow_id).delete()
    keys = stage.env.store.keys
    suffix = task_id[-12:]
    running = Command(("HSET", keys.dispatch(0, workflow_id), suffix, "R 1 1 1 1 0 0 w call"))
    stage.env.connection.sync().do(running)
    stage.look()
    assert stage.outstanding() == 1
    assert stage.task(workflow_id).status == "IN_PROGRESS"


def test_an_id_that_rq_would_not_take_is_replaced_by_one_that_follows_from_it(stage: Stage) -> None:
    given = {"function": "jobs.add", "args": [4]}
    client = stage.env.client.with_options(workflow_id="order/7:ada")
    client.start_workflow(workflow_def(step("RQ", "call", {"rq_request": given})))
    stage.env.drain()
    stage.project.work_off()
    stage.look()
    assert stage.task("order/7:ada").output_data == {"sum": 4}


def test_a_redis_of_rq_that_is_away_is_waited_for(stage: Stage) -> None:
    away = Stage(stage.project, rq_url="redis://127.0.0.1:1/0")
    with away.env:
        workflow_id = away.begin("add", 1)
        assert away.task(workflow_id).status == "SCHEDULED"
        assert away.outstanding() == 1
        with pytest.raises(StoreUnavailable, match="the Redis of RQ is not available"):
            away.look()


def test_rq_s_worker_posts_the_proof_when_the_job_has_ended_and_a_deaf_address_harms_nothing(
    project: RqProject,
) -> None:
    with Peer({}) as peer:
        told = Stage(project, webhook_secret="s", rq_webhook_url=f"http://127.0.0.1:{peer.port}/api/")
        with told.env:
            begun = {told.begin("add", 1): "finished", told.begin("boom"): "failed"}
            paths = {f"/api/rq/{told.task(one).task_id}": told.task(one).task_id for one in begun}
            first, second = paths
            peer.behaviours |= {first: answer(), second: answer(b"", "500 Internal Server Error")}
            project.work_off()
            assert {asked.path for asked in peer.asked} == set(paths)
            for asked in peer.asked:
                assert asked.method == "POST"
                told.env.run(rq_jobs.hurry(told.env.store, paths[asked.path], asked.headers[rq_jobs.PROOF_HEADER]))
            told.look()
            assert [str(told.task(one).status) for one in begun] == ["COMPLETED", "FAILED"]


def test_the_webhook_s_proof_brings_a_look_and_a_forged_one_none(stage: Stage) -> None:
    told = Stage(stage.project, webhook_secret="s", rq_webhook_url="http://127.0.0.1:1/api")
    with told.env:
        workflow_id = told.begin("add", 1)
        task_id = told.task(workflow_id).task_id
        finished, failed = told.job(workflow_id).webhooks
        assert (finished.url, failed.job_status) == (f"http://127.0.0.1:1/api/rq/{task_id}", "failed")
        proof = (finished.headers or {})[rq_jobs.PROOF_HEADER]
        due = Command(("ZSCORE", told.env.store.keys.rq_due(), task_id))
        before = told.env.connection.sync().do(due)
        for forged in ("", "0" * 64, rq_jobs.proof_of(told.env.settings, "another") or ""):
            with pytest.raises(Unauthorized, match="does not prove"):
                told.env.run(rq_jobs.hurry(told.env.store, task_id, forged))
        assert told.env.connection.sync().do(due) == before
        for _ in range(2):  # the second is a replay
            told.env.run(rq_jobs.hurry(told.env.store, task_id, proof))
        assert told.env.connection.sync().do(due) == b"0"
        told.project.work_off()
        told.look()
        told.env.run(rq_jobs.hurry(told.env.store, task_id, proof))  # it is over: nothing comes of it
        assert told.outstanding() == told.env.connection.sync().do(Command(("ZCARD", told.env.store.keys.rq_due())))
        assert told.task(workflow_id).output_data == {"sum": 1}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("text", "Missing rq_request"),
        ({}, "must be the import path"),
        ({"function": "add"}, "must be the import path"),
        ({"function": "a.b", "args": {}, "kwargs": []}, None),
        ({"function": "a.b", "args": "x"}, "args must be a list"),
        ({"function": "a.b", "kwargs": [1]}, "kwargs an object"),
        ({"function": "a.b", "queue": "secret"}, "name it in the setting rq_queues"),
        ({"function": "a.b", "timeout": 0}, "timeout must be seconds from 1 on"),
        ({"function": "a.b", "timeout": "soon"}, "rq_request.timeout must be a whole number"),
        ({"function": "a.b", "retries": -1}, "rq_request.retries must be a whole number"),
        ({"function": "a.b", "retryIntervals": ["x"]}, "rq_request.retryIntervals must be"),
    ],
)
def test_what_cannot_be_called_is_refused_with_the_reason(given: Any, reason: str | None) -> None:
    settings = Settings(rq_queues="default")
    if reason is None:
        assert read_request({"rq_request": given}, settings).args == []
        return
    with pytest.raises(BadRequest, match=reason):
        read_request({"rq_request": given}, settings)


def test_without_the_setting_no_queue_may_be_used() -> None:
    assert serializers(Settings()) == {}
    assert serializers(Settings(rq_queues="default, reports=json,old=pickle")) == {
        "default": "pickle",
        "reports": "json",
        "old": "pickle",
    }
    assert (
        read_request({"rq_request": {"function": "a.b", "timeout": -1}}, Settings(rq_queues="default")).timeout_s == -1
    )


def test_a_cluster_cannot_be_rq_s_redis() -> None:
    with pytest.raises(SettingsInvalid, match="rq_url: it must be one server"):
        client_for_library("redis+cluster://a:1,b:2", "rq_url")
