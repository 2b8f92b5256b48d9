"""The operators: one file each, found in one literal table by task type.

Every operator module has ``enter``: the step is reached, make its task and say what runs next. Those whose task waits
for a timer have ``resume``, those that use scripts ``evaluated`` (see ``core.scripting``). Where an open task waits is
said in ``core.kinds``. A type that is not in the table is a worker's.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from orchestrator.core import scripting
from orchestrator.core.operators import fork, join, noop, set_variable, sub_workflow, switch, terminate, wait, worker
from orchestrator.core.program import execution_ref

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord

OPERATORS: dict[str, ModuleType] = {
    "FORK_JOIN": fork,
    "JOIN": join,
    "NOOP": noop,
    "SET_VARIABLE": set_variable,
    "SUB_WORKFLOW": sub_workflow,
    "SWITCH": switch,
    "TERMINATE": terminate,
    "WAIT": wait,
}


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None = None) -> None:
    """Reach a step: its operator makes the task, or the queue of its type is offered one.

    ``previous`` is the failed attempt that this one follows.
    """
    OPERATORS.get(node.task.type, worker).enter(d, node, iteration, previous)


def resume(d: Draft, node: Node, record: TaskRecord) -> None:
    """The timer of an open operator task fired."""
    operator = OPERATORS.get(node.task.type)
    if operator is not None and hasattr(operator, "resume"):
        operator.resume(d, node, record)


def evaluated(d: Draft, script: Node, iteration: int) -> None:
    """A script task has ended: the operator that asked takes its answer, if its task is still waiting for one."""
    evaluation = scripting.take_answer(d, script, iteration)
    node = d.node(script.parent or "")
    record = d.record(execution_ref(node.ref, iteration))
    if record is not None and record.is_open:
        OPERATORS[node.task.type].evaluated(d, node, iteration, scripting.purpose_of(script), evaluation)
