"""doctor: every finding has a fix, and only failures fail."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
import redis
from click.testing import CliRunner

import orchestrator
from orchestrator.api import create_app
from orchestrator.model.execution import PollData
from orchestrator.model.workers import WorkerInfo, WorkerState
from orchestrator.service.operations import Diagnosis, Partition, Quarantined, Server
from orchestrator.settings import Settings
from orchestrator.store.failures import translate
from orchestrator.store.partition import PartitionStats
from orchestrator.store.queue_values import DomainStats, Limits, QueueStats
from orchestrator_cli import findings, profiles
from orchestrator_cli.findings import Finding
from orchestrator_cli.main import root
from orchestrator_cli.session import Session
from tests.cli.conftest import Invoke
from tests.support.redis_server import RedisServer
from tests.support.served import Served

NOW_MS = 1_000_000_000
WELL = PartitionStats(NOW_MS, 0, 0, 0, 0, "d1", 1, NOW_MS + 9_000, 0, 0)
EMPTY = QueueStats(NOW_MS, 0, 0, 0, 0, 0, 0, None, False, None, 0, {None: DomainStats(3, 0, NOW_MS - 90_000)})
SERVER = Server("Redis", "7.2", "noeviction", True, 10, 100, "ok", 5, 100)


def shown(output: str) -> dict[str, dict[str, str]]:
    return {row["check"]: row for row in json.loads(output)}


def not_well(found: Iterable[Finding]) -> list[tuple[str, str]]:
    """What is not well, after a look that each says what to do and nothing else does."""
    listed = list(found)
    assert all(bool(one.fix) == (one.result != "ok") for one in listed), listed
    return [(one.check, one.result) for one in listed if one.result != "ok"]


def diagnosis(**changes: Any) -> Diagnosis:
    well = Diagnosis(SERVER, 0.1, 2, ["d1"], [Partition(0, WELL, True), Partition(1, WELL, True)], [])
    return well._replace(**changes)


# --- an installation --------------------------------------------------------------------------------------------------


def test_all_is_well_beside_an_engine(invoke: Invoke, engine: None) -> None:
    result = invoke("doctor", "-o", "json")
    assert result.exit_code == 0, result.stdout
    found = shown(result.stdout)
    assert found["deciders"]["result"] == "ok"
    assert found["redis"]["found"].endswith("(from --redis)")
    assert found["versions"]["found"].startswith("orchestrator ")
    assert all(row["fix"] for row in found.values() if row["result"] != "ok")


def test_a_server_says_how_the_installation_behind_it_is(engine: None, fakeredis_url: str) -> None:
    with Served(create_app(settings=Settings(redis_url=fakeredis_url))) as served:
        result = CliRunner().invoke(root, ["--server", served.url, "doctor", "-o", "json"])
    assert result.exit_code == 0, result.output
    found = shown(result.stdout)
    assert found["http"]["found"] == served.url
    assert found["deciders"]["result"] == "ok"
    assert "clock" not in found


def test_a_server_that_does_not_answer_is_a_finding() -> None:
    result = CliRunner().invoke(root, ["--server", "http://127.0.0.1:1", "doctor", "-o", "json"])
    assert result.exit_code == 1
    assert shown(result.stdout)["http"]["result"] == "fail"


def test_without_a_decider_it_fails_and_says_how_to_start_one(invoke: Invoke) -> None:
    result = invoke("doctor")
    assert result.exit_code == 1
    line = next(line for line in result.stdout.splitlines() if line.startswith("deciders"))
    assert "fail" in line
    assert "start one: orchestrator decider" in line
    assert result.stderr == "1 check failed\n"


def test_a_redis_that_does_not_answer_is_a_finding_not_an_error(invoke: Invoke) -> None:
    result = invoke("doctor", "-o", "json", url="redis://127.0.0.1:1/0")
    assert result.exit_code == 1
    found = shown(result.stdout)
    assert found["redis"]["result"] == "fail"
    assert "Check that the server runs" in found["redis"]["fix"]
    assert "deciders" not in found


def test_a_real_server_is_judged_by_its_settings(invoke: Invoke) -> None:
    with RedisServer("redis", options={"appendonly": "no", "maxmemory": "0"}) as server:
        found = shown(invoke("doctor", "-o", "json", url=server.url).stdout)
        assert found["server"]["found"].startswith("Redis ")
        assert abs(int(found["clock"]["found"].split()[0])) < 1000
        assert found["eviction"]["result"] == "ok"
        assert "CONFIG SET appendonly yes" in found["persistence"]["fix"]
        assert "set maxmemory" in found["memory"]["fix"]
        with redis.Redis.from_url(server.url) as client:
            client.config_set("appendonly", "yes")
            client.config_set("maxmemory", "1gb")
        found = shown(invoke("doctor", "-o", "json", url=server.url).stdout)
        assert (found["persistence"]["result"], found["memory"]["result"]) == ("ok", "ok")


def test_a_redis_that_may_evict_or_wants_a_password_is_told_what_to_change(invoke: Invoke) -> None:
    with RedisServer("redis", options={"maxmemory-policy": "allkeys-lru"}) as server:
        evicting = shown(invoke("doctor", "-o", "json", url=server.url).stdout)["redis"]
        with redis.Redis.from_url(server.url) as client:
            client.config_set("requirepass", "secret")
        locked = shown(invoke("doctor", "-o", "json", url=server.url).stdout)["redis"]
    assert evicting["found"] == "maxmemory-policy is allkeys-lru: Redis may delete live workflows"
    assert evicting["fix"].startswith("run CONFIG SET maxmemory-policy noeviction")
    assert locked["result"] == "fail"
    assert locked["fix"].startswith("put it in the URL, redis://:PASSWORD@host:6379/0. The Redis URL came from")


def test_other_partitions_than_recorded_are_a_failure(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke("workflow", "list").exit_code == 0
    monkeypatch.setenv("ORCHESTRATOR_PARTITIONS", "4")
    result = invoke("doctor", "-o", "json")
    assert result.exit_code == 1
    assert "set partitions=16 here" in shown(result.stdout)["redis"]["fix"]


def test_a_profile_that_others_can_read_is_told_of() -> None:
    profiles.put("prod", {"redis_url": "redis://db/0"})
    assert not_well(findings.of_profile(Session({"profile": "prod"}))) == []
    profiles.path_of("prod").chmod(0o640)
    (found,) = findings.of_profile(Session({"profile": "prod"}))
    assert found.fix == f"chmod 600 {profiles.path_of('prod')}"
    assert not_well(findings.of_profile(Session({}))) == []


# --- judgements -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"eviction_policy": "allkeys-lru"}, [("eviction", "warn")]),
        ({"is_append_only": False}, [("persistence", "warn")]),
        ({"write_status": "err"}, [("persistence", "fail")]),
        ({"used_memory_bytes": 81}, [("memory", "warn")]),
        ({"memory_bytes_max": 0}, [("memory", "warn")]),
        ({"clients": 81}, [("connections", "warn")]),
        ({"name": None}, []),
    ],
)
def test_a_server_is_well_or_told_what_to_change(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert not_well(findings.of_server(diagnosis(server=SERVER._replace(**changes)))) == expected


def test_a_slow_way_and_a_wrong_clock_are_told_of() -> None:
    assert not_well(findings.of_server(diagnosis(latency_ms=21.0))) == [("latency", "warn")]
    assert not_well([findings.of_clock(-1_001)]) == [("clock", "warn")]
    assert not_well([findings.of_clock(1_000), findings.of_archive(None)]) == []
    assert findings.of_archive("postgresql://me:pw@db/a").found == "postgresql://db/a"


@pytest.mark.parametrize(
    ("stats", "is_owned", "expected"),
    [
        (WELL, True, []),
        (WELL._replace(inbox=7, oldest_event_ms=NOW_MS - 29_000), True, []),
        (WELL._replace(inbox=7, oldest_event_ms=NOW_MS - 31_000), True, [("stuck", "fail")]),
        (WELL._replace(inbox=7, oldest_event_ms=NOW_MS - 31_000), False, [("partitions", "fail")]),
        (WELL._replace(crashes=3), True, [("crashes", "warn")]),
        (WELL._replace(dead_letters=1), True, [("dead letters", "warn")]),
    ],
)
def test_a_partition_that_stands_still_is_told_with_who_owns_it(
    stats: PartitionStats, is_owned: bool, expected: list[tuple[str, str]]
) -> None:
    found = list(findings.of_engine(diagnosis(partitions=[Partition(0, stats, is_owned)])))
    assert not_well(found) == expected
    assert all("decider d1" in one.fix for one in found if one.check == "stuck")


def test_what_was_set_aside_is_told_with_how_it_goes_on() -> None:
    found = list(findings.of_engine(diagnosis(quarantined=[Quarantined("w-1", "KeyError")])))
    assert not_well(found) == [("quarantine", "fail")]
    assert found[-1].fix.endswith("orchestrator workflow unpark w-1")


def queue_findings(stats: QueueStats, polled: dict[str | None, int], name: str = "charge") -> list[Finding]:
    polls = [PollData(queue_name=name, domain=domain, last_poll_time=at_ms) for domain, at_ms in polled.items()]
    return list(findings.of_queues({name: stats}, polls))


@pytest.mark.parametrize(
    ("stats", "polled", "is_told"),
    [
        (EMPTY, {}, True),
        (EMPTY, {None: NOW_MS - 61_000}, True),
        (EMPTY, {None: NOW_MS - 59_000}, False),
        (EMPTY._replace(leased=2), {}, False),
        (EMPTY._replace(is_paused=True, domains={}), {}, False),
        (EMPTY._replace(limits=Limits(1, concurrency=2), held=2), {}, False),
        (EMPTY._replace(limits=Limits(1, concurrency=2)), {}, True),
        (EMPTY._replace(domains={None: DomainStats(3, 1, NOW_MS - 90_000)}), {}, False),
        (EMPTY._replace(domains={None: DomainStats(3, 0, NOW_MS - 29_000)}), {}, False),
        (EMPTY._replace(leased=2, domains={"eu": DomainStats(3, 0, NOW_MS - 90_000)}), {None: NOW_MS}, True),
        (EMPTY._replace(leased=2, domains={"eu": DomainStats(3, 0, NOW_MS - 90_000)}), {"eu": NOW_MS}, False),
    ],
)
def test_a_queue_nobody_serves_is_told_but_not_one_that_is_busy_or_limited(
    stats: QueueStats, polled: dict[str | None, int], is_told: bool
) -> None:
    assert not_well(queue_findings(stats, polled)) == ([("queue", "warn")] if is_told else [])


def test_the_fix_for_a_queue_names_the_role_and_the_domain_it_needs() -> None:
    (of_task,) = queue_findings(EMPTY, {})
    assert of_task.fix == "run a worker that has the task charge: orchestrator worker MODULE"
    (of_domain,) = queue_findings(EMPTY._replace(domains={"eu": DomainStats(1, 0, NOW_MS - 90_000)}), {})
    assert of_domain.fix.endswith("orchestrator worker MODULE --domain eu")
    (of_system,) = queue_findings(EMPTY, {}, "HTTP")
    assert "orchestrator system" in of_system.fix


def test_a_queue_that_is_paused_while_tasks_wait_is_told_with_how_it_goes_on() -> None:
    (found,) = queue_findings(EMPTY._replace(is_paused=True), {None: NOW_MS})
    assert (found.check, found.result) == ("queue", "warn")
    assert found.fix.endswith("orchestrator queue resume charge")


def test_a_certificate_that_is_not_trusted_is_told_apart_from_a_server_that_is_away() -> None:
    refused = translate(redis.ConnectionError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"))
    at_prod = Session({"redis": "rediss://db/0"})
    assert findings.of_failure(refused, at_prod).fix.endswith("?ssl_ca_certs=FILE. The Redis URL came from --redis.")
    away = translate(redis.ConnectionError("Connection refused"))
    assert findings.of_failure(away, Session({})).fix == Session({}).hint


def test_workers_that_died_that_wait_and_that_are_of_another_version_are_told_of() -> None:
    well = WorkerInfo(name="w1", version=orchestrator.__version__, concurrency=20, running=3)
    lost = WorkerInfo(name="w2", host="h", state=WorkerState.LOST, held=["t1", "t2"], silent_ms=61_000, version="0.0.1")
    paused = WorkerInfo(name="w3", version="0.0.2", state=WorkerState.PAUSED, concurrency=10)
    assert not_well(findings.of_workers([])) == []
    assert not_well(findings.of_workers([well])) == []
    found = list(findings.of_workers([well, lost, paused]))
    assert found[0].found == "2 live, 3 of 30 slots taken"
    assert not_well(found) == [("worker lost", "warn"), ("workers paused", "warn"), ("worker versions", "warn")]
    assert found[1].found == "w2 on h fell silent 1m 1s ago with 2 tasks"
    assert found[2].fix == "orchestrator workers resume w3"
    assert found[3].found == f"not of version {orchestrator.__version__}: w3 (0.0.2)"
