"""SWITCH: one branch is taken, chosen by a value; the others never run.

``value-param`` names an input key whose value, as text, is looked up among the cases; ``javascript``, ``graaljs`` and
``python`` compute the value. An existing but empty case runs nothing; only a missing one takes the default (Conductor:
SwitchTaskMapper). DECISION, its older form, chooses through here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from orchestrator.core import advance, scripting
from orchestrator.core.program import execution_ref
from orchestrator.errors import InvalidPayload
from orchestrator.model.scripts import LANGUAGES

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Case, Node
    from orchestrator.core.state import TaskRecord
    from orchestrator.model.definitions import WorkflowTask
    from orchestrator.model.evaluation import Evaluation


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Evaluate the step and take the branch it selects."""
    record = make(d, node, iteration, previous)
    if record is None:
        return
    kind, expression = node.task.evaluator_type or "", node.task.expression or ""
    if kind == "value-param":
        choose(d, node, record, record.input.get(expression))
    elif kind not in LANGUAGES:
        advance.finish(d, record, "FAILED", reason=f"No evaluator registered for type: {kind}", fatal=True)
    else:
        answer = scripting.evaluate(d, node, iteration, scripting.CASE, kind, expression, record.input)
        if answer is not None:
            evaluated(d, node, iteration, scripting.CASE, answer)


def evaluated(d: Draft, node: Node, iteration: int, purpose: str, evaluation: Evaluation) -> None:
    """The script has an answer: take the branch it selects."""
    record = d.record(execution_ref(node.ref, iteration))
    assert record is not None, f"{node.ref} was evaluated without having a task"
    if evaluation.error is None:
        choose(d, node, record, evaluation.value)
        return
    advance.finish(d, record, "FAILED", reason=evaluation.error)
    advance.skip_cases(d, node, list(node.untaken), iteration)  # an optional step: the workflow goes on after it


def make(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> TaskRecord | None:
    """The step's task with its input; None = the input cannot be stored, and the task has failed."""
    kind = node.task.type
    try:
        packed = d.pack_payload(d.render_input(node, iteration, previous), "input")
    except InvalidPayload as error:
        advance.refuse(d, node, iteration, previous, kind, f"The task's input cannot be stored: {error}")
        advance.skip_cases(d, node, list(node.untaken), iteration)
        return None
    return d.create(node, iteration, type_=kind, name=kind, input_=packed, previous=previous)


def choose(d: Draft, node: Node, record: TaskRecord, value: Any) -> None:
    """Complete the step with the evaluated ``value`` and go on in the branch it selects."""
    task, iteration = node.task, record.scheduled.iteration
    label = case_text(value)
    taken = case_taken(task, label)
    branch = task.default_case if taken is None else task.decision_cases[taken]
    shown = {**record.input, "case": label, **({"hasChildren": "true"} if branch else {})}
    said = {"caseOutput": [label]} if task.type == "DECISION" else {"evaluationResult": [label], "selectedCase": label}
    try:
        packed = d.pack_payload(shown, "input")
        output = d.pack_payload(said, "output")
    except InvalidPayload as error:
        reason = f"The task's input cannot be stored: {error}"
        advance.finish(d, record, "FAILED_WITH_TERMINAL_ERROR", reason=reason)
        advance.skip_cases(d, node, list(node.untaken), iteration)
        return
    record = d.amend_input(record, packed)
    advance.finish(d, record, "COMPLETED", output=output, advance=False)
    advance.skip_cases(d, node, [case for case in node.untaken if case != taken], iteration)
    advance.proceed(d, node, branch[0].task_reference_name if branch else node.next, iteration, "COMPLETED")


def case_taken(task: WorkflowTask, label: str) -> Case:
    """The branch that a label selects: its case, even an empty one (not so DECISION), else the default."""
    if task.type == "DECISION" and not task.decision_cases.get(label):
        return None
    return label if label in task.decision_cases else None


def label_of(record: TaskRecord) -> str:
    """The label that a completed SWITCH or DECISION has computed."""
    said = record.output
    return str(said["caseOutput"][0] if "caseOutput" in said else said.get("selectedCase"))


def case_text(value: Any) -> str:
    """A value as a case label, the way Java prints it: null, true, 3, 1.5, text as it is; lists and maps as JSON."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
