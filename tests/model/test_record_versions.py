"""Two releases at once: what one writes the other reads, as long as fields of records are only ever appended.

A release before is made here by leaving off the last fields of a record, one after the other. What the first release
wrote, field for field, is spelled out below: whoever changes the beginning of a record breaks those that run beside it.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from orchestrator.model import records

FIRST_RELEASE = {
    "Meta": (
        "format name version definition_hash priority correlation_id idempotency_key task_to_domain "
        "parent_workflow_id parent_task_id event created_by failure_of parent_ref depth child_versions "
        "secrets watch_ms trace"
    ),
    "Step": "task given fork join loop",
    "Scheduled": (
        "format ref type name sequence attempt generation iteration scheduled_ms first_scheduled_ms "
        "delay_ms domain retried_task_id status deadline_ms reason input branch step secrets runtime "
        "rounds_before cache_key awaits keys"
    ),
    "Result": (
        "format status ended_ms started_ms poll_count delivery worker_id reason retried "
        "callback_after_ms logs child_workflow_id output child_run"
    ),
    "Outcome": (
        "format status reason callback_after_ms retry_after_ms worker_id logs merge output child_workflow_id child_run"
    ),
    "Join": "remaining members failed hard errors reasons on is_judged accepts",
    "Loop": "ref iteration open failed branch",
    "Pending": "ref iteration index branch",
    "Deferred": "request_id action arguments",
    "Message": "format id at_ms payload",
    "MessageQueue": "first next bytes pulls",
    "Gate": "name key is_waiting",
    "Core": (
        "format status created_ms generation sequence open updated_ms ended_ms last_retried_ms reason "
        "last_ref failed_task_id failed_refs failed_names permissive joins agenda held terminate_ref "
        "failure_workflow_id loops evaluating first_fan skips deferred is_revived messages "
        "watched_until_ms gate followers"
    ),
}

RECORDS = {
    name: kind
    for name, kind in vars(records).items()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__struct_config__.array_like
}


def filled(kind: type[msgspec.Struct]) -> msgspec.Struct:
    """A record with something in each field that has no default."""
    given = {field.name: value_of(field.type) for field in msgspec.structs.fields(kind) if field.required}
    return kind(**given)


def value_of(kind: Any) -> Any:
    """Some value of a field's type."""
    candidates: tuple[Any, ...] = (7, "x", [], {}, msgspec.Raw(b"\xc0"))
    return next(
        value for value in candidates if isinstance(value, msgspec.Raw) == (kind is msgspec.Raw) and is_one(value, kind)
    )


def is_one(value: Any, kind: Any) -> bool:
    if kind is msgspec.Raw:
        return True
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def test_no_record_is_forgotten() -> None:
    assert set(FIRST_RELEASE) <= set(RECORDS)


@pytest.mark.parametrize("name", sorted(FIRST_RELEASE))
def test_a_record_begins_as_in_the_first_release_and_what_came_later_has_a_default(name: str) -> None:
    first, now = FIRST_RELEASE[name].split(), msgspec.structs.fields(RECORDS[name])
    assert [field.name for field in now[: len(first)]] == first
    assert [field.name for field in now[len(first) :] if field.required] == []


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_what_an_older_release_wrote_is_read_with_defaults_for_what_it_did_not_know(name: str) -> None:
    kind = RECORDS[name]
    record = filled(kind)
    written = msgspec.msgpack.decode(records.encode(record))
    required = sum(field.required for field in msgspec.structs.fields(kind))
    for known in range(required, len(written) + 1):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(written[:known]), type=kind) == record


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_what_a_newer_release_writes_is_read_by_an_older_one(name: str) -> None:
    kind = RECORDS[name]
    record = filled(kind)
    fields = msgspec.structs.fields(kind)
    required = [field for field in fields if field.required]
    newer = msgspec.msgpack.encode([*msgspec.msgpack.decode(records.encode(record)), "of a later release", 8])
    assert msgspec.msgpack.decode(newer, type=kind) == record
    older = msgspec.defstruct("Older", [(field.name, field.type) for field in required], array_like=True)
    read = msgspec.msgpack.decode(newer, type=older)
    assert [getattr(read, field.name) for field in required] == [getattr(record, field.name) for field in required]
