"""SWITCH: one branch is taken, chosen by a value; the others never run.

``value-param`` names an input key whose value, as text, is looked up among the cases. An existing but empty case runs
nothing; only a missing one takes the default (Conductor: SwitchTaskMapper). Script evaluators come in through the same
``choose``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.core import advance
from orchestrator.errors import InvalidPayload

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Case, Node
    from orchestrator.core.state import TaskRecord
    from orchestrator.model.definitions import WorkflowTask


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Evaluate the step and take the branch it selects."""
    task = node.task
    given = d.render_input(node, iteration, previous)
    if task.evaluator_type != "value-param":
        record = d.create(node, iteration, type_="SWITCH", name="SWITCH", previous=previous)
        reason = f"No evaluator registered for type: {task.evaluator_type}"
        advance.finish(d, record, "FAILED", reason=reason, fatal=True)
        return
    choose(d, node, iteration, previous, given, given.get(task.expression))


def choose(
    d: Draft, node: Node, iteration: int, previous: TaskRecord | None, given: dict[str, Any], value: Any
) -> None:
    """Complete the SWITCH with the evaluated ``value`` and go on in the branch it selects."""
    label = case_text(value)
    taken = case_taken(node.task, label)
    branch = node.task.default_case if taken is None else node.task.decision_cases[taken]
    shown = {**given, "case": label, **({"hasChildren": "true"} if branch else {})}
    try:
        packed = d.pack_payload(shown, "input")
        output = d.pack_payload({"evaluationResult": [label], "selectedCase": label}, "output")
    except InvalidPayload as error:
        advance.refuse(d, node, iteration, previous, "SWITCH", f"The task's input cannot be stored: {error}")
        advance.skip_cases(d, node, list(node.untaken), iteration)  # an optional step: the workflow goes on after it
        return
    record = d.create(node, iteration, type_="SWITCH", name="SWITCH", input_=packed, previous=previous)
    advance.finish(d, record, "COMPLETED", output=output, advance=False)
    advance.skip_cases(d, node, [case for case in node.untaken if case != taken], iteration)
    d.go(branch[0].task_reference_name if branch else node.next, iteration)


def case_taken(task: WorkflowTask, label: str) -> Case:
    """The branch that a label selects: its case, even an empty one; the default only when there is none."""
    return label if label in task.decision_cases else None


def case_text(value: Any) -> str:
    """A value as a case label, the way Java prints it: null, true, 3, 1.5, text as it is."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
