"""The trace that a workflow belongs to: W3C's ``traceparent`` and ``tracestate``, as its starter sent them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE = re.compile(r"[ -~]{1,512}")


def trace_of(carrier: Mapping[str, str]) -> dict[str, str]:
    """What of a carrier, headers for one, says which trace it is; nothing where that is malformed, as W3C has it.

    Example: ``trace_of(request.headers)``
    """
    parent, state = carrier.get(TRACEPARENT) or "", carrier.get(TRACESTATE) or ""
    if not _TRACEPARENT.fullmatch(parent):
        return {}
    return {TRACEPARENT: parent, TRACESTATE: state} if _TRACESTATE.fullmatch(state) else {TRACEPARENT: parent}
