"""What Redis knows of the archive: where it is, which moves are under way; and the end of an execution's life here.

A move has a number, greater than all before it, and stands in the record until it is over. So whoever reads both places
knows which executions of the archive may be in Redis too: those of moves that were under way, and of later ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.plan import Argument, Call, Command
from orchestrator.store.keys import TOMBSTONE_TTL_MS, Keys
from orchestrator.store.verdicts import word

STALE_MS = 60_000
"""A move that began so long ago is taken to have died."""


class ArchiveRecord(NamedTuple):
    """Where the archive is, and its own id; ``first_unsure`` is the lowest number whose move may not be over."""

    url: str
    id: str
    first_unsure: int
    restores: int
    under_way: Mapping[int, int]  # number -> when it began


def read_archive(keys: Keys) -> Command:
    """Decodes to an ``ArchiveRecord``, ``None`` when there is no archive."""
    return Command(("HGETALL", keys.archive()), _record)


def _record(flat: Sequence[bytes]) -> ArchiveRecord | None:
    fields = {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}
    if "url" not in fields:
        return None
    moves = {int(name[2:]): int(value.split(" ")[0]) for name, value in fields.items() if name.startswith("m:")}
    following = int(fields.get("moves", 0)) + 1
    return ArchiveRecord(
        fields["url"], fields["id"], min(following, *moves, following), int(fields.get("restores", 0)), moves
    )


def record_archive(keys: Keys, url: str, archive_id: str) -> list[Command]:
    """Note where the archive is."""
    return [Command(("HSET", keys.archive(), "url", url, "id", archive_id))]


def begin_move(keys: Keys, kind: str = "") -> Call:
    """Decodes to the number of a new move; 0 when one of this kind is under way (a move without a kind always begins)."""
    return Call("begin_move", (keys.archive(),), (kind, STALE_MS), int)


def end_move(keys: Keys, number: int) -> Command:
    """Nothing of the move is in both places any more."""
    return Command(("HDEL", keys.archive(), f"m:{number}"))


def note_restore(keys: Keys) -> Command:
    """Tell whoever is reading both places that something has come back to Redis."""
    return Command(("HINCRBY", keys.archive(), "restores", 1))


def forget_archived(keys: Keys, partition: int, workflow_id: str, version: int, indexes: Sequence[str]) -> Call:
    """Delete an ended execution of which the archive has this version; decodes to OK, UNKNOWN, CONFLICT or BUSY.

    A start that is still on its way somewhere does not start it anew for an hour.
    """
    names = (
        keys.workflow(partition, workflow_id),
        keys.dispatch(partition, workflow_id),
        keys.inbox(partition),
        keys.tombstone(partition, workflow_id),
        *indexes,
    )
    args: tuple[Argument, ...] = (workflow_id, version, TOMBSTONE_TTL_MS)
    return Call("archived", names, args, _word)


def _word(reply: Any) -> str:
    return word(reply)
