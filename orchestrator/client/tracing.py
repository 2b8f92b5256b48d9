"""The trace that the calling code is part of. A program without OpenTelemetry has none, and nothing is loaded for it."""

from __future__ import annotations

import sys


def current_trace() -> dict[str, str]:
    """``traceparent`` and ``tracestate`` of the current span; nothing where there is none."""
    if "opentelemetry.trace" not in sys.modules:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier
