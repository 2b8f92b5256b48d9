"""A span of OpenTelemetry around each attempt of a task, as a child of whoever started its workflow; a middleware.

Which spans are kept and where they go is the application's: it sets up the SDK, in child processes too. Loads the API of
OpenTelemetry, an extra, so it is imported only by workers that trace (``orchestrator worker --trace``).
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

from orchestrator.context import InProgress, TaskContext
from orchestrator.errors import MissingExtra

try:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    raise MissingExtra("tracing", "otel") from None

MIDDLEWARE = f"{__name__}:traced"
"""Where ``traced`` is found, by workers and by their children."""

_propagator = TraceContextTextMapPropagator()
_importer_pid = os.getpid()


def traced(context: TaskContext, input: dict[str, Any]) -> Generator[None, Any, None]:
    """Run the attempt in a span of its own, which is the current one; an error is recorded in it.

    Example: ``Worker(tasks=[charge], middleware=[traced])``
    """
    attributes: dict[str, str | int] = {
        "orchestrator.workflow.id": context.workflow_id,
        "orchestrator.workflow.name": context.workflow_name,
        "orchestrator.task.id": context.task_id,
        "orchestrator.task.type": context.task_type,
        "orchestrator.task.ref": context.ref,
        "orchestrator.task.attempt": context.attempt,
        "orchestrator.task.delivery": context.delivery,
        "orchestrator.worker.id": context.worker_id,
    }
    parent = _propagator.extract(dict(context.trace))
    kind = trace.SpanKind.CONSUMER
    tracer = trace.get_tracer("orchestrator")
    try:
        with tracer.start_as_current_span(f"task {context.task_type}", parent, kind, attributes) as span:
            result = yield
            span.set_attribute("orchestrator.task.in_progress", isinstance(result, InProgress))
    finally:
        if os.getpid() != _importer_pid:  # a work-horse ends without notice: what it has not sent by then is lost
            _flush()


def _flush() -> None:
    flush = getattr(trace.get_tracer_provider(), "force_flush", None)  # which only the SDK's has
    if flush is not None:
        flush()
