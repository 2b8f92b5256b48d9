"""What ``${...}`` expressions of a workflow can see: the workflow itself and the latest attempt of each of its tasks.

The fields are Conductor's (its ParametersUtils), and so is silence: what is not there is null. A JOIN's output is not
stored anywhere: it is put together here, from its members, when an expression asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from orchestrator.codec import DEPTH_MAX
from orchestrator.core.expression_readers import Read
from orchestrator.core.program import Node, execution_ref, members_of
from orchestrator.core.rounds import rounds_of
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
        """A task's output; put together from those of others for a JOIN and a DO_WHILE (see below)."""
        node = self.draft.find(ref)
        if node is not None and node.task.type == "DO_WHILE":
            return self._loop_output(node, record, self._wanted(ref), 1)
        if node is None or node.task.type != "JOIN":
            return record.output
        if self.reads is None and node.fork is None:
            self.draft.require(members_of(node.members, self.draft.find))
        return self._join_output(node, record, self._wanted(ref), 1)

    def _wanted(self, ref: str) -> set[str] | None:
        """The members of a JOIN, or the rounds of a loop, whose outputs will be read; None = all of them."""
        wanted: set[str] = set()
        for root, field, member in self.reads or ((ref, None, None),):
            if root == ref and field in (None, "output"):
                if member is None:
                    return None
                wanted.add(member)
        return wanted

    def _join_output(self, join: Node, record: TaskRecord, wanted: set[str] | None, depth: int) -> dict[str, Any]:
        """The non-empty outputs of members that have ended, by reference name.

        Members that were not loaded are left out: nobody reads them (see ``reads_of``).
        """
        output: dict[str, Any] = {}
        if depth > DEPTH_MAX:
            return output  # no payload may nest deeper
        draft = self.draft
        for member, ref in self._members(join, record, wanted):
            found = draft.records.get(ref) or draft.state.records.get(ref)
            if found is None or not is_terminal(found.status):
                continue
            value = self._inner_output(member, found, depth + 1)
            if value:
                output[ref] = value
        return {**output, **record.output}  # what a JOIN's script had to say of it

    def _members(self, join: Node, record: TaskRecord, wanted: set[str] | None) -> list[tuple[str, str]]:
        """The members of a JOIN as they are called in the definition and in the execution. Raises ``RecordsNeeded``."""
        draft = self.draft
        if join.fork is None:
            return [(member, self._called(member, join, record)) for member in join.members]
        iteration = record.scheduled.iteration
        members = [(member, execution_ref(member, iteration)) for member in record.input["joinOn"]]
        if wanted is not None:
            members = [pair for pair in members if not wanted.isdisjoint(pair)]
        draft.require_tasks([ref for _, ref in members])
        return members

    def _called(self, member: str, join: Node, record: TaskRecord) -> str:
        """What a JOIN's member is called in the round of the loop that the JOIN's task is of."""
        node = self.draft.find(member)
        if node is not None and node.loop is not None and node.loop == join.loop:
            return execution_ref(member, record.scheduled.iteration)
        return self.draft.latest(member)

    def _loop_output(self, loop: Node, record: TaskRecord, wanted: set[str] | None, depth: int) -> dict[str, Any]:
        """What a DO_WHILE says of its round, and for each of its rounds the outputs of the tasks by reference name."""
        output: dict[str, Any] = dict(record.output)
        kept: Iterable[int] = rounds_of(loop, record)
        if wanted is not None:
            kept = sorted(number for number in map(int, filter(_is_number, wanted)) if number in kept)
        if depth > DEPTH_MAX or not kept:
            return output
        draft, before = self.draft, record.scheduled.rounds_before
        draft.require_tasks([execution_ref(ref, before + number) for number in kept for ref in loop.rounds])
        for number in kept:
            found = {ref: draft.record(execution_ref(ref, before + number)) for ref in loop.rounds}
            output[str(number)] = {
                ref: self._inner_output(ref, inner, depth + 1) for ref, inner in found.items() if inner is not None
            }
        return output

    def _inner_output(self, ref: str, record: TaskRecord, depth: int) -> Any:
        node = self.draft.find(ref)
        if node is not None and node.task.type == "JOIN":
            return self._join_output(node, record, None, depth)
        if node is not None and node.task.type == "DO_WHILE":
            return self._loop_output(node, record, None, depth)
        return record.output


def _is_number(member: str) -> bool:
    """Whether a member of a loop's output is one of its rounds."""
    return member.isascii() and member.isdigit() and len(member) < 10
