"""acquire, release, suspect: one owner per partition, a new epoch for each, and a count of those who died."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import StoreRefused
from orchestrator.plan import Command
from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from orchestrator.store.ownership import HeldBy, Owned, acquire, release, suspect
from orchestrator.store.partition import partition_stats
from tests.store.scene import NOON, OWNER, Scene


def take(scene: Scene, owner: str = OWNER, **options: Any) -> Any:
    """Ask for the partition for ten seconds."""
    return scene.do(acquire(scene.keys, 1, owner, 10_000, **options))


def test_the_first_owner_gets_the_first_epoch(scene: Scene) -> None:
    assert take(scene) == Owned(1, 0)


def test_a_renewal_keeps_the_epoch_and_extends_the_lease(scene: Scene) -> None:
    take(scene)
    scene.at(NOON + 9_000)
    assert take(scene) == Owned(1, 0)
    scene.at(NOON + 18_999)
    assert take(scene, "decider-2") == HeldBy(OWNER, 1)


def test_a_lease_ends_at_its_time_and_not_before(scene: Scene) -> None:
    take(scene)
    before = scene.everything()
    scene.at(NOON + 9_999)
    assert take(scene, "decider-2") == HeldBy(OWNER, 1)
    scene.at(NOON)
    assert scene.everything() == before
    scene.at(NOON + 10_000)
    assert take(scene, "decider-2") == Owned(2, 1)


def test_an_owner_that_comes_late_but_unchallenged_goes_on(scene: Scene) -> None:
    take(scene)
    scene.at(NOON + 60_000)
    assert take(scene) == Owned(1, 0)


def test_crashes_in_a_row_are_counted_until_somebody_lets_go(scene: Scene) -> None:
    for number in range(4):
        scene.at(NOON + 20_000 * number)
        assert take(scene, f"decider-{number}") == Owned(number + 1, number)
    assert scene.do(release(scene.keys, 1, 4, "decider-3")) is True
    assert take(scene, "decider-9") == Owned(5, 0)


def test_force_takes_a_living_owners_partition_without_calling_it_a_crash(scene: Scene) -> None:
    take(scene)
    assert take(scene, "decider-2", force=True) == Owned(2, 0)
    assert take(scene) == HeldBy("decider-2", 10_000)


def test_only_the_present_owner_can_let_go(scene: Scene) -> None:
    take(scene)
    before = scene.everything()
    assert scene.do(release(scene.keys, 1, 1, "decider-2")) is False
    assert scene.do(release(scene.keys, 1, 2, OWNER)) is False
    assert scene.everything() == before
    assert scene.do(release(scene.keys, 1, 1, OWNER)) is True
    before = scene.everything()
    assert scene.do(release(scene.keys, 1, 1, OWNER)) is False
    assert scene.everything() == before


def test_suspects_are_counted_each(scene: Scene) -> None:
    take(scene)
    assert scene.do(suspect(scene.keys, 1, 1, OWNER, ["1-1", "2-1"])) == [1, 1]
    assert scene.do(suspect(scene.keys, 1, 1, OWNER, ["2-1", "3-1"])) == [2, 1]
    assert scene.do(suspect(scene.keys, 1, 1, OWNER, [])) == []


def test_a_fenced_owner_counts_nothing(scene: Scene) -> None:
    take(scene)
    before = scene.everything()
    assert scene.do(suspect(scene.keys, 1, 2, OWNER, ["1-1"])) is None
    assert scene.do(suspect(scene.keys, 1, 1, "decider-2", ["1-1"])) is None
    assert scene.everything() == before


def test_a_foreign_key_stops_everything(scene: Scene) -> None:
    scene.spoil(scene.keys.ownership(1))
    for call in (
        acquire(scene.keys, 1, OWNER, 10_000),
        release(scene.keys, 1, 1, OWNER),
        suspect(scene.keys, 1, 1, OWNER, ["1-1"]),
    ):
        with pytest.raises(StoreRefused):
            scene.do(call)


def test_stats_say_who_owns_and_what_waits(scene: Scene) -> None:
    assert scene.do(partition_stats(scene.keys, 1)) == (NOON, 0, 0, 0, 0, "", 0, 0, 0, 0)
    scene.open()
    scene.start("w2", "r2")
    stats = scene.do(partition_stats(scene.keys, 1))
    oldest = int(scene.inbox()[0].id.split("-")[0])
    assert stats == (NOON, 1, 0, 1, 0, OWNER, 1, NOON + 10_000, 0, oldest)


def test_the_servers_clock_ends_a_lease(store: SyncExecutor, keys: Keys) -> None:
    assert store.do(acquire(keys, 1, OWNER, 0)) == Owned(1, 0)
    assert store.do(acquire(keys, 1, "decider-2", 60_000)) == Owned(2, 1)
    held = store.do(acquire(keys, 1, OWNER, 60_000))
    assert held.owner == "decider-2"
    assert 0 < held.expires_in_ms <= 60_000
    assert store.do(Command(("EXISTS", keys.partition_clock(1)))) == 0
