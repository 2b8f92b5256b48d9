"""EVENT: a message for whoever listens to its sink; the system-task role publishes it, once.

Conductor publishes an EVENT with ``asyncComplete`` again at every decision; here it is a task in a queue like any other
system task, whose message id is the id of the task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core.expressions import compile_template
from orchestrator.core.operators import worker

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Make the task: its input says what, where to, and whether somebody outside completes it."""
    sink = compile_template(node.task.sink or "")
    value = {
        **d.render_input(node, iteration, previous),
        "sink": d.render(sink, d.program.reads_of(sink)),
        worker.ASYNC_COMPLETE: node.task.async_complete,
    }
    worker.offer(d, node, iteration, previous, value)
