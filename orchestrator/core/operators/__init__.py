"""The operators: one file each, found in one literal table by task type.

Every operator module has ``enter``: the step is reached, make its task and say what runs next. Those whose task waits
for a timer have ``resume``, those that use scripts ``evaluated`` (see ``core.scripting``). Where an open task waits is
said in ``core.kinds``. A type that is not in the table is a worker's.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from orchestrator.core import advance, scripting
from orchestrator.core.closing import end
from orchestrator.core.kinds import SYSTEM_TASK_TYPES
from orchestrator.core.operators import (
    decision,
    do_while,
    dynamic,
    dynamic_fork,
    event,
    exclusive_join,
    fork,
    human,
    inline,
    join,
    lambda_script,
    noop,
    pull_messages,
    set_variable,
    sub_workflow,
    switch,
    terminate,
    wait,
    wait_for_webhook,
    worker,
)
from orchestrator.core.program import execution_ref
from orchestrator.model.definitions import is_built_in

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord

OPERATORS: dict[str, ModuleType] = {
    "DECISION": decision,
    "DO_WHILE": do_while,
    "DYNAMIC": dynamic,
    "EXCLUSIVE_JOIN": exclusive_join,
    "EVENT": event,
    "FORK_JOIN": fork,
    "FORK_JOIN_DYNAMIC": dynamic_fork,
    "HUMAN": human,
    "INLINE": inline,
    "JOIN": join,
    "LAMBDA": lambda_script,
    "NOOP": noop,
    "PULL_WORKFLOW_MESSAGES": pull_messages,
    "SET_VARIABLE": set_variable,
    "SUB_WORKFLOW": sub_workflow,
    "SWITCH": switch,
    "TERMINATE": terminate,
    "WAIT": wait,
    "WAIT_FOR_WEBHOOK": wait_for_webhook,
}


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None = None) -> None:
    """Reach a step: its operator makes the task, or the queue of its type is offered one.

    ``previous`` is the failed attempt that this one follows.
    """
    if node.branch and previous is None and _is_taken(d, node, iteration):
        return
    operator = OPERATORS.get(node.task.type)
    if operator is not None:
        operator.enter(d, node, iteration, previous)
    elif (
        is_built_in(node.task.type) and node.task.type not in SYSTEM_TASK_TYPES
    ):  # only a step that came at run time has not been checked before
        reason = f"taskType: {node.task.type} is not supported by this installation; taskName: {node.task.name}"
        advance.refuse(d, node, iteration, previous, node.task.type, reason)
    else:
        worker.enter(d, node, iteration, previous)


def _is_taken(d: Draft, node: Node, iteration: int) -> bool:
    """Whether another branch has used the name of a dynamically forked step already; the workflow fails then."""
    ref = execution_ref(node.ref, iteration)
    earlier = d.record(ref)
    if earlier is None or earlier.scheduled.generation != d.core.generation:
        return False
    end(d, "FAILED", dynamic_fork.taken(d, node.parent, ref), failed=earlier)
    return True


def go_on(d: Draft, node: Node, iteration: int, index: int) -> None:
    """Fan a fork out further, from the branch at ``index`` on."""
    if node.task.type == "FORK_JOIN":
        fork.fan_out(d, node, iteration, index)
    else:
        for branch in dynamic_fork.fan_out(d, node, iteration, index):
            if not d.core.is_revived or d.record(execution_ref(branch.ref, iteration)) is None:
                enter(d, branch, iteration)


def reopen(node: Node) -> Callable[[Draft, Node, TaskRecord], None] | None:
    """How a step's task that has ended goes on when its workflow does; None = by another attempt."""
    return getattr(OPERATORS.get(node.task.type), "reopen", None)


def judge(d: Draft, node: Node, iteration: int) -> None:
    """Have a JOIN that goes by more than its counter say whether it is over; not while its script runs elsewhere."""
    record = d.record(execution_ref(node.ref, iteration))
    if record is not None and record.scheduled.ref in d.core.joins and record.scheduled.ref not in d.core.evaluating:
        OPERATORS[node.task.type].judge(d, node, record)


def resume(d: Draft, node: Node, record: TaskRecord) -> None:
    """The timer of an open operator task fired."""
    operator = OPERATORS.get(node.task.type)
    if operator is not None and hasattr(operator, "resume"):
        operator.resume(d, node, record)


def evaluated(d: Draft, script: Node, iteration: int) -> None:
    """A script task has ended: the operator that asked takes its answer, if its task is still waiting for one."""
    evaluation = scripting.take_answer(d, script, iteration)
    record = d.record(execution_ref(script.parent or "", iteration))
    if record is not None and record.is_open:
        node = d.node_of(record.scheduled)
        OPERATORS[node.task.type].evaluated(d, node, iteration, scripting.purpose_of(script), evaluation)
