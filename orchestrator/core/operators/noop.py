"""NOOP: does nothing and is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core import advance

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Make the task and end it."""
    record = d.create(node, iteration, type_="NOOP", name=node.task.name, previous=previous)
    advance.finish(d, record, "COMPLETED")
