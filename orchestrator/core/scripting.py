"""User scripts in a decision: answered at once where that is cheap, by a task of their own where it is not.

``Facts.scripts`` answers a script that stays within the decider's small budget. Otherwise a *script task* is made: a task
of type SCRIPT in the queue of that name, which the system-task role runs in a child process under the full limits. It is
visible like any task, under the reference ``<step>#<purpose>``, belongs to no JOIN and is followed by nothing: its end
puts ``Pending(ref, iteration, EVALUATED)`` on the agenda, which hands the answer to the operator that asked.
An operator that uses scripts has, beside ``enter``, ``evaluated(d, node, iteration, purpose, evaluation)``, and calls it
itself when the answer is there at once. Its own task must exist when it asks.
"""

from __future__ import annotations

from typing import Any

from orchestrator.core.draft import Draft
from orchestrator.core.kinds import QUEUED
from orchestrator.core.program import SCRIPT, SCRIPT_MARK, Node, execution_ref
from orchestrator.core.timeouts import first_timer_ms
from orchestrator.errors import InvalidPayload
from orchestrator.model.effects import Enqueue
from orchestrator.model.evaluation import Evaluation
from orchestrator.model.scripts import LANGUAGES
from orchestrator.model.status import is_successful


def evaluate(
    d: Draft, node: Node, iteration: int, purpose: str, language: str, script: str, input: dict[str, Any]
) -> Evaluation | None:
    """The script's answer, or None: a script task was made and ``evaluated`` of the step's operator will be called.

    ``node`` and ``iteration`` name the task of the operator that asks. ``purpose`` tells its scripts apart, so a step
    that asks many times numbers them (``condition-3``). An ``input`` that cannot be stored is answered with the error.
    """
    ref = execution_ref(node.ref, iteration)
    owner = d.record(ref)
    assert owner is not None, f"{ref} asks for a script without having a task"
    attempt = owner.scheduled.attempt
    seed = f"{d.task_id(owner)}{SCRIPT_MARK}{purpose}"
    answer = d.facts.scripts.evaluate(LANGUAGES.get(language, language), script, input, now_ms=d.now, seed=seed)
    if answer is not None:
        return answer
    request = {"language": language, "script": script, "input": input, "nowMs": d.now, "seed": seed}
    try:
        packed = d.pack_payload(request, "input")
    except InvalidPayload as error:
        return Evaluation(error=f"The script's input cannot be stored: {error}")
    _offer(d, d.node(name_of(node, purpose, attempt), node.branch), iteration, packed)
    d.core.evaluating = [*d.core.evaluating, ref]
    return None


RESULT = "result"
CASE = "case"

ONE_PURPOSE = {"INLINE": RESULT, "LAMBDA": RESULT, "SWITCH": CASE, "DECISION": CASE}
"""What the tasks that have a single script ask it for."""


def condition_of(number: int) -> str:
    """What a loop asks for after its round ``number``."""
    return f"condition-{number}"


def judgement_of(ended: int) -> str:
    """What a JOIN asks for when so many of its members have ended."""
    return f"join-{ended}"


def name_of(node: Node, purpose: str, attempt: int) -> str:
    """The step of the script task that an attempt makes for this purpose."""
    return f"{node.ref}{SCRIPT_MARK}{purpose}" + (f".{attempt}" if attempt else "")


def _offer(d: Draft, node: Node, iteration: int, packed: bytes) -> None:
    task_def = d.task_def(node)
    record = d.create(node, iteration, type_=SCRIPT, name=SCRIPT, input_=packed, status="SCHEDULED")
    d.dispatch(record, QUEUED, task_def, first_timer_ms(record.scheduled, task_def))
    d.handoffs.append(Enqueue(SCRIPT, d.task_id(record), d.state.meta.priority))


def take_answer(d: Draft, node: Node, iteration: int) -> Evaluation:
    """How a script task ended; the operator that asked no longer waits for it."""
    record = d.record(execution_ref(node.ref, iteration))
    assert record is not None, f"script {node.ref} has ended without a record"
    owner = execution_ref(node.parent or "", iteration)
    d.core.evaluating = [ref for ref in d.core.evaluating if ref != owner]
    if is_successful(record.status):
        return Evaluation(record.output.get("result") if isinstance(record.output, dict) else None)
    reason = record.result.reason if record.result is not None else None
    return Evaluation(error=reason or f"the script ended {record.status}", timed_out=record.status != FOR_GOOD)


def purpose_of(node: Node) -> str:
    """What the operator asked for: ``condition-3`` of ``loop#condition-3``."""
    return node.ref.partition(SCRIPT_MARK)[2].partition(".")[0]


FOR_GOOD = "FAILED_WITH_TERMINAL_ERROR"
"""How a script task ends whose script is wrong: it would be no better at another time."""
