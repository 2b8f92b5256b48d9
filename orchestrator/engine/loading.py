"""Stored records to the state that decisions work on. Reads only what is asked for; a record that cannot be read says so.

The commands are the store's (``store.partition``); here their replies become the core's types. ``Unreadable`` blames the
record and sets one workflow aside; an error of the server is raised as it is, because waiting cures it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from orchestrator.codec import EMPTY_MAP
from orchestrator.core.draft import OpenTask
from orchestrator.core.state import TaskRecord, WorkflowState
from orchestrator.errors import OrchestratorError
from orchestrator.model.events import TimerFired
from orchestrator.model.records import decode_core, decode_meta, decode_result, decode_scheduled
from orchestrator.plan import Command, Plan
from orchestrator.store import partition
from orchestrator.store.dispatch import parse_dispatch
from orchestrator.store.failures import is_passing
from orchestrator.store.keys import Keys

OPEN_TASKS_PER_SLICE = 200


class Unreadable(Exception):
    """A stored record is damaged; the message says which."""


class Loaded(NamedTuple):
    """A workflow from the store, and why it is set aside if it is."""

    state: WorkflowState
    quarantined: str | None


def commands(keys: Keys, number: int, workflow_id: str, refs: Sequence[str]) -> tuple[Command, ...]:
    """The reads of a workflow that is not in memory: its core, and the latest attempts of these tasks, if any."""
    core = partition.load_workflow(keys, number, workflow_id)
    return (core, records_command(keys, number, workflow_id, refs)) if refs else (core,)


def records_command(keys: Keys, number: int, workflow_id: str, refs: Sequence[str]) -> Command:
    """The read of the latest attempts of these tasks."""
    fields = [field for ref in refs for field in ("S" + ref, "R" + ref)]
    return partition.load_records(keys, number, workflow_id, fields)


def read_state(workflow_id: str, refs: Sequence[str], replies: Sequence[Any]) -> Loaded | None:
    """The workflow of the replies to ``commands``, or None when it does not exist. Raises ``Unreadable``."""
    found = replies[0]
    check(f"workflow {workflow_id}", found)
    if found is None:
        return None
    try:
        state = WorkflowState(
            workflow_id,
            decode_meta(found.meta),
            found.input,
            core=decode_core(found.core) if found.core is not None else None,
            version=found.version,
            variables_raw=found.variables if found.variables is not None else EMPTY_MAP,
        )
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise Unreadable(f"the record of workflow {workflow_id} is damaged: {error}") from error
    state.payload_bytes = len(found.input) + len(state.variables_raw)
    if refs:
        add_records(state, refs, replies[1])
    return Loaded(state, found.quarantine)


def add_records(state: WorkflowState, refs: Sequence[str], reply: Any) -> None:
    """Put the task records of a reply into the workflow. Raises ``Unreadable``."""
    state.records.update(read_records(refs, reply))
    state.payload_bytes += sum(len(record) for record in reply if record is not None)


def read_records(refs: Sequence[str], reply: Any) -> dict[str, TaskRecord | None]:
    """Task records by reference; None for tasks that were never scheduled. Raises ``Unreadable``."""
    check("the task records", reply)
    records: dict[str, TaskRecord | None] = {}
    for index, ref in enumerate(refs):
        scheduled, result = reply[2 * index], reply[2 * index + 1]
        try:
            records[ref] = (
                TaskRecord(decode_scheduled(scheduled), decode_result(result) if result is not None else None)
                if scheduled is not None
                else None
            )
        except (msgspec.MsgspecError, ValueError) as error:
            raise Unreadable(f"the record of task {ref} is damaged: {error}") from error
    return records


def messages_command(keys: Keys, number: int, workflow_id: str, numbers: Sequence[int]) -> Command:
    """The read of a workflow's messages."""
    return partition.load_messages(keys, number, workflow_id, numbers)


def add_messages(state: WorkflowState, numbers: Sequence[int], reply: Any) -> None:
    """Put the messages of a reply into the workflow. Raises ``Unreadable``."""
    check("the messages", reply)
    for number, message in zip(numbers, reply, strict=True):
        if message is None:
            raise Unreadable(f"message {number} is gone")
        state.messages[number] = message


def open_tasks(keys: Keys, number: int, workflow_id: str, *, everything: bool) -> Plan[list[OpenTask]]:
    """Open tasks as the dispatch records list them: all, or a slice of those whose outcome is not in yet.

    Raises ``Unreadable``.
    """
    found: dict[str, OpenTask] = {}
    cursor: bytes | int = 0
    while True:
        (reply,) = yield [partition.scan_dispatch(keys, number, workflow_id, cursor, OPEN_TASKS_PER_SLICE)]
        check(f"the open tasks of workflow {workflow_id}", reply)
        cursor, fields = reply
        for suffix, text in zip(fields[::2], fields[1::2], strict=True):
            try:
                entry = parse_dispatch(text)
            except ValueError as error:
                raise Unreadable(f"an open task of workflow {workflow_id} is damaged: {error}") from error
            found[suffix.decode()] = OpenTask(entry.ref, suffix.decode(), entry.state)
        waiting = sum(task.state != "A" for task in found.values())
        if int(cursor) == 0 or (not everything and waiting >= OPEN_TASKS_PER_SLICE):
            return sorted(found.values())


def freshened(event: TimerFired, text: bytes | None) -> TimerFired:
    """A timer event with the dispatch truth as it is now. Raises ``Unreadable``."""
    if text is None:
        return msgspec.structs.replace(event, state="")
    try:
        entry = parse_dispatch(text)
    except ValueError as error:
        raise Unreadable(f"the open task {event.task_id} is damaged: {error}") from error
    return msgspec.structs.replace(
        event,
        state=entry.state,
        started_ms=entry.started_ms,
        touched_ms=entry.touched_ms,
        poll_count=entry.polls,
        worker_id=None if entry.claimant == "-" else entry.claimant,
    )


def check(what: str, reply: Any) -> None:
    """Raise ``Unreadable`` when a reply blames what was read, and the error itself when it blames the server."""
    if isinstance(reply, OrchestratorError) and not is_passing(reply):
        raise Unreadable(f"{what} cannot be read: {reply}") from reply
    if isinstance(reply, Exception):
        raise reply


def limited(event: TimerFired, limited_ms: int) -> TimerFired:
    """A timer event that knows how long its task waited for a limit."""
    return msgspec.structs.replace(event, limited_ms=limited_ms)
