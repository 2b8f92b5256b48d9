"""A store with open tasks in it and no decider: what workers and the dispatch plans are tested against.

A task is put where a commit and a relay would have put it: its records and dispatch entry in the partition, an offer in
the queue of its type. What workers say of it is then read from the partition's inbox.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from msgspec import Raw

from orchestrator import codec, ids
from orchestrator.model.events import TaskReported
from orchestrator.model.records import FORMAT, Meta, Outcome, Scheduled, encode
from orchestrator.plan import Command
from orchestrator.settings import Settings
from orchestrator.store import queue
from orchestrator.store.connection import Connection, connect
from orchestrator.store.context import StoreContext
from orchestrator.store.dispatch import open_task
from orchestrator.store.inbox import Entry, read_inbox
from orchestrator.store.partition import NewWorkflow, start
from orchestrator.store.queue_values import Ask, Limits, Offer, QueueStats, Release, Settlement


class Estate:
    """One installation of two partitions."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.settings = Settings(redis_url=url, partitions=2, **settings)
        self.connection: Connection = connect(url, self.settings)
        self.store = StoreContext(self.settings)
        self.executor = self.connection.sync()
        self._numbers = itertools.count(1)

    def add(self, task_type: str, input: dict[str, Any] | None = None, **options: Any) -> str:
        """One open, claimable attempt of a task in a workflow of its own; gives the task id."""
        task_id = self.open(task_type, input, **options)
        self.offer(task_type, task_id, domain=options.get("domain"))
        return task_id

    def open(
        self,
        task_type: str,
        input: dict[str, Any] | None = None,
        *,
        domain: str | None = None,
        attempt: int = 0,
        timeout_ms: int = 0,
        response_ms: int = 0,
        secrets: Sequence[str] = (),
        runtime: Sequence[str] = (),
    ) -> str:
        """The partition's side of ``add``."""
        workflow_id, ref = f"w{next(self._numbers)}", "step"
        partition = self.store.keys.partition_of(workflow_id)
        task_id = ids.task_id(workflow_id, ref, 0, attempt, 0)
        meta = encode(Meta(FORMAT, "order", 1, "hash"))
        scheduled = Scheduled(
            *(FORMAT, ref, task_type, task_type, 1, attempt, 0, 0, 1, 1),
            domain=domain,
            input=Raw(codec.pack(input or {})),
            secrets=list(secrets),
            runtime=list(runtime),
        )
        keys = self.store.keys
        self.executor.do(
            start(
                keys,
                partition,
                [
                    NewWorkflow(
                        workflow_id,
                        "r",
                        "order",
                        "hash",
                        meta,
                        codec.EMPTY_MAP,
                        definition_body=b'{"name": "order", "version": 1, "tasks": []}',
                    )
                ],
            )
        )
        text = open_task(ref, timeout_ms=timeout_ms, response_ms=response_ms)
        self.executor.do(
            [
                Command(("HSET", keys.workflow(partition, workflow_id), "S" + ref, encode(scheduled))),
                Command(("HSET", keys.dispatch(partition, workflow_id), ids.suffix_of(task_id), text)),
            ]
        )
        return task_id

    def offer(self, task_type: str, *task_ids: str, domain: str | None = None) -> None:
        """The queue's side of ``add``."""
        self.executor.run(queue.enqueue(self.store.queues, {task_type: [Offer(one, domain) for one in task_ids]}))

    def limit(self, task_type: str, **limits: Any) -> None:
        """Set the limits of a queue."""
        self.executor.run(queue.set_limits(self.store.queues, task_type, Limits(1, **limits)))

    def close_task(self, task_id: str) -> None:
        """The workflow has ended the attempt: nobody may run or report it any more."""
        workflow_id = ids.workflow_id_of(task_id)
        key = self.store.keys.dispatch(self.store.keys.partition_of(workflow_id), workflow_id)
        self.executor.do(Command(("HDEL", key, ids.suffix_of(task_id))))

    def cancel(self, task_type: str, task_id: str) -> None:
        """The workflow cancels a task: the attempt is closed, the queue told."""
        self.close_task(task_id)
        self.executor.run(queue.remove(self.store.queues, {task_type: [task_id]}))

    def expire(self, task_type: str, task_id: str) -> None:
        """Let the lease of a task end."""
        self.executor.do(Command(("ZADD", self.store.keys.leases(task_type), "XX", 1, task_id)))

    def steal(self, task_type: str, task_id: str) -> None:
        """Let the lease of a task end and another worker claim it, who hands it back at once."""
        self.expire(task_type, task_id)
        claim = self.executor.do(self.store.queues.claim_call(Ask(task_type, "thief")))
        (taken,) = claim.tasks
        back = Settlement(Release.BACK, task_id, taken.delivery, taken.offer)
        self.executor.run(queue.settle(self.store.queues, {task_type: [back]}))

    def reports(self, task_id: str) -> list[TaskReported]:
        """What the partition has taken of a task."""
        keys, found = self.store.keys, []
        partition = keys.partition_of(ids.workflow_id_of(task_id))
        for entry in self.executor.do(read_inbox(keys, partition, count=10_000)) or []:
            if isinstance(entry, Entry) and isinstance(entry.event, TaskReported) and entry.event.task_id == task_id:
                found.append(entry.event)
        return found

    def outcome(self, task_id: str) -> Outcome:
        """The one outcome of a task that has ended."""
        (report,) = self.reports(task_id)
        return report.outcome

    def output(self, task_id: str) -> Any:
        """The output of a task that has COMPLETED."""
        outcome = self.outcome(task_id)
        assert outcome.status == "COMPLETED", outcome
        return codec.unpack(bytes(outcome.output))

    def dispatch(self, task_id: str) -> str:
        """The dispatch text of an open attempt."""
        workflow_id = ids.workflow_id_of(task_id)
        key = self.store.keys.dispatch(self.store.keys.partition_of(workflow_id), workflow_id)
        text: bytes = self.executor.do(Command(("HGET", key, ids.suffix_of(task_id))))
        return text.decode()

    def queue(self, task_type: str) -> QueueStats:
        """A look at a queue."""
        (stats,) = self.executor.run(queue.stats(self.store.queues, [task_type]))
        assert isinstance(stats, QueueStats)
        return stats

    def is_empty(self, task_type: str) -> bool:
        """Whether the queue has forgotten every task."""
        records = self.executor.do(Command(("HLEN", self.store.keys.records(task_type))))
        return bool(records == 0)

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()
