"""Retry: an ended workflow goes on where it failed. What failed and what its end cancelled gets one more attempt.

Attempts are numbered on, so a task that has used up its retries fails for good when it fails once more. JOINs and loops
wait again in place. With ``resume_subworkflow_tasks`` the caller is told the child whose failing is the first cause, and
asks that one instead; the parents go on with it.
"""

from __future__ import annotations

from typing import Any

from orchestrator.core.draft import Draft
from orchestrator.core.operations.answers import Answer, accept, label, refuse
from orchestrator.core.reviving import first_failed, may_go_on, revive
from orchestrator.model.status import is_terminal


def retry(d: Draft, arguments: dict[str, Any]) -> Answer:
    """Let the workflow go on, or name the child that is to go on instead."""
    core = d.core
    if not is_terminal(core.status):
        return refuse("CONFLICT", f"Workflow is still running. status={core.status} ({label(d)})")
    if core.sequence == 0:
        return refuse("CONFLICT", f"Workflow has not started yet ({label(d)})")
    if core.status == "COMPLETED" or (core.status != "TIMED_OUT" and not may_go_on(d)):
        return refuse(
            "CONFLICT",
            f"There are no retryable tasks in workflow {label(d)}! Use restart if you want to attempt entire workflow "
            "execution again.",
        )
    if arguments.get("resume_subworkflow_tasks"):
        failed = first_failed(d)
        child = failed.result.child_workflow_id if failed is not None and failed.result is not None else None
        if child is not None:
            return accept(d, child_workflow_id=child)
    revive(d)
    return accept(d)
