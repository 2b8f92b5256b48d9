"""A worker as a process: an event loop, signals, an exit status. Called by ``orchestrator worker``.

SIGTERM and SIGINT drain: claim nothing more and let running tasks end. A second signal stops at once: running tasks are
told to stop and are handed back to their queues. The process never configures logging; its caller does.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import signal
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, Protocol

from orchestrator.settings import Settings
from orchestrator.task import Task
from orchestrator_workers.job import Observer
from orchestrator_workers.middleware import Middleware
from orchestrator_workers.worker import Worker


def run_worker(
    settings: Settings,
    modules: Iterable[str] = (),
    concurrency: int = 20,
    *,
    tasks: Iterable[Task[..., Any]] = (),
    middleware: Iterable[Middleware | str] = (),
    domain: str | None = None,
    lease_ms: int | None = None,
    drain_timeout_s: float | None = None,
    memory_bytes: int = 0,
    prepare_child: Callable[[], object] | None = None,
    name: str | None = None,
    build: str | None = None,
    on_ready: Callable[[], None] | None = None,
    observer: Observer | None = None,
    on_turn: Callable[[], None] | None = None,
) -> int:
    """Work until a signal ends it; gives the process's exit status, 0 after an orderly end.

    What is not said here is as in ``Worker``. Raises ``InvalidRequest`` for modules without usable tasks,
    ``StoreUnavailable`` and ``StoreRefused`` when the store cannot be used at the start; later outages are waited out.
    Example: ``sys.exit(run_worker(settings, ["my.tasks"]))``
    """

    async def work() -> None:
        worker = Worker(
            settings,
            tasks=tasks,
            modules=modules,
            middleware=middleware,
            concurrency=concurrency,
            domain=domain,
            lease_ms=lease_ms,
            drain_timeout_s=drain_timeout_s,
            memory_bytes=memory_bytes,
            prepare_child=prepare_child,
            name=name,
            build=build,
            observer=observer,
            on_turn=on_turn,
        )
        await serve([worker], on_ready)

    run_loop(work())
    return 0


def run_remote_worker(
    settings: Settings,
    modules: Iterable[str] = (),
    concurrency: int = 20,
    *,
    on_ready: Callable[[], None] | None = None,
    **options: Any,
) -> int:
    """As ``run_worker``, with the server that ``settings`` name instead of its Redis; ``options`` as in ``RemoteWorker``.

    Example: ``sys.exit(run_remote_worker(Settings(server_url="https://flows.example.com"), ["my.tasks"]))``
    """
    from orchestrator_workers.remote import RemoteWorker

    async def work() -> None:
        await serve([RemoteWorker(settings, modules=modules, concurrency=concurrency, **options)], on_ready)

    run_loop(work())
    return 0


class Serves(Protocol):
    """A worker, as far as its process is concerned."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def run_to_end(self) -> None: ...

    def request_drain(self) -> None: ...


async def serve(workers: Sequence[Serves], on_ready: Callable[[], None] | None = None) -> None:
    """Start the workers and work until SIGTERM or SIGINT, or until they are told otherwise to drain or to stop."""

    def drain() -> None:
        for worker in workers:
            worker.request_drain()

    with _signals(drain):
        async with contextlib.AsyncExitStack() as started:
            for worker in workers:
                await worker.start()
                started.push_async_callback(worker.stop)
            if on_ready is not None:
                on_ready()
            await asyncio.gather(*(worker.run_to_end() for worker in workers))


def run_loop(work: Coroutine[Any, Any, None]) -> None:
    """Carry out the whole work of a process on the fastest loop there is, with the collector out of its way."""
    # What is loaded stays, and a busy loop makes and drops thousands of small objects a second: looking at all of them
    # every 700 costs a tenth of a worker's time.
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(work)


@contextlib.contextmanager
def _signals(action: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    chosen = (signal.SIGTERM, signal.SIGINT)
    for number in chosen:
        loop.add_signal_handler(number, action)
    try:
        yield
    finally:
        for number in chosen:
            loop.remove_signal_handler(number)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed: the same loop, less time per task."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    import uvloop

    return uvloop.new_event_loop
