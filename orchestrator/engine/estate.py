"""What one decider holds of one partition: its epoch, how far it has read, and the workflows it keeps in memory.

The memory is a cache of committed state: it is valid because only the owner commits, and every commit still compares
versions. It is bounded by the number of task records; the longest unused workflows leave first, and a very large workflow
keeps only its core.
"""

from __future__ import annotations

from collections import OrderedDict

from orchestrator.core.draft import Draft
from orchestrator.core.state import WorkflowState
from orchestrator.store.inbox import Entry
from orchestrator.engine.relay import Letter
from orchestrator.model.status import is_terminal

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
        "careful",
        "cursor",
        "delivered",
        "epoch",
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
        self.retry: list[Entry] = []  # events whose commit was refused once
        self.refusals: dict[str, int] = {}  # workflow id -> commits refused in a row
        self.setbacks: set[str] = set()  # workflows whose decision failed once
        self.alone: set[str] = set()  # workflows whose events are taken one by one, to find the one that fails
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
        self.retry.clear()
        self.undelivered.clear()
        self.delivered.clear()
        self.cursor = "0"
        self.redrive = True
        self.next_timer_ms = 0

    def apply(self, draft: Draft, written_bytes: int) -> None:
        """Make a committed decision, of about this size, the workflow's state; one that has ended is not kept."""
        state = draft.state
        self.setbacks.discard(state.workflow_id)
        if is_terminal(draft.core.status) and draft.core.open == 0:
            self.forget(state.workflow_id)
            return
        if draft.is_new:
            state.complete = True
        state.core = draft.core
        state.version += 1
        if draft.variables_packed is not None:
            state.set_variables(draft.variables_packed)
        state.records.update(draft.records)
        state.payload_bytes += written_bytes
        if len(state.records) > RECORDS_PER_WORKFLOW_MAX:
            state.records = {}
            state.payload_bytes = 0
            state.complete = False
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


CRASHES_BEFORE_CARE = 3
"""After so many owners died in a row without a commit, events are taken one at a time, each counted before it is begun."""
