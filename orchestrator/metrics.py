"""Metrics and probes: what a process counts for Prometheus, and the small port a role without HTTP answers probes on.

Names begin with ``orchestrator_``; labels are names of workflows, task types and routes, never ids, and only so many of
them: the rest is ``other``. A process that nobody asked for metrics counts nothing. What is true of the whole installation
(queues, partitions, memory) is read from the store when somebody looks, by the server. Needs prometheus_client.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from orchestrator.clock import SystemClock
from orchestrator.core.draft import Draft
from orchestrator.errors import InvalidRequest, MissingExtra
from orchestrator.model.records import Result, Scheduled
from orchestrator.model.status import is_terminal
from orchestrator.plan import Plan
from orchestrator.service import operations
from orchestrator.service.operations import Diagnosis
from orchestrator.store.context import StoreContext
from orchestrator.store.queue import QueueStats

try:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise MissingExtra("metrics", "metrics") from error

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "orchestrator"
LABELS_MAX = 200
"""So many names of one kind are told apart; whoever makes up names cannot fill the memory of what collects them."""

SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 3_600, 86_400)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
STARTED_MAX = 10_000
SCALING_HORIZON_MS = 30_000
"""About how long it takes to start one more worker: what a rate limit lets begin meanwhile is work for it."""

_clock = SystemClock()


class _Names:
    """The names that one label has had, and ``other`` for those that came too late."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def __getitem__(self, name: str) -> str:
        if name not in self._known:
            if len(self._known) >= LABELS_MAX:
                return "other"
            self._known.add(name)
        return name


class DeciderMetrics:
    """What a decider counts, as its witness. Example: ``decider.witness = DeciderMetrics()``"""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._names, self._types = _Names(), _Names()
        self._started = _counter(registry, "workflow_started", "Executions whose first step was decided.", "workflow")
        self._ended = _counter(registry, "workflow_completed", "Executions that ended.", "workflow", "status")
        self._seconds = _histogram(
            registry, "workflow_duration_seconds", "From the start of an execution to its end.", SECONDS, "workflow"
        )
        self._scheduled = _counter(registry, "task_scheduled", "Attempts of tasks that were scheduled.")
        self._retried = _counter(registry, "task_retries", "Attempts of tasks after the first.")
        self._waited = _histogram(
            registry,
            "task_schedule_to_start_seconds",
            "From when a task could begin to when a worker began, of tasks that ended.",
            SECONDS,
            "task_type",
        )
        self._batch = _histogram(registry, "decider_batch_size", "Events committed at once.", SIZES)
        self._late = _histogram(registry, "timer_lag_seconds", "How late timers became events.", SECONDS)
        self._repaired = _counter(registry, "repair_actions", "What was mended that should never break.", "kind")
        self._repaired.labels("task_offered_again")  # said to be 0 before it ever happens

    def committed(self, draft: Draft) -> None:
        """A decision was committed, and is about to become the state of its workflow."""
        name = self._names[draft.state.meta.name]
        core = draft.core
        if draft.is_new:
            self._started.labels(name).inc()
        before = draft.state.core
        if is_terminal(core.status) and (before is None or not is_terminal(before.status)):
            self._ended.labels(name, core.status).inc()
            self._seconds.labels(name).observe((core.ended_ms - core.created_ms) / 1000)
        self._scheduled.inc(len(draft.scheduled))
        self._retried.inc(sum(one.attempt > 0 for one in draft.scheduled.values()))
        for scheduled, result in _ended_in(draft):
            waited_ms = result.started_ms - scheduled.scheduled_ms - scheduled.delay_ms
            self._waited.labels(self._types[scheduled.type]).observe(max(0, waited_ms) / 1000)

    def batched(self, events: int) -> None:
        """So many events of one partition were committed at once."""
        self._batch.observe(events)

    def fired(self, late_ms: int) -> None:
        """A timer became an event, so long after it was due."""
        self._late.observe(max(0, late_ms) / 1000)

    def repaired(self, kind: str, count: int) -> None:
        """Something was mended that should never have been broken."""
        self._repaired.labels(kind).inc(count)


