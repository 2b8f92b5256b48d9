"""HUMAN: until somebody says so by updating the task; signals are for WAIT alone (Conductor: Human task).

The time-outs of its TaskDef hold, but not the response time-out: nobody owes a sign of life.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core import advance
from orchestrator.core.deadlines import judge_waiting
from orchestrator.core.kinds import WAITING
from orchestrator.core.timeouts import waiting_timer_ms
from orchestrator.errors import InvalidPayload

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Start waiting."""
    try:
        packed = d.pack_payload(d.render_input(node, iteration, previous), "input")
    except InvalidPayload as error:
        advance.refuse(d, node, iteration, previous, "HUMAN", f"The task's input cannot be stored: {error}")
        return
    record = d.create(node, iteration, type_="HUMAN", name=node.task.name, input_=packed, previous=previous)
    d.dispatch(record, WAITING, None, waiting_timer_ms(record.scheduled, d.task_def(node)))


def resume(d: Draft, node: Node, record: TaskRecord) -> None:
    """Its timer fired: a time-out may be due."""
    judge_waiting(d, record)
