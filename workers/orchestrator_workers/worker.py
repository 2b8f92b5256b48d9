"""``Worker``: claims tasks, runs them, reports how they ended. The story, top to bottom; the parts are its siblings.

Start: connect, check, register the task definitions, begin five loops (claim, listen, heartbeat, report, be seen). Run: a task
that was claimed is confirmed by its partition, runs where its function belongs, and its outcome is handed in; then its
lease is given back. Drain: claim nothing more and let running tasks end. Stop: tell those that are left to stop and
hand them back to their queues. Code that does not stop keeps its lease until that ends by itself.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from orchestrator.clock import SystemClock
from orchestrator.context import TaskContext
from orchestrator.errors import Unavailable
from orchestrator.ids import workflow_id_of
from orchestrator.model.records import Outcome
from orchestrator.model.workers import WorkerInfo, WorkerState
from orchestrator.service import dispatch, workers
from orchestrator.service.dispatch import Claimed, Judged, Refused, TaskToRun
from orchestrator.service.poll_data import Seen
from orchestrator.service.secrets import masked
from orchestrator.service.workers import Order
from orchestrator.settings import Settings
from orchestrator.store import installation
from orchestrator.store.connection import Connection
from orchestrator.store.context import StoreContext
from orchestrator.store.queue_values import Release as How
from orchestrator.task import Task
from orchestrator_workers import outcomes
from orchestrator_workers.children import ChildOptions
from orchestrator_workers.claims import Claims, Leased, Source
from orchestrator_workers.heartbeat import Heartbeat
from orchestrator_workers.job import Ending, Job, Jobs, Observer
from orchestrator_workers.middleware import Middleware
from orchestrator_workers.pauses import end_all
from orchestrator_workers.presence import Presence, served, worker_name
from orchestrator_workers.registration import register_absent
from orchestrator_workers.registry import register
from orchestrator_workers.reports import Reports
from orchestrator_workers.runners import Runners
from orchestrator_workers.stores import HasConnection, open_store
from orchestrator_workers.wakes import Wakes

log = logging.getLogger("orchestrator.worker")

STOP_GRACE_S = 2.0  # how long told-to-stop code and the last messages get


class Worker:
    """Runs tasks until it is stopped.

    ``store`` is a URL, settings, a connection or a client straight on Redis; ``tasks`` and ``modules`` say what to run
    (``pkg.mod``, ``file.py``, ``file.py:name``); ``middleware`` what is put around each of them, from the outside in
    (generator functions or ``pkg.mod:name``); ``concurrency`` how many at once; ``domain`` overrides the tasks' own;
    ``lease_ms`` and ``drain_timeout_s`` are the settings of these names; ``memory_bytes`` is what a task in the pool ``rq``
    may take, 0 = no limit; ``prepare_child`` is called first in every process of the pools, to set up logging for one, and
    must be importable; ``build`` is how operators tell apart the code that workers run; ``registers``: whether the tasks'
    definitions are put into the catalog where they are absent; ``on_turn`` is called at least every few seconds while
    claiming is not stuck. Raises ``InvalidRequest`` for tasks or middlewares that cannot be found, or tasks that share a
    name.
    Example: ``async with Worker("redis://localhost:6379/0", tasks=[greet]): ...`` or ``await Worker(...).run()``
    """

    def __init__(
        self,
        store: str | Settings | Connection | HasConnection | None = None,
        *,
        tasks: Iterable[Task[..., Any]] = (),
        modules: Iterable[str] = (),
        middleware: Iterable[Middleware | str] = (),
        concurrency: int = 20,
        domain: str | None = None,
        lease_ms: int | None = None,
        drain_timeout_s: float | None = None,
        memory_bytes: int = 0,
        prepare_child: Callable[[], object] | None = None,
        name: str | None = None,
        build: str | None = None,
        registers: bool = True,
        observer: Observer | None = None,
        on_turn: Callable[[], None] | None = None,
    ) -> None:
        self._jobs = Jobs(concurrency)
        self._connection, self._owns_connection = open_store(store)
        settings = self._connection.settings
        if lease_ms is not None:
            settings = dataclasses.replace(settings, lease_ms=lease_ms)
        self._settings = settings
        self._children = ChildOptions(
            memory_bytes, settings.recycle_tasks, settings.recycle_memory_bytes, prepare_child
        ).check()
        self._tasks = register(tasks, modules, middleware)
        self._domain = domain
        self._registers = registers
        self._drain_timeout_s = settings.drain_timeout_s if drain_timeout_s is None else drain_timeout_s
        self.name = worker_name(name)
        self._build = build
        self._observe: Observer = observer or _ignore
        self._on_turn = on_turn or _nothing
        self._clock = SystemClock()
        self._store = StoreContext(settings)
        self._serving: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._aborting = asyncio.Event()
        self._is_drain_requested = False  # the first signal to a worker that was told to drain does not cut that short
        self._is_handing_back = False

    @property
    def task_types(self) -> list[str]:
        """The task types this worker runs, sorted."""
        return sorted(self._tasks)

    # --- start ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, check the store, register the task definitions and begin to claim.

        Raises ``StoreUnavailable`` or ``StoreRefused`` when the store cannot be used.
        """
        executor = self._executor = self._connection.asynchronous()
        try:
            await self._check()
        except BaseException:
            await self._disconnect()
            raise
        self._runners = Runners(self._jobs.slots, self._returned, self._children)
        self._heartbeat = Heartbeat(
            self._store, executor, self._jobs, self.name, self._settings.lease_ms, self._clock, self._observe
        )
        self._reports = Reports(self._store, executor, self.name, self._settled)
        self._claims = self._make_claims()
        self._wakes = Wakes(self._connection, self._wake_lists, self._claims.woken)
        self._presence = Presence(
            self.name,
            self._build,
            [served(self._tasks[source.type], source.domain) for source in self._sources],
            self._jobs,
            self._clock,
            self._state,
            self._say,
            self._obey,
            lambda name: executor.run(workers.leave(self._store, name)),
        )
        self._serving = asyncio.create_task(self._serve(), name=f"worker-{self.name}")
        log.info("worker_started", extra={"worker_id": self.name, "task_types": self.task_types})

    async def run(self) -> None:
        """Start and work until ``drain`` or ``stop`` is called."""
        await self.start()
        await self.run_to_end()

    async def run_to_end(self) -> None:
        """Work, once started, until ``drain`` or ``stop`` is called."""
        try:
            await self.wait()
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def wait(self) -> None:
        """Until the worker has ended; raises what ended it when that was an error."""
        if self._serving is not None:
            await asyncio.shield(self._serving)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.stop()

    # --- drain and stop ---------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Claim nothing more, let running tasks end (at most ``drain_timeout_s``), then stop. Returns at the end."""
        self._closing.set()
        await self.wait()

    async def stop(self) -> None:
        """Tell running tasks to stop, hand them back to their queues, and end. Returns at the end."""
        self.request_stop()
        await self.wait()

    def request_drain(self) -> None:
        """As ``drain``, without waiting; for signal handlers. A second request stops."""
        if self._is_drain_requested:
            self._aborting.set()
        self._is_drain_requested = True
        self._closing.set()

    def request_stop(self) -> None:
        """As ``stop``, without waiting."""
        self._closing.set()
        self._aborting.set()

    # --- orders from afar --------------------------------------------------------------------------------------------

    def _state(self) -> WorkerState:
        if self._closing.is_set():
            return WorkerState.DRAINING
        return WorkerState.PAUSED if self._claims.is_paused else WorkerState.RUNNING

    async def _say(self, about: WorkerInfo) -> Order:
        # One that waits to be handed a task is as good as one that polls: domains are chosen by where somebody does.
        seen, now_s = {}, self._clock.monotonic_s()
        if about.state is WorkerState.RUNNING:
            seen = {(one.name, one.domain): Seen(about.name, now_s) for one in about.task_types}
        return await self._executor.run(workers.beat(self._store, about, seen, now_s))

    def _obey(self, order: Order) -> bool:
        """Do what this worker was told; whether it was told anything new. One that drains goes on draining."""
        if self._closing.is_set() or (order is not Order.DRAIN and self._claims.is_paused == (order is Order.PAUSE)):
            return False
        log.info("worker_told", extra={"worker_id": self.name, "order": order.name})
        if order is Order.DRAIN:
            self._closing.set()
        else:
            self._claims.pause(order is Order.PAUSE)
        return True

    # --- the loops --------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                loops = [
                    group.create_task(part.run(), name=f"worker-{type(part).__name__.lower()}")
                    for part in (self._claims, self._wakes, self._heartbeat, self._reports, self._presence)
                ]
                await self._closing.wait()
                await self._wind_down()
                await end_all(loops)
        finally:
            self._heartbeat.close()
            await self._runners.close()
            await self._presence.leave()
            await self._disconnect()
            log.info("worker_stopped", extra={"worker_id": self.name, "left_behind": self._jobs.running})

    async def _wind_down(self) -> None:
        self._claims.stop()
        self._presence.tell()
        log.info("worker_draining", extra={"worker_id": self.name, "running": self._jobs.running})
        if not await self._until(self._is_quiet, self._drain_timeout_s, self._aborting):
            self._is_handing_back = True
            for job in self._jobs.still_running():
                job.end(Ending.HANDED_BACK)
        await self._until(self._is_quiet, STOP_GRACE_S)
        await self._wakes.end()  # what its last read takes is given back, like all that comes while the worker ends
        # What has ended is always told, even when some code does not stop.
        await self._until(lambda: not self._reports.unsent and not self._claims.unsettled, STOP_GRACE_S)

    def _is_quiet(self) -> bool:
        return not self._jobs.taken and not self._reports.unsent and not self._claims.unsettled

    async def _until(self, condition: Callable[[], bool], seconds: float, stop: asyncio.Event | None = None) -> bool:
        """Whether ``condition`` came true in time; polled, because any event of a worker may make it true."""
        deadline_s = self._clock.monotonic_s() + seconds
        while not condition():
            if self._clock.monotonic_s() >= deadline_s or (stop is not None and stop.is_set()):
                return False
            await asyncio.sleep(0.02)
        return True

    # --- one task ---------------------------------------------------------------------------------------------------

    async def _launch(self, leased: list[Leased]) -> None:
        """Confirm claimed tasks with their partitions and run those that may run."""
        claimed = [one.claimed for one in leased]
        if self._observe is not _ignore:
            for one in claimed:
                self._observe("claimed", {"task_id": one.task_id, "task_type": one.type, "granted_ms": one.granted_ms})
        try:
            answers = await self._executor.run(dispatch.start_tasks(self._store, claimed, self.name))
        except Unavailable as error:
            log.warning("start_failed", extra={"tasks": len(claimed), "reason": str(error)})
            self._jobs.cancel(len(claimed))
            for one in claimed:
                self._claims.settle(dispatch.release(one, How.BACK))
            return
        now_s, lease_s = self._clock.monotonic_s(), self._settings.lease_ms / 1000
        for answer, (one, leased_s) in zip(answers, leased, strict=True):
            if leased_s + lease_s <= now_s:  # the answer took longer than the lease
                self._jobs.cancel(1)
                log.warning("claim_too_late", extra=self._claimed_fields(one))
            elif isinstance(answer, Refused):
                self._refuse(answer)
            else:
                self._begin(answer, leased_s + lease_s)

    def _claimed_fields(self, claimed: Claimed) -> dict[str, object]:
        ids = {"workflow_id": workflow_id_of(claimed.task_id), "task_id": claimed.task_id, "task_type": claimed.type}
        return {"worker_id": self.name, **ids, "delivery": claimed.delivery}

    def _refuse(self, refused: Refused) -> None:
        self._jobs.cancel(1)
        log.info("task_refused", extra={**self._claimed_fields(refused.claimed), "word": refused.word})
        if refused.release is not None:
            self._claims.settle(refused.release)

    def _begin(self, run: TaskToRun, lease_end_s: float) -> None:
        job = self._job(run, lease_end_s)
        older = self._jobs.held.get(run.claimed.task_id)
        if older is not None:  # this very worker got the task anew: the lease of the earlier delivery is over
            self._heartbeat.lose(older)
        self._jobs.begin(job)
        self._heartbeat.admit(job)
        if self._is_handing_back:  # it was on its way when the worker stopped: the runner gives it back unstarted
            job.end(Ending.HANDED_BACK)
        if run.claimed.is_lost:
            self._returned(job, dispatch.lost_outcome(run.claimed))
            return
        if run.fault is not None:
            self._returned(job, dispatch.fault_outcome(run.fault))
            return
        if self._observe is not _ignore:
            self._observe("started", _fields(job))
        if log.isEnabledFor(logging.DEBUG):
            log.debug("task_started", extra=job.context.log_fields)
        self._runners.start(job)

    def _job(self, run: TaskToRun, lease_end_s: float) -> Job:
        claimed, scheduled, meta = run.claimed, run.scheduled, run.meta
        context = TaskContext(
            claimed.task_id,
            workflow_id_of(claimed.task_id),
            meta.name,
            scheduled.ref,
            claimed.type,
            attempt=scheduled.attempt,
            delivery=claimed.delivery,
            iteration=scheduled.iteration,
            generation=scheduled.generation,
            now_ms=self._clock.now_ms,
            beat=self._heartbeat.ask,
            runtime_metadata=run.runtime_metadata,
            worker_id=self.name,
            trace=meta.trace,
        )
        registered = self._tasks[claimed.type]
        return Job(claimed, registered, context, scheduled.input, lease_end_s, run.hidden)

    def _returned(self, job: Job, outcome: Outcome | None) -> None:
        """The task's code has returned, or was stopped (then without an outcome)."""
        self._jobs.returned(job)
        self._claims.slot_freed()
        if self._observe is not _ignore:
            status = outcome.status if outcome is not None and job.ending is not Ending.LOST else "DROPPED"
            self._observe("finished", _fields(job) | {"status": status})
        if job.ending is Ending.LOST:
            return
        if outcome is None and job.ending is Ending.HANDED_BACK:
            self._jobs.drop(job)
            self._claims.settle(dispatch.release(job.claimed, How.BACK))
            return
        # A cancelled task is reported too: its partition answers GONE, and on that word the queue frees its slot.
        outcome = outcome or outcomes.failure("cancelled while it was running", job.context)
        outcome = masked(outcome, job.hidden) if job.hidden else outcome
        self._log_end(job, outcome)
        self._reports.add(job, outcome)

    def _log_end(self, job: Job, outcome: Outcome) -> None:
        is_failure = outcome.status not in ("COMPLETED", "IN_PROGRESS")
        level = logging.WARNING if is_failure else logging.DEBUG
        if log.isEnabledFor(level):
            fields = {**job.context.log_fields, "status": str(outcome.status)}
            log.log(level, "task_ended", extra={**fields, "reason": outcome.reason} if outcome.reason else fields)

    def _settled(self, job: Job, judged: Judged) -> None:
        """The partition has judged the outcome."""
        self._jobs.drop(job)
        if judged.release is not None:
            self._claims.settle(judged.release)
        if judged.word != "OK":
            log.info("report_judged", extra={**job.context.log_fields, "word": judged.word})
        if self._observe is not _ignore:
            self._observe("reported", _fields(job) | {"word": judged.word})

    # --- set-up -----------------------------------------------------------------------------------------------------

    async def _check(self) -> None:
        for warning in await asyncio.to_thread(self._connection.check):
            log.warning("store_warning", extra={"reason": warning})
        await self._executor.do(installation.check_installation(self._store.keys))
        if not self._registers:
            await self._executor.do(installation.add_queues(self._store.keys, self.task_types))
            return
        definitions = [registered.task.definition() for registered in self._tasks.values()]
        for name, fields in (await self._executor.run(register_absent(self._store, definitions))).items():
            log.warning(
                "task_definition_differs",
                extra={"task_type": name, "fields": fields, "advice": "the catalog's stands; `apply` overwrites it"},
            )

    async def _disconnect(self) -> None:
        if self._owns_connection:
            await self._connection.aclose()

    def _make_claims(self) -> Claims:
        self._sources = [
            Source(name, self._domain or registered.task.domain) for name, registered in sorted(self._tasks.items())
        ]
        return Claims(
            self._store,
            self._executor,
            self._jobs,
            self.name,
            self._settings.lease_ms,
            max(self._settings.lease_ms, self._connection.settings.lease_ms),
            self._sources,
            self._clock,
            self._launch,
            lambda is_idle: self._wakes.arm() if is_idle else self._wakes.disarm(),
            self._on_turn,
        )

    def _wake_lists(self) -> dict[str, str]:
        lists = ((self._store.queues.wake_key(source.type, source.domain), source.type) for source in self._sources)
        return {name: task_type for name, task_type in lists if name is not None}


def _fields(job: Job) -> dict[str, object]:
    claimed = job.claimed
    return {
        "task_id": claimed.task_id,
        "task_type": claimed.type,
        "delivery": claimed.delivery,
        "lease_end_s": job.lease_end_s,
    }


def _ignore(event: str, fields: dict[str, object]) -> None:
    """The observer of a worker that nobody observes."""


def _nothing() -> None:
    """What a turn tells nobody."""
