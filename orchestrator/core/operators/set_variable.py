"""SET_VARIABLE: each input key becomes a workflow variable.

Above the size limit nothing is changed and the task fails for good (Conductor: SetVariable, 256 KB).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.codec import pack
from orchestrator.core import advance
from orchestrator.errors import InvalidPayload

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """Lay the step's inputs over the variables."""
    given = d.render_input(node, iteration, previous)
    merged = {**d.current_variables(), **given}
    limit = d.facts.variables_bytes_max
    try:
        size = len(pack(merged, "variables"))
        packed = d.pack_payload(given, "input")
    except InvalidPayload as error:
        reason = f"The variables cannot be stored: {error}"
        advance.refuse(d, node, iteration, previous, "SET_VARIABLE", reason)
        return
    record = d.create(node, iteration, type_="SET_VARIABLE", name=node.task.name, input_=packed, previous=previous)
    if size > limit:
        reason = (
            f"The variables payload size: {size} of workflow: {d.workflow_id} is greater than the permissible limit: "
            f"{limit // 1024} kilobytes"
        )
        advance.finish(d, record, "FAILED_WITH_TERMINAL_ERROR", reason=reason)
        return
    d.variables = merged
    advance.finish(d, record, "COMPLETED")
