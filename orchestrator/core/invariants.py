"""What must hold of every decision before it is written; a breach is a defect of ours, never of a definition or a user.

``decide`` checks each draft just before it returns it, in production too: the engine sets a workflow aside rather than
write what no later decision could make sense of. The cost follows what the decision changed, never the size of the
workflow. Nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from orchestrator.core.kinds import INTERNAL, QUEUED, WAITING
from orchestrator.core.state import waits_inside
from orchestrator.ids import suffix_of
from orchestrator.model.effects import Enqueue, ReviveParent
from orchestrator.model.events import Event, Started
from orchestrator.model.status import is_terminal

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.state import WorkflowState


class InvariantBroken(Exception):
    """A decision came out damaged; the message says how, and of which workflow."""


def check_beginning(state: WorkflowState, events: Sequence[Event]) -> None:
    """A workflow begins with its start. Raises ``InvariantBroken``.

    Without it the workflow would have nothing open and count as completed.
    """
    if state.core is None and not isinstance(events[0], Started):
        kind = type(events[0]).__name__
        raise InvariantBroken(f"workflow {state.workflow_id} has not been started, its first event is {kind}")


def check(d: Draft) -> None:
    """Check a finished draft. Raises ``InvariantBroken`` with everything that is wrong with it."""
    core, before = d.core, d.state.core
    wrong = [*_end(d), *_progress(d), *_open_count(d)]
    has_moved = before is None or core.sequence != before.sequence
    if has_moved or d.scheduled or d.superseded or d.unwritten or d.opened or d.guarded:  # it made tasks
        wrong += [*_attempts(d), *_dispatch(d)]
    if core.joins or core.loops or core.messages is not None:  # most workflows have none of them
        wrong += [*_joins(d), *_loops(d), *_messages(d)]
    if wrong:
        raise InvariantBroken(f"workflow {d.workflow_id}: {'; '.join(wrong)}")


def _end(d: Draft) -> Iterator[str]:
    """What has ended has nothing left to do, and what has not ended has no end."""
    core, before = d.core, d.state.core
    if is_terminal(core.status) != bool(core.ended_ms):
        yield f"{core.status} with an end at {core.ended_ms}"
    if not is_terminal(core.status):
        if before is not None and is_terminal(before.status):
            if before.generation == core.generation:
                yield f"{before.status} became {core.status} in the same generation"
            if d.state.meta.parent_task_id and not any(isinstance(handoff, ReviveParent) for handoff in d.handoffs):
                yield f"{before.status} became {core.status} without its parent being told"
        return
    if core.gate is not None:
        yield f"{core.status} and still at the gate {core.gate.name}"
    if core.agenda or core.held or core.joins or core.evaluating or any(loop.ref for loop in core.loops.values()):
        yield f"{core.status} with steps, joins, loops or scripts left"
    if d.output is None and (before is None or not is_terminal(before.status)):
        yield f"{core.status} without an output"


def _progress(d: Draft) -> Iterator[str]:
    """A workflow that has not ended has something that will move it on."""
    core = d.core
    if core.agenda and not d.again:
        yield "steps are left over and nothing will take them up"
    if core.agenda and core.status != "RUNNING":
        yield f"{core.status} with steps on its agenda"
    is_kept_out = core.gate is not None and core.gate.is_waiting
    if core.held and core.status != "PAUSED" and not is_kept_out:
        yield f"{core.status} with steps held back"
    if core.status == "RUNNING" and not is_kept_out and not core.agenda and core.open <= waits_inside(core):
        yield f"nothing can happen any more: its {core.open} open tasks are joins and loops waiting for each other"


def _attempts(d: Draft) -> Iterator[str]:
    """Tasks are numbered without gaps; an attempt replaces the one before it, which has ended."""
    core, before = d.core, d.state.core
    numbered_before = before.sequence if before is not None and not d.is_wiped else 0
    if not d.scheduled and not d.superseded and not d.unwritten and core.sequence == numbered_before:
        return
    made = [*d.scheduled.values(), *(old for old, _ in d.superseded)]
    new = {one.sequence for one in made if one.sequence > numbered_before}
    new |= {number for number in d.unwritten if number > numbered_before}
    if len(new) != core.sequence - numbered_before or (new and max(new) > core.sequence):
        yield f"tasks {sorted(new)} were made, but numbers {numbered_before + 1} to {core.sequence} given out"
    aside = {(old.ref, old.attempt): result for old, result in d.superseded}
    for one in d.scheduled.values():
        earlier = d.state.records.get(one.ref)
        known = earlier.scheduled if earlier is not None else None
        is_same = known is not None and (known.attempt, known.generation) == (one.attempt, one.generation)
        if is_same and one.ref in d.amended:
            continue  # it was made by an earlier decision, and only its input is another now
        if one.attempt:
            result = aside.get((one.ref, one.attempt - 1))
            if result is None or not result.retried or not is_terminal(result.status):
                yield f"attempt {one.attempt} of {one.ref} does not follow attempt {one.attempt - 1}"
        elif known is not None and known.generation == one.generation and one.ref not in d.amended:
            yield f"{one.ref} was made twice"


def _open_count(d: Draft) -> Iterator[str]:
    """The number of open tasks changed by what was opened and what has ended."""
    if d.is_wiped or d.is_undone:
        expected = sum(record.is_open for record in d.records.values())  # nothing was open when it started over
        if d.core.open != expected:
            yield f"{d.core.open} tasks count as open, {expected} are"
        return
    expected = d.state.core.open if d.state.core is not None else 0
    for ref in d.records.keys() | d.results.keys():
        now, before = d.records.get(ref), d.state.records.get(ref)
        expected += now is not None and now.is_open
        if before is not None:
            expected -= before.is_open
        elif ref not in d.scheduled:
            expected -= 1  # an operator that was cancelled without being loaded
    if d.core.open != expected or expected < 0:
        yield f"{d.core.open} tasks count as open, {expected} are"


def _messages(d: Draft) -> Iterator[str]:
    """The messages that wait are those that came, less those that were handed out; each is handed out once."""
    now = d.core.messages
    if now is None:
        return
    before = d.state.core.messages if d.state.core is not None else None
    first, after = (before.first, before.next) if before is not None else (0, 0)
    kept = [*range(max(now.first, after), now.next)]
    if now.first < first or now.first > now.next or now.next < after or sorted(d.pushed) != kept:
        yield f"messages {first} to {after} became {now.first} to {now.next} by {len(d.pushed)} that came"
    if d.pulled != [*range(first, min(now.first, after))]:
        yield f"messages {d.pulled} were handed out while {first} to {now.first} were taken away"
    if now.bytes < 0 or (now.first == now.next) != (now.bytes == 0):
        yield f"messages {now.first} to {now.next} take {now.bytes} bytes"


def _joins(d: Draft) -> Iterator[str]:
    before = d.state.core.joins if d.state.core is not None else {}
    for ref, join in d.core.joins.items():
        if before.get(ref) is join:
            continue
        if not (0 if join.is_judged else 1) <= join.remaining <= join.members:
            yield f"join {ref} waits for {join.remaining} of {join.members}"
        if join.failed + join.errors > join.members - join.remaining or join.hard > join.failed:
            yield f"join {ref} counts more members that went wrong than have ended"


def _loops(d: Draft) -> Iterator[str]:
    before = d.state.core.loops if d.state.core is not None and not d.is_wiped else {}
    for name, loop in d.core.loops.items():
        earlier = before.get(name)
        if earlier is loop:
            continue
        if loop.open < 0 or (loop.open and not loop.ref):
            yield f"loop {name} counts {loop.open} open tasks"
        if earlier is not None and loop.iteration < earlier.iteration and not d.is_undone:
            yield f"loop {name} went back from round {earlier.iteration} to {loop.iteration}"


def _dispatch(d: Draft) -> Iterator[str]:
    """Exactly the open tasks that wait outside have a dispatch entry, and a queued one is offered to its queue."""
    offered = {suffix_of(handoff.task_id) for handoff in d.handoffs if isinstance(handoff, Enqueue)}
    made = set()
    for ref in d.scheduled:
        record = d.records[ref]
        entry = d.opened.get(record.suffix)
        made.add(record.suffix)
        if entry is None and not record.is_open:
            continue
        state = d.dispatch_state(record)
        if entry is not None and (entry.state != state or entry.ref != ref or not record.is_open):
            yield f"{ref} has a dispatch entry {entry.state!r} that does not fit it"
        if entry is None and state != INTERNAL and record.is_open:
            yield f"{ref} is open without a dispatch entry"
        if state == QUEUED and record.is_open and record.suffix not in offered:
            yield f"{ref} is open and not offered to any queue"
    for suffix in d.opened.keys() - made:  # opened once more
        current = d.record(d.opened[suffix].ref)
        if current is not None and current.suffix == suffix and current.is_open and d.opened[suffix].state == WAITING:
            made.add(suffix)
    if d.opened.keys() - made or d.opened.keys() & d.closed.keys() or d.guarded.keys() - d.closed.keys() - made:
        yield "dispatch entries are opened or closed that are not of this decision's tasks"
