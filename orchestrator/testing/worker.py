"""The worker of a test environment: claims, starts and reports like the real one, runs the code inline in between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator import codec
from orchestrator.clock import Clock
from orchestrator.context import TaskContext
from orchestrator.ids import workflow_id_of
from orchestrator.plan import Command, Plan
from orchestrator.service import dispatch
from orchestrator.service.dispatch import Refused, Report, TaskToRun, Want
from orchestrator.service.secrets import masked
from orchestrator.store import installation, queue
from orchestrator.store.context import StoreContext
from orchestrator.store.queue import QueueStats
from orchestrator.store.queue_values import ORDER_PER_MS
from orchestrator.task import Task
from orchestrator.testing.running import run_task

NAME = "test-worker"
TASKS_PER_CLAIM = 10


class InlineWorker:
    """Serves every domain of the tasks it was given, by name."""

    def __init__(self, store: StoreContext, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._hints_ms: dict[str, int] = {}
        self.tasks: dict[str, Task[..., Any]] = {}

    def run_once(self) -> Plan[int]:
        """Run what may run now, at most ten tasks of each type and domain; gives how many ran."""
        stats = yield from self._stats()
        wants = [
            Want(name, domain, TASKS_PER_CLAIM)
            for name, found in stats.items()
            if name in self.tasks
            for domain in found.domains
        ]
        if not wants:
            return 0
        claim = yield from dispatch.claim_tasks(self._store, wants, NAME)
        self._hints_ms = {name: news.hint_ms for name, news in claim.queues.items()}
        for failure in claim.failures.values():
            raise failure
        if not claim.claimed:
            return 0
        answers = yield from dispatch.start_tasks(self._store, claim.claimed, NAME)
        releases = [answer.release for answer in answers if isinstance(answer, Refused) and answer.release is not None]
        runs = [answer for answer in answers if isinstance(answer, TaskToRun)]
        reports = [Report(run.claimed, self._run(run)) for run in runs]
        judged = yield from dispatch.report_tasks(self._store, reports, NAME)
        releases += [word.release for word in judged if word.release is not None]
        yield from dispatch.claim_tasks(self._store, [], NAME, settle=releases)
        return len(answers)

    def _run(self, run: TaskToRun) -> Any:
        claimed, scheduled = run.claimed, run.scheduled
        if run.fault is not None:
            return dispatch.fault_outcome(run.fault)
        context = TaskContext(
            claimed.task_id,
            workflow_id_of(claimed.task_id),
            run.meta.name,
            scheduled.ref,
            claimed.type,
            attempt=scheduled.attempt,
            delivery=claimed.delivery,
            iteration=scheduled.iteration,
            generation=scheduled.generation,
            now_ms=self._clock.now_ms,
            runtime_metadata=run.runtime_metadata,
            trace=run.meta.trace,
        )
        ran = run_task(self.tasks[claimed.type], codec.unpack(bytes(scheduled.input)), context)
        return masked(ran.outcome, run.hidden)

    def next_due_ms(self) -> Plan[int | None]:
        """When a delayed task of a served type falls due, or a limit may let one go; ``None`` = nothing is known."""
        stats = yield from self._stats()
        served = self.served(stats)
        heads = yield [
            Command(("ZRANGE", self._store.keys.delayed(name), 0, 0, "WITHSCORES"), _due_ms) for name in served
        ]
        times = [head for head in heads if isinstance(head, int)]
        # Tasks that are ready and were not handed out wait for a limit.
        limited = [self._hints_ms.get(name, 1) for name in served if stats[name].ready and not stats[name].is_paused]
        return min([*times, *(self._clock.now_ms() + hint for hint in limited)], default=None)

    def served(self, names: Iterable[str]) -> list[str]:
        """Those of the task types that it runs."""
        return [name for name in names if name in self.tasks]

    def keep_alive(self) -> Plan[None]:
        """Give signs of life after time has passed; tasks that run inline take none."""
        yield from ()

    def unserved(self) -> Plan[list[str]]:
        """Task types that have tasks waiting, and no function."""
        stats = yield from self._stats()
        return [name for name, found in stats.items() if name not in self.tasks and found.ready + found.delayed]

    def _stats(self) -> Plan[dict[str, QueueStats]]:
        names: Sequence[str] = yield installation.list_queues(self._store.keys)
        found = yield from queue.stats(self._store.queues, names)
        return {name: stats for name, stats in zip(names, found, strict=True) if isinstance(stats, QueueStats)}


def _due_ms(reply: Any) -> int | None:
    return int(float(reply[1])) // ORDER_PER_MS if reply else None
