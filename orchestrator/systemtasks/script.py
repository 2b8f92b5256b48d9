"""SCRIPT: the task of a script that a decision had no time for. The engine makes it; see ``core.scripting``.

A script that is wrong fails for good; one that was stopped for its time is an ordinary failure, so that the step that
asked can tell them apart.
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


async def run(input: dict[str, Any], context: SystemContext) -> Outcome:
    """Run the script under the full limits, in a process of its own."""
    text = msgspec.json.encode(input.get("input") or {}).decode()
    language, script, seed = (str(input.get(name) or "") for name in ("language", "script", "seed"))
    request = Request(language, script, text, int(input.get("nowMs") or 0), seed, FULL)
    evaluation = evaluation_of(await children.shared().answer(request), FULL)
    if evaluation.error is None:
        try:
            return endings.completed({"result": evaluation.value})
        except InvalidPayload as error:
            return endings.terminal(f"The result cannot be stored: {error}")
    return endings.failed(evaluation.error) if evaluation.timed_out else endings.terminal(evaluation.error)
