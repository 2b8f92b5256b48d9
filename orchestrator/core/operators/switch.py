"""SWITCH: one branch is taken, chosen by a value; the others never run.

``value-param`` names an input key whose value, as text, is looked up among the cases; ``javascript``, ``graaljs`` and
``python`` compute the value. An existing but empty case runs nothing; only a missing one takes the default (Conductor:
SwitchTaskMapper).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from orchestrator.core import advance, scripting
from orchestrator.core.program import execution_ref
from orchestrator.errors import InvalidPayload

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Case, Node
    from orchestrator.core.state import TaskRecord
    from orchestrator.model.definitions import WorkflowTask
    from orchestrator.model.evaluation import Evaluation

PURPOSE = "case"


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Evaluate the step and take the branch it selects."""
    task = node.task
    given = d.render_input(node, iteration, previous)
    try:
        packed = d.pack_payload(given, "input")
    except InvalidPayload as error:
        advance.refuse(d, node, iteration, previous, "SWITCH", f"The task's input cannot be stored: {error}")
        advance.skip_cases(d, node, list(node.untaken), iteration)  # an optional step: the workflow goes on after it
        return
    record = d.create(node, iteration, type_="SWITCH", name="SWITCH", input_=packed, previous=previous)
    kind = task.evaluator_type or ""
    if kind == "value-param":
        choose(d, node, record, given, given.get(task.expression))
    elif kind not in scripting.LANGUAGES:
        advance.finish(d, record, "FAILED", reason=f"No evaluator registered for type: {kind}", fatal=True)
    else:
        answer = scripting.evaluate(d, node, iteration, PURPOSE, kind, task.expression or "", given)
        if answer is not None:
            evaluated(d, node, iteration, PURPOSE, answer)


def evaluated(d: Draft, node: Node, iteration: int, purpose: str, evaluation: Evaluation) -> None:
    """The script has an answer: take the branch it selects."""
    record = d.record(execution_ref(node.ref, iteration))
    assert record is not None, f"{node.ref} was evaluated without having a task"
    if evaluation.error is None:
        choose(d, node, record, record.input, evaluation.value)
        return
    advance.finish(d, record, "FAILED", reason=evaluation.error)
    advance.skip_cases(d, node, list(node.untaken), iteration)


def choose(d: Draft, node: Node, record: TaskRecord, given: dict[str, Any], value: Any) -> None:
    """Complete the SWITCH with the evaluated ``value`` and go on in the branch it selects."""
    iteration = record.scheduled.iteration
    label = case_text(value)
    taken = case_taken(node.task, label)
    branch = node.task.default_case if taken is None else node.task.decision_cases[taken]
    shown = {**given, "case": label, **({"hasChildren": "true"} if branch else {})}
    try:
        packed = d.pack_payload(shown, "input")
        output = d.pack_payload({"evaluationResult": [label], "selectedCase": label}, "output")
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
    """The branch that a label selects: its case, even an empty one; the default only when there is none."""
    return label if label in task.decision_cases else None


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