def _ended_in(draft: Draft) -> Iterator[tuple[Scheduled, Result]]:
    """The attempts that a worker began with and that ended in this decision."""
    yield from (pair for pair in draft.superseded if pair[1].ended_ms == draft.now and pair[1].started_ms)
    for ref, result in draft.results.items():
        record = draft.records.get(ref)
        if record is not None and record.result is result and is_terminal(result.status) and result.started_ms:
            yield record.scheduled, result


class WorkerMetrics:
    """What a worker of so many slots counts. Example: ``Worker(concurrency=20, observer=WorkerMetrics(20).observe)``"""

    def __init__(self, slots: int) -> None:
        registry = self.registry = CollectorRegistry()
        self._names = _Names()
        self._begun: dict[object, float] = {}
        self._seconds = _histogram(
            registry, "task_execute_seconds", "Time in a task's code.", SECONDS, "task_type", "status"
        )
        self._lost = _counter(registry, "lease_lost", "Tasks that were handed to somebody else while they ran.")
        told = "Tasks that run right now, and for how many more there is room."
        states = Gauge("worker_slots", told, ["state"], namespace=PREFIX, registry=registry)
        states.labels("running").set_function(lambda: len(self._begun))
        states.labels("free").set_function(lambda: max(0, slots - len(self._begun)))

    def observe(self, event: str, fields: dict[str, Any]) -> None:
        """The observer of a worker."""
        if event == "started":
            if len(self._begun) < STARTED_MAX:
                self._begun[fields["task_id"]] = _clock.monotonic_s()
        elif event == "finished":
            begun_s = self._begun.pop(fields["task_id"], None)
            if begun_s is not None:
                name = self._names[fields["task_type"]]
                self._seconds.labels(name, str(fields["status"])).observe(_clock.monotonic_s() - begun_s)
        elif event == "lease_lost":
            self._lost.inc()


