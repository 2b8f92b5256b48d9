"""Grafana dashboards: rows of graphs, each one a title, a unit and the queries behind it.

They use names that ``orchestrator.metrics`` has, and nothing of Grafana that needs a plugin.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

WIDTH, HEIGHT, COLUMNS = 8, 8, 3


class Query(NamedTuple):
    """One line of a graph, or many: ``legend`` names them."""

    expression: str
    legend: str


class Graph(NamedTuple):
    """A graph over time. ``unit`` in Grafana's words: short, s, ops, bytes, percentunit."""

    title: str
    unit: str
    queries: Sequence[Query]


def rate(metric: str, *by: str, where: str = "") -> Query:
    """How often a second, by labels."""
    names = ", ".join(by)
    told = f"sum by ({names}) " if by else "sum"
    labels = f"{{{where}}}" if where else ""
    legend = " ".join(f"{{{{{name}}}}}" for name in by) or "all"
    return Query(f"{told}(rate(orchestrator_{metric}{labels}[$__rate_interval]))", legend)


def quantiles(metric: str) -> list[Query]:
    """The median and the slowest of a hundred."""
    return [
        Query(
            f"histogram_quantile({share}, sum by (le) (rate(orchestrator_{metric}_bucket[$__rate_interval])))",
            f"p{share * 100:g}",
        )
        for share in (0.5, 0.99)
    ]


def slowest(metric: str, by: str) -> Query:
    """The slowest of a hundred, by a label."""
    return Query(
        f"histogram_quantile(0.99, sum by (le, {by}) (rate(orchestrator_{metric}_bucket[$__rate_interval])))",
        f"{{{{{by}}}}}",
    )


def now(metric: str, *by: str, where: str = "") -> Query:
    """What is true of the installation: every server says the same, so the largest is taken."""
    labels = f"{{{where}}}" if where else ""
    told = f"max by ({', '.join(by)}) " if by else "max"
    legend = " ".join(f"{{{{{name}}}}}" for name in by) or metric.replace("_", " ")
    return Query(f"{told}(orchestrator_{metric}{labels})", legend)


DASHBOARDS: dict[str, tuple[str, list[Graph]]] = {
    "overview": (
        "Orchestrator",
        [
            Graph("Workflows started", "ops", [rate("workflow_started_total", "workflow")]),
            Graph("Workflows ended", "ops", [rate("workflow_completed_total", "status")]),
            Graph("Workflows, from start to end", "s", quantiles("workflow_duration_seconds")),
            Graph("Attempts of tasks", "ops", [rate("task_scheduled_total"), rate("task_retries_total")]),
            Graph("From when a task may begin to its beginning", "s", quantiles("task_schedule_to_start_seconds")),
            Graph("Age of the oldest undecided event", "s", [now("decider_lag_seconds")]),
            Graph("Deciders, partitions without one", "short", [now("deciders"), now("partitions_unowned")]),
            Graph("Set aside", "short", [now("dead_letters"), now("quarantined_workflows")]),
            Graph("Redis", "bytes", [now("redis_memory_bytes")]),
        ],
    ),
    "tasks": (
        "Orchestrator: tasks, queues, limits",
        [
            Graph("Ready", "short", [now("task_queue_depth", "task_type", where='state="ready"')]),
            Graph("Running", "short", [now("task_queue_depth", "task_type", where='state="running"')]),
            Graph("What more workers could do", "short", [now("task_admissible_backlog", "task_type")]),
            Graph("Wait of the next task", "s", [now("task_queue_oldest_seconds", "task_type")]),
            Graph("Slots in use", "short", [now("limit_in_use", "task_type")]),
            Graph("Held back by a limit", "short", [now("limit_waiting", "task_type")]),
            Graph("In the task's code, p99", "s", [slowest("task_execute_seconds", "task_type")]),
            Graph("Ends of attempts", "ops", [rate("task_execute_seconds_count", "task_type", "status")]),
            Graph("Workers that fell silent", "ops", [rate("lease_expired_total", "task_type")]),
        ],
    ),
    "engine": (
        "Orchestrator: deciders, workers, servers",
        [
            Graph("Events committed at once", "short", quantiles("decider_batch_size")),
            Graph("How late timers fire", "s", quantiles("timer_lag_seconds")),
            Graph("Events, hand-offs", "short", [now("inbox_events"), now("outbox_entries"), now("timers")]),
            Graph("Slots of workers", "short", [Query("sum by (state) (orchestrator_worker_slots)", "{{state}}")]),
            Graph("Leases lost", "ops", [rate("lease_lost_total")]),
            Graph("Repairs", "ops", [rate("repair_actions_total", "kind")]),
            Graph("Requests", "ops", [rate("http_requests_total", "route")]),
            Graph(
                "Requests that failed", "ops", [rate("http_requests_total", "route", "status", where='status=~"5.."')]
            ),
            Graph("Requests, p99", "s", [slowest("http_request_seconds", "route")]),
            Graph("A round trip to Redis", "s", [now("redis_rtt_seconds")]),
        ],
    ),
}


def dashboards() -> dict[str, str]:
    """Path -> JSON of every dashboard."""
    return {
        f"grafana/dashboards/{name}.json": json.dumps(_dashboard(name, *told), indent=1) + "\n"
        for name, told in DASHBOARDS.items()
    }


def _dashboard(name: str, title: str, graphs: list[Graph]) -> dict[str, Any]:
    return {
        "uid": f"orchestrator-{name}",
        "title": title,
        "tags": ["orchestrator"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [{"name": "source", "label": "Source", "type": "datasource", "query": "prometheus"}]},
        "panels": [_panel(number, graph) for number, graph in enumerate(graphs)],
    }


def _panel(number: int, graph: Graph) -> dict[str, Any]:
    row, column = divmod(number, COLUMNS)
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": graph.title,
        "datasource": source,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": graph.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": source,
                "expr": query.expression,
                "legendFormat": query.legend,
            }
            for index, query in enumerate(graph.queries)
        ],
    }
