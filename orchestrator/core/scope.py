"""What ``${...}`` expressions of a workflow can see: the workflow itself and the latest attempt of each of its tasks.

The fields are Conductor's (its ParametersUtils), and so is silence: what is not there is null. A JOIN's output is not
stored anywhere: it is put together here, from its members, when an expression asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.codec import DEPTH_MAX
from orchestrator.core.expression_readers import Read
from orchestrator.core.program import JOIN_TYPES, Node, execution_ref
from orchestrator.core.state import TaskRecord
from orchestrator.model.status import is_terminal

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft

WORKFLOW_FIELDS = (
    "input",
    "output",
    "status",
    "workflowId",
    "parentWorkflowId",
    "parentWorkflowTaskId",
    "workflowType",
    "version",
    "correlationId",
    "reasonForIncompletion",
    "schemaVersion",
    "variables",
)
TASK_FIELDS = (
    "input",
    "output",
    "taskType",
    "status",
    "referenceTaskName",
    "retryCount",
    "correlationId",
    "pollCount",
    "taskDefName",
    "scheduledTime",
    "startTime",
    "endTime",
    "workflowInstanceId",
    "taskId",
    "reasonForIncompletion",
    "callbackAfterSeconds",
    "workerId",
    "iteration",
)


class DraftScope:
    """The expression scope of one rendering.

    ``reads`` is what it will read; None when that shows only while it is rendered, so that nothing was loaded for it.
    """

    __slots__ = ("draft", "reads")

    def __init__(self, draft: Draft, reads: frozenset[Read] | None) -> None:
        self.draft = draft
        self.reads = reads

    def field(self, root: str, name: str) -> Any:
        """One field of the workflow or of a task's latest attempt."""
        if root == "workflow":
            return self._workflow_field(name)
        record = self._record(root)
        return None if record is None else self._task_field(root, record, name)

    def document(self, root: str) -> Any:
        """All fields of the workflow or of a task's latest attempt."""
        if root == "workflow":
            return {name: self._workflow_field(name) for name in WORKFLOW_FIELDS}
        record = self._record(root)
        return None if record is None else {name: self._task_field(root, record, name) for name in TASK_FIELDS}

    def constant(self, name: str) -> str | None:
        """The id of the task being scheduled, or an environment variable that the installation allows."""
        if name == "CPEWF_TASK_ID":
            return self.draft.scheduling
        return self.draft.facts.environment.get(name)

    def env(self, name: str) -> str | None:
        """An environment variable that the installation allows."""
        return self.draft.facts.environment.get(name)

    def _record(self, root: str) -> TaskRecord | None:
        found = (self.draft.record(name) for name in self.draft.candidates(root))
        return next((record for record in found if record is not None), None)

    def _workflow_field(self, name: str) -> Any:
        draft = self.draft
        if name == "input":
            return draft.state.input
        if name == "variables":
            return draft.current_variables()
        meta = draft.state.meta
        match name:
            case "workflowId":
                return draft.workflow_id
            case "workflowType":
                return meta.name
            case "version":
                return meta.version
            case "status":
                return draft.core.status
            case "correlationId":
                return meta.correlation_id
            case "reasonForIncompletion":
                return draft.core.reason
            case "parentWorkflowId":
                return meta.parent_workflow_id
            case "parentWorkflowTaskId":
                return meta.parent_task_id
            case "schemaVersion":
                return 2
            case "output":
                return {}
        return None

    def _task_field(self, root: str, record: TaskRecord, name: str) -> Any:
        if name == "output":
            return self.output_of(root, record)
        if name == "input":
            return record.input
        made, result = record.scheduled, record.result
        match name:
            case "status":
                return str(record.status)
            case "taskType":
                return made.type
            case "taskDefName":
                return made.name
            case "referenceTaskName":
                return made.ref
            case "taskId":
                return self.draft.task_id(record)
            case "retryCount":
                return made.attempt
            case "iteration":
                return made.iteration
            case "scheduledTime":
                return made.scheduled_ms
            case "workflowInstanceId":
                return self.draft.workflow_id
            case "correlationId":
                return self.draft.state.meta.correlation_id
            case "startTime":
                return result.started_ms if result is not None else 0
            case "endTime":
                return result.ended_ms if result is not None else 0
            case "pollCount":
                return result.poll_count if result is not None else 0
            case "workerId":
                return result.worker_id if result is not None else None
            case "reasonForIncompletion":
                return result.reason if result is not None else made.reason
            case "callbackAfterSeconds":
                return (result.callback_after_ms if result is not None else made.delay_ms) // 1000
        return None

    def output_of(self, ref: str, record: TaskRecord) -> Any:
        """A task's output; a JOIN's is the non-empty outputs of those members that have ended, by reference name."""
        node = self.draft.find(ref)
        if node is None or node.task.type not in JOIN_TYPES:
            return record.output
        if self.reads is None and node.fork is None:
            self.draft.require(self.draft.program.members_of(node.task.join_on))
        return self._join_output(node, record, self._wanted(ref), 1)

    def _wanted(self, ref: str) -> set[str] | None:
        """The members of a JOIN whose outputs will be read; None = all of them."""
        wanted: set[str] = set()
        for root, field, member in self.reads or ((ref, None, None),):
            if root == ref and field in (None, "output"):
                if member is None:
                    return None
                wanted.add(member)
        return wanted

    def _join_output(self, join: Node, record: TaskRecord, wanted: set[str] | None, depth: int) -> dict[str, Any]:
        """Members that were not loaded are left out: nobody reads them (see ``reads_of``)."""
        output: dict[str, Any] = {}
        if depth > DEPTH_MAX:
            return output  # no payload may nest deeper
        draft = self.draft
        for member, ref in self._members(join, record, wanted):
            found = draft.records.get(ref) or draft.state.records.get(ref)
            if found is None or not is_terminal(found.status):
                continue
            node = draft.find(member)
            is_join = node is not None and node.task.type in JOIN_TYPES
            value = self._join_output(node, found, None, depth + 1) if node is not None and is_join else found.output
            if value:
                output[ref] = value
        return output

    def _members(self, join: Node, record: TaskRecord, wanted: set[str] | None) -> list[tuple[str, str]]:
        """The members of a JOIN as they are called in the definition and in the execution. Raises ``RecordsNeeded``."""
        draft = self.draft
        if join.fork is None:
            return [(member, draft.latest(member)) for member in join.task.join_on]
        iteration = record.scheduled.iteration
        members = [(member, execution_ref(member, iteration)) for member in record.input["joinOn"]]
        if wanted is not None:
            members = [pair for pair in members if not wanted.isdisjoint(pair)]
        draft.require_tasks([ref for _, ref in members])
        return members
