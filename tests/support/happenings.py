"""What may happen to a workflow in a story: workers report, timers fire, operators act, time passes.

Each is made without knowing the workflow (``completed("charge")``) and turned into an event when the story reaches it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from orchestrator.codec import NULL, pack
from orchestrator.model.events import Event, Operation, Started, TaskBegan, TaskReported, TimerFired, Told
from orchestrator.model.records import FORMAT, Outcome

if TYPE_CHECKING:
    from tests.support.story import Story

Happening = Callable[["Story"], Event | None]
"""Something that happens; it may only change the world (a worker takes a task) and be no event."""


def started() -> Happening:
    """The start was accepted."""
    return lambda story: Started(at_ms=story.now, meta=story.meta, input=story.input)


def reported(
    ref: str, status: str, output: Any = None, *, attempt: int | None = None, delivery: int = 1, **fields: Any
) -> Happening:
    """A worker reports on a task; ``delivery`` -1: an outside caller does. Other fields are those of ``Outcome``."""

    def happen(story: Story) -> Event:
        packed = Raw(pack(output) if output is not None else NULL)
        outcome = Outcome(format=FORMAT, status=status, output=packed, **fields)
        entry = story.entry(ref)
        started_ms = entry.started_ms if entry is not None else 0
        return TaskReported(
            story.now, story.id_of(ref, attempt), ref, outcome, delivery, started_ms, poll_count=1, worker_id="w1"
        )

    return happen


def completed(ref: str, output: Any = None, **fields: Any) -> Happening:
    """A worker is done with a task."""
    return reported(ref, "COMPLETED", output, **fields)


def failed(ref: str, reason: str = "broken", *, terminal: bool = False, **fields: Any) -> Happening:
    """An attempt failed; ``terminal``: for good."""
    status = "FAILED_WITH_TERMINAL_ERROR" if terminal else "FAILED"
    return reported(ref, status, fields.pop("output", None), reason=reason, **fields)


def began(ref: str) -> Happening:
    """A worker began with a task, and its start is told."""
    return lambda story: TaskBegan(story.now, story.id_of(ref, None), ref)


def accepted(ref: str) -> Happening:
    """The store accepted the final word on a task; its event comes later."""

    def happen(story: Story) -> None:
        entry = story.entry(ref)
        assert entry is not None, f"{ref} is not open"
        entry.state = "A"

    return happen


def claimed(ref: str) -> Happening:
    """A worker takes a task; the workflow is not told."""

    def happen(story: Story) -> None:
        entry = story.entry(ref)
        assert entry is not None, f"{ref} is not open"
        entry.state, entry.polls = "R", entry.polls + 1
        entry.started_ms = entry.started_ms or story.now
        entry.touched_ms = story.now

    return happen


def timer(ref: str = "", *, attempt: int | None = None, limited_ms: int = 0) -> Happening:
    """The timer of a task fires, or without a reference that of the workflow."""

    def happen(story: Story) -> Event:
        if not ref:
            return TimerFired(at_ms=story.now, ref="", task_id="")
        entry = story.entry(ref)
        truth: dict[str, Any] = {}
        if entry is not None and attempt is None:
            truth = {
                "state": entry.state,
                "started_ms": entry.started_ms,
                "touched_ms": entry.touched_ms,
                "poll_count": entry.polls,
            }
        return TimerFired(story.now, ref, story.id_of(ref, attempt), limited_ms=limited_ms, worker_id="w1", **truth)

    return happen


def operation(action: str, **arguments: Any) -> Happening:
    """An operator or a caller acts on the workflow."""
    return lambda story: Operation(story.now, f"r{len(story.answers)}", action, arguments)


def told(action: str, task_id: str, reason: str | None = None, **fields: Any) -> Happening:
    """Another workflow has something to say about a task that links the two."""
    return lambda story: Told(story.now, action, task_id, reason, **fields)


def child_revived(ref: str, run: int = 1, *, attempt: int | None = None) -> Happening:
    """The child of a task goes on after its end, for the ``run``-th time."""
    return lambda story: Told(story.now, "revive", story.id_of(ref, attempt), ref=ref, run=run)


def later(seconds: float) -> Happening:
    """Time passes."""

    def happen(story: Story) -> None:
        story.now += int(seconds * 1000)

    return happen
