"""The operators: one file each, found in one literal table by task type.

Every operator module has ``enter``: the step is reached, make its task and say what runs next. Those whose task waits
for a timer have ``resume``. Where an open task waits is said in ``core.kinds``. A type that is not in the table is a
worker's.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from orchestrator.core.operators import fork, join, noop, set_variable, switch, terminate, wait, worker

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord

OPERATORS: dict[str, ModuleType] = {
    "FORK_JOIN": fork,
    "JOIN": join,
    "NOOP": noop,
    "SET_VARIABLE": set_variable,
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
