"""An execution as raw records, out of one installation and into another (or the same under another id).

Reading gives the records of one moment; writing stages them under a key of their own, in bounded pieces, and then makes
the whole execution exist in one script, or not at all. What is staged and never used goes away by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from orchestrator.errors import InvalidRequest, StoreUnavailable
from orchestrator.plan import Call, Command, Plan
from orchestrator.store.keys import STAGED_TTL_MS, STATE_FIELDS, Keys
from orchestrator.store.verdicts import word

RECORDS_MAX = 100_000
BYTES_MAX = 64 * 1024 * 1024
READS_MAX = 20
_PAGE = 500
_PIECE_BYTES_MAX = 512 * 1024


class RawWorkflow(NamedTuple):
    """The state in ``fields`` (of ``STATE_FIELDS``) and the records in ``tasks``, all as they are stored."""

    fields: dict[str, bytes]
    tasks: dict[str, bytes]


def read_raw(keys: Keys, workflow_id: str) -> Plan[RawWorkflow | None]:
    """Every record of an execution; ``None`` when there is none.

    Raises ``InvalidRequest`` beyond the bounds, ``StoreUnavailable`` when it changes faster than it can be read.
    """
    number = keys.partition_of(workflow_id)
    for _ in range(READS_MAX):
        version = Command(("HGET", keys.workflow(number, workflow_id), "v"))
        before = yield version
        if before is None:
            return None
        raw = yield from _pages(keys.workflow(number, workflow_id), workflow_id)
        if (yield version) == before:
            return raw
    raise StoreUnavailable(f"workflow {workflow_id} changes faster than its many tasks can be read; repeat later")


def _pages(key: str, workflow_id: str) -> Plan[RawWorkflow]:
    cursor, raw, size = b"0", RawWorkflow({}, {}), 0
    while True:
        cursor, page = yield Command(("HSCAN", key, cursor, "COUNT", _PAGE))
        for packed, value in zip(page[::2], page[1::2], strict=True):
            name = packed.decode()
            if name in STATE_FIELDS:
                raw.fields[name] = value
            else:
                raw.tasks[name] = value
                size += len(value)
        _require(workflow_id, len(raw.tasks), size)
        if cursor == b"0":
            return raw


def require_bounded(workflow_id: str, records: Mapping[str, bytes]) -> None:
    """Raises ``InvalidRequest`` for more or larger records than go into a file."""
    _require(workflow_id, len(records), sum(map(len, records.values())))


def _require(workflow_id: str, records: int, size: int) -> None:
    if records > RECORDS_MAX or size > BYTES_MAX:
        raise InvalidRequest(
            f"workflow {workflow_id} is too large for an export: at most {RECORDS_MAX:,} records and {BYTES_MAX:,} bytes"
        )


def stage(keys: Keys, partition: int, staged_as: str, records: Mapping[str, bytes]) -> Iterator[list[Command]]:
    """The commands that put task records under a key of their own, a piece at a time."""
    key = keys.staged(partition, staged_as)
    piece: list[str | bytes] = []
    size = 0
    for name, value in records.items():
        if piece and size + len(value) > _PIECE_BYTES_MAX:
            yield _staging(key, piece)
            piece, size = [], 0
        piece += (name, value)
        size += len(value)
    if piece:
        yield _staging(key, piece)


def _staging(key: str, piece: Sequence[str | bytes]) -> list[Command]:
    return [Command(("HSET", key, *piece)), Command(("PEXPIRE", key, STAGED_TTL_MS))]


def import_workflow(
    keys: Keys,
    partition: int,
    workflow_id: str,
    *,
    staged_as: str,
    staged: int,
    start_ms: int,
    definition_hash: str,
    definition_body: bytes,
    fields: Mapping[str, bytes],
    indexes: Sequence[str],
) -> Call:
    """Make the staged execution, of so many records, exist under this id.

    Decodes to OK, TAKEN (the id has an execution), or LOST: records are gone, of a staging that took long or by a failover.
    """
    names = (
        keys.workflow(partition, workflow_id),
        keys.dispatch(partition, workflow_id),
        keys.definitions(partition),
        keys.staged(partition, staged_as),
        *indexes,
    )
    pairs = [part for name, value in fields.items() for part in (name, value)]
    words = (workflow_id, start_ms, definition_hash, definition_body, staged, *pairs)
    return Call("import_workflow", names, words, word, durable=True)
