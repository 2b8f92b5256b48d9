"""A whole workflow as everybody may see it, and its removal.

What is committed, overlaid by the caller with the dispatch truth of open tasks. Up to ``FIELDS_MAX`` fields come from one
script and so from one moment; a larger workflow is paged, and the pages count only when its version stayed
the same.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.errors import StoreUnavailable
from orchestrator.model.records import Result, Scheduled, decode_result, decode_scheduled
from orchestrator.plan import Call, Command, Plan, Step
from orchestrator.store.dispatch import Dispatch, parse_dispatch
from orchestrator.store.keys import STATE_FIELDS, Keys
from orchestrator.store.verdicts import word

FIELDS_MAX = 2_000  # the state, and of a thousand tasks two records each
PAGE = 500
READS_MAX = 20


class Attempt(NamedTuple):
    """One attempt of a task; ``result`` is ``None`` while nothing was reported."""

    scheduled: Scheduled
    result: Result | None


class StoredWorkflow(NamedTuple):
    """``fields``: of ``STATE_FIELDS``; ``tasks``: reference -> attempts, the latest last; ``dispatch`` by suffix."""

    workflow_id: str
    fields: dict[str, bytes]
    tasks: dict[str, list[Attempt]]
    dispatch: dict[str, Dispatch]

    @property
    def version(self) -> int:
        """How many commits this state has seen."""
        return int(self.fields["v"])


class _TooBig(NamedTuple):
    version: bytes


def view(keys: Keys, partition: int, workflow_id: str, fields_max: int = FIELDS_MAX) -> Call:
    """One workflow of one moment; decodes to ``StoredWorkflow``, ``None`` (unknown) or a note that it must be paged."""
    names = (keys.workflow(partition, workflow_id), keys.dispatch(partition, workflow_id))
    return Call("view", names, (fields_max,), lambda reply: _view(workflow_id, reply))


def read_workflow(keys: Keys, workflow_id: str, fields_max: int = FIELDS_MAX) -> Plan[StoredWorkflow | None]:
    """Read a workflow of any size; ``None`` when there is none.

    Raises ``StoreUnavailable`` when it changes faster than it can be paged. Example: ``store.run(read_workflow(keys,
    wid))``
    """
    partition = keys.partition_of(workflow_id)
    found = yield view(keys, partition, workflow_id, fields_max)
    return (yield from _whole(keys, workflow_id, found, fields_max))


def read_workflows(keys: Keys, workflow_ids: Sequence[str]) -> Plan[list[StoredWorkflow]]:
    """Read some workflows in one round trip (but very large ones), in order; those that are not there are left out."""
    replies = yield [view(keys, keys.partition_of(one), one) for one in workflow_ids]
    stored = []
    for workflow_id, found in zip(workflow_ids, replies, strict=True):
        if isinstance(found, Exception):
            raise found
        whole = yield from _whole(keys, workflow_id, found, FIELDS_MAX)
        if whole is not None:
            stored.append(whole)
    return stored


def _whole(keys: Keys, workflow_id: str, found: Any, fields_max: int) -> Plan[StoredWorkflow | None]:
    """What a view found, or what a workflow has that was too large for one."""
    partition = keys.partition_of(workflow_id)
    for _ in range(READS_MAX):
        if not isinstance(found, _TooBig):
            stored: StoredWorkflow | None = found
            return stored
        fields = yield from _page(keys.workflow(partition, workflow_id))
        dispatch = yield from _page(keys.dispatch(partition, workflow_id))
        if (yield Command(("HGET", keys.workflow(partition, workflow_id), "v"))) == found.version:
            return _stored(workflow_id, fields, dispatch)
        found = yield view(keys, partition, workflow_id, fields_max)
    raise StoreUnavailable(f"workflow {workflow_id} changes faster than its many tasks can be read; repeat later")


def _page(key: str) -> Generator[Step, Any, list[bytes]]:
    cursor, items = b"0", list[bytes]()
    while True:
        cursor, page = yield Command(("HSCAN", key, cursor, "COUNT", PAGE))
        items += page
        if cursor == b"0":
            return items


def remove(
    keys: Keys,
    partition: int,
    workflow_id: str,
    *,
    indexes: Sequence[str],
    expected_version: int | None = None,
    force: bool = False,
    idempotency_field: str = "",
    timers: Sequence[str] = (),
    awaiting: Sequence[str] = (),
) -> Call:
    """Delete a workflow that has ended or is in quarantine, or any by ``force``, with its entries in ``indexes``.

    An unfinished workflow has ``timers`` to disarm, and may have members of its own in the last index, ``awaiting``.
    Decodes to OK, UNKNOWN, CONFLICT (another version) or RUNNING. Freeing a large one happens in the background.
    """
    names = (
        keys.workflow(partition, workflow_id),
        keys.dispatch(partition, workflow_id),
        keys.parked(partition, workflow_id),
        keys.timers(partition),
        keys.idempotency(partition),
        *indexes,
    )
    version = "" if expected_version is None else expected_version
    return Call(
        "remove",
        names,
        (workflow_id, version, 1 if force else 0, idempotency_field, len(timers), *timers, *awaiting),
        word,
    )


def stored_workflow(workflow_id: str, fields: Mapping[str, bytes], tasks: Mapping[str, bytes]) -> StoredWorkflow:
    """A workflow of records that are at hand; nothing of it is under way."""
    return StoredWorkflow(workflow_id, dict(fields), _tasks(tasks), {})


def _view(workflow_id: str, reply: Any) -> StoredWorkflow | _TooBig | None:
    match word(reply):
        case "OK":
            return _stored(workflow_id, *reply[1:])
        case "TOO_BIG":
            return _TooBig(reply[1])
    return None


def _stored(workflow_id: str, flat: Sequence[bytes], dispatch: Sequence[bytes]) -> StoredWorkflow:
    fields = {name.decode(): value for name, value in _pairs(flat)}
    state = {name: fields.pop(name) for name in STATE_FIELDS if name in fields}
    return StoredWorkflow(workflow_id, state, _tasks(fields), _dispatch(dispatch))


def _pairs(flat: Sequence[bytes]) -> Iterable[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _dispatch(flat: Sequence[bytes]) -> dict[str, Dispatch]:
    return {suffix.decode(): parse_dispatch(text) for suffix, text in _pairs(flat)}


def _tasks(records: Mapping[str, bytes]) -> dict[str, list[Attempt]]:
    results = {name[1:]: decode_result(data) for name, data in records.items() if name[0] == "R"}
    attempts = [
        Attempt(decode_scheduled(data), results.get(name[1:])) for name, data in records.items() if name[0] == "S"
    ]
    attempts.sort(key=lambda attempt: attempt.scheduled.sequence)
    tasks: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        tasks.setdefault(attempt.scheduled.ref, []).append(attempt)
    return tasks
