"""TERMINATE: the workflow ends here and now, with the status and output that the step says.

What is still open is cancelled. FAILED and TERMINATED start the failure workflow (Conductor: Terminate task).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.codec import EMPTY_MAP
from orchestrator.core import advance
from orchestrator.core.closing import end
from orchestrator.errors import InvalidPayload

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.core.state import TaskRecord

STATUSES = ("COMPLETED", "FAILED", "TERMINATED")


def enter(d: Draft, node: Node, iteration: int, previous: TaskRecord | None) -> None:
    """End the workflow as the step says."""
    given = d.render_input(node, iteration, previous)
    try:
        packed = d.pack_payload(given, "input")
        output = _output(d, given.get("workflowOutput"))
    except InvalidPayload as error:
        reason = f"The workflow output cannot be stored: {error}"
        advance.refuse(d, node, iteration, previous, "TERMINATE", reason)
        return
    record = d.create(node, iteration, type_="TERMINATE", name=node.task.name, input_=packed, previous=previous)
    status = given.get("terminationStatus")
    if status not in STATUSES:
        advance.finish(d, record, "FAILED", reason=f"given termination status is not valid: {status}")
        return
    advance.finish(d, record, "COMPLETED", output=output, advance=False)
    d.core.terminate_ref = record.scheduled.ref
    reason = given.get("terminationReason") or f"Workflow is {status} by TERMINATE task: {d.task_id(record)}"
    end(d, str(status), str(reason), failed=d.record(record.scheduled.ref), output=output)


def _output(d: Draft, value: Any) -> bytes:
    if value is None:
        return EMPTY_MAP
    return d.pack_payload(value if isinstance(value, dict) else {"output": value}, "workflowOutput")
