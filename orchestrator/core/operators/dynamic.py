"""DYNAMIC: which task it is shows at run time; from then on it is that task, with that task's definition.

The name is the text of one input. That of a built-in task runs it with the inputs of the step; steps that hold others
cannot come about that way (Conductor: DynamicTaskMapper, which goes by the TaskDef of the step's own name).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Raw
from msgspec.structs import replace

from orchestrator.codec import pack
from orchestrator.core import advance, operators
from orchestrator.core.branches import compile_branch, compile_dynamic
from orchestrator.core.program import execution_ref
from orchestrator.model.definitions import TaskType, is_built_in, is_worker_task
from orchestrator.model.records import Step
from orchestrator.model.wire import workflow_task_to_dict

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord

HOLDING = (
    TaskType.DECISION,
    TaskType.DO_WHILE,
    TaskType.DYNAMIC,
    TaskType.EXCLUSIVE_JOIN,
    TaskType.FORK,
    TaskType.FORK_JOIN,
    TaskType.FORK_JOIN_DYNAMIC,
    TaskType.JOIN,
    TaskType.SWITCH,
)
SHOWN_CHARS_MAX = 500


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Find out what the step is and enter it as that."""
    given = d.render_input(node, iteration, previous)
    name = given.get(node.task.dynamic_task_name_param)
    if not isinstance(name, str) or not name.strip():
        reason = (
            "Cannot map a dynamic task based on the parameter and input. "
            f"Parameter= {node.task.dynamic_task_name_param}, input= {str(given)[:SHOWN_CHARS_MAX]}"
        )
        _fail(d, node, iteration, previous, reason)
    elif name in HOLDING:
        _fail(d, node, iteration, previous, f"A dynamic task cannot be a {name}: it would have no steps of its own")
    else:
        operators.enter(d, resolve(d, node, iteration, name), iteration, previous)


def resolve(d: Draft, node: Node, iteration: int, name: str) -> Node:
    """The step as the task of that name: the inputs, flags and place of the DYNAMIC, the type and name of the task."""
    written: dict[str, Any] = workflow_task_to_dict(node.task)
    written.pop("dynamicTaskNameParam")
    written |= {"name": name, "type": name if is_built_in(name) and not is_worker_task(name) else "SIMPLE"}
    task = Raw(pack(written))
    if node.step is None:
        return compile_dynamic(Step(task), node, d.find)
    ref = execution_ref(node.ref, iteration)  # it is a dynamic branch by itself
    return d.meet(ref, compile_branch(replace(node.step, task=task), ref, d.program.nodes))[node.ref]


def _fail(d: Draft, node: Node, iteration: int, previous: TaskRecord | None, reason: str) -> None:
    record = d.create(node, iteration, type_="DYNAMIC", name=node.task.name, previous=previous)
    advance.finish(d, record, "FAILED", reason=reason, fatal=True)
