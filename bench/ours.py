"""Orchestrator as a contender: one decider, two workers, durable state for every task, limits and retries armed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from functools import partial

from msgspec import Raw

from bench import tasks
from bench.contender import WrongResult, wait_for
from bench.processes import Processes
from bench.stamps import StampFile
from orchestrator.codec import pack, unpack
from orchestrator.engine.starts import Resolved, Start, resolve_definition, send_starts
from orchestrator.ids import new_workflow_id
from orchestrator.model.records import FORMAT, Meta
from orchestrator.plan import Command
from orchestrator.settings import Settings
from orchestrator.store.connection import connect
from orchestrator.store.context import StoreContext
from orchestrator.workflow import Workflow

BATCH = 100
SAMPLE = 50


class Orchestrator:
    """Ourselves. Workflows are started in batches of a hundred, as ``enqueue_many`` does."""

    name = "orchestrator"

    def __init__(self, processes: Processes, url: str, stamps: StampFile, workers: int, deciders: int = 1) -> None:
        settings = Settings(redis_url=url)
        self._stamps = stamps
        self.connection = connect(url, settings)
        self.executor = self.connection.sync()
        self.store = StoreContext(settings)
        self._processes = processes
        self._role = [sys.executable, "-m", "bench.role"]
        self._url = url
        self.deciders = [processes.spawn([*self._role, "decider", url]) for _ in range(deciders)]
        self.add_workers(workers)
        self._single = resolve_definition(tasks.single().definition())
        self._begun = resolve_definition(tasks.begun().definition())
        self._chain = resolve_definition(tasks.chain().definition())
        self._fan = resolve_definition(tasks.fan().definition())
        if workers:
            self.chains(2)  # everybody is up when these are through

    def add_workers(self, count: int) -> None:
        """Start more worker processes."""
        for _ in range(count):
            self._processes.spawn([*self._role, "worker", self._url])

    def noops(self, count: int) -> None:
        done = self.completed()
        started = self.start(self._single, count)
        wait_for(lambda: self.completed() - done, count, "no-ops")
        self._check(started, {"v": 1})

    def chains(self, count: int) -> None:
        self._stamps.clear()
        started = self.start(self._chain, count, {"v": 0})
        self._await_stamps(count, tasks.STEPS)
        self._check(started, {"v": tasks.STEPS})

    def fans(self, count: int) -> None:
        started = self.start(self._fan, count)
        self._await_stamps(count, tasks.BRANCHES)
        self._check(started, {"v": tasks.BRANCHES})

    def begun(self) -> None:
        self.start(self._begun, 1)
        self._await_stamps(1, 1)

    def start(self, resolved: Resolved, count: int, given: dict[str, int] | None = None) -> list[str]:
        """Start ``count`` executions; returns their ids."""
        raw = Raw(pack(given or {}))
        meta = Meta(FORMAT, resolved.name, resolved.version, resolved.hash)
        ids: list[str] = []
        for begin in range(0, count, BATCH):
            batch = []
            for _ in range(min(BATCH, count - begin)):
                noise = os.urandom(12)
                partition = int.from_bytes(noise[8:], "big") % self.store.settings.partitions
                workflow_id = new_workflow_id(partition, time.time_ns() // 1_000_000, noise)
                batch.append(Start(workflow_id, noise.hex(), resolved, meta, raw))
            for reply in self.executor.run(send_starts(self.store, batch)):
                if isinstance(reply, Exception) or reply.verdict != "OK":
                    raise WrongResult(f"a start was refused: {reply}")
            ids += [start.workflow_id for start in batch]
        return ids

    def _has_output(self, key: str) -> int:
        return int(self.executor.do(Command(("HEXISTS", key, "o"))))

    def register(self, workflow: Workflow) -> Resolved:
        """The startable form of any workflow."""
        return resolve_definition(workflow.definition())

    def completed(self) -> int:
        """How many workflows have ended well since the store was emptied."""
        keys = self.store.keys
        cards = [Command(("ZCARD", keys.by_status(n, "COMPLETED"))) for n in range(keys.partitions)]
        return sum(self.executor.do(cards))

    def _await_stamps(self, count: int, value: float) -> None:
        wait_for(self._stamps.count, count, "stamps")
        values = {stamped for _, stamped in self._stamps.read()}
        if values != {value} or self._stamps.count() != count:
            raise WrongResult(f"stamped {values} {self._stamps.count()} times instead of {value} {count} times")

    def _check(self, workflow_ids: Sequence[str], output: dict[str, int]) -> None:
        """The recorded output of a sample, once their last event is committed."""
        keys = self.store.keys
        for workflow_id in workflow_ids[:: max(1, len(workflow_ids) // SAMPLE)]:
            key = keys.workflow(keys.partition_of(workflow_id), workflow_id)
            wait_for(partial(self._has_output, key), 1, workflow_id)
            found = unpack(self.executor.do(Command(("HGET", key, "o"))))
            if found != output:
                raise WrongResult(f"workflow {workflow_id} ended with {found} instead of {output}")
