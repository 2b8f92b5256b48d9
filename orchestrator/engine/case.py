"""One workflow's part of a batch, and how the entries of a turn become such parts.

A case gathers what the batch learns: state, program, decision, or the reason why the workflow must be set aside. It does
nothing by itself. Made by ``batch``, written by ``committing``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orchestrator.core.draft import Draft, OpenTask
from orchestrator.core.program import Program
from orchestrator.core.state import WorkflowState
from orchestrator.engine.estate import Estate
from orchestrator.model.events import Event, TimerFired
from orchestrator.store.inbox import Entry

EVENTS_PER_CASE = 100


class Case:
    """The events of one workflow and what becomes of them."""

    __slots__ = (
        "cached",
        "draft",
        "entries",
        "estate",
        "events",
        "has_timers",
        "is_freed",
        "open_tasks",
        "program",
        "programs",
        "reason",
        "size",
        "state",
        "workflow_id",
    )

    def __init__(self, estate: Estate, workflow_id: str) -> None:
        self.estate = estate
        self.workflow_id = workflow_id
        self.entries: list[Entry] = []
        self.events: list[Event] = []
        self.has_timers = False  # spares most cases the search for them
        self.state: WorkflowState | None = None
        self.program: Program | None = None
        self.programs: dict[str, Program | None] = {}  # other definitions that it goes over to
        self.cached: dict[str, bytes | None] = {}  # what the cache of outputs holds under the keys it asked for
        self.open_tasks: list[OpenTask] | None = None
        self.draft: Draft | None = None
        self.size = 0  # bytes that the commit writes for it
        self.is_freed = False  # it is in quarantine, and this decision ends that
        self.reason: str | None = None  # why the workflow must be set aside

    def add(self, entry: Entry) -> None:
        """One more event, behind the others."""
        self.entries.append(entry)
        self.events.append(entry.event)
        self.has_timers = self.has_timers or isinstance(entry.event, TimerFired)

    def keep_only(self, entries: Sequence[Entry]) -> None:
        """Go on with these events alone."""
        self.entries = list(entries)
        self.events = [entry.event for entry in entries]

    @property
    def refs(self) -> list[str]:
        """The tasks that the events are about."""
        named = [getattr(event, "ref", "") for event in self.events]
        return list(dict.fromkeys(ref for ref in named if ref))

    @property
    def timers(self) -> list[tuple[int, TimerFired]]:
        """The events of task timers, with their places among the events."""
        if not self.has_timers:
            return []
        return [(i, event) for i, event in enumerate(self.events) if isinstance(event, TimerFired) and event.ref]


def group(work: Sequence[tuple[Estate, list[Entry]]]) -> Iterable[Case]:
    """Cases by workflow, events in order. A workflow under suspicion gets one event; the rest waits for the next turn."""
    for estate, entries in work:
        cases: dict[str, Case] = {}
        for entry in entries:
            case = cases.get(entry.workflow_id)
            if case is None:
                case = cases[entry.workflow_id] = Case(estate, entry.workflow_id)
                case.state = estate.state(entry.workflow_id)
            elif entry.workflow_id in estate.alone or len(case.entries) >= EVENTS_PER_CASE:
                estate.retry.append(entry)
                continue
            case.add(entry)
        yield from cases.values()
