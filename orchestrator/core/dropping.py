"""What goes with a task that is dropped: all its attempts, and the script tasks that they had made.

Only the name of a script task says whose it is, so every name that may have been given is dropped, whether there is such
a task or not. Called by a rerun, and by loops that keep only their last rounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from orchestrator.core.program import Node, execution_ref
from orchestrator.core.rounds import rounds_of, tasks_of
from orchestrator.core.scripting import ONE_PURPOSE, condition_of, judgement_of, name_of
from orchestrator.core.state import TaskRecord

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft


def drop_task(d: Draft, record: TaskRecord) -> None:
    """Forget a task that has ended, and what it had asked scripts for."""
    node = d.node_of(record.scheduled)
    drop_scripts(d, node, record, purposes(node, record))
    d.drop(record)


def drop_round(d: Draft, node: Node, record: TaskRecord, number: int) -> None:
    """Forget the tasks of a loop's round that is over. Raises ``RecordsNeeded``."""
    for task in list(tasks_of(d, node.rounds, record.scheduled.rounds_before + number)):
        drop_task(d, task)
    if node.task.loop_condition:
        drop_scripts(d, node, record, [condition_of(number)])


def drop_scripts(d: Draft, node: Node, record: TaskRecord, asked: Iterable[str]) -> None:
    """Forget the script tasks that the attempts of a task may have made for these purposes; none of them is open."""
    for purpose in asked:
        for attempt in range(record.scheduled.attempt + 1):
            d.drop_latest(execution_ref(name_of(node, purpose, attempt), record.scheduled.iteration))


def purposes(node: Node, record: TaskRecord) -> Iterator[str]:
    """All that a task may have asked scripts for."""
    kind, task = node.task.type, node.task
    if kind in ONE_PURPOSE:
        yield ONE_PURPOSE[kind]
    elif kind == "DO_WHILE" and task.loop_condition:
        yield from map(condition_of, rounds_of(node, record))
    elif kind == "JOIN" and task.expression:
        yield from map(judgement_of, range(len(record.input["joinOn"]) + 1))
