"""The registry of workers: who lives, who fell silent, who was told what, and that nothing of it stays for ever."""

from __future__ import annotations

import pytest

from orchestrator.plan import Command
from orchestrator.store import workers
from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from orchestrator.store.workers import FORGOTTEN_MS, SILENT_MS, Noted


def at(store: SyncExecutor, keys: Keys, now_ms: int) -> None:
    store.do(Command(("SET", keys.catalog_clock(), now_ms)))


@pytest.fixture
def two(timed_store: SyncExecutor, keys: Keys) -> SyncExecutor:
    at(timed_store, keys, 1_000_000)
    for name in ("b", "a"):
        assert timed_store.do(workers.beat(keys, name, f"I am {name}".encode())) == ""
    return timed_store


def test_workers_are_listed_by_name_with_how_long_they_have_been_silent(two: SyncExecutor, keys: Keys) -> None:
    at(two, keys, 1_004_000)
    two.do(workers.beat(keys, "b", b"I am b, later"))
    assert two.do(workers.read(keys)) == [Noted("a", b"I am a", 4_000, ""), Noted("b", b"I am b, later", 0, "")]


def test_a_worker_hears_with_every_beat_what_it_was_told_until_it_is_told_otherwise(
    two: SyncExecutor, keys: Keys
) -> None:
    assert two.do(workers.tell(keys, ["a"], "PAUSE")) == ["a"]
    assert [two.do(workers.beat(keys, name, b"I")) for name in ("a", "a", "b")] == ["PAUSE", "PAUSE", ""]
    assert [one.order for one in two.do(workers.read(keys))] == ["PAUSE", ""]
    assert two.do(workers.tell(keys, ["a"], "")) == ["a"]
    assert two.do(workers.beat(keys, "a", b"I")) == ""


def test_only_those_that_live_are_told(two: SyncExecutor, keys: Keys) -> None:
    at(two, keys, 1_000_000 + SILENT_MS)
    two.do(workers.beat(keys, "b", b"I"))
    assert two.do(workers.tell(keys, ["a", "b", "nobody"], "DRAIN")) == ["b"]
    assert two.do(workers.beat(keys, "a", b"I")) == ""


def test_a_worker_that_leaves_is_gone_with_what_it_was_told(two: SyncExecutor, keys: Keys) -> None:
    two.do(workers.tell(keys, ["a"], "PAUSE"))
    two.do(workers.leave(keys, "a"))
    assert [one.name for one in two.do(workers.read(keys))] == ["b"]
    assert two.do(workers.beat(keys, "a", b"I")) == ""


def test_who_has_long_been_silent_is_forgotten_with_the_beat_of_another(two: SyncExecutor, keys: Keys) -> None:
    two.do(workers.tell(keys, ["a"], "PAUSE"))
    at(two, keys, 1_000_000 + FORGOTTEN_MS)
    two.do(workers.beat(keys, "b", b"I"))
    assert [one.name for one in two.do(workers.read(keys))] == ["b"]
    assert two.do(Command(("HLEN", keys.worker_orders()))) == 0


def test_without_any_worker_nothing_stays(two: SyncExecutor, keys: Keys) -> None:
    two.do(workers.tell(keys, ["a"], "PAUSE"))
    for key in (keys.workers(), keys.workers_seen(), keys.worker_orders()):
        assert 0 < two.do(Command(("PTTL", key))) <= FORGOTTEN_MS
