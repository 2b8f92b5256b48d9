"""The system-task role as a process: a worker whose tasks are the ones the server does itself, such as HTTP calls.

Called by ``orchestrator system``; ``orchestrator decider`` hosts one in a child process. A hosted one ends when the pipe
that its host holds open is closed: a host that was killed cannot say anything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from typing import Any

from orchestrator.errors import InvalidRequest
from orchestrator.events import conditions
from orchestrator.events.host import Desk, EventsHost, HandlerDesk
from orchestrator.events.webhooks import WebhookDesk
from orchestrator.settings import Settings
from orchestrator.store.connection import Connection, connect
from orchestrator.store.context import StoreContext
from orchestrator.store.installation import check_installation
from orchestrator.systemtasks import REACHING_OUTSIDE
from orchestrator.systemtasks.context import Resources
from orchestrator.systemtasks.kafka_source import KafkaEvents
from orchestrator.systemtasks.news import NewsDesk
from orchestrator.systemtasks.serving import served_types, system_task
from orchestrator_workers.job import Observer
from orchestrator_workers.main import run_loop, serve
from orchestrator_workers.worker import Worker

log = logging.getLogger("orchestrator.system")

Chore = Coroutine[Any, Any, None]

CONCURRENCY = 100
"""System tasks wait most of their time, so one process has many under way: so many that talk to other systems, and as
many others beside them."""


def run_system(
    settings: Settings,
    concurrency: int = CONCURRENCY,
    *,
    only: Sequence[str] = (),
    name: str | None = None,
    lease_ms: int | None = None,
    drain_timeout_s: float | None = None,
    host_fd: int | None = None,
    on_ready: Callable[[], None] | None = None,
    observer: Observer | None = None,
    new_pulse: Callable[[], Callable[[], None]] | None = None,
) -> int:
    """Carry out system tasks until a signal ends it, or its host's end; gives the exit status, 0 after an orderly end.

    ``concurrency`` holds for tasks that talk to other systems and once more for all others, so that peers which hang
    hold up nobody else. ``only`` restricts it to some types, without it messages of events are handled too; who carries
    out RQ tasks follows their jobs. ``host_fd`` is the end of a pipe whose other end the host keeps open; ``new_pulse``
    gives each of its workers its ``on_turn``. Raises ``InvalidRequest`` for a type there is none of or that nothing here
    can carry out, and what ``run_worker`` raises.
    Example: ``sys.exit(run_system(load_settings(), only=["HTTP"]))``
    """

    async def work() -> None:
        connection = connect(settings.redis_url, settings)
        try:
            store = StoreContext(settings)
            # Before the chores touch anything; the workers check more, and later.
            await connection.asynchronous().do(check_installation(store.keys))
            async with Resources(store, connection.asynchronous().run, concurrency) as shared:
                workers = [
                    Worker(
                        connection,
                        tasks=[system_task(task_type, shared) for task_type in group],
                        concurrency=concurrency,
                        lease_ms=lease_ms,
                        drain_timeout_s=drain_timeout_s,
                        name=name,
                        registers=False,
                        observer=observer,
                        on_turn=new_pulse() if new_pulse is not None else None,
                    )
                    for group in _groups(types)
                ]
                chores = [_rq_chore(shared)] if "RQ" in types and settings.rq_queues else []
                if not only:
                    chores += _event_chores(connection, shared)
                with _ended_with(host_fd, workers):
                    async with _doing(chores):
                        await serve(workers, on_ready)
        finally:
            await connection.aclose()

    types, missing = served_types(only)
    for task_type, reason in missing.items():
        log.info("system_task_not_served", extra={"task_type": task_type, "reason": reason})
    if not types:
        raise InvalidRequest("; ".join(missing.values()))
    run_loop(work())
    return 0


def slots_of(concurrency: int, only: Sequence[str] = ()) -> int:
    """How many tasks ``run_system`` carries out at a time."""
    return concurrency * len(_groups(served_types(only)[0]))


def _groups(types: Sequence[str]) -> list[list[str]]:
    """A worker for each: slots that wait for other systems are none that scripts and messages wait for."""
    outside = [name for name in types if name in REACHING_OUTSIDE]
    return [group for group in (outside, [name for name in types if name not in REACHING_OUTSIDE]) if group]


def _event_chores(connection: Connection, shared: Resources) -> list[Chore]:
    """Handle messages of events, deliver listeners' news, read topics."""
    handlers = HandlerDesk(shared.store, shared.run, conditions.evaluate)
    desks: list[Desk] = [handlers, NewsDesk(shared), WebhookDesk(shared.store, shared.run)]
    return [*(EventsHost(connection, desk).run() for desk in desks), KafkaEvents(shared, handlers).run()]


def _rq_chore(shared: Resources) -> Chore:
    """Follow the jobs at RQ; loads RQ, which is an extra."""
    from orchestrator.systemtasks.rq_bridge import RqBridge

    return RqBridge(shared).run()


@contextlib.asynccontextmanager
async def _doing(chores: Sequence[Chore]) -> AsyncIterator[None]:
    """Run the chores meanwhile."""
    tasks = [asyncio.create_task(chore) for chore in chores]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def _ended_with(descriptor: int | None, workers: Sequence[Worker]) -> Iterator[None]:
    """Stop the workers when the other end of the pipe is closed."""
    if descriptor is None:
        yield
        return
    loop = asyncio.get_running_loop()

    def closed() -> None:
        if not os.read(descriptor, 1):
            loop.remove_reader(descriptor)
            for worker in workers:
                worker.request_stop()

    loop.add_reader(descriptor, closed)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
