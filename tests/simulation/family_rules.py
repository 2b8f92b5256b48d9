"""The rules of parents and children (S8): one child for each attempt, and an end of the one for each end of the other.

They know records by position and ids by what the ledger saw of starts, never by the engine's own derivation.
"""

from __future__ import annotations

from collections import Counter

from tests.simulation.ledger import ENDED, Attempt, Ledger, Run, Violation

CHILD_ID, CHILD_RUN = 9, 10  # positions in an Outcome
RESULT_CHILD_RUN = 13  # position in a Result record
_AS_TASK = {"COMPLETED": "COMPLETED", "FAILED": "FAILED", "TIMED_OUT": "TIMED_OUT", "TERMINATED": "CANCELED"}


class FamilyRules:
    """Judges starts, ends and what is left of children."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def born(self, run: Run) -> None:
        """A workflow is started: a child for an attempt that exists, has no other child and is not over."""
        if run.parent_task is None:
            return
        attempt = self._ledger.attempts.get(run.parent_task)
        if attempt is None or attempt.type != "SUB_WORKFLOW":
            raise Violation(f"S8: {run.workflow_id} is the child of {run.parent_task}, which no commit has made")
        others = [one.workflow_id for one in self._ledger.runs.values() if one.parent_task == run.parent_task]
        if others:
            raise Violation(f"S8: {run.parent_task} has the children {others} and {run.workflow_id}")
        if ("c", run.parent_task) in self._ledger.delivered:
            raise Violation(f"S8: {run.workflow_id} starts although its parent has called it off")

    def said(self, attempt: Attempt) -> None:
        """An outcome of a task was accepted: that of a SUB_WORKFLOW is how its child has ended, and it has."""
        if attempt.type != "SUB_WORKFLOW" or attempt.accepted is None:
            return
        child = self._ledger.runs.get(attempt.accepted[CHILD_ID])
        if child is None or child.parent_task != attempt.task_id:
            raise Violation(f"S8: {attempt.task_id} was told of the end of {child}, which is no child of it")
        end = child.ends.get(attempt.accepted[CHILD_RUN])
        told = attempt.accepted[1]
        # One that failed may be terminated in the same commit, which only changes what its end is called.
        if end is None or (_AS_TASK[end] != told and not (end == "TERMINATED" and told in ("FAILED", "TIMED_OUT"))):
            raise Violation(f"S8: {attempt.task_id} was told {told}, its child {child.workflow_id} ended {child.ends}")

    def at_rest(self) -> None:
        """Everything has ended: each attempt that ran to its end had its child, and knows its last run."""
        children = Counter(run.parent_task for run in self._ledger.runs.values() if run.parent_task is not None)
        for task_id, attempt in self._ledger.attempts.items():
            if attempt.type == "SUB_WORKFLOW" and attempt.accepted is not None and children[task_id] != 1:
                raise Violation(f"S8: {task_id} ended with {children[task_id]} children")
        for run in self._ledger.runs.values():
            if run.parent_task is not None and run.status not in ENDED:
                raise Violation(f"S8: the child {run.workflow_id} is {run.status} and nobody waits for it")
            if run.parent_task is not None and run.generation:
                self._has_heard(run)

    def _has_heard(self, child: Run) -> None:
        """The parent of a child that went on knows of its last run, unless the task is another child's by now."""
        assert child.parent_task is not None
        assert child.parent_id is not None
        attempt, parent = self._ledger.attempts[child.parent_task], self._ledger.runs[child.parent_id]
        made = parent.records.get(f"S{attempt.ref}")
        if parent.is_removed or made is None or made[5:7] != [attempt.number, attempt.generation]:
            return
        result = parent.records[f"R{attempt.ref}"]
        if result[RESULT_CHILD_RUN] != child.generation:
            raise Violation(f"S8: {child.workflow_id} went on {child.generation} times, its parent knows {result}")
