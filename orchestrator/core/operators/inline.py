"""INLINE: a script of the definition computes ``result`` from the task's whole input.

A script that is wrong fails the task for good; one that was stopped for its time may be tried again, if the task
definition says so (Conductor: Inline).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.core import advance, scripting
from orchestrator.core.operators import worker
from orchestrator.core.program import execution_ref
from orchestrator.errors import InvalidPayload
from orchestrator.model.evaluation import Evaluation
from orchestrator.model.scripts import LANGUAGES

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Make the task and ask for its script's value."""
    record = make(d, node, iteration, previous)
    if record is None:
        return
    given = record.input
    kind, expression = given.get("evaluatorType") or "javascript", given.get("expression")
    if kind not in (*LANGUAGES, "value-param"):
        conclude(d, record, Evaluation(error=f"Unknown evaluator '{kind}' in INLINE task."))
    elif not isinstance(expression, str) or not expression.strip():
        reason = "Empty 'expression' in Inline task's input parameters. A non-empty String value must be provided."
        conclude(d, record, Evaluation(error=reason))
    elif kind == "value-param":
        conclude(d, record, Evaluation(given.get(expression)))
    else:
        answer = scripting.evaluate(d, node, iteration, scripting.RESULT, kind, expression, given)
        if answer is not None:
            evaluated(d, node, iteration, scripting.RESULT, answer)


def evaluated(d: Draft, node: Node, iteration: int, purpose: str, evaluation: Evaluation) -> None:
    """The script has an answer: that is the task's end."""
    record = d.record(execution_ref(node.ref, iteration))
    assert record is not None, f"{node.ref} was evaluated without having a task"
    conclude(d, record, evaluation)


def make(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> TaskRecord | None:
    """The step's task with its input; None = the input cannot be stored, and the task has failed."""
    kind = node.task.type
    given: Any = worker.task_input(d, node, iteration, d.task_def(node), previous)
    try:
        packed = d.pack_payload(given, "input")
    except InvalidPayload as error:
        advance.refuse(d, node, iteration, previous, kind, f"The task's input cannot be stored: {error}")
        return None
    return d.create(node, iteration, type_=kind, name=node.task.name, input_=packed, previous=previous)


def conclude(d: Draft, record: TaskRecord, evaluation: Evaluation, *, fails: str = scripting.FOR_GOOD) -> None:
    """End the task with the value, or with what is wrong; ``fails`` is how a task with a wrong script ends."""
    error = evaluation.error
    if error is None:
        try:
            output = d.pack_payload({"result": evaluation.value}, "output")
        except InvalidPayload as unfit:
            error = f"The result cannot be stored: {unfit}"
        else:
            advance.finish(d, record, "COMPLETED", output=output)
            return
    status = "FAILED" if evaluation.timed_out else fails
    advance.finish(d, record, status, output=d.pack_payload({"error": error}, "output"), reason=error)
