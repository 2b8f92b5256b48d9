"""HTTP_POLL: the same call again and again until a script says that its answer is the one that was waited for.

Between two calls the task is postponed in its queue: no worker holds it, and a restart forgets nothing. The condition sees
the task's input as ``$`` and the latest answer as ``$.output.response``. An answer that is not 2xx, or none, fails the
attempt as it fails an HTTP task; no ``Idempotency-Key`` is added, since every poll wants an answer of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from orchestrator.clock import SystemClock
from orchestrator.model.evaluation import Evaluation
from orchestrator.model.records import Outcome
from orchestrator.model.scripts import LANGUAGES
from orchestrator.scripts import children
from orchestrator.scripts.limits import FULL
from orchestrator.scripts.messages import Request, evaluation_of
from orchestrator.systemtasks import endings
from orchestrator.systemtasks.context import SystemContext
from orchestrator.systemtasks.http import REQUEST, BadRequest, called, failure_of, read_request, response_of

INTERVAL_S = 60
INTERVAL_S_MAX = 86_400
STRATEGIES = ("FIXED", "LINEAR_BACKOFF", "EXPONENTIAL_BACKOFF")


class Polling(NamedTuple):
    """When to call again, and how it is found out that no call is needed any more."""

    language: str
    condition: str
    interval_s: int
    strategy: str

    def pause_ms(self, polls: int) -> int:
        """How long to wait after the call number ``polls``, the first being 1."""
        factor = {"FIXED": 1, "LINEAR_BACKOFF": polls, "EXPONENTIAL_BACKOFF": 1 << min(polls - 1, 20)}
        return min(self.interval_s * factor[self.strategy], INTERVAL_S_MAX) * 1000


async def run(input: dict[str, Any], context: SystemContext) -> Outcome:
    """Call once; COMPLETED when the condition is true of the answer, otherwise called again after its pause."""
    try:
        polling = read_polling(input)
        request = read_request(input, context.settings, trace=context.task.trace)
    except BadRequest as error:
        return endings.failed(str(error))
    answer = await called(request, context)
    if isinstance(answer, Outcome):
        return answer
    output = {"response": response_of(answer)}
    if not answer.is_success:
        return endings.failed(failure_of(answer), output)
    verdict = await _evaluated(polling, {**input, "output": output}, context)
    if verdict.error is not None:
        reason = f"Unable to evaluate terminationCondition: {verdict.error}"
        return endings.failed(reason, output) if verdict.timed_out else endings.terminal(reason, output)
    if _is_true(verdict.value):
        return endings.completed(output)
    # A delivery is a call, but for the rare one that was lost with its worker: the pause is then a little longer.
    return endings.again(polling.pause_ms(context.task.delivery), output)


def read_polling(input: dict[str, Any]) -> Polling:
    """How a task's input wants to be polled, beside its request. Raises ``BadRequest``."""
    given = input.get(REQUEST) if isinstance(input.get(REQUEST), dict) else input
    assert given is not None
    condition = given.get("terminationCondition")
    if not isinstance(condition, str) or not condition.strip():
        raise BadRequest("Missing terminationCondition: a script that says when the polling is over")
    evaluator = str(given.get("evaluatorType") or "javascript")
    if evaluator not in LANGUAGES:
        raise BadRequest(f"Unknown evaluator {evaluator[:40]!r} in HTTP_POLL task; use one of {', '.join(LANGUAGES)}")
    strategy = str(given.get("pollingStrategy") or "FIXED")
    if strategy not in STRATEGIES:
        raise BadRequest(f"pollingStrategy must be one of {', '.join(STRATEGIES)}, not {strategy[:40]!r}")
    value = given.get("pollingInterval")
    text = str(INTERVAL_S if value is None or value == "" else value).strip()
    if not text.isdecimal() or not 0 < int(text) <= INTERVAL_S_MAX:
        raise BadRequest(f"pollingInterval must be whole seconds from 1 to {INTERVAL_S_MAX}, not {text[:40]!r}")
    return Polling(LANGUAGES[evaluator], condition, int(text), strategy)


async def _evaluated(polling: Polling, given: dict[str, Any], context: SystemContext) -> Evaluation:
    text = msgspec.json.encode(given).decode()
    now_ms = SystemClock().now_ms()
    request = Request(polling.language, polling.condition, text, now_ms, context.task.task_id, FULL)
    return evaluation_of(await children.shared().answer(request), FULL)


def _is_true(value: Any) -> bool:
    """Conductor's reading of a condition: true and positive numbers are, everything else is not."""
    return value is True or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0)