class ServerMetrics:
    """What a server counts of requests, and what it tells of the installation."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = _counter(self.registry, "http_requests", "Requests.", "method", "route", "status")
        self._seconds = _histogram(
            self.registry, "http_request_seconds", "Time to answer.", REQUEST_SECONDS, "method", "route"
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered; ``route`` is the path as it was declared."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def page(self, store: StoreContext) -> Plan[str]:
        """Everything as Prometheus reads it, with the installation as it is now."""
        diagnosis = yield from operations.diagnose(store)
        queues = yield from operations.queues(store)
        return text_of(self.registry) + page_of(diagnosis, queues)


class _Installation(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def text_of(registry: CollectorRegistry) -> str:
    """What a registry holds as Prometheus reads it."""
    text: str = generate_latest(registry).decode()
    return text


def page_of(diagnosis: Diagnosis, queues: dict[str, QueueStats]) -> str:
    """What is true of an installation as Prometheus reads it."""
    now = CollectorRegistry()
    now.register(_Installation(list(families(diagnosis, queues))))
    return text_of(now)


def families(diagnosis: Diagnosis, queues: dict[str, QueueStats]) -> Iterator[Metric]:
    """What is true of an installation, as metrics."""
    names = _Names()
    depth = GaugeMetricFamily(f"{PREFIX}_task_queue_depth", "Tasks that wait.", labels=["task_type", "state"])
    in_use = GaugeMetricFamily(f"{PREFIX}_limit_in_use", "Slots of the concurrency limit in use.", labels=["task_type"])
    waiting = GaugeMetricFamily(
        f"{PREFIX}_limit_waiting", "Ready tasks that a limit keeps from workers.", labels=["task_type"]
    )
    admissible = GaugeMetricFamily(
        f"{PREFIX}_task_admissible_backlog",
        "Ready tasks that the limits would let begin within 30 s: what more workers could do.",
        labels=["task_type"],
    )
    oldest = GaugeMetricFamily(
        f"{PREFIX}_task_queue_oldest_seconds", "How long the next task has been ready.", labels=["task_type"]
    )
    expired = CounterMetricFamily(f"{PREFIX}_lease_expired", "Leases whose worker fell silent.", labels=["task_type"])
    for name, stats in sorted(queues.items()):
        label = names[name]
        if label == "other":
            break
        depth.add_metric([label, "ready"], stats.ready)
        depth.add_metric([label, "delayed"], stats.delayed)
        depth.add_metric([label, "running"], stats.leased)
        in_use.add_metric([label], stats.leased + stats.held)
        waiting.add_metric([label], stats.ready if stats.limited_since_ms is not None else 0)
        admissible.add_metric([label], stats.admissible(SCALING_HORIZON_MS))
        heads = [one.head_since_ms for one in stats.domains.values() if one.head_since_ms is not None]
        oldest.add_metric([label], max(0, stats.now_ms - min(heads, default=stats.now_ms)) / 1000)
        expired.add_metric([label], stats.expired)
    yield from (depth, admissible, oldest, in_use, waiting, expired)
    lags = [
        (one.stats.now_ms - one.stats.oldest_event_ms) / 1000
        for one in diagnosis.partitions
        if one.stats.oldest_event_ms
    ]
    partitions = [one.stats for one in diagnosis.partitions]
    figures: dict[str, tuple[str, float]] = {
        "decider_lag_seconds": ("Age of the oldest event that nobody has decided on.", max([0.0, *lags])),
        "deciders": ("Deciders that live.", len(diagnosis.deciders)),
        "partitions_unowned": ("Partitions that no decider holds.", len(diagnosis.unowned)),
        "inbox_events": ("Events that nobody has decided on.", sum(one.inbox for one in partitions)),
        "outbox_entries": ("Hand-offs that may not have arrived.", sum(one.outbox for one in partitions)),
        "timers": ("Timers that are armed.", sum(one.timers for one in partitions)),
        "dead_letters": ("Events of no workflow.", diagnosis.dead_letters),
        "quarantined_workflows": ("Executions that were set aside.", len(diagnosis.quarantined)),
        "redis_rtt_seconds": ("The fastest of a few round trips.", diagnosis.latency_ms / 1000),
    }
    if diagnosis.server.used_memory_bytes is not None:
        figures["redis_memory_bytes"] = ("Memory in use.", diagnosis.server.used_memory_bytes)
    for name, (told, value) in figures.items():
        yield GaugeMetricFamily(f"{PREFIX}_{name}", told, value=value)


def _counter(registry: CollectorRegistry, name: str, told: str, *labels: str) -> Counter:
    return Counter(name, told, labels, namespace=PREFIX, registry=registry)


def _histogram(
    registry: CollectorRegistry, name: str, told: str, buckets: tuple[float, ...], *labels: str
) -> Histogram:
    return Histogram(name, told, labels, namespace=PREFIX, registry=registry, buckets=buckets)


# --- the small port -----------------------------------------------------------------------------------------------------


class ProbePort:
    """Answers ``/metrics``, ``/livez``, ``/readyz`` and ``/startupz`` beside a role that speaks no HTTP.

    ``is_live`` must not ask the store: a role that waits for its store is alive, and killing it mends nothing.
    Example: ``with ProbePort("127.0.0.1", 9100, registry, lambda: True) as probes: probes.is_ready = True``
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry, is_live: Callable[[], bool]) -> None:
        self.is_ready = False
        self._registry = registry
        self._is_live = is_live
        try:
            self._server = ThreadingHTTPServer((host, port), self._handler())
        except OSError as error:
            raise InvalidRequest(f"metrics cannot be served at {host}:{port}: {error.strerror or error}") from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="orchestrator-probes", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens; useful when any free port was asked for."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, path: str) -> tuple[int, str]:
        path = path.partition("?")[0]
        if path == "/metrics":
            return 200, text_of(self._registry)
        answers = {"/livez": self._is_live, "/readyz": self._has_begun, "/startupz": self._has_begun}
        if path not in answers:
            return 404, f"there are: /metrics, {', '.join(answers)}\n"
        return (200, "ok\n") if answers[path]() else (503, "no\n")

    def _has_begun(self) -> bool:
        return self.is_ready

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        port = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                status, text = port._answer(self.path)
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Probes come every few seconds; nobody wants to read of them."""

        return Handler
