"""Stored records to the state that decisions work on. Reads only what is asked for; a record that cannot be read says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from orchestrator.codec import EMPTY_MAP
from orchestrator.core.draft import OpenTask
from orchestrator.core.state import TaskRecord, WorkflowState
from orchestrator.model.events import TimerFired
from orchestrator.model.records import decode_core, decode_meta, decode_result, decode_scheduled
from orchestrator.plan import Command, Plan
from orchestrator.store.keys import Keys

OPEN_TASKS_PER_SLICE = 200
_FIELDS = ("v", "m", "i", "c", "x", "q")


class Unreadable(Exception):
    """A stored record is damaged; the message says which."""


class Loaded(NamedTuple):
    """A workflow from the store, and why it is set aside if it is."""

    state: WorkflowState
    quarantined: str | None


def commands(keys: Keys, number: int, workflow_id: str, refs: Sequence[str]) -> tuple[Command, Command]:
    """The two reads of a workflow that is not in memory: its core, and the records of these tasks."""
    return (
        Command(("HMGET", keys.workflow(number, workflow_id), *_FIELDS), lambda raw: (list(raw), list(refs))),
        records_command(keys, number, workflow_id, refs or [""]),
    )


def records_command(keys: Keys, number: int, workflow_id: str, refs: Sequence[str]) -> Command:
    """The read of the latest attempts of these tasks."""
    fields = [field for ref in refs for field in (f"S{ref}", f"R{ref}")]
    return Command(("HMGET", keys.tasks(number, workflow_id), *fields))


def read_state(workflow_id: str, core_reply: Any, records_reply: Any) -> Loaded | None:
    """The workflow of two replies, or None when it does not exist. Raises ``Unreadable``."""
    for reply in (core_reply, records_reply):
        if isinstance(reply, Exception):
            raise Unreadable(f"workflow {workflow_id} cannot be read: {reply}")
    (version, meta, given, core, variables, quarantined), refs = core_reply
    if version is None:
        return None
    try:
        state = WorkflowState(
            workflow_id,
            decode_meta(meta),
            given,
            core=decode_core(core) if core is not None else None,
            version=int(version),
            variables_raw=variables if variables is not None else EMPTY_MAP,
        )
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise Unreadable(f"the record of workflow {workflow_id} is damaged: {error}") from error
    if refs:
        state.records.update(read_records(refs, records_reply))
    return Loaded(state, quarantined.decode() if quarantined is not None else None)


def read_records(refs: Sequence[str], reply: Any) -> dict[str, TaskRecord | None]:
    """Task records by reference; None for tasks that were never scheduled. Raises ``Unreadable``."""
    if isinstance(reply, Exception):
        raise Unreadable(f"task records cannot be read: {reply}")
    records: dict[str, TaskRecord | None] = {}
    for index, ref in enumerate(refs):
        scheduled, result = reply[2 * index], reply[2 * index + 1]
        try:
            records[ref] = (
                TaskRecord(decode_scheduled(scheduled), decode_result(result) if result is not None else None)
                if scheduled is not None
                else None
            )
        except msgspec.MsgspecError as error:
            raise Unreadable(f"the record of task {ref} is damaged: {error}") from error
    return records


def open_tasks(keys: Keys, number: int, workflow_id: str, *, everything: bool) -> Plan[list[OpenTask]]:
    """Open tasks as the dispatch records list them: all, or a slice of those whose outcome is not in yet."""
    found: dict[str, OpenTask] = {}
    cursor: bytes | int = 0
    while True:
        reply = yield Command(("HSCAN", keys.dispatch(number, workflow_id), cursor, "COUNT", OPEN_TASKS_PER_SLICE))
        cursor, fields = reply
        for suffix, text in zip(fields[::2], fields[1::2], strict=True):
            state, ref = _state_and_ref(text)
            found[suffix.decode()] = OpenTask(ref, suffix.decode(), state)
        waiting = sum(task.state != "A" for task in found.values())
        if int(cursor) == 0 or (not everything and waiting >= OPEN_TASKS_PER_SLICE):
            return sorted(found.values())


def freshened(event: TimerFired, text: bytes | None) -> TimerFired:
    """A timer event with the dispatch truth as it is now."""
    if text is None:
        return msgspec.structs.replace(event, state="")
    state, _, started, touched, polls, *_ = text.decode().split(" ", 8)
    return msgspec.structs.replace(
        event, state=state, started_ms=int(started), touched_ms=int(touched), poll_count=int(polls)
    )


def limited(event: TimerFired, limited_ms: int) -> TimerFired:
    """A timer event that knows how long its task waited for a limit."""
    return msgspec.structs.replace(event, limited_ms=limited_ms)


def _state_and_ref(text: bytes) -> tuple[str, str]:
    words = text.decode().split(" ", 8)
    return words[0], words[8]
