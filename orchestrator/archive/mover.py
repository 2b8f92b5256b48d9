"""Moves executions that have ended from Redis to the archive: a chore of the decider role, a partition at a time.

Written there first, then deleted here by a script that compares versions: whatever dies in between leaves an execution in
both places, where it counts as in Redis until the next turn moves it. Two movers do each other no harm; only one of a
partition works at a time, because two would do the work twice.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.archive import shelf
from orchestrator.archive.shelf import Shelf, indexes_of
from orchestrator.clock import Clock
from orchestrator.engine.views import definition_of, workflow_view
from orchestrator.errors import InvalidRequest, OrchestratorError
from orchestrator.model.masking import masked_workflow
from orchestrator.model.records import decode_core, decode_meta
from orchestrator.model.status import WORKFLOW_TERMINAL, is_terminal
from orchestrator.model.summaries import task_summary, task_words, workflow_summary, workflow_words
from orchestrator.plan import Command, Outside, Plan
from orchestrator.store import archive, transfer
from orchestrator.store.archive import STALE_MS
from orchestrator.store.context import StoreContext
from orchestrator.store.partition import load_definition
from orchestrator.store.view import stored_workflow

if TYPE_CHECKING:
    from orchestrator.archive.database import Shelved

log = logging.getLogger(__name__)

EXECUTIONS_PER_MOVE = 50
REST_MS, BUSY_REST_MS = 30_000, 100
YOUNGEST_MS = 10_000
"""With little memory left too, whoever waits for the end of an execution finds it in Redis."""

_ENDED = [status for status, is_over in WORKFLOW_TERMINAL.items() if is_over]


class _Candidate(NamedTuple):
    workflow_id: str
    parent_id: str | None


class Mover:
    """The chore; remembers how far it has looked.

    Example: ``Chore(settings, "archive", Mover(SystemClock()).turn)``
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked: dict[tuple[int, str], int] = {}
        self._is_known = False

    def turn(self, store: StoreContext) -> Plan[int]:
        """Move some executions of every partition; gives the milliseconds until there may be more to do."""
        if not self._is_known and not (yield from shelf.join(store)):
            return REST_MS
        self._is_known = True
        found = yield from shelf.shelf(store)
        if found is None:
            return REST_MS
        yield from self._mend(store, found)
        after_ms = int(store.settings.archive_after_s * 1000)
        if (yield from _is_short_of_memory(store)):
            after_ms = min(after_ms, YOUNGEST_MS)
        moved = 0
        for number in range(store.keys.partitions):
            moved += yield from self._move_some(store, found, number, self._clock.now_ms() - after_ms)
        return BUSY_REST_MS if moved or any(self._looked.values()) else REST_MS

    def _move_some(self, store: StoreContext, found: Shelf, number: int, due_ms: int) -> Plan[int]:
        chosen = yield from self._due(store, number, due_ms)
        if not chosen:
            return 0
        move: int = yield archive.begin_move(store.keys, f"p{number}")
        if not move:
            return 0
        items: list[Shelved] = []
        for workflow_id in chosen:
            try:
                items += yield from _shelved(store, workflow_id)
            except InvalidRequest as error:  # too large for one record; it stays where it is
                log.warning("not_archived", extra={"workflow_id": workflow_id, "reason": str(error)})
        if items:
            yield Outside(lambda: found.database.write(move, items))
            yield from _leave_redis(store, found, move, {item.workflow_id: item.version for item in items})
        yield archive.end_move(store.keys, move)
        return len(items)

    def _due(self, store: StoreContext, number: int, due_ms: int) -> Plan[list[str]]:
        """Some executions of a partition that ended before ``due_ms`` and that nothing waits for any more."""
        keys = store.keys
        chosen: list[_Candidate] = []
        for status in _ENDED:
            place = (number, str(status))
            at = self._looked.get(place, 0)
            page: list[bytes] = yield Command(
                ("ZRANGEBYSCORE", keys.by_status(number, status), "-inf", due_ms, "LIMIT", at, EXECUTIONS_PER_MOVE)
            )
            found = yield from _movable(store, number, [member.decode() for member in page], due_ms)
            chosen += found
            # What is left where it is is looked at again when all others have been.
            self._looked[place] = at + len(page) - len(found) if len(page) == EXECUTIONS_PER_MOVE else 0
            if len(chosen) >= EXECUTIONS_PER_MOVE:
                break
        return (yield from _without_open_parents(store, chosen))

    def _mend(self, store: StoreContext, found: Shelf) -> Plan[None]:
        """Finish what movers and restores that died have left in both places."""
        now_ms = self._clock.now_ms()
        for old, began_ms in found.record.under_way.items():
            if now_ms - began_ms < STALE_MS:
                continue
            move: int = yield archive.begin_move(store.keys)
            yield Outside(partial(found.database.pass_on, old, move))
            versions = yield Outside(partial(found.database.moved, move))
            yield from _leave_redis(store, found, move, versions)
            yield archive.end_move(store.keys, move)
            yield archive.end_move(store.keys, old)
            log.warning("archive_mended", extra={"move": old, "executions": len(versions)})


