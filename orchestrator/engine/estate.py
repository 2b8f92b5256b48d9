"""What one decider holds of one partition: its epoch, how far it has read, and the workflows it keeps in memory.

The memory is a cache of committed state: it is valid because only the owner commits, and every commit still compares
versions. It is bounded by the number of task records; the longest unused workflows leave first, and a very large workflow
keeps only its core.
"""

from __future__ import annotations

from collections import OrderedDict

from orchestrator.core.draft import Draft
from orchestrator.core.state import WorkflowState
from orchestrator.engine.relay import Letter
from orchestrator.model.status import is_terminal
from orchestrator.store.inbox import Entry

RECORDS_MAX = 50_000
RECORDS_PER_WORKFLOW_MAX = 2_000
BYTES_PER_RECORD = 2_048
"""Large payloads count as several records, so that the bound is one of memory."""


class Estate:
    """One owned partition."""

    __slots__ = (
        "_weight",
        "_weights",
        "alone",
        "apart",
        "careful",
        "cursor",
        "delivered",
        "epoch",
        "fresh",
        "next_timer_ms",
        "number",
        "redrive",
        "refusals",
        "retry",
        "setbacks",
        "undelivered",
        "workflows",
    )

    def __init__(self, number: int, epoch: int, crashes: int) -> None:
        self.number = number
        self.epoch = epoch
        self.careful = crashes >= CRASHES_BEFORE_CARE
        self.cursor = "0"
        self.redrive = True  # the outbox of the previous owner is delivered before anything is read
        self.next_timer_ms: int | None = 0  # on the store's clock; 0 = look, None = there is none
        self.fresh = 0  # events just read, if they are all that the inbox holds up to the cursor; 0 = they are not
        self.retry: list[Entry] = []  # events whose commit was refused once
        self.refusals: dict[str, int] = {}  # workflow id -> commits refused in a row
        self.setbacks: set[str] = set()  # workflows whose decision failed once
        self.alone: set[str] = set()  # workflows whose events are taken one by one, to find the one that fails
        self.apart: set[str] = set()  # workflows whose commit is made for them alone, for the same reason
        self.undelivered: list[Letter] = []
        self.delivered: list[str] = []  # outbox ids the next commit deletes
        self.workflows: OrderedDict[str, WorkflowState] = OrderedDict()
        self._weights: dict[str, int] = {}
        self._weight = 0

    def state(self, workflow_id: str) -> WorkflowState | None:
        """The workflow if it is in memory; it then counts as used."""
        found = self.workflows.get(workflow_id)
        if found is not None:
            self.workflows.move_to_end(workflow_id)
        return found

    def keep(self, state: WorkflowState) -> None:
        """Put a loaded workflow in memory."""
        self.workflows[state.workflow_id] = state
        self._weigh(state)

    def forget(self, workflow_id: str) -> None:
        """Drop a workflow from memory; the next event loads it anew."""
        if self.workflows.pop(workflow_id, None) is not None:
            self._weight -= self._weights.pop(workflow_id, 0)

    def forget_all(self) -> None:
        """Drop everything that was derived from reads: read again from the beginning."""
        self.workflows.clear()
        self._weights.clear()
        self._weight = 0
        self.refusals.clear()
        self.setbacks.clear()
        self.alone.clear()
        self.apart.clear()
        self.retry.clear()
        self.undelivered.clear()
        self.delivered.clear()
        self.cursor = "0"
        self.redrive = True
        self.next_timer_ms = 0

    def is_apart(self, workflow_id: str) -> bool:
        """Whether the workflow's decision is committed by itself."""
        return workflow_id in self.apart

    def absolve(self, workflow_id: str) -> None:
        """A commit of the workflow was accepted: what went wrong before is over."""
        self.refusals.pop(workflow_id, None)
        self.setbacks.discard(workflow_id)
        self.apart.discard(workflow_id)
        if workflow_id in self.alone and all(entry.workflow_id != workflow_id for entry in self.retry):
            self.alone.discard(workflow_id)

    def clear_suspicion(self, workflow_id: str) -> None:
        """The workflow is set aside: nothing is held against it any more."""
        for noted in (self.setbacks, self.alone, self.apart):
            noted.discard(workflow_id)
        self.refusals.pop(workflow_id, None)

    def apply(self, draft: Draft, written_bytes: int) -> None:
        """Make a committed decision, of about this size, the workflow's state; one that has ended is not kept."""
        state = draft.state
        if is_terminal(draft.core.status) and draft.core.open == 0:
            self.forget(state.workflow_id)
            return
        if draft.is_new:
            state.complete = True
            state.payload_bytes = len(memoryview(state.input_raw))
        state.core = draft.core
        state.version += 1
        if draft.variables_packed is not None:
            state.set_variables(draft.variables_packed)
        for ref in draft.dropped:
            state.records.pop(ref, None)
        state.records.update(draft.records)
        state.messages.clear()
        state.payload_bytes += written_bytes
        if len(state.records) > RECORDS_PER_WORKFLOW_MAX + draft.core.open:
            _drop_ended(state)
        self.workflows[state.workflow_id] = state
        self._weigh(state)

    def _weigh(self, state: WorkflowState) -> None:
        name = state.workflow_id
        weight = 1 + len(state.records) + state.payload_bytes // BYTES_PER_RECORD
        self._weight += weight - self._weights.get(name, 0)
        self._weights[name] = weight
        while self._weight > RECORDS_MAX and len(self.workflows) > 1:
            oldest = next(iter(self.workflows))
            if oldest == name:
                break
            self.forget(oldest)


def _drop_ended(state: WorkflowState) -> None:
    """Keep the open tasks of a very large workflow: the next events are about them. Ended ones are loaded when read.

    Done once for every ``RECORDS_PER_WORKFLOW_MAX`` tasks that ended, so that it costs an event next to nothing.
    """
    before = len(state.records)
    state.records = {
        ref: record for ref, record in state.records.items() if record is not None and not is_terminal(record.status)
    }
    state.payload_bytes = state.payload_bytes * len(state.records) // before
    state.complete = False


CRASHES_BEFORE_CARE = 3
"""After so many owners died in a row without a commit, events are taken one at a time, each counted before it is begun."""
