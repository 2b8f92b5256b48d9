"""The HTTP API: workers that only speak HTTP, executions that are waited for, and two thousand polls of empty queues.

One server, one decider and the callers, which are a process of their own (``http_client``).
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, NamedTuple

import redis

from bench import tasks
from bench.contender import WrongResult, wait_for
from bench.jobs import Job
from bench.ours import Orchestrator
from bench.processes import Processes, cpu_seconds
from bench.stamps import StampFile
from orchestrator import Client

SDK_TASKS, SDK_WORKERS = 3_000, 20
EXECUTIONS = 100
IDLE_POLLS, IDLE_S = 2_000, 10.0


class Idle(NamedTuple):
    """What polls of empty queues cost: seconds of CPU per second, and commands per second at Redis."""

    server_cpu: float
    store_cpu: float
    commands_per_s: float


class Door:
    """Ourselves behind the HTTP API: a server beside what ``Orchestrator`` starts, and its callers."""

    def __init__(self, processes: Processes, url: str, stamps: StampFile, workers: int) -> None:
        self._ours = Orchestrator(processes, url, stamps, workers)
        self._url = url
        self.server = processes.spawn([sys.executable, "-m", "bench.role", "server", url], talks=True)
        port = self._line(self.server)
        self._client = processes.spawn([sys.executable, "-m", "bench.http_client", port], talks=True)
        self._line(self._client)

    def poll_and_update(self, count: int) -> float:
        """Tasks per second of SDK workers, from tasks that wait in their queue to reports that are answered."""
        ours = self._ours
        done = ours.completed()
        ready = ours.store.keys.ready(tasks.REMOTE)
        ours.start(ours.register(tasks.remote()), count)
        with redis.Redis.from_url(self._url) as client:
            wait_for(lambda: int(str(client.zcard(ready))), count, "tasks of SDK workers")
        seconds: float = self._ask(f"drain {tasks.REMOTE} {count} {SDK_WORKERS}")
        wait_for(lambda: ours.completed() - done, count, "executions of SDK workers")
        return count / seconds

    def execute(self, count: int) -> list[float]:
        """Seconds from the request for an execution to the answer with its result, one at a time."""
        workflow = tasks.single()
        with Client(self._url) as client:
            client.register(workflow)
        times: list[float] = self._ask(f"execute {workflow.name} {count}")
        return times

    def idle(self, store_pid: int, polls: int, seconds: float) -> Idle:
        """Hold polls open and look at the processes; the callers are of no other use from then on."""
        with redis.Redis.from_url(self._url) as client:
            self._ask(f"idle {polls}")
            pid = self.server.pid
            begun, server, store, calls = time.perf_counter(), cpu_seconds(pid), cpu_seconds(store_pid), _calls(client)
            time.sleep(seconds)
            taken = time.perf_counter() - begun
            spent = (cpu_seconds(pid) - server, cpu_seconds(store_pid) - store, _calls(client) - calls)
        return Idle(*(one / taken for one in spent))

    def _ask(self, line: str) -> Any:
        assert self._client.stdin is not None
        self._client.stdin.write(line + "\n")
        self._client.stdin.flush()
        answer = self._line(self._client)
        return None if answer == "ok" else json.loads(answer)

    def _line(self, child: Any) -> str:
        line: str = child.stdout.readline().strip()
        if not line:
            raise WrongResult("a process of the HTTP rows has ended")
        return line


def _calls(client: redis.Redis) -> int:
    info = client.info("stats")
    assert isinstance(info, dict)
    return int(info["total_commands_processed"])


def _poll_and_update(door: Door, _: StampFile, scale: float) -> list[float]:
    return [door.poll_and_update(max(SDK_WORKERS, int(SDK_TASKS * scale)))]


def _execute(door: Door, _: StampFile, scale: float) -> list[float]:
    return door.execute(max(5, int(EXECUTIONS * scale)))


JOBS: tuple[Job, ...] = (
    Job("SDK poll and update, tasks/s", "R", None, _poll_and_update),
    Job("execute one task and wait, s", "T", None, _execute),
)
