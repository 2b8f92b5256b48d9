"""WAIT_FOR_WEBHOOK: until an event arrives at a webhook that has the values of ``matches`` (Orkes: Wait For Webhook).

The commit that opens the task puts it into an index by what it waits for, the one that closes it takes it out. The time-
outs of its TaskDef hold as for HUMAN. What cannot be matched fails the task for good, instead of waiting for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core import advance
from orchestrator.core.deadlines import judge_waiting
from orchestrator.core.kinds import WAITING
from orchestrator.core.timeouts import waiting_timer_ms
from orchestrator.core.webhooks import mark_of
from orchestrator.errors import InvalidPayload

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord

TYPE = "WAIT_FOR_WEBHOOK"


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Start waiting."""
    given = d.render_input(node, iteration, previous)
    try:
        packed = d.pack_payload(given, "input")
        mark = mark_of(d.state.meta.version, given.get("matches"))
    except (InvalidPayload, ValueError) as error:
        advance.refuse(d, node, iteration, previous, TYPE, str(error))
        return
    record = d.create(node, iteration, type_=TYPE, name=node.task.name, input_=packed, previous=previous, awaits=mark)
    d.dispatch(record, WAITING, None, waiting_timer_ms(record.scheduled, d.task_def(node)))


def resume(d: Draft, node: Node, record: TaskRecord) -> None:
    """Its timer fired: a time-out may be due."""
    judge_waiting(d, record)