def _movable(store: StoreContext, number: int, workflow_ids: Sequence[str], due_ms: int) -> Plan[list[_Candidate]]:
    replies = yield [Command(("HMGET", store.keys.workflow(number, one), "m", "c", "q")) for one in workflow_ids]
    found = []
    for workflow_id, reply in zip(workflow_ids, replies, strict=True):
        if isinstance(reply, Exception) or reply[0] is None or reply[1] is None or reply[2] is not None:
            continue
        core = decode_core(reply[1])
        if is_terminal(core.status) and core.ended_ms <= due_ms and not core.open and not core.deferred:
            found.append(_Candidate(workflow_id, decode_meta(reply[0]).parent_workflow_id))
    return found


def _without_open_parents(store: StoreContext, candidates: Sequence[_Candidate]) -> Plan[list[str]]:
    """A part of a workflow that goes on stays with it."""
    keys = store.keys
    parents = sorted({one.parent_id for one in candidates if one.parent_id is not None})
    replies = yield [Command(("HGET", keys.workflow(keys.partition_of(one), one), "s")) for one in parents]
    is_open = {
        parent
        for parent, status in zip(parents, replies, strict=True)
        if isinstance(status, bytes) and not is_terminal(status.decode())
    }
    return [one.workflow_id for one in candidates if one.parent_id not in is_open]


def _shelved(store: StoreContext, workflow_id: str) -> Plan[list[Shelved]]:
    """An execution with all that the archive keeps of it; nothing if it is gone or goes on."""
    from orchestrator.archive.database import Shelved

    raw = yield from transfer.read_raw(store.keys, workflow_id)
    if raw is None or "c" not in raw.fields or not is_terminal(decode_core(raw.fields["c"]).status):
        return []
    digest = decode_meta(raw.fields["m"]).definition_hash
    body: bytes = yield load_definition(store.keys, store.keys.partition_of(workflow_id), digest)
    stored = stored_workflow(workflow_id, raw.fields, raw.tasks)
    view = masked_workflow(workflow_view(stored, definition_of(body)))
    lines = [(task_summary(task), task_words(task)) for task in view.tasks]
    line, words = workflow_summary(view), workflow_words(view)
    return [Shelved(workflow_id, int(raw.fields["v"]), digest, body, raw.fields, raw.tasks, line, words, lines)]


def _leave_redis(store: StoreContext, found: Shelf, move: int, versions: dict[str, int]) -> Plan[None]:
    """Delete from Redis what the archive has; what has changed since is not the archive's any more."""
    keys, changed = store.keys, list[str]()
    names = list(versions)
    known = yield [Command(("HMGET", keys.workflow(keys.partition_of(one), one), "s", "m")) for one in names]
    there = [(one, reply) for one, reply in zip(names, known, strict=True) if _is_there(reply)]
    calls = []
    for workflow_id, (status, packed) in there:
        meta = decode_meta(packed)
        calls.append(
            archive.forget_archived(
                keys,
                keys.partition_of(workflow_id),
                workflow_id,
                versions[workflow_id],
                indexes_of(store, workflow_id, status.decode(), meta.name, meta.correlation_id),
            )
        )
    for (workflow_id, _), verdict in zip(there, (yield calls), strict=True):
        if isinstance(verdict, OrchestratorError):
            raise verdict
        if verdict not in ("OK", "UNKNOWN"):
            changed.append(workflow_id)
    if changed:
        yield Outside(lambda: found.database.drop(changed, move))


def _is_there(reply: object) -> bool:
    if isinstance(reply, OrchestratorError):
        raise reply
    return isinstance(reply, list) and reply[0] is not None


def _is_short_of_memory(store: StoreContext) -> Plan[bool]:
    """Whether Redis uses more of its memory (of its host's, where it has no limit) than it should."""
    try:
        raw: bytes = yield Command(("INFO", "memory"))
    except OrchestratorError:  # the in-process fake does not say
        return False
    facts = dict(line.split(":", 1) for line in raw.decode().splitlines() if ":" in line)
    limit = int(facts.get("maxmemory", 0)) or int(facts.get("total_system_memory", 0))
    used = int(facts.get("used_memory", 0))
    return limit > 0 and used * 100 > limit * store.settings.archive_memory_percent
