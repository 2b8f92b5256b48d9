"""Metrics and probes: what deciders, workers and servers count, and ports that say whether a process is of use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator import AsyncClient, RetryPolicy, Workflow, task
from orchestrator.api import create_app
from orchestrator.errors import InvalidRequest
from orchestrator.metrics import (
    LABELS_MAX,
    DeciderMetrics,
    ProbePort,
    ServerMetrics,
    WorkerMetrics,
    families,
    text_of,
)
from orchestrator.model.definitions import TaskDef
from orchestrator.service import dispatch, operations
from orchestrator.service.dispatch import Want
from orchestrator.service.operations import Diagnosis
from orchestrator.store.queue_values import DomainStats, Limits, QueueStats
from orchestrator.testing import environment
from tests.api.conftest import caller_of
from tests.cli.conftest import Command, command
from tests.support.build import noop, step, workflow_def
from tests.support.eventually import eventually

__all__ = ["command"]


def samples(text: str) -> dict[str, float]:
    """Every sample by its name and labels."""
    return {
        f"{one.name}{sorted(one.labels.items()) if one.labels else ''}": one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


# --- what is counted ----------------------------------------------------------------------------------------------------


def test_a_decider_counts_starts_ends_attempts_and_retries() -> None:
    failures = iter([True, False])

    @task(name="charge", retry=RetryPolicy(limit=1, delay_s=1))
    def charge() -> None:
        if next(failures):
            raise ValueError("no")

    metrics = DeciderMetrics()
    with environment([charge]) as env:
        env._decider.witness = metrics
        env.client.register(
            charge, workflow_def(step("SIMPLE", "charge"), name="flow"), workflow_def(noop("a"), name="other")
        )
        env.client.start_workflow("flow").result()
        env.client.start_workflow("other").result()
    found = samples(text_of(metrics.registry))
    assert found["orchestrator_workflow_started_total[('workflow', 'flow')]"] == 1
    assert found["orchestrator_workflow_completed_total[('status', 'COMPLETED'), ('workflow', 'flow')]"] == 1
    assert found["orchestrator_workflow_completed_total[('status', 'COMPLETED'), ('workflow', 'other')]"] == 1
    assert found["orchestrator_workflow_duration_seconds_sum[('workflow', 'flow')]"] >= 1
    assert found["orchestrator_task_scheduled_total"] == 3
    assert found["orchestrator_task_retries_total"] == 1
    assert found["orchestrator_task_schedule_to_start_seconds_count[('task_type', 'charge')]"] == 2
    assert found["orchestrator_task_schedule_to_start_seconds_sum[('task_type', 'charge')]"] < 1
    assert found["orchestrator_decider_batch_size_count"] >= 4
    assert found["orchestrator_decider_batch_size_sum"] == 4
    assert found["orchestrator_repair_actions_total[('kind', 'task_offered_again')]"] == 0


def test_a_decider_tells_how_late_its_timers_are() -> None:
    metrics = DeciderMetrics()
    with environment() as env:
        env._decider.witness = metrics
        env.client.start_workflow(Workflow("naps").wait(for_s=30))
        env.drain()
        env.clock.advance(37)
        env.drain()
    found = samples(text_of(metrics.registry))
    assert found["orchestrator_timer_lag_seconds_count"] == 1
    assert 6 < found["orchestrator_timer_lag_seconds_sum"] < 8


def test_a_task_that_had_to_be_offered_again_is_told_of() -> None:
    metrics = DeciderMetrics()
    metrics.repaired("task_offered_again", 3)
    assert samples(text_of(metrics.registry))["orchestrator_repair_actions_total[('kind', 'task_offered_again')]"] == 3


def test_a_worker_counts_how_long_tasks_run_and_which_it_lost() -> None:
    metrics = WorkerMetrics(20)
    metrics.observe("started", {"task_id": "a", "task_type": "charge"})
    metrics.observe("started", {"task_id": "b", "task_type": "charge"})
    metrics.observe("finished", {"task_id": "a", "task_type": "charge", "status": "COMPLETED"})
    metrics.observe("finished", {"task_id": "never begun", "task_type": "charge", "status": "FAILED"})
    metrics.observe("lease_lost", {"task_id": "b"})
    found = samples(text_of(metrics.registry))
    assert found["orchestrator_task_execute_seconds_count[('status', 'COMPLETED'), ('task_type', 'charge')]"] == 1
    assert found["orchestrator_worker_slots[('state', 'running')]"] == 1
    assert found["orchestrator_worker_slots[('state', 'free')]"] == 19
    assert found["orchestrator_lease_lost_total"] == 1


def test_made_up_names_end_as_other() -> None:
    metrics = WorkerMetrics(20)
    for number in range(LABELS_MAX + 50):
        fields: dict[str, Any] = {"task_id": str(number), "task_type": f"t{number}", "status": "COMPLETED"}
        metrics.observe("started", fields)
        metrics.observe("finished", fields)
    found = samples(text_of(metrics.registry))
    labels = [name for name in found if name.startswith("orchestrator_task_execute_seconds_count")]
    assert len(labels) == LABELS_MAX + 1
    assert found["orchestrator_task_execute_seconds_count[('status', 'COMPLETED'), ('task_type', 'other')]"] == 50


async def test_a_server_tells_of_its_requests_and_of_the_installation(fakeredis_url: str) -> None:
    async with AsyncClient(fakeredis_url) as client:
        await client.enqueue("charge", card="1")
        async with caller_of(create_app(client)) as http:
            await http.get("/metadata/taskdefs/none")
            page = await http.get("/metrics")
            again = await http.get("/actuator/prometheus")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples(page.text)
    request = "[('method', 'GET'), ('route', '/metadata/taskdefs/{name}'), ('status', '404')]"
    assert found[f"orchestrator_http_requests_total{request}"] == 1
    assert found["orchestrator_partitions_unowned"] == 16
    assert found["orchestrator_deciders"] == 0
    assert found["orchestrator_inbox_events"] == 1
    assert found["orchestrator_decider_lag_seconds"] >= 0
    assert "orchestrator_http_requests_total" in again.text


def test_what_waits_in_queues_is_told_by_task_type() -> None:
    with environment() as env:
        env.client.enqueue("charge", card="1")
        env.client.enqueue("charge", card="2")
        found = samples(env.client.run(ServerMetrics().page(env.store)))
    assert found["orchestrator_task_queue_depth[('state', 'ready'), ('task_type', 'charge')]"] == 2
    assert found["orchestrator_task_admissible_backlog[('task_type', 'charge')]"] == 2
    assert found["orchestrator_limit_in_use[('task_type', 'charge')]"] == 0


def test_a_queue_tells_how_long_its_next_task_waits_and_what_its_limit_holds_back() -> None:
    with environment() as env:
        env.client.register(TaskDef(name="charge", concurrent_exec_limit=1))
        for _ in range(3):
            env.client.enqueue("charge", card="1")
        env.run_until_quiet()
        env.clock.advance(5)
        env.run(dispatch.claim_tasks(env.store, [Want("charge", None, 3)], "somebody"))
        found = samples(env.client.run(ServerMetrics().page(env.store)))
    assert found["orchestrator_task_admissible_backlog[('task_type', 'charge')]"] == 0, "more workers would not help"
    assert found["orchestrator_limit_in_use[('task_type', 'charge')]"] == 1
    assert found["orchestrator_limit_waiting[('task_type', 'charge')]"] == 2
    assert 5 <= found["orchestrator_task_queue_oldest_seconds[('task_type', 'charge')]"] < 6


@pytest.mark.parametrize(
    ("limits", "others", "expected"),
    [
        (None, {}, 100),
        (Limits(1), {}, 100),
        (Limits(1, concurrency=20), {"leased": 5, "held": 3}, 12),
        (Limits(1, concurrency=20), {"leased": 25}, 0),  # the limit was lowered under running tasks
        (Limits(1, rate=2, window_ms=1_000), {"spent": 2}, 58),  # twice a second, for 30 s
        (Limits(1, rate=40, window_ms=3_600_000), {"spent": 30}, 10),
        (Limits(1, concurrency=9, rate=40, window_ms=3_600_000), {"spent": 30}, 9),
        (None, {"is_paused": True}, 0),
    ],
)
def test_the_admissible_backlog_is_what_more_workers_could_do(
    limits: Limits | None, others: dict[str, Any], expected: int
) -> None:
    idle = {"delayed": 7, "leased": 0, "held": 0, "spent": 0, "granted": 0, "expired": 0, "is_paused": False}
    waits = {"limited_since_ms": None, "limited_ms": 0, "domains": {None: DomainStats(100, 0, None)}}
    stats = QueueStats(**{"now_ms": 0, "limits": limits, **idle, **waits, **others})
    assert stats.admissible(30_000) == expected


NAMES = {
    "decider": """workflow_started_total workflow_completed_total workflow_duration_seconds task_schedule_to_start_seconds
        task_scheduled_total task_retries_total decider_batch_size timer_lag_seconds repair_actions_total""",
    "worker": "task_execute_seconds worker_slots lease_lost_total",
    "server": """http_requests_total http_request_seconds task_queue_depth task_queue_oldest_seconds decider_lag_seconds
        task_admissible_backlog lease_expired_total limit_in_use limit_waiting inbox_events outbox_entries timers dead_letters
        quarantined_workflows deciders partitions_unowned redis_rtt_seconds redis_memory_bytes""",
}
"""What dashboards and alerts are written against: a name that goes breaks them, so it must be taken off here too."""


def registered(role: str) -> str:
    """The page of a role that has done nothing yet."""
    if role == "decider":
        return text_of(DeciderMetrics().registry)
    if role == "worker":
        return text_of(WorkerMetrics(1).registry)
    server = operations.Server("Redis", "7", "noeviction", True, 1, 1)
    now = Diagnosis(server, 1.0, 16, [], [], [])
    return text_of(ServerMetrics().registry) + "".join(f"{one.name} {one.type}\n" for one in families(now, {}))


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, names in NAMES.items() for name in names.split()])
def test_every_name_is_there_from_the_beginning(role: str, name: str) -> None:
    assert f"orchestrator_{name.removesuffix('_total')}" in registered(role).replace("_total", "")


@pytest.mark.parametrize("name", sorted({name for names in NAMES.values() for name in names.split()}))
def test_the_page_on_metrics_has_every_name(name: str) -> None:
    assert f"`{name}`" in (Path(__file__).parents[1] / "docs" / "metrics.md").read_text("utf-8")


# --- probes -------------------------------------------------------------------------------------------------------------


async def test_a_server_says_that_it_is_alive_and_whether_it_is_of_use(http: httpx2.AsyncClient) -> None:
    for path in ("/livez", "/readyz", "/startupz", "/health"):
        assert (await http.get(path)).status_code == 200
    assert (await http.get("/actuator/health")).json() == {"status": "UP"}


@pytest.fixture
async def http(fakeredis_url: str) -> Any:
    """A caller of an app on an empty store."""
    async with AsyncClient(fakeredis_url) as client, caller_of(create_app(client)) as http:
        yield http


async def test_without_a_store_it_is_alive_and_of_no_use() -> None:
    app = create_app("redis://127.0.0.1:1/0")
    async with app.router.lifespan_context(app), caller_of(app) as http:
        assert (await http.get("/livez")).status_code == 200
        assert (await http.get("/readyz")).status_code == 503
        down = await http.get("/actuator/health")
        assert (down.status_code, down.json()) == (503, {"status": "DOWN"})


def test_the_small_port_tells_what_its_process_knows() -> None:
    alive = [True]
    with ProbePort("127.0.0.1", 0, DeciderMetrics().registry, lambda: alive[0]) as probes:
        url = f"http://127.0.0.1:{probes.port}"
        assert [httpx2.get(f"{url}/{name}").status_code for name in ("livez", "readyz", "startupz")] == [200, 503, 503]
        probes.is_ready, alive[0] = True, False
        assert [httpx2.get(f"{url}/{name}").status_code for name in ("livez", "readyz", "startupz")] == [503, 200, 200]
        assert "orchestrator_task_scheduled_total" in httpx2.get(f"{url}/metrics").text
        assert httpx2.get(f"{url}/secrets").status_code == 404
        with pytest.raises(InvalidRequest, match="metrics cannot be served"):
            ProbePort("127.0.0.1", probes.port, DeciderMetrics().registry, lambda: True)


def test_a_decider_process_serves_its_metrics_and_probes(command: Command, redis_url: str, unused_port: int) -> None:
    command("--redis", redis_url, "decider", "--no-system-tasks", "--metrics-port", str(unused_port))
    url = f"http://127.0.0.1:{unused_port}"
    retried = (AssertionError, httpx2.TransportError)
    eventually(lambda: httpx2.get(f"{url}/readyz").status_code == 200, timeout_s=20, retry_on=retried)
    assert httpx2.get(f"{url}/livez").status_code == 200
    assert "orchestrator_workflow_started_total" in httpx2.get(f"{url}/metrics").text


def test_a_worker_process_serves_its_metrics_and_probes(
    command: Command, redis_url: str, unused_port: int, tmp_path: Any
) -> None:
    (tmp_path / "mine.py").write_text("from orchestrator import task\n\n@task\ndef charge():\n    return 1\n")
    command("--redis", redis_url, "worker", "mine.py", "--metrics-port", str(unused_port))
    url = f"http://127.0.0.1:{unused_port}"
    retried = (AssertionError, httpx2.TransportError)
    eventually(lambda: httpx2.get(f"{url}/readyz").status_code == 200, timeout_s=20, retry_on=retried)
    assert httpx2.get(f"{url}/livez").status_code == 200
    assert "orchestrator_worker_slots" in httpx2.get(f"{url}/metrics").text


def test_a_system_task_process_serves_its_metrics_and_probes(
    command: Command, redis_url: str, unused_port: int
) -> None:
    command("--redis", redis_url, "system", "--concurrency", "7", "--only", "HTTP", "--metrics-port", str(unused_port))
    url = f"http://127.0.0.1:{unused_port}"
    retried = (AssertionError, httpx2.TransportError)
    eventually(lambda: httpx2.get(f"{url}/readyz").status_code == 200, timeout_s=20, retry_on=retried)
    assert httpx2.get(f"{url}/livez").status_code == 200
    assert samples(httpx2.get(f"{url}/metrics").text)["orchestrator_worker_slots[('state', 'free')]"] == 7


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens at."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
