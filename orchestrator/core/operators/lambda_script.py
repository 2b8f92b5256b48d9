"""LAMBDA: the older form of INLINE. Its JavaScript is the body of a function, so ``return`` gives the value.

A script that fails is an ordinary failure, which the task definition may let try again (Conductor: Lambda).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core import scripting
from orchestrator.core.operators import inline
from orchestrator.core.program import execution_ref
from orchestrator.model.evaluation import Evaluation
from orchestrator.model.scripts import as_program

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Make the task and ask for its script's value."""
    record = inline.make(d, node, iteration, previous)
    if record is None:
        return
    body = record.input.get("scriptExpression")
    if not isinstance(body, str) or not body.strip():
        reason = (
            "Empty 'scriptExpression' in Lambda task's input parameters. A non-empty String value must be provided."
        )
        inline.conclude(d, record, Evaluation(error=reason), fails="FAILED")
        return
    answer = scripting.evaluate(d, node, iteration, scripting.RESULT, "javascript", as_program(body), record.input)
    if answer is not None:
        evaluated(d, node, iteration, scripting.RESULT, answer)


def evaluated(d: Draft, node: Node, iteration: int, purpose: str, evaluation: Evaluation) -> None:
    """The script has an answer: that is the task's end."""
    record = d.record(execution_ref(node.ref, iteration))
    assert record is not None, f"{node.ref} was evaluated without having a task"
    inline.conclude(d, record, evaluation, fails="FAILED")
