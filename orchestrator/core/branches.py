"""Steps that no definition has, compiled from what is kept with their task: dynamic branches, and DYNAMIC steps.

A branch of a dynamic fork is one step, which may hold others (a SWITCH, a DO_WHILE). Its first task keeps it, so whoever
meets a task of the branch can compile the rest. It is over when its flow has come to an end, and its JOIN is told then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from orchestrator.codec import unpack
from orchestrator.core.program import Find, Node, Place, lay_out, link, reads_of
from orchestrator.errors import DefinitionInvalid
from orchestrator.model.definitions import TASK_DEPTH_MAX, WorkflowDef, WorkflowTask, is_worker_task, locate
from orchestrator.model.task_rules import type_problems
from orchestrator.model.wire import workflow_task_from_dict

if TYPE_CHECKING:
    from orchestrator.model.records import Step

_CASES = ("SWITCH", "DECISION")
_HOLDING = (*_CASES, "DO_WHILE", "DYNAMIC", "FORK_JOIN", "FORK_JOIN_DYNAMIC", "SUB_WORKFLOW")


class StepInvalid(Exception):
    """What was to become a step is none; the message says why."""


def compile_branch(step: Step, name: str, around: Mapping[str, Node]) -> dict[str, Node]:
    """The steps of a branch by reference, its first one first; ``name`` is the execution reference of that.

    ``around`` are the steps of the definition. Raises ``StepInvalid``.
    """
    return _compiled(read_task(step), step, name, around)


def _compiled(task: WorkflowTask, step: Step, name: str, around: Mapping[str, Node]) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    lay_out([task], Place(None, step.loop, step.fork), nodes, name)
    twice = next((ref for ref in nodes if ref in around), None)
    if twice is not None:
        raise StepInvalid(f"the reference name {twice} is that of a step of the definition")
    link(nodes, lambda ref: nodes.get(ref) or around.get(ref))
    root = nodes[task.task_reference_name]
    root.step = step
    for inner in _at_the_end(root, nodes):
        inner.ends = step.join
    return nodes


def compile_dynamic(step: Step, owner: Node, find: Find) -> Node:
    """What a DYNAMIC step turned out to be, in the place of that step."""
    node = Node(read_task(step), Place(owner.next, owner.loop, owner.parent, owner.case))
    node.inputs, node.reads, node.joins = owner.inputs, owner.reads, owner.joins
    node.extra_reads = reads_of(node.extra, find)
    node.branch, node.ends, node.step = owner.branch, owner.ends, step
    return node


def read_task(step: Step) -> WorkflowTask:
    """The definition of a step that is kept with its task. Raises ``StepInvalid``."""
    try:
        return workflow_task_from_dict(unpack(bytes(step.task)))
    except DefinitionInvalid as error:
        raise StepInvalid(str(error)) from error


def check_branch(step: Step, name: str, around: Mapping[str, Node]) -> dict[str, Node]:
    """Like ``compile_branch`` for a branch that comes from outside: its rules are checked too. Raises ``StepInvalid``."""
    try:
        task = read_task(step)
        problem = next(_problems(task), None)
        if problem is not None:
            raise StepInvalid(problem)
        return _compiled(task, step, name, around)
    except ValueError as error:  # an expression that nests too deep
        raise StepInvalid(str(error)) from error


def _problems(task: WorkflowTask) -> Iterator[str]:
    """What is wrong with the tree of steps; what single inputs must be, their operators check when they get them."""
    if not task.task_reference_name or not task.name:
        yield "a task needs a name and a taskReferenceName"
    if is_worker_task(task.type):
        return
    seen = set()
    for place in locate(WorkflowDef(name="branch", tasks=[task])):
        ref = place.task.task_reference_name
        if place.depth > TASK_DEPTH_MAX:
            yield f"tasks are nested deeper than {TASK_DEPTH_MAX} levels; move the inner part into a sub-workflow"
            return
        if not ref or ref in seen:
            yield f"taskReferenceName {ref!r} should be given and unique"
        seen.add(ref)
        if place.task.type in _HOLDING:
            yield from (problem.message for problem in type_problems(place, lambda _: None))


def _at_the_end(root: Node, nodes: dict[str, Node]) -> list[Node]:
    """The steps after which the branch is over: the first one itself, and the last ones of its cases."""
    found = [root]
    for node in nodes.values():
        outer = node
        while outer is not root and outer.parent is not None and nodes[outer.parent].task.type in _CASES:
            outer = nodes[outer.parent]
        if outer is root and node is not root and node.next is None:
            found.append(node)
    return found
