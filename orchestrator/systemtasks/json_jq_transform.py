"""JSON_JQ_TRANSFORM: a jq query over the task's whole input; ``result`` is its first result, ``resultList`` all of them.

The query runs in a process without environment, files or network, and is stopped at its limits of time and memory.
"""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.errors import InvalidPayload
from orchestrator.model.records import Outcome
from orchestrator.scripts import children
from orchestrator.scripts.limits import FULL
from orchestrator.scripts.messages import Request, evaluation_of
from orchestrator.systemtasks import endings
from orchestrator.systemtasks.context import SystemContext

QUERY = "queryExpression"


async def run(input: dict[str, Any], context: SystemContext) -> Outcome:
    """Apply the query. A query that is wrong fails the task, with what is wrong as ``error`` too (Conductor)."""
    query = input.get(QUERY)
    if not isinstance(query, str) or not query.strip():
        return endings.failed(f"Missing '{QUERY}' in input parameters")
    request = Request("jq", query, msgspec.json.encode(input).decode(), 0, "", FULL)
    evaluation = evaluation_of(await children.shared().answer(request), FULL)
    error = evaluation.error
    if error is None:
        results = evaluation.value
        try:
            return endings.completed({"result": results[0] if results else None, "resultList": results})
        except InvalidPayload as unfit:
            error = f"The result cannot be stored: {unfit}"
    return endings.failed(error, {"error": error})
