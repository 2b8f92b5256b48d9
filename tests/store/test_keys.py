"""Key names: one slot per partition, queue and catalog, and every key known to the map."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from redis.crc import key_slot

from orchestrator.errors import SettingsInvalid
from orchestrator.store.keys import READ_END_TTL_MS, Keys, clock_of, end_of_reads

ARGUMENTS: dict[str, Any] = {
    "partition": 3,
    "workflow_id": "order {1}",
    "request_id": "r-1",
    "status": "RUNNING",
    "name": "order",
    "correlation_id": "c}1",
    "task_type": "charge{card}%",
    "domain_index": 2,
    "event": "conductor:order:paid",
    "cache_key": "0a1b",
    "gate": "0a1b",
    "key_id": "k1",
}
CHANNELS = {"done_channel", "answer_channel"}


def every_key(keys: Keys) -> dict[str, str]:
    """What each naming method answers."""
    names = {}
    for name, method in inspect.getmembers(keys, inspect.ismethod):
        if name.startswith("_") or name in {"partition_of", "partition_tag", "partition_of_tag", "kind_of", "is_ours"}:
            continue
        names[name] = method(**{item: ARGUMENTS[item] for item in inspect.signature(method).parameters})
    return names


def test_a_key_says_namespace_slot_and_what_it_is() -> None:
    keys = Keys()
    assert keys.workflow(3, "order-1") == "orc:{orc.p3}:w:order-1"
    assert keys.ready("charge", 2) == "orc:{orc.q:charge}:rdy:2"
    assert keys.workflow_versions("order") == "orc:{orc.c}:wf:order"
    assert keys.answer_channel(3, "r") == keys.answer(3, "r")


def test_a_tag_leads_to_its_partition_and_no_other_text_does() -> None:
    keys = Keys(partitions=12)
    assert [keys.partition_of_tag(keys.partition_tag(number)) for number in range(12)] == list(range(12))
    assert key_slot(f"stock:{keys.partition_tag(11)}:7".encode()) == key_slot(keys.inbox(11).encode())
    assert {keys.partition_of_tag(text) for text in ("{orc.p12}", "orc.p1", "{orc.p}", "{other.p1}", "")} == {None}


def test_all_names_differ_and_share_the_tag_of_their_slot() -> None:
    names = every_key(Keys())
    del names["answer_channel"]
    assert len(set(names.values())) == len(names)
    slots = {key_slot(name.encode()) for name in names.values()}
    assert slots == {
        key_slot(tag)
        for tag in (
            b"orc.p3",
            b"orc.q:charge%7Bcard%7D%25",
            b"orc.e:conductor:order:paid",
            b"orc.k:0a1b",
            b"orc.g:0a1b",
            b"orc.s",
            b"orc.j",
            b"orc.a",
            b"orc.c",
        )
    }


def test_every_key_is_on_the_map_with_a_type_and_a_life_time() -> None:
    keys = Keys()
    for method, name in every_key(keys).items():
        kind = keys.kind_of(name)
        assert method in CHANNELS or kind is not None, name
        if kind is not None:
            assert (kind.ttl_ms > 0) == (
                method
                in {
                    "answer",
                    "answer_channel",
                    "tombstone",
                    "cached_output",
                    "access_rate",
                    "staged",
                    "event_executions",
                    "event_execution_times",
                }
            )


@pytest.mark.parametrize(
    "name", ["orc:{orc.p3}:zz", "other:{other.p3}:ev", "orc:{orc.x}:ev", "orc:{orc.q:a}:rdy:x", "ev"]
)
def test_a_foreign_key_is_not_on_the_map(name: str) -> None:
    assert Keys().kind_of(name) is None


def test_what_ends_a_blocking_read_lives_shortly_in_the_slot_of_its_queue() -> None:
    keys = Keys()
    name = end_of_reads(keys.wakes("a{b"), "r1")
    kind = keys.kind_of(name)
    assert kind is not None
    assert (kind.type, kind.ttl_ms, key_slot(name.encode())) == (
        "list",
        READ_END_TTL_MS,
        key_slot(keys.wakes("a{b").encode()),
    )


def test_task_types_that_look_alike_keep_apart() -> None:
    keys = Keys()
    assert keys.leases("a{b") != keys.leases("a%7Bb")
    assert keys.leases("a{b") == keys.leases("a{b")


@pytest.mark.parametrize(("namespace", "partitions"), [("", 16), ("a:b", 16), ("a{b", 16), ("orc", 0), ("orc", 4097)])
def test_what_cannot_work_is_refused(namespace: str, partitions: int) -> None:
    with pytest.raises(SettingsInvalid):
        Keys(namespace, partitions)


def test_the_clock_of_a_key_is_in_its_slot() -> None:
    keys = Keys()
    assert clock_of(keys.workflow(3, "a}:b")) == keys.partition_clock(3) == "orc:{orc.p3}:simclock"
    assert clock_of(keys.leases("charge")) == keys.queue_clock("charge")
