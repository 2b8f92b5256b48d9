"""``RemoteWorker``: the worker of machines that reach a server but not its Redis. It polls, runs and reports over HTTP.

What it polls is lent to it (0029): nobody takes it back before its response time-out, for which it gives signs of life.
Where tasks run, what is put around them, and how the worker is seen and told what to do is as in ``Worker``. What the
protocol does not carry it does not know: a task's ``generation``, and the delay that ``Retry`` asks for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from orchestrator.clock import SystemClock
from orchestrator.codec import pack, unpack
from orchestrator.context import TaskContext
from orchestrator.errors import Forbidden, OrchestratorError, Unavailable
from orchestrator.model.execution import Task as PolledTask
from orchestrator.model.execution import TaskExecLog, TaskResult
from orchestrator.model.records import Outcome
from orchestrator.model.status import TaskStatus
from orchestrator.model.workers import WorkerInfo, WorkerState
from orchestrator.service import metadata, tasks, workers
from orchestrator.service.dispatch import Claimed
from orchestrator.service.workers import Order
from orchestrator.settings import Settings
from orchestrator.task import Task
from orchestrator_workers.children import ChildOptions
from orchestrator_workers.job import Ending, Job, Jobs, Observer
from orchestrator_workers.middleware import Middleware
from orchestrator_workers.pauses import Backoff, end_all
from orchestrator_workers.presence import Presence, served, worker_name
from orchestrator_workers.registry import RegisteredTask, register
from orchestrator_workers.runners import Runners

log = logging.getLogger("orchestrator.worker")

POLL_S = 1.0  # how long one poll waits at the server
LOOK_S = 0.2  # how soon a worker without a free slot looks again
ALIVE_EVERY_S = 20.0  # at the latest a task whose workflow does not want it any more is stopped
STOP_GRACE_S = 2.0


class RemoteWorker:
    """Runs tasks that it gets from a server until it is stopped; options as for ``Worker``.

    ``settings`` name the server and its key, whose role must be worker; definitions of tasks that nobody has registered are
    registered only by a key that may. Raises ``InvalidRequest`` as ``Worker`` does, and ``MissingExtra`` without httpx2.
    Example: ``await RemoteWorker(Settings(server_url="https://flows.example.com"), modules=["my.tasks"]).run()``
    """

    def __init__(
        self,
        settings: Settings,
        *,
        tasks: Iterable[Task[..., Any]] = (),
        modules: Iterable[str] = (),
        middleware: Iterable[Middleware | str] = (),
        concurrency: int = 20,
        domain: str | None = None,
        drain_timeout_s: float | None = None,
        memory_bytes: int = 0,
        prepare_child: Callable[[], object] | None = None,
        name: str | None = None,
        build: str | None = None,
        observer: Observer | None = None,
        on_turn: Callable[[], None] | None = None,
    ) -> None:
        from orchestrator.client.http_sessions import AsyncHttpSession

        self._tasks = register(tasks, modules, middleware)
        self._jobs = Jobs(concurrency)
        self._session = AsyncHttpSession(settings)
        recycling = settings.recycle_tasks, settings.recycle_memory_bytes
        self._children = ChildOptions(memory_bytes, *recycling, prepare_child).check()
        self._domain = domain
        self._drain_timeout_s = settings.drain_timeout_s if drain_timeout_s is None else drain_timeout_s
        self._build = build
        self._observe = observer
        self._on_turn = on_turn
        self._clock = SystemClock()
        self._reports: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self._closing = asyncio.Event()
        self._aborting = asyncio.Event()
        self._is_paused = self._is_drain_requested = False
        self._serving: asyncio.Task[None] | None = None
        self.name = worker_name(name)

    # --- start, drain and stop ----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Register the task definitions, as far as the key may, and begin to poll. Raises what the server refuses with."""
        definitions = [one.task.definition() for one in self._tasks.values()]
        try:
            await self._session.run(self._session.plan(metadata.introduce, definitions))
        except Forbidden:
            log.info("task_definitions_left", extra={"worker_id": self.name, "reason": "the key may not register them"})
        except BaseException:
            await self._session.close()
            raise
        plan, run = self._session.plan, self._session.run
        self._runners = Runners(self._jobs.slots, self._returned, self._children)
        self._presence = Presence(
            self.name,
            self._build,
            [served(one, self._domain_of(one)) for one in self._tasks.values()],
            self._jobs,
            self._clock,
            self._state,
            self._say,
            self._obey,
            lambda name: run(plan(workers.leave, name)),
        )
        self._serving = asyncio.create_task(self._serve(), name=f"worker-{self.name}")
        log.info("worker_started", extra={"worker_id": self.name, "task_types": sorted(self._tasks)})

    async def run(self) -> None:
        """Start and work until drained or stopped."""
        await self.start()
        await self.run_to_end()

    async def run_to_end(self) -> None:
        """Work, once started, until drained or stopped."""
        try:
            if self._serving is not None:
                await asyncio.shield(self._serving)
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Tell running tasks to stop, give them back, and end. Returns at the end."""
        self._closing.set()
        self._aborting.set()
        if self._serving is not None:
            await asyncio.shield(self._serving)

    def request_drain(self) -> None:
        """Poll nothing more and let running tasks end, without waiting; a second request stops."""
        if self._is_drain_requested:
            self._aborting.set()
        self._is_drain_requested = True
        self._closing.set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.stop()

    async def _serve(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                polls = [group.create_task(self._poll(one)) for one in self._tasks.values()]
                loops = [group.create_task(self._presence.run()), group.create_task(self._keep_alive())]
                await self._closing.wait()
                await self._wind_down(polls)
                await end_all(loops)
        finally:
            await self._runners.close()
            await self._presence.leave()
            await self._session.close()
            log.info("worker_stopped", extra={"worker_id": self.name, "left_behind": self._jobs.running})

    async def _wind_down(self, polls: list[asyncio.Task[None]]) -> None:
        self._presence.tell()
        log.info("worker_draining", extra={"worker_id": self.name, "running": self._jobs.running})
        # A poll that is on its way is waited for: what its answer holds would be lent to nobody.
        await asyncio.gather(*polls)
        if not await self._until_quiet(self._drain_timeout_s, self._aborting):
            for job in self._jobs.still_running():
                job.end(Ending.HANDED_BACK)
            await self._until_quiet(STOP_GRACE_S)

    async def _until_quiet(self, seconds: float, stop: asyncio.Event | None = None) -> bool:
        deadline_s = self._clock.monotonic_s() + seconds
        while self._jobs.running or self._reports:
            if self._clock.monotonic_s() >= deadline_s or (stop is not None and stop.is_set()):
                return False
            await asyncio.sleep(0.02)
        return True

    # --- seen and told ------------------------------------------------------------------------------------------------

    def _state(self) -> WorkerState:
        if self._closing.is_set():
            return WorkerState.DRAINING
        return WorkerState.PAUSED if self._is_paused else WorkerState.RUNNING

    async def _say(self, about: WorkerInfo) -> Order:
        return Order(await self._session.run(self._session.plan(workers.say, about)))

    def _obey(self, order: Order) -> bool:
        if self._closing.is_set() or (order is not Order.DRAIN and self._is_paused == (order is Order.PAUSE)):
            return False
        log.info("worker_told", extra={"worker_id": self.name, "order": order.name})
        self._is_paused = order is Order.PAUSE
        if order is Order.DRAIN:
            self._closing.set()
        return True

    # --- tasks come ---------------------------------------------------------------------------------------------------

    async def _poll(self, registered: RegisteredTask) -> None:
        """Ask for tasks of one type, as many as there are slots for, until the worker ends."""
        backoff, share = Backoff(), max(1, self._jobs.slots // len(self._tasks))
        while not self._closing.is_set():
            if self._on_turn is not None:
                self._on_turn()
            count = min(self._jobs.free, share)
            if self._is_paused or count <= 0:
                await self._pause(LOOK_S)
                continue
            self._jobs.reserve(count)
            found: list[PolledTask] = []
            try:
                remote, domain = self._session.remote, self._domain_of(registered)
                found = await self._session.run(remote.poll(registered.name, self.name, domain, count, POLL_S))
                backoff.reset()
            except OrchestratorError as error:
                log.warning("poll_failed", extra={"task_type": registered.name, "reason": str(error)})
                await self._pause(backoff.next_s())
            finally:
                self._jobs.cancel(count - len(found))
            for task in found:
                self._begin(task, registered)

    async def _pause(self, seconds: float) -> None:
        self._freed.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._freed.wait(), seconds)

    def _begin(self, task: PolledTask, registered: RegisteredTask) -> None:
        suffix = f"__{task.iteration}"
        context = TaskContext(
            task.task_id,
            task.workflow_instance_id,
            task.workflow_type,
            task.reference_task_name.removesuffix(suffix) if task.iteration else task.reference_task_name,
            registered.name,
            attempt=task.retry_count,
            delivery=task.poll_count,
            iteration=task.iteration,
            now_ms=self._clock.now_ms,
            runtime_metadata=task.runtime_metadata,
            worker_id=self.name,
        )
        claimed = Claimed(task.task_id, registered.name, task.poll_count, 0)
        job = Job(claimed, registered, context, pack(task.input_data), math.inf)
        job.touch_every_s = min(ALIVE_EVERY_S, (task.response_timeout_seconds or math.inf) / 3)
        job.touch_due_s = self._clock.monotonic_s() + job.touch_every_s
        self._jobs.begin(job)
        self._tell("started", job)
        self._runners.start(job)

    def _domain_of(self, registered: RegisteredTask) -> str | None:
        return self._domain or registered.task.domain

    # --- and go -------------------------------------------------------------------------------------------------------

    def _returned(self, job: Job, outcome: Outcome | None) -> None:
        self._jobs.returned(job)
        self._freed.set()
        self._tell("finished", job, status=outcome.status if outcome is not None else "DROPPED")
        if outcome is None and job.ending is Ending.CANCELLED:
            self._jobs.drop(job)
            return
        # What is put off comes back as soon as it may: that is how a task is given back.
        outcome = outcome or Outcome(1, "IN_PROGRESS")
        if outcome.status not in ("COMPLETED", "IN_PROGRESS"):
            fields = {**job.context.log_fields, "status": outcome.status, "reason": outcome.reason}
            log.warning("task_ended", extra=fields)
        report = asyncio.create_task(self._report(job, outcome))
        self._reports.add(report)
        report.add_done_callback(self._reports.discard)

    def _tell(self, event: str, job: Job, **fields: str) -> None:
        if self._observe is not None:
            self._observe(event, {**job.context.log_fields, **fields})

    async def _report(self, job: Job, outcome: Outcome) -> None:
        """Tell the server until it has answered; it takes each outcome once."""
        context, backoff = job.context, Backoff()
        result = TaskResult(
            workflow_instance_id=context.workflow_id,
            task_id=context.task_id,
            status=TaskStatus(outcome.status),
            reason_for_incompletion=outcome.reason,
            callback_after_seconds=math.ceil(outcome.callback_after_ms / 1000),
            worker_id=self.name,
            output_data=unpack(bytes(outcome.output)),
            logs=[TaskExecLog(log=text, created_time=at_ms) for at_ms, text in outcome.logs],
        )
        while True:
            try:
                await self._session.run(self._session.plan(tasks.update_task, result, wait_commit=False))
                break
            except Unavailable as error:
                log.warning("report_failed", extra={**context.log_fields, "cause": str(error)})
                await asyncio.sleep(backoff.next_s())
            except OrchestratorError as error:
                log.warning("report_refused", extra={**context.log_fields, "cause": str(error)})
                break
        self._jobs.drop(job)

    async def _keep_alive(self) -> None:
        """Give signs of life for tasks that run for long, and stop those whose workflows do not want them any more."""
        while True:
            await asyncio.sleep(LOOK_S)
            now_s = self._clock.monotonic_s()
            due = [job for job in self._jobs.still_running() if job.touch_due_s <= now_s]
            for job in due:
                job.touch_due_s = now_s + job.touch_every_s
            await asyncio.gather(*(self._extend(job) for job in due))

    async def _extend(self, job: Job) -> None:
        context = job.context
        alive = TaskResult(
            workflow_instance_id=context.workflow_id,
            task_id=context.task_id,
            status=TaskStatus.IN_PROGRESS,
            worker_id=self.name,
            extend_lease=True,
        )
        try:
            told = await self._session.run(self._session.plan(tasks.update_task, alive))
        except OrchestratorError as error:
            log.warning("heartbeat_failed", extra={**context.log_fields, "cause": str(error)})
            return
        if told.is_over and not job.returned:
            log.info("task_cancelled", extra=context.log_fields)
            job.end(Ending.CANCELLED)
