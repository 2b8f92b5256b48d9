"""DECISION: the older form of SWITCH, by an input key (``caseValueParam``) or by JavaScript (``caseExpression``).

It differs in two things: an empty case takes the default, and a script that fails ends the workflow (Conductor:
DecisionTaskMapper).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core import advance, scripting
from orchestrator.core.operators import switch
from orchestrator.core.program import execution_ref

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord
    from orchestrator.model.evaluation import Evaluation


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Find the case and take the branch it names."""
    record = switch.make(d, node, iteration, previous)
    if record is None:
        return
    script = node.task.case_expression
    if not script:
        switch.choose(d, node, record, record.input.get(node.task.case_value_param))
        return
    answer = scripting.evaluate(d, node, iteration, scripting.CASE, "javascript", script, record.input)
    if answer is not None:
        evaluated(d, node, iteration, scripting.CASE, answer)


def evaluated(d: Draft, node: Node, iteration: int, purpose: str, evaluation: Evaluation) -> None:
    """The script has an answer: take the branch it names."""
    record = d.record(execution_ref(node.ref, iteration))
    assert record is not None, f"{node.ref} was evaluated without having a task"
    if evaluation.error is None:
        switch.choose(d, node, record, evaluation.value)
        return
    reason = f"Error while evaluating script: {node.task.case_expression}: {evaluation.error}"
    advance.finish(d, record, "FAILED", reason=reason, fatal=True)
