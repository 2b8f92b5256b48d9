"""view and remove: a workflow is read as of one moment, whatever its size, and leaves nothing behind."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import StoreRefused, StoreUnavailable
from orchestrator.model.records import FORMAT, Result, Scheduled, encode
from orchestrator.plan import Command, Plan
from orchestrator.store.partition import idempotency_field
from orchestrator.store.quarantine import quarantine
from orchestrator.store.timers import timer_member
from orchestrator.store.view import StoredWorkflow, read_workflow, remove
from tests.store.scene import NOON, OWNER, SUFFIX, Scene

FIELD = idempotency_field("order", "key")


def read(scene: Scene, workflow_id: str = "w", **options: Any) -> StoredWorkflow | None:
    """Read a workflow by plan."""
    return scene.store.run(read_workflow(scene.keys, workflow_id, **options))


@pytest.fixture
def told(scene: Scene) -> Scene:
    """Workflow ``w`` in its own partition: charge failed once and is open again, ship ended."""
    scene.partition = scene.keys.partition_of("w")
    scene.at(NOON)
    scene.open("w")
    batch = scene.batch()
    section = scene.section(batch, "w")
    records: list[str | bytes] = []
    for field, ref, sequence, attempt in (
        ("charge\n0.0", "charge", 1, 0),
        ("charge", "charge", 3, 1),
        ("ship it", "ship it", 2, 0),
    ):
        record = Scheduled(FORMAT, ref, ref, ref, sequence, attempt, 0, 0, NOON, NOON)
        records += ["S" + field, encode(record)]
        if field != "charge":
            records += ["R" + field, encode(Result(FORMAT, "FAILED" if attempt else "COMPLETED", NOON))]
    section.put_workflow(*records)
    section.put_workflow("c", b"core", "s", "COMPLETED")
    section.index(scene.keys.by_status(scene.partition, "COMPLETED"), NOON)
    scene.commit(batch)
    return scene


def erase(scene: Scene, **options: Any) -> str:
    """Remove ``w`` with its index entry."""
    indexes = [scene.keys.by_status(scene.partition, "COMPLETED")]
    answer: str = scene.do(remove(scene.keys, scene.partition, "w", indexes=indexes, **options))
    return answer


def test_a_view_has_every_attempt_in_order_and_the_dispatch_truth(told: Scene) -> None:
    stored = read(told)
    assert stored is not None
    assert (stored.workflow_id, stored.version, stored.fields["c"]) == ("w", 2, b"core")
    assert {ref: [item.scheduled.attempt for item in attempts] for ref, attempts in stored.tasks.items()} == {
        "charge": [0, 1],
        "ship it": [0],
    }
    assert [item.result and item.result.status for item in stored.tasks["charge"]] == ["COMPLETED", None]
    assert (stored.dispatch[SUFFIX].state, stored.dispatch[SUFFIX].ref) == ("S", "charge")


def test_a_large_workflow_reads_the_same_in_pages(told: Scene) -> None:
    held = told.do(Command(("HLEN", told.keys.workflow(told.partition, "w"))))
    assert read(told, fields_max=held) == read(told)
    assert read(told, fields_max=held - 1) == read(told)


def moving(scene: Scene, changes: int) -> StoredWorkflow | None:
    """Read ``w`` in pages while its version changes ``changes`` times behind the reader's back."""

    def plan() -> Plan[StoredWorkflow | None]:
        left = changes
        inner = read_workflow(scene.keys, "w", fields_max=1)
        step = next(inner)
        while True:
            reply = yield step
            if left and isinstance(step, Command) and step.words[0] == "HGET":
                left -= 1
                reply = b"99"
            try:
                step = inner.send(reply)
            except StopIteration as stop:
                stored: StoredWorkflow | None = stop.value
                return stored

    return scene.store.run(plan())


def test_pages_of_two_versions_are_not_mixed(told: Scene) -> None:
    assert moving(told, 2) == read(told)


def test_a_workflow_that_never_stands_still_is_given_up_on(told: Scene) -> None:
    with pytest.raises(StoreUnavailable, match="w changes faster"):
        moving(told, 1_000)


def test_an_unknown_workflow_reads_as_none(scene: Scene) -> None:
    assert read(scene, "nobody") is None


def test_a_foreign_key_is_refused(told: Scene) -> None:
    told.spoil(told.keys.workflow(told.partition, "w"))
    with pytest.raises(StoreRefused):
        read(told)


def test_removal_leaves_nothing_but_the_definition(told: Scene) -> None:
    keys, partition = told.keys, told.partition
    told.do(Command(("HSET", keys.idempotency(partition), FIELD, "w")))
    assert erase(told, idempotency_field=FIELD, timers=[timer_member("w", SUFFIX, "charge")]) == "OK"
    left = {key.decode() for key in told.everything() if b"simclock" not in key}
    assert left - {keys.inbox(partition)} == {keys.definitions(partition), keys.ownership(partition)}
    before = told.everything()
    assert erase(told, idempotency_field=FIELD) == "UNKNOWN"
    assert told.everything() == before


def test_removal_leaves_an_idempotency_key_that_passed_on(told: Scene) -> None:
    index = told.keys.idempotency(told.partition)
    told.do(Command(("HSET", index, FIELD, "w2")))
    erase(told, idempotency_field=FIELD)
    assert told.do(Command(("HGET", index, FIELD))) == b"w2"


def test_another_version_or_an_open_workflow_is_not_removed(told: Scene) -> None:
    before = told.everything()
    assert erase(told, expected_version=1) == "CONFLICT"
    assert told.everything() == before
    told.do(Command(("HSET", told.keys.workflow(told.partition, "w"), "s", "PAUSED")))
    before = told.everything()
    assert erase(told) == "RUNNING"
    assert told.everything() == before
    assert erase(told, force=True, expected_version=2) == "OK"


def test_a_quarantined_workflow_can_be_removed(told: Scene) -> None:
    keys, partition = told.keys, told.partition
    told.start("w3", "r3")
    events = [entry.id for entry in told.inbox()]
    told.do(quarantine(keys, partition, told.epoch, OWNER, "w3", "why", events))
    assert told.do(remove(keys, partition, "w3", indexes=[])) == "OK"
    assert keys.parked(partition, "w3").encode() not in told.everything()


@pytest.mark.parametrize("key", ["timers", "idempotency"])
def test_a_foreign_key_stops_the_removal_before_it_begins(told: Scene, key: str) -> None:
    told.spoil(getattr(told.keys, key)(told.partition))
    before = told.everything()
    with pytest.raises(StoreRefused):
        erase(told, idempotency_field=FIELD)
    assert told.everything() == before
