"""``orchestrator decider``, ``system`` and ``worker``: the processes that do the work, until a signal ends them.

SIGTERM and Ctrl-C end them in order (exit status 0), a second signal at once. Needs nothing of the extra [cli], so a
base install can run them. The hidden options are how ``dev`` starts its own. Called by operators and by ``dev``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from orchestrator_cli import logs, watching
from orchestrator_cli.command import Leaf, choice
from orchestrator_cli.hosted import HostedRole
from orchestrator_cli.session import Session, current_session

DECIDER_EXAMPLES = """
orchestrator decider
orchestrator decider --redis redis://db:6379/0 --name decider-1
orchestrator decider --no-system-tasks
"""

SYSTEM_EXAMPLES = """
orchestrator system
orchestrator system --concurrency 500 --only HTTP
"""

WORKER_EXAMPLES = """
orchestrator worker my.tasks
orchestrator worker tasks.py --concurrency 50
orchestrator worker tasks.py --reload
orchestrator worker my.tasks --server https://flows.example.com
orchestrator worker my.tasks:charge my.reports --domain eu --pool process
orchestrator worker my.imports --pool rq --memory-limit 512
orchestrator worker my.reports --pool process --recycle-tasks 1000 --recycle-memory 512
orchestrator worker my.tasks --middleware my.around:timed --middleware my.around:audited --trace
"""


def _metrics_options(command: Any) -> Any:
    port = click.option(
        "--metrics-port", type=click.IntRange(0, 65535), help="Serve /metrics, /livez and /readyz there. Default: not."
    )
    host = click.option("--metrics-host", default="127.0.0.1", show_default=True, help="The address for that.")
    return port(host(command))


MIB = 1024 * 1024

ready_option = click.option("--ready-fd", type=int, hidden=True)
"""The option of every role by which ``dev`` is told that it is ready; see ``tell``."""


@click.command(cls=Leaf, examples=DECIDER_EXAMPLES)
@click.option("--name", help="Its name; two that run must not share one. Default: host, process and a random part.")
@click.option(
    "--system-tasks/--no-system-tasks",
    "hosts_system",
    default=True,
    show_default=True,
    help="Host a process that carries out HTTP calls and the other system tasks.",
)
@_metrics_options
@ready_option
def decider(
    name: str | None, hosts_system: bool, metrics_port: int | None, metrics_host: str, ready_fd: int | None
) -> None:
    """Run a decider: it advances the workflows of its share of the partitions. Start as many as you like."""
    from orchestrator.archive import shelf
    from orchestrator.archive.mover import Mover
    from orchestrator.clock import SystemClock
    from orchestrator.engine.chores import Chore
    from orchestrator.engine.process import run_decider
    from orchestrator.errors import ArchiveUnavailable
    from orchestrator.service.firing import fire_due

    session = current_session(is_role=True)
    firing = Chore(session.settings, "schedules", lambda store: fire_due(store, SystemClock()))
    archiving = Chore(session.settings, "archive", Mover(SystemClock()).turn)
    with (
        session.store() as store,
        contextlib.suppress(ArchiveUnavailable),
    ):  # one that is away does not hold up deciding
        store.run(shelf.join)
    watch = watching.watch_decider(metrics_host, metrics_port)
    with watch.begin() as begun, _system_tasks(session) as system_tasks, firing, archiving:

        def ready() -> None:
            if hosts_system:
                system_tasks.start()
            firing.start()
            archiving.start()
            begun()
            tell(ready_fd, {})

        run_decider(session.settings, name, on_ready=ready, witness=watch.witness, on_turn=watch.pulse())


@click.command(cls=Leaf, examples=SYSTEM_EXAMPLES)
@click.option("--concurrency", type=click.IntRange(min=1), default=100, show_default=True, help="Tasks at a time.")
@click.option("--only", multiple=True, metavar="TYPE", help="Carry out this type; may be repeated. Default: all.")
@click.option("--name", help="How it is called in logs and views. Default: host and process.")
@click.option("--drain-timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="For running tasks at the end.")
@_metrics_options
@click.option("--host-fd", type=int, hidden=True)
@ready_option
def system(
    concurrency: int,
    only: tuple[str, ...],
    name: str | None,
    drain_timeout: float | None,
    metrics_port: int | None,
    metrics_host: str,
    host_fd: int | None,
    ready_fd: int | None,
) -> int:
    """Carry out system tasks: HTTP calls and whatever else the server does itself. Start as many as you like.

    A decider hosts one of these by default; run more of them where that is not enough, or on hosts of their own.
    """
    from orchestrator_workers.system import run_system, slots_of

    session = current_session(is_role=True)
    watch = watching.watch_worker(metrics_host, metrics_port, slots_of(concurrency, only))
    with watch.begin() as begun:

        def ready() -> None:
            begun()
            tell(ready_fd, {})

        return run_system(
            session.settings,
            concurrency,
            only=only,
            drain_timeout_s=drain_timeout,
            name=name,
            host_fd=host_fd,
            on_ready=ready,
            observer=watch.observer,
            new_pulse=watch.pulse,
        )


@click.command(cls=Leaf, examples=WORKER_EXAMPLES)
@click.argument("modules", nargs=-1, required=True, metavar="MODULE...")
@click.option("--concurrency", type=click.IntRange(min=1), default=20, show_default=True, help="Tasks at a time.")
@click.option(
    "--pool", type=choice("thread", "process", "rq"), help="Where plain functions run, whatever each one says."
)
@click.option(
    "--memory-limit", type=click.IntRange(min=16), metavar="MIB", help="What one task may take, in the pool rq."
)
@click.option(
    "--recycle-tasks",
    type=click.IntRange(min=1),
    metavar="N",
    help="Replace a child after so many tasks, in pool process.",
)
@click.option(
    "--recycle-memory",
    type=click.IntRange(min=16),
    metavar="MIB",
    help="Replace one that holds more memory, when its task has ended.",
)
@click.option(
    "--middleware",
    multiple=True,
    metavar="MODULE:NAME",
    help="Put this generator function around every task; repeatable, from the outside in.",
)
@click.option("--trace", is_flag=True, help="A span of OpenTelemetry for each attempt, in its starter's trace.")
@click.option("--domain", help="Serve this domain instead of the tasks' own.")
@click.option("--name", help="How it is called in logs and views. Default: host and process.")
@click.option("--build", help="What you call the code it runs, for: orchestrator workers list.")
@click.option("--drain-timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="For running tasks at the end.")
@_metrics_options
@click.option("--reload", "reloads", is_flag=True, help="Start anew when the code changes; for development.")
@click.option("--dev", "is_dev", is_flag=True, hidden=True)
@ready_option
def worker(
    modules: tuple[str, ...],
    concurrency: int,
    pool: Any,
    memory_limit: int | None,
    recycle_tasks: int | None,
    recycle_memory: int | None,
    middleware: tuple[str, ...],
    trace: bool,
    domain: str | None,
    name: str | None,
    build: str | None,
    drain_timeout: float | None,
    metrics_port: int | None,
    metrics_host: str,
    reloads: bool,
    is_dev: bool,
    ready_fd: int | None,
) -> int:
    """Run the tasks of modules: pkg.module, file.py, or either with :name for one task or a list of them."""
    from orchestrator_workers.main import run_remote_worker, run_worker

    session = current_session(is_role=True)
    if reloads:
        from orchestrator_cli.reloading import run_reloading

        return run_reloading(modules, session.settings.drain_timeout_s if drain_timeout is None else drain_timeout)
    given = {"recycle_tasks": recycle_tasks, "recycle_memory_bytes": recycle_memory and recycle_memory * MIB}
    recycling: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    served: Sequence[str] = modules
    told: dict[str, Any] = {}
    if is_dev:
        served, told = _registered(session, modules)
        if not served:
            tell(ready_fd, told)
            return _idle()
    if pool is not None:
        _move_to(pool, served)
    if trace:
        from orchestrator_workers import tracing

        middleware = (tracing.MIDDLEWARE, *middleware)
    watch = watching.watch_worker(metrics_host, metrics_port, concurrency)
    with watch.begin() as begun:

        def ready() -> None:
            begun()
            tell(ready_fd, told)

        run = run_remote_worker if session.is_remote else run_worker
        return run(
            dataclasses.replace(session.settings, **recycling),
            served,
            concurrency,
            middleware=middleware,
            domain=domain,
            drain_timeout_s=drain_timeout,
            memory_bytes=(memory_limit or 0) * MIB,
            prepare_child=partial(logs.configure, logging.getLevelName(logging.root.level)),
            name=name,
            build=build,
            on_ready=ready,
            observer=watch.observer,
            on_turn=watch.pulse(),
        )


def _system_tasks(session: Session) -> HostedRole:
    """The hosted role: it works on the same store, told by the environment because a command line can be seen by all."""
    settings = session.settings
    chosen = {"ORCHESTRATOR_REDIS_URL": settings.redis_url, "ORCHESTRATOR_NAMESPACE": settings.namespace}
    command = [sys.executable, "-P", "-m", "orchestrator_cli.main", "system"]
    return HostedRole(command, {**os.environ, **chosen}, grace_s=settings.drain_timeout_s + 5)


def _move_to(pool: Any, modules: Sequence[str]) -> None:
    from orchestrator_workers.registry import register

    for registered in register(modules=modules).values():
        if not registered.task.is_async:
            registered.task.pool = pool


def _registered(session: Session, modules: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Register what the modules define, as it is now; the modules that hold tasks, and what to say of them all."""
    from orchestrator.service import metadata
    from orchestrator_cli.sources import find, input_keys, python_objects

    found = find(modules)
    with session.store() as store:
        store.run(metadata.apply, [*found.task_defs, *found.workflows])
    tasks, workflows = [one.name for one in found.task_defs], found.workflows
    detail = "; ".join(
        f"{kind}: {', '.join(names)}"
        for kind, names in (("tasks", tasks), ("workflows", [one.name for one in workflows]))
        if names
    )
    told = {"detail": detail, "workflows": {one.name: input_keys(one) for one in workflows}}
    return [module for module in modules if python_objects(module)[1]], told


def tell(descriptor: int | None, facts: dict[str, Any]) -> None:
    """Say that this process is ready, to whoever asked by ``--ready-fd``."""
    if descriptor is not None:
        with contextlib.suppress(OSError):  # whoever asked may be gone
            os.write(descriptor, json.dumps(facts).encode() + b"\n")
            os.close(descriptor)


def _idle() -> int:
    """A module of workflows only: nothing to run, but it is watched for changes all the same."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    while not ended.wait(3600):
        pass
    return 0
