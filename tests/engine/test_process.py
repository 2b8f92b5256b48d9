"""Deciders as processes on a real server: hand-over, death, an outage of Redis, a store that must be refused."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
import redis

from orchestrator.engine.process import DeciderProcess
from orchestrator.errors import StoreRefused, StoreUnavailable
from orchestrator.model.definitions import WorkflowTask
from orchestrator.plan import Command
from orchestrator.settings import Settings
from orchestrator.store import installation
from tests.engine.processes import DeciderRole, owners
from tests.engine.stage import Stage, flow, forked, step
from tests.support.eventually import eventually
from tests.support.redis_server import RedisServer

OWNERSHIP_MS = 2_000


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis that may be killed."""
    with RedisServer("redis") as server:
        yield server


@pytest.fixture
def town(server: RedisServer) -> Iterator[Stage]:
    """An installation of four partitions on it, on its clock."""
    stage = Stage(server.url, 4, declared_clock=False, ownership_ms=OWNERSHIP_MS)
    yield stage
    stage.close()


def _is_worked(town: Stage, task_type: str) -> bool:
    return town.work(task_type) > 0


def _run_one(town: Stage, number: int = 0, timeout_s: float = 10.0) -> None:
    """One workflow of two steps, from start to end."""
    workflow_id = town.start(flow(step("a"), step("b")), number=number)
    for task_type in ("a", "b"):
        eventually(lambda name=task_type: _is_worked(town, name), timeout_s)  # type: ignore[misc]  # bound now
    eventually(lambda: town.status(workflow_id) == "COMPLETED", timeout_s)


def test_sigterm_hands_the_partitions_over_at_once(town: Stage) -> None:
    with DeciderRole(town, "d1") as first, DeciderRole(town, "d2"):
        eventually(lambda: sorted(owners(town)) == ["d1", "d1", "d2", "d2"])
        first.ask_to_stop()
        eventually(lambda: owners(town) == ["d2"] * 4, timeout_s=OWNERSHIP_MS / 1000)
        eventually(lambda: first.exit_code == 0)
        crashes = town.do([Command(("HGET", town.keys.ownership(n), "n")) for n in range(4)])
        assert crashes == [b"0"] * 4
        for number in range(4):
            _run_one(town, number)


def test_a_second_signal_ends_the_process_at_once(town: Stage, server: RedisServer) -> None:
    with DeciderRole(town, "d1") as decider, redis.Redis.from_url(server.url) as client:
        client.execute_command("CLIENT", "PAUSE", 60_000, "ALL")

        def signalled_again() -> bool:
            decider.ask_to_stop()
            return decider.exit_code is not None

        eventually(signalled_again, timeout_s=5)
        assert decider.exit_code == 128 + 15


@pytest.mark.crash
def test_the_partitions_of_a_killed_decider_move_when_its_lease_ends(town: Stage) -> None:
    with DeciderRole(town, "d1") as first, DeciderRole(town, "d2"):
        eventually(lambda: sorted(owners(town)) == ["d1", "d1", "d2", "d2"])
        number = owners(town).index("d1")
        first.kill()
        town.start(flow(step("a")), number=number)
        eventually(lambda: owners(town) == ["d2"] * 4, timeout_s=OWNERSHIP_MS / 1000 + 1)
        eventually(lambda: _is_worked(town, "a"))


@pytest.mark.crash
def test_after_a_crash_of_redis_work_goes_on_by_itself(town: Stage, server: RedisServer) -> None:
    with DeciderRole(town, "d1"):
        _run_one(town)
        waiting = town.start(flow(step("a"), step("b")))
        eventually(lambda: len(town.view(waiting).tasks) == 1)
        server.kill()
        server.restart()
        up_at = time.monotonic()
        eventually(lambda: _is_worked(town, "a"), 5, retry_on=(AssertionError, StoreUnavailable))
        eventually(lambda: _is_worked(town, "b"), 5 - (time.monotonic() - up_at))
        eventually(lambda: town.status(waiting) == "COMPLETED")
        _run_one(town, 3)


def test_a_timer_fires_within_a_tenth_of_a_second_of_its_time(town: Stage) -> None:
    wait = WorkflowTask(name="w", task_reference_name="w", type="WAIT", input_parameters={"duration": "1 seconds"})
    with DeciderRole(town, "d1"):
        started = [town.start(flow(wait), number=number) for number in (0, 1, 2)]
        eventually(lambda: all(town.status(one) == "COMPLETED" for one in started))
    ended = [town.view(one).task("w") for one in started]
    late = [task.end_time - task.scheduled_time - 1_000 for task in ended]
    assert min(late) >= 0
    assert min(late) <= 100, late  # the best of three: the machine may be busy


def test_a_redis_that_may_evict_is_refused() -> None:
    with RedisServer("redis", options={"maxmemory-policy": "allkeys-lru"}) as server:
        process = DeciderProcess(Settings(redis_url=server.url))
        with pytest.raises(StoreRefused, match="maxmemory-policy noeviction"):
            process.run()
        process.connection.close()


def test_an_installation_of_another_layout_is_refused(town: Stage) -> None:
    town.do(installation.check_installation(town.keys))
    process = DeciderProcess(Settings(redis_url=town.settings.redis_url, partitions=8))
    with pytest.raises(StoreRefused, match="has 4 partitions, this process is set to 8"):
        process.run()
    process.connection.close()


def test_a_redis_that_is_not_there_is_named_at_the_start(town: Stage, server: RedisServer) -> None:
    process = DeciderProcess(town.settings)
    server.kill()
    with pytest.raises(StoreUnavailable, match="repeat later"):
        process.run()
    process.connection.close()


def test_a_whole_workflow_runs_on_a_cluster() -> None:
    with socket.socket() as probe:  # the usual bus port, 10,000 above, may be too high a number
        probe.bind(("127.0.0.1", 0))
        bus = {"cluster-enabled": "yes", "cluster-port": str(probe.getsockname()[1])}
    with RedisServer("redis", options=bus) as server:
        with redis.Redis.from_url(server.url) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        url = f"redis+cluster://{server.url.split('/')[2]}"
        town = Stage(url, 4, declared_clock=False, ownership_ms=OWNERSHIP_MS)
        eventually(lambda: town.do(Command(("GET", "x"))) is None, retry_on=(StoreUnavailable,))
        with DeciderRole(town, "d1") as decider:
            workflow_id = town.start(forked(5), number=1)
            done = 0

            def all_worked() -> bool:
                nonlocal done
                done += town.work("b", {"v": 1})
                return done == 5

            eventually(all_worked)
            eventually(lambda: town.status(workflow_id) == "COMPLETED")
            for number in range(4):
                _run_one(town, number)
            decider.ask_to_stop()
            eventually(lambda: decider.exit_code == 0)
            assert owners(town) == [""] * 4
        town.close()
