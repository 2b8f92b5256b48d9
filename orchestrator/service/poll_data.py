"""Who asked for tasks last, by task type and domain: what operators look at, and what the choice of a domain goes by.

Whoever serves polls notes them in its memory and writes them down together every few seconds, so a poll costs nothing
and a note is a little old. The oldest notes are dropped when there are very many. Called by the HTTP server and by workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.model.execution import PollData
from orchestrator.plan import Call, Plan
from orchestrator.store import polls
from orchestrator.store.context import StoreContext

WRITE_EVERY_S = 2.0


class Seen(NamedTuple):
    """The last poll of one queue: by whom, and when on the clock of the process that saw it."""

    worker: str
    at_s: float


def write(store: StoreContext, seen: Mapping[tuple[str, str | None], Seen], now_s: float) -> Plan[None]:
    """Write notes down; ``now_s`` is the present on the clock they were made by."""
    yield note(store, seen, now_s)


def note(store: StoreContext, seen: Mapping[tuple[str, str | None], Seen], now_s: float) -> Call:
    """As ``write``, as a call that may go along with others of the catalog."""
    notes = [
        polls.PollNote(task_type, domain, one.worker, max(0, round((now_s - one.at_s) * 1000)))
        for (task_type, domain), one in seen.items()
    ]
    return polls.note_polls(store.keys, notes)


def read(store: StoreContext, task_type: str | None = None) -> Plan[list[PollData]]:
    """The last poll of every queue, or of those of one task type, in the order of their names."""
    found: list[PollData] = yield polls.list_polls(store.keys)
    return [one for one in found if task_type is None or one.queue_name == task_type]
