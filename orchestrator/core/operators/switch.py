"""SWITCH: one branch is taken, chosen by a value; the others never run.

``value-param`` names an input key whose value, as text, is looked up among the cases. An existing but empty case runs
nothing; only a missing one takes the default (Conductor: SwitchTaskMapper). Script evaluators come in through the same
``choose``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.core import advance
from orchestrator.core.closing import end
from orchestrator.errors import InvalidPayload

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord

DEFAULT = ""


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    task = node.task
    given = d.render_input(node)
    if task.evaluator_type != "value-param":
        record = d.create(node, iteration, type_="SWITCH", name=task.name, previous=previous)
        reason = f"No evaluator registered for type: {task.evaluator_type}"
        advance.finish(d, record, "FAILED", reason=reason, advance=False)
        end(d, "FAILED", reason, failed=d.record(record.scheduled.ref))
        return
    choose(d, node, iteration, previous, given, given.get(task.expression))


def choose(
    d: Draft, node: Node, iteration: int, previous: TaskRecord | None, given: dict[str, Any], value: Any
) -> None:
    """Complete the SWITCH with the evaluated ``value`` and go on in the branch it selects."""
    task = node.task
    case = case_text(value)
    taken = case if case in task.decision_cases else DEFAULT
    branch = task.decision_cases[case] if case in task.decision_cases else task.default_case
    shown = {**given, "case": case, **({"hasChildren": "true"} if branch else {})}
    try:
        packed = d.pack_payload(shown, "input")
    except InvalidPayload as error:
        record = d.create(node, iteration, type_="SWITCH", name=task.name, previous=previous)
        advance.finish(d, record, "FAILED_WITH_TERMINAL_ERROR", reason=f"The task's input cannot be stored: {error}")
        return
    record = d.create(node, iteration, type_="SWITCH", name=task.name, input_=packed, previous=previous)
    output = d.pack_payload({"evaluationResult": [case], "selectedCase": case}, "output")
    advance.untaken(d, node, taken, iteration)
    advance.finish(d, record, "COMPLETED", output=output, advance=False)
    d.go(branch[0].task_reference_name if branch else node.next, iteration)


def case_text(value: Any) -> str:
    """A value as a case label, the way Java prints it: null, true, 3, 1.5, text as it is."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
