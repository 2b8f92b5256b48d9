"""A definition compiled once into a program: for every step its successor, its joins and what its inputs may read.

The decision loop asks the program and never walks the definition. A program depends on the definition alone, so the
engine caches it by the definition's content hash and thousands of executions share one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orchestrator.core.expressions import Template, compile_template
from orchestrator.model.definitions import WorkflowDef, WorkflowTask

JOIN_TYPES = frozenset({"JOIN", "EXCLUSIVE_JOIN"})


class Node:
    """One step of a program."""

    __slots__ = ("fork", "inputs", "joins", "loop", "next", "reads", "ref", "task", "untaken")

    def __init__(self, task: WorkflowTask, loop: str | None, fork: str | None) -> None:
        self.ref: str = task.task_reference_name
        self.task = task
        self.loop = loop  # the DO_WHILE whose body this step is in
        self.fork = fork  # the innermost FORK_JOIN this step is in
        self.next: str | None = (
            None  # what follows when the step is done; None = nothing (end, branch end, loop body end)
        )
        self.joins: list[str] = []  # the JOINs that list this step
        self.inputs: Template = compile_template(task.input_parameters or {})
        self.reads: tuple[str, ...] = ()  # steps whose records its inputs may look into
        self.untaken: dict[str, dict[str, int]] = {}  # SWITCH: per case, how many members each JOIN has inside it


class Program:
    """The compiled form of one workflow definition."""

    __slots__ = ("definition", "first", "nodes", "output", "output_reads")

    def __init__(self, definition: WorkflowDef) -> None:
        self.definition = definition
        self.nodes: dict[str, Node] = {}
        self.first: str | None = definition.tasks[0].task_reference_name if definition.tasks else None
        self._lay_out(definition.tasks, None, None, None)
        for node in self.nodes.values():
            if node.task.type in JOIN_TYPES:
                for member in node.task.join_on:
                    if member in self.nodes:
                        self.nodes[member].joins.append(node.ref)
        for node in self.nodes.values():
            node.reads = self.reads_of(node.inputs)
            if node.task.type in ("SWITCH", "DECISION"):
                node.untaken = {case: self._members_inside(tasks) for case, tasks in switch_cases(node.task)}
        parameters = definition.output_parameters
        self.output: Template | None = compile_template(parameters) if parameters else None
        self.output_reads: tuple[str, ...] = self.reads_of(self.output) if self.output else ()

    def _lay_out(self, tasks: list[WorkflowTask], after: str | None, loop: str | None, fork: str | None) -> None:
        """Make the nodes of one task list; ``after`` is what follows its last task."""
        work = [(tasks, after, loop, fork)]
        while work:
            tasks, after, loop, fork = work.pop()
            for position, task in enumerate(tasks):
                node = self.nodes[task.task_reference_name] = Node(task, loop, fork)
                node.next = tasks[position + 1].task_reference_name if position + 1 < len(tasks) else after
                if task.type in ("SWITCH", "DECISION"):
                    work.extend((case, node.next, loop, fork) for _, case in switch_cases(task))
                elif task.type == "FORK_JOIN":
                    work.extend((branch, None, loop, node.ref) for branch in task.fork_tasks)
                elif task.type == "DO_WHILE":
                    work.append((task.loop_over, None, node.ref, fork))

    def _members_inside(self, tasks: Iterable[WorkflowTask]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for task in subtree(tasks):
            for join in self.nodes[task.task_reference_name].joins:
                counts[join] = counts.get(join, 0) + 1
        return counts

    def reads_of(self, template: Template) -> tuple[str, ...]:
        """The steps whose records rendering ``template`` may ask for; a JOIN's output stands for its members'."""
        refs: dict[str, None] = {}
        for root, field, member in template.reads:
            node = self.nodes.get(root)
            if node is None:
                if root != "workflow":
                    refs[root] = None  # a dynamically forked step: known only at run time
                continue
            refs[root] = None
            if node.task.type in JOIN_TYPES and field in (None, "output"):
                on = node.task.join_on
                for name in (member,) if member in on and member is not None else on:
                    refs[name] = None
        return tuple(refs)


def switch_cases(task: WorkflowTask) -> Iterator[tuple[str, list[WorkflowTask]]]:
    """The branches of a SWITCH by case name; the default branch under the empty name."""
    yield from task.decision_cases.items()
    yield "", task.default_case or []


def subtree(tasks: Iterable[WorkflowTask]) -> Iterator[WorkflowTask]:
    """Every task in these lists and inside them."""
    work = list(tasks)
    while work:
        task = work.pop()
        yield task
        if task.type in ("SWITCH", "DECISION"):
            for _, case in switch_cases(task):
                work.extend(case)
        elif task.type == "FORK_JOIN":
            for branch in task.fork_tasks:
                work.extend(branch)
        elif task.type == "DO_WHILE":
            work.extend(task.loop_over)
