"""Conditions of handlers: evaluated outside decisions, so a slow one has the full limit of a script and holds up nobody.

``$`` is the payload with JSON inside its texts opened. Quick ones are answered by the process's own evaluator, the others
by a process that can be killed. Blocks; called in a thread.
"""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.model.evaluation import Evaluation
from orchestrator.scripts import children, evaluator
from orchestrator.scripts.limits import FULL
from orchestrator.scripts.messages import Request, evaluation_of


def evaluate(language: str, script: str, document: Any, /, *, now_ms: int, seed: str) -> Evaluation:
    """The answer to a condition, within the full limits of a script; ``processor.Conditions``.

    Python sees the keys of the payload as names. Example: ``evaluate("javascript", "$.a > 1", {"a": 2}, ...)``
    """
    given = document if language == "javascript" or isinstance(document, dict) else {}
    answer = evaluator.shared().evaluate(language, script, given, now_ms=now_ms, seed=seed)
    if answer is not None:
        return answer
    request = Request(language, script, msgspec.json.encode(given).decode(), now_ms, seed, FULL)
    return evaluation_of(children.shared().ask(request), FULL)
