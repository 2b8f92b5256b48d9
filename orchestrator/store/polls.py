"""Who asked which queue for tasks last: a bounded number of notes, in the catalog's slot.

Every function returns the call to make. Callers: the service, and the decider where a task's domain is chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from orchestrator.model.execution import PollData
from orchestrator.plan import Argument, Call, Command
from orchestrator.store.keys import Keys

POLL_NOTES_MAX = 10_000


class PollNote(NamedTuple):
    """Who asked a queue for tasks ``age_ms`` ago."""

    task_type: str
    domain: str | None
    worker: str
    age_ms: int


def note_polls(keys: Keys, notes: Sequence[PollNote]) -> Call:
    """Remember who polled; replies how many queues are remembered."""
    args: list[Argument] = [POLL_NOTES_MAX]
    for task_type, domain, worker, age_ms in notes:
        args += (_place(task_type, domain), age_ms, worker)
    return Call("note_polls", (keys.polls(),), args)


def list_polls(keys: Keys) -> Command:
    """The last poll of every queue that is remembered, by type and domain: ``list[PollData]``."""
    return Command(("HGETALL", keys.polls()), _poll_data)


def polled(keys: Keys, places: Sequence[tuple[str, str]]) -> Command:
    """When these task types were last polled in these domains: ``dict``, 0 for never; at least one."""
    fields = [_place(task_type, domain) for task_type, domain in places]
    return Command(("HMGET", keys.polls(), *fields), lambda raw: dict(zip(places, map(_polled_ms, raw), strict=True)))


def _place(task_type: str, domain: str | None) -> str:
    return f"{task_type}\n{domain or ''}"


def _polled_ms(note: bytes | None) -> int:
    return int(note.partition(b" ")[0]) if note is not None else 0


def _poll_data(raw: Any) -> list[PollData]:
    found = []
    for field, note in sorted(zip(raw[::2], raw[1::2], strict=True)):
        task_type, _, domain = field.decode().partition("\n")
        at_ms, _, worker = note.decode().partition(" ")
        found.append(PollData(queue_name=task_type, domain=domain or None, worker_id=worker, last_poll_time=int(at_ms)))
    return found
