"""What a rerun undoes: a task, everything that came after it, and the ends of what waited for it.

What came after follows from the definition: the steps behind the task on its own path, those behind every JOIN that waits
for one of them, and of a loop around it the later rounds. Such tasks are dropped with all their attempts. JOINs and loops
around are reopened in place; what ran beside the task stays as it is. Only when no task of the workflow is open.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from orchestrator.core.dropping import drop_scripts, drop_task, purposes
from orchestrator.core.program import JOIN_TYPES, Node, execution_ref, inner_lists, subtree
from orchestrator.core.rounds import tasks_of
from orchestrator.core.scripting import condition_of
from orchestrator.core.state import TaskRecord
from orchestrator.model.records import Loop

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft


def undo(d: Draft, node: Node, iteration: int, *, keep_first: bool = False) -> set[str]:
    """Drop the task of a step and what came after it; gives the tasks that are to be reopened. Raises ``RecordsNeeded``.

    ``keep_first`` leaves the task itself, which is then to be reopened as well.
    """
    undoing = _find(d, node, iteration, keep_first)
    undoing.carry_out()
    return set(undoing.reopened)


DROPS_PER_DECISION = 5_000
"""So many tasks one decision drops; the commit stays well below a megabyte."""


def undo_ahead(d: Draft, node: Node, iteration: int, *, keep_first: bool = False) -> bool:
    """Drop some of it, if it is more than one decision should drop; gives whether it was. Raises ``RecordsNeeded``.

    What lies inside of others goes first, so that the rest is found in the same way once more.
    """
    undoing = _find(d, node, iteration, keep_first)
    if len(undoing.doomed) <= DROPS_PER_DECISION:
        return False
    undoing.drop(DROPS_PER_DECISION)
    return True


def _find(d: Draft, node: Node, iteration: int, keep_first: bool) -> _Undoing:
    undoing = _Undoing(d)
    if keep_first:
        undoing.reopened[execution_ref(node.ref, iteration)] = None
        for name in node.joins:
            undoing.reopen_join(name, iteration)
    else:
        undoing.drop_step(node, iteration, is_first=True)
    undoing.follow(node, iteration)
    return undoing


class _Undoing:
    def __init__(self, d: Draft) -> None:
        self.d = d
        self.steps: set[tuple[str, int]] = set()  # steps whose tasks are dropped, with or without one
        self.doomed: dict[str, TaskRecord] = {}
        self.skipped: dict[str, None] = {}
        self.reopened: dict[str, None] = {}
        self.loops: dict[str, Loop] = {}
        self.asked: list[tuple[Node, TaskRecord, list[str]]] = []  # what is asked of scripts again

    def drop_step(self, node: Node, iteration: int, *, is_first: bool = False) -> None:
        """The task of a step and all those inside of it, and the JOINs that wait for one of them.

        A step that was skipped stays so, unless it is the one to be rerun.
        """
        if (node.ref, iteration) in self.steps:
            return
        d = self.d
        inside = [one for one in map(d.find, _direct(d, node)) if one is not None]
        self.steps.update((one.ref, iteration) for one in (node, *inside))
        for record in tasks_of(d, [node.ref, *(one.ref for one in inside)], iteration):
            if record.status != "SKIPPED" or is_first:
                self.doomed[record.scheduled.ref] = record
            else:
                self.skipped[record.scheduled.ref] = None
        for one in (node, *inside):
            for name in one.joins:
                self.reopen_join(name, iteration)

    def follow(self, node: Node, iteration: int) -> None:
        """What comes behind a step on its path, and what its end was waited for."""
        last, ref = node, node.next
        while ref is not None:
            following = self.d.find(ref)
            if following is None or (ref, iteration) in self.steps:
                break
            self.drop_step(following, iteration)
            last, ref = following, following.next
        if last.ends is not None:
            self.reopen_join(last.ends, iteration)
        if node.loop is not None:
            self.reopen_loop(node.loop, iteration)

    def reopen_join(self, name: str, iteration: int) -> None:
        """A JOIN that waits for a task that is dropped waits again; what came after it is dropped too."""
        d = self.d
        node = d.find(name)
        ref = execution_ref(name, iteration) if node is not None and node.loop is not None else name
        if node is None or ref in self.reopened or (name, iteration) in self.steps:
            return
        record = d.record(ref)
        if record is not None:
            self.reopened[ref] = None
            self.asked.append((node, record, [*purposes(node, record)]))
        self.follow(node, iteration if node.loop is not None else 0)

    def reopen_loop(self, name: str, number: int) -> None:
        """A loop goes back to its round ``number``, counted over all its runs."""
        if name in self.loops:
            return
        d = self.d
        node = d.find(name)
        assert node is not None, f"loop {name} is not there"
        record = self._run_of(node, number)
        made = record.scheduled
        last = made.rounds_before + int(record.output.get("iteration", 0))
        self.loops[name] = Loop("", number, branch=node.branch)
        for later in range(number + 1, last + 1):
            for task in tasks_of(d, node.rounds, later):
                self.doomed[task.scheduled.ref] = task
        self.reopened[made.ref] = None
        if node.task.loop_condition:
            asked_again = range(number - made.rounds_before, last - made.rounds_before + 1)
            self.asked.append((node, record, [*map(condition_of, asked_again)]))
        self.follow(node, made.iteration)
        for outer in node.joins:
            self.reopen_join(outer, made.iteration)

    def _run_of(self, node: Node, number: int) -> TaskRecord:
        """The task of a loop that had this round."""
        d = self.d
        for iteration in range(d.iteration_of(node.loop), 0, -1) if node.loop is not None else (0,):
            record = d.record(execution_ref(node.ref, iteration))
            if record is not None and record.scheduled.rounds_before < number:
                return record
        raise AssertionError(f"no task of {node.ref} had round {number}")

    def carry_out(self) -> None:
        """Drop what is to be dropped, and say from where JOINs and loops go on."""
        d = self.d
        d.core.loops |= self.loops
        d.core.skips = list(dict.fromkeys([*d.core.skips, *self.skipped]))
        for ref in self.doomed:
            self.reopened.pop(ref, None)
        self.drop(len(self.doomed))
        for node, record, asked in self.asked:
            drop_scripts(d, node, record, asked)

    def drop(self, count: int) -> None:
        """Drop so many of the tasks, the last found first; loops among them count on from the round before."""
        d = self.d
        d.is_undone = True
        gone = list(self.doomed.values())[::-1][:count]
        for record in gone:
            node = d.node_of(record.scheduled)
            if node.task.type == "DO_WHILE" and node.ref in d.core.loops:
                loop = d.core.loops[node.ref]
                before = min(loop.iteration, record.scheduled.rounds_before)
                d.core.loops[node.ref] = replace(loop, iteration=before)
            drop_task(d, record)
        refs = {record.scheduled.ref for record in gone}
        d.core.skips = [ref for ref in d.core.skips if ref not in refs]


def _direct(d: Draft, node: Node) -> Iterator[str]:
    """The steps inside a step that run in the same round of a loop as it does."""
    if node.task.type == "DO_WHILE" or node.task.type in JOIN_TYPES:
        return
    for tasks, _ in inner_lists(node):
        for task in subtree(tasks):
            inside = d.find(task.task_reference_name)
            if inside is not None and inside.loop == node.loop:
                yield inside.ref
