"""The rounds of a DO_WHILE: which of them are kept, and which tasks they consist of.

A round's tasks are named by the number of the round, counted over all runs of the loop; what users see is its number
within the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from orchestrator.core.program import JOIN_TYPES, Node, execution_ref
from orchestrator.core.state import TaskRecord

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft


def kept_rounds(node: Node) -> int:
    """How many rounds of a loop are kept (``keepLastN``); 0 = all of them. Only a number in the definition counts."""
    limit = node.task.input_parameters.get("keepLastN")
    if isinstance(limit, str) and limit.strip().isdigit():
        limit = int(limit)
    return limit if type(limit) is int and limit > 0 else 0


def rounds_of(node: Node, record: TaskRecord) -> range:
    """The numbers, from 1, of the rounds of a loop that are kept, the one it is in included."""
    count = record.output.get("iteration", 0)
    kept = kept_rounds(node)
    # The round it is in comes on top of those that are over.
    over = count if not record.is_open else count - 1
    return range(max(1, over - kept + 1) if kept else 1, count + 1)


def tasks_of(d: Draft, refs: Iterable[str], iteration: int) -> Iterator[TaskRecord]:
    """The tasks of these steps in one round, and those that steps among them have made. Raises ``RecordsNeeded``."""
    names = [execution_ref(ref, iteration) for ref in refs]
    d.require_tasks(names)
    for record in map(d.record, names):
        if record is None:
            continue
        yield record
        node = d.node_of(record.scheduled)
        if node.task.type in JOIN_TYPES and node.fork is not None:
            yield from _branches(d, record, iteration)
        elif node.task.type == "DO_WHILE":
            for number in rounds_of(node, record):
                yield from tasks_of(d, node.rounds, record.scheduled.rounds_before + number)


def _branches(d: Draft, join: TaskRecord, iteration: int) -> Iterator[TaskRecord]:
    names = [execution_ref(ref, iteration) for ref in join.input["joinOn"]]
    d.require_tasks(names)
    for first in map(d.record, names):
        if first is None:
            continue
        root = d.node_of(first.scheduled)
        steps = d.branch(root.branch) if root.branch else {root.ref: root}
        direct = [ref for ref, step in steps.items() if step.loop == root.loop]
        yield from tasks_of(d, direct, iteration)
