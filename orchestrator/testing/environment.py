"""A whole installation inside a test: store, decider, worker and clock, all in this thread and at the test's command.

The real scripts run on an in-process Redis, the real decider decides; only time is declared and tasks run inline. After
every call of the client the decider has decided all there is to decide. Tasks run when the test says so (``drain``,
``run_worker_once``) or waits for something (``handle.result()``); such waiting takes no time: the clock jumps to
whatever is due next.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from orchestrator.client.blocking import Client
from orchestrator.engine.decider import Decider
from orchestrator.errors import InvalidRequest, WaitTimeout
from orchestrator.events import conditions
from orchestrator.plan import Call, Command, Outside, Plan, Receive, Send, Step, Wait
from orchestrator.service import webhooks
from orchestrator.service.firing import fire_due
from orchestrator.settings import Settings
from orchestrator.store.connection import connect
from orchestrator.store.context import StoreContext
from orchestrator.store.fake import fake_sync_client, forget_fake
from orchestrator.store.keys import clock_of
from orchestrator.task import Task, unique_tasks
from orchestrator.testing.clock import START, ManualClock
from orchestrator.testing.events import InlineEvents
from orchestrator.testing.fakes import fake_task
from orchestrator.testing.mocked import MockedWorker
from orchestrator.testing.mocks import Mocks
from orchestrator.testing.system import system_tasks
from orchestrator.testing.worker import InlineWorker

STEPS_MAX = 100_000
"""So many steps without an end are a workflow that never ends."""

P = ParamSpec("P")
T = TypeVar("T")

_names = itertools.count(1)


class Environment:
    """One installation of its own; use it as a context manager, or ``close`` it.

    ``client`` speaks to it, ``clock`` is its time, ``worker`` what serves its tasks.
    Example: ``with environment([greet]) as env: env.client.enqueue(greet, name="Ada"); env.drain()``
    """

    def __init__(
        self,
        tasks: Iterable[Task[..., Any]] = (),
        fakes: Mapping[str, Any] | None = None,
        *,
        now: datetime = START,
        allow_http: bool = False,
        settings: Settings | None = None,
        mocks: Mocks | None = None,
    ) -> None:
        self._name = f"testing-{os.getpid()}-{next(_names)}"
        settings = replace(settings or Settings(partitions=1), redis_url=f"fakeredis://{self._name}")
        self.connection = connect(f"fakeredis://{self._name}", settings, declared_clock=True)
        self.store = StoreContext(settings)
        self.settings = settings
        self._executor = self.connection.sync()
        # Also those of partitions that no call has been to: a start in a caller's transaction goes past this environment.
        self._slots = {clock_of(self.store.keys.inbox(number)) for number in range(settings.partitions)}
        self._is_stale = True  # the decider has not looked since the clock moved or the client spoke
        self.clock = ManualClock(now, self._clock_moved)
        self._clock_moved(self.clock.now_ms())
        self.client = Client.over(self)
        self.worker = InlineWorker(self.store, self.clock)
        if mocks is not None:
            self.worker = MockedWorker(self.store, self.clock, mocks)
        self._decider = Decider(self.store, "test-decider")
        self._events = InlineEvents(self.store, conditions.evaluate, self.clock)
        self.worker.tasks.update(system_tasks(self.store, self._drive, allow_http=allow_http))
        self.serve(*tasks, **(fakes or {}))

    def serve(self, *tasks: Task[..., Any], **fakes: Any) -> None:
        """Have the worker run these tasks too; a fake (see ``fake_task``) takes the place of the task of its name."""
        handlers = {task.name: task for task in unique_tasks(list(tasks), "test environment")}
        self.worker.tasks.update(handlers)
        self.worker.tasks.update({name: fake_task(name, fake) for name, fake in fakes.items()})

    # --- what a test commands ---------------------------------------------------------------------------------------

    def run_worker_once(self) -> int:
        """Run what may run right now, once each, and let the decider take in how it ended; gives how many tasks ran.

        Messages of events that wait for a handler are handled, and count, like tasks.
        """
        self.decide()
        ran = self._drive(self.worker.run_once()) + self._drive(self._events.run_once())
        self.decide()
        return ran

    def drain(self) -> int:
        """Run tasks until there is nothing left to do at this moment; gives how many ran. The clock stands still."""
        total = 0
        for _ in range(STEPS_MAX):
            ran = self.run_worker_once()
            if not ran:
                return total
            total += ran
        raise _endless()

    def run_until_quiet(self) -> None:
        """Run tasks and let time pass, from due moment to due moment, until nothing more can happen by itself."""
        for _ in range(STEPS_MAX):
            if not self.drain():
                due_ms = self._next_due_ms()
                if due_ms is None:
                    return
                self._let_pass(max(due_ms, self.clock.now_ms() + 1))
        raise _endless()

    def decide(self) -> int:
        """Let the decider handle everything that has happened; gives how many events that were."""
        if self._is_stale:
            self._is_stale = False
            self._decider.clock_ms = self.clock.now_ms()
            self._drive(self._decider.beat())
            self._fire_schedules()
        handled = 0
        for _ in range(STEPS_MAX):
            self._decider.look_at_timers()  # tasks that began have armed some since
            events = self._drive(self._decider.turn())
            handled += events
            if not events and not any(estate.retry for estate in self._decider.estates.values()):
                return handled
        raise _endless()

    def _fire_schedules(self) -> None:
        for _ in range(STEPS_MAX):
            if self._drive(fire_due(self.store, self.clock)):
                return
        raise _endless()

    def deliver(self, webhook_id: str, body: bytes, headers: Mapping[str, str]) -> str:
        """Deliver to a webhook what another system would POST to its address; it is carried out like a message.

        Gives the id under which it is in the webhook's log. Raises ``NotFound`` and, for what proves nothing,
        ``Unauthorized``. Example: ``env.deliver("bank", b'{"paid": true}', {"x-token": "s3cret"})``
        """
        lowered = {name.lower(): value for name, value in headers.items()}
        return self.run(webhooks.receive(self.store, webhook_id, lowered, body, self.clock.now_ms())).delivery_id

    def redis(self) -> Any:
        """A redis-py client of the store in here, for code under test that has transactions of its own.

        Example: ``with env.redis().pipeline() as pipe: env.client.start_workflow_in(pipe, "order"); pipe.execute()``
        """
        return fake_sync_client(self._name)

    def unserved(self) -> list[str]:
        """The task types that have tasks waiting and nobody to run them."""
        return self._drive(self.worker.unserved())

    def close(self) -> None:
        """Forget everything."""
        self.connection.close()
        forget_fake(self._name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # --- the session of the client ----------------------------------------------------------------------------------

    def plan(
        self, verb: Callable[Concatenate[StoreContext, P], Plan[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Plan[T]:
        """The plan of a verb on this store."""
        return verb(self.store, *args, **kwargs)

    def run(self, plan: Plan[T]) -> T:
        """Drive a plan of the client; where it waits, the environment works."""
        self._is_stale = True
        try:
            return self._drive(plan)
        finally:
            self._is_stale = True
            self.decide()

    def _drive(self, plan: Plan[T]) -> T:
        try:
            step = next(plan)
            while True:
                try:
                    reply = self._do(step)
                except Exception as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(reply)
        except StopIteration as stop:
            value: T = stop.value
            return value

    def _do(self, step: Step) -> Any:
        if isinstance(step, Wait):
            return self._work_until(step)
        if isinstance(step, Receive):
            return step.token
        if isinstance(step, Send):
            step = step.steps
        if isinstance(step, Outside):
            return step.work()
        for part in (step,) if isinstance(step, Call | Command) else step:
            if isinstance(part, Call) and clock_of(part.keys[0]) not in self._slots:
                self._slots.add(clock_of(part.keys[0]))
                self._executor.do(Command(("SET", clock_of(part.keys[0]), self.clock.now_ms())))
        return self._executor.do(step)

    def _clock_moved(self, now_ms: int) -> None:
        self._is_stale = True
        if self._slots:
            self._executor.do([Command(("SET", key, now_ms)) for key in sorted(self._slots)])

    def _work_until(self, wait: Wait) -> Any:
        deadline_ms = self.clock.now_ms() + round(wait.timeout_s * 1000)
        for _ in range(STEPS_MAX):
            reply = self._do(wait.check)
            if wait.ready(reply) or self.clock.now_ms() >= deadline_ms:
                return reply
            if self.decide() or self.run_worker_once():
                continue
            due_ms = self._next_due_ms()
            if due_ms is None:
                raise WaitTimeout(self._why_stuck())
            self._let_pass(min(max(due_ms, self.clock.now_ms() + 1), deadline_ms))
        raise _endless()

    def _let_pass(self, now_ms: int) -> None:
        self.clock.advance_to(now_ms)
        self._drive(self.worker.keep_alive())

    def _next_due_ms(self) -> int | None:
        """When something happens next without anybody's doing."""
        in_ms = self._decider.next_timer_in_ms()
        times = [] if in_ms is None else [self._decider.clock_ms + in_ms]
        queued_ms = self._drive(self.worker.next_due_ms())
        return min([*times, *([] if queued_ms is None else [queued_ms])], default=None)

    def _why_stuck(self) -> str:
        names = ", ".join(self.unserved())
        if names:
            return f"nothing more can happen: no function serves {names}; give it to the environment, tasks or fakes"
        return "nothing more can happen by itself: the workflow waits for something from outside, such as a signal"


def environment(
    tasks: Iterable[Task[..., Any]] = (),
    fakes: Mapping[str, Any] | None = None,
    *,
    now: datetime = START,
    allow_http: bool = False,
    settings: Settings | None = None,
    mocks: Mocks | None = None,
) -> Environment:
    """A fresh installation in this process, empty, at ``now`` on its own clock.

    ``tasks`` are run as they are, ``fakes`` stand in for tasks by name and for system tasks by type (see ``fake_task``).
    HTTP tasks and others that talk to the world outside need a fake, or ``allow_http``; ``settings`` are for them too.
    ``mocks`` are played by reference name (see ``run``).
    Raises ``MissingExtra`` without fakeredis. Example: ``with testing.environment([greet]) as env: ...``
    """
    return Environment(tasks, fakes, now=now, allow_http=allow_http, settings=settings, mocks=mocks)


def _endless() -> InvalidRequest:
    return InvalidRequest(
        f"the test environment gave up after {STEPS_MAX:,} steps: something in it never comes to rest"
    )
