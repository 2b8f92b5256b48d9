"""Plans on the archive: look an execution up, bring it back to Redis, remove it, search; and say where the archive is.

Redis is always asked first. What moves is written at its new place before it leaves the old one, so it is never in
neither; where it is in both, Redis counts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.engine.views import Fetch, definition_of, workflow_view
from orchestrator.errors import SettingsInvalid, StoreUnavailable
from orchestrator.model.execution import Workflow
from orchestrator.model.records import decode_core, decode_meta
from orchestrator.plan import Command, Outside, Plan
from orchestrator.store import archive, transfer
from orchestrator.store.archive import ArchiveRecord
from orchestrator.store.context import StoreContext
from orchestrator.store.partition import idempotency_field
from orchestrator.store.view import StoredWorkflow, stored_workflow

if TYPE_CHECKING:
    from orchestrator.archive.database import Database, Kept


class Shelf(NamedTuple):
    """The archive of an installation, and what Redis said of it when this was asked."""

    record: ArchiveRecord
    database: Database


def join(store: StoreContext) -> Plan[bool]:
    """Make the archive that the settings name known to the installation, if it is new; whether there is one.

    Raises ``SettingsInvalid`` when the installation has another, ``StoreRefused`` when it is not to be seen from here,
    ``ArchiveUnavailable`` when it does not answer.
    """
    url = store.settings.archive_url
    record: ArchiveRecord | None = yield archive.read_archive(store.keys)
    if record is None and not url:
        return False
    from orchestrator.archive.database import database, known_database

    if record is None:
        own = yield Outside(lambda: database(url).create())
        yield archive.record_archive(store.keys, url, own)
        return True
    if url and url != record.url:
        own = yield Outside(lambda: database(url).identity())
        if own != record.id:
            raise SettingsInvalid(
                "archive_url: this installation has another archive, in which its ended executions are. Move that one's "
                "data to the new place first; its id must stay"
            )
        yield archive.record_archive(store.keys, url, record.id)
        record = record._replace(url=url)
    known = record
    yield Outside(lambda: known_database(known.url, known.id))
    return True


def shelf(store: StoreContext) -> Plan[Shelf | None]:
    """The archive, ``None`` when the installation has none. Raises like ``join``."""
    record: ArchiveRecord | None = yield archive.read_archive(store.keys)
    if record is None:
        return None
    from orchestrator.archive.database import known_database

    return Shelf(record, (yield Outside(lambda: known_database(record.url, record.id))))


def where(store: StoreContext) -> Plan[str | None]:
    """The URL of the archive, ``None`` when there is none."""
    record: ArchiveRecord | None = yield archive.read_archive(store.keys)
    return record.url if record is not None else None


def look_up(store: StoreContext, workflow_ids: Sequence[str]) -> Plan[list[Kept]]:
    """Executions that the archive has, by id."""
    found = yield from shelf(store)
    if found is None:
        return []
    kept: list[Kept] = yield Outside(lambda: found.database.find(workflow_ids))
    return kept


def archived(store: StoreContext, workflow_id: str) -> Plan[StoredWorkflow | None]:
    """The records of an execution that is in the archive."""
    kept = yield from look_up(store, [workflow_id])
    return stored_workflow(workflow_id, kept[0].fields, kept[0].tasks) if kept else None


def archived_view(store: StoreContext, workflow_id: str, *, include_tasks: bool, fetch: Fetch) -> Plan[Workflow | None]:
    """An execution that is in the archive as users see it."""
    for kept in (yield from look_up(store, [workflow_id])):
        stored = stored_workflow(workflow_id, kept.fields, kept.tasks)
        return workflow_view(stored, definition_of(kept.definition), include_tasks=include_tasks, fetch=fetch)
    return None


def remove(store: StoreContext, workflow_id: str) -> Plan[bool]:
    """Forget an archived execution; whether there was one."""
    found = yield from shelf(store)
    if found is None:
        return False
    kept = yield from look_up(store, [workflow_id])
    was_here: bool = yield Outside(lambda: found.database.remove(workflow_id))
    for one in kept:
        meta, number = decode_meta(one.fields["m"]), store.keys.partition_of(workflow_id)
        if meta.parent_task_id is None and meta.failure_of is None:
            yield Command(("DEL", store.keys.tombstone(number, workflow_id)))
        if meta.idempotency_key:
            field = idempotency_field(meta.name, meta.idempotency_key)
            holder = yield Command(("HGET", store.keys.idempotency(number), field))
            if holder == workflow_id.encode():
                yield Command(("HDEL", store.keys.idempotency(number), field))
    return was_here


def bring_back(store: StoreContext, workflow_ids: Sequence[str]) -> Plan[int]:
    """Restore to Redis what the archive has of these executions and of their families; gives how many came.

    An operation on one of them may make those around it go on too.
    """
    found = yield from shelf(store)
    if found is None:
        return 0
    database = found.database
    ids: list[str] = yield Outside(lambda: database.family(workflow_ids))
    if not ids:
        return 0
    move: int = yield archive.begin_move(store.keys)
    kept: list[Kept] = yield Outside(lambda: database.take_over(ids, move))
    for one in kept:
        yield from _restore(store, one)
    yield archive.note_restore(store.keys)
    left: int = yield Outside(lambda: database.drop(ids, move))
    if left < len(kept):
        raise StoreUnavailable("executions were archived again while they were brought back; repeat later")
    yield archive.end_move(store.keys, move)
    return len(kept)


def _restore(store: StoreContext, kept: Kept) -> Plan[None]:
    keys, number = store.keys, store.keys.partition_of(kept.workflow_id)
    core, meta = decode_core(kept.fields["c"]), decode_meta(kept.fields["m"])
    staged_as = f"restore-{os.urandom(8).hex()}"
    for piece in transfer.stage(keys, number, staged_as, kept.tasks):
        for reply in (yield piece):
            if isinstance(reply, Exception):
                raise reply
    # The version moves on: whoever thinks of the archived one must not take this for it.
    fields = {**kept.fields, "v": str(kept.version + 1).encode()}
    answer = yield transfer.import_workflow(
        keys,
        number,
        kept.workflow_id,
        staged_as=staged_as,
        staged=len(kept.tasks),
        start_ms=core.created_ms,
        definition_hash=meta.definition_hash,
        definition_body=kept.definition,
        fields=fields,
        indexes=indexes_of(store, kept.workflow_id, core.status, meta.name, meta.correlation_id),
    )
    if answer == "LOST":
        raise StoreUnavailable(
            f"Redis lost records of workflow {kept.workflow_id} while they were brought back; repeat later"
        )


def indexes_of(store: StoreContext, workflow_id: str, status: str, name: str, correlation_id: str | None) -> list[str]:
    """The search indexes that an execution is in."""
    keys, number = store.keys, store.keys.partition_of(workflow_id)
    names = [keys.by_status(number, status), keys.by_name(number, name)]
    return [*names, keys.by_correlation(number, correlation_id)] if correlation_id else names
