"""System tasks: what the server does itself when a definition asks for it, such as an HTTP call.

In the core they are tasks in queues like any other, one queue per type. A worker whose tasks are the functions of this
room carries them out, with the same claims, leases, limits and retries; nothing here knows how. One file per type,
found in one literal table. A function gets the task's input and a ``SystemContext`` and gives the ``Outcome``; it runs
on the worker's event loop, so it never blocks. What may reach outside the installation is listed beside the table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from orchestrator.model.records import Outcome
from orchestrator.systemtasks import (
    event,
    http,
    http_poll,
    json_jq_transform,
    kafka_publish,
    rq,
    script,
    start_workflow,
)
from orchestrator.systemtasks.context import SystemContext

SystemTask = Callable[[dict[str, Any], SystemContext], Awaitable[Outcome]]

SYSTEM_TASKS: dict[str, SystemTask] = {
    "EVENT": event.run,
    "HTTP": http.run,
    "HTTP_POLL": http_poll.run,
    "JSON_JQ_TRANSFORM": json_jq_transform.run,
    "KAFKA_PUBLISH": kafka_publish.run,
    "RQ": rq.run,
    "SCRIPT": script.run,
    "START_WORKFLOW": start_workflow.run,
}
"""Every type with the function that carries it out."""

REACHING_OUTSIDE: frozenset[str] = frozenset({"HTTP", "HTTP_POLL", "KAFKA_PUBLISH", "RQ"})
"""Types that talk to other systems: in a test they run only when the test allows it."""
