"""Who owns which partition: even shares, little movement, hand-over at once and take-over when a lease ends."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine.decider import Decider
from orchestrator.engine.ownership import assignment
from tests.engine.stage import Stage, flow, step

LEASE_MS = 10_000

names = st.lists(st.text("abcdef0123456789", min_size=4, max_size=8), min_size=1, max_size=9, unique=True)


@given(names, st.integers(1, 64))
def test_every_partition_has_one_owner_and_shares_differ_by_at_most_one(deciders: list[str], partitions: int) -> None:
    owners = assignment(deciders, partitions)
    assert sorted(owners) == list(range(partitions))
    shares = Counter(dict.fromkeys(deciders, 0)) + Counter(owners.values())
    loads = [shares[name] for name in deciders]
    assert max(loads) - min(loads) <= 1


@given(names, st.integers(1, 64))
def test_the_answer_depends_on_who_lives_and_not_on_the_order(deciders: list[str], partitions: int) -> None:
    assert assignment(reversed(deciders), partitions) == assignment([*deciders, *deciders], partitions)


@given(names, st.text("xyz", min_size=4, max_size=8))
def test_one_that_joins_moves_little_more_than_its_own_share(deciders: list[str], newcomer: str) -> None:
    before, after = assignment(deciders, 64), assignment([*deciders, newcomer], 64)
    moved = sum(before[number] != after[number] for number in range(64))
    share = Counter(after.values())[newcomer]
    assert share <= moved <= 3 * share + 4


def test_nobody_alive_owns_nothing() -> None:
    assert assignment([], 16) == {}


def _owners(deciders: list[Decider]) -> list[list[int]]:
    return [sorted(decider.estates) for decider in deciders]


def _beats(stage: Stage, *deciders: Decider) -> None:
    for decider in deciders:
        stage.run(decider.beat())


def test_a_second_decider_gets_its_half_as_soon_as_the_first_hears_of_it(fakeredis_url: str) -> None:
    stage = Stage(fakeredis_url, partitions=8)
    first, second = stage.decider("d1"), stage.decider("d2")
    assert _owners([first, second]) == [list(range(8)), []]
    _beats(stage, first, second)
    both = _owners([first, second])
    assert [len(one) for one in both] == [4, 4]
    assert sorted(both[0] + both[1]) == list(range(8))
    stage.close()


def test_one_that_leaves_hands_over_at_once_and_counts_as_no_death(fakeredis_url: str) -> None:
    stage = Stage(fakeredis_url, partitions=4)
    first, second = stage.decider("d1"), stage.decider("d2")
    _beats(stage, first, second)
    workflow_id = stage.start(flow(step("a"), step("b")), number=min(first.estates))
    stage.settle(first, second)
    stage.run(first.leave())
    _beats(stage, second)
    assert sorted(second.estates) == [0, 1, 2, 3]
    assert not any(estate.careful for estate in second.estates.values())
    stage.work("a")
    stage.settle(second)
    assert stage.work("b") == 1
    stage.settle(second)
    assert stage.status(workflow_id) == "COMPLETED"
    stage.close()


def test_the_partitions_of_one_that_died_are_taken_over_when_its_lease_ends(fakeredis_url: str) -> None:
    stage = Stage(fakeredis_url, partitions=4)
    first, second = stage.decider("d1"), stage.decider("d2")
    _beats(stage, first, second)
    assert _owners([first, second]) != [[], []]
    stage.tick(LEASE_MS // 2)
    _beats(stage, second)
    assert len(second.estates) == 2
    stage.tick(LEASE_MS // 2 + 1)
    _beats(stage, second)
    assert sorted(second.estates) == [0, 1, 2, 3]
    stage.close()


def test_an_owner_that_slept_through_its_lease_loses_its_partitions_and_writes_nothing(stage: Stage) -> None:
    sleeper = stage.decider("d1")
    workflow_id = stage.start(flow(step("a")))
    stage.settle(sleeper)
    stage.tick(LEASE_MS + 1)
    waker = stage.decider("d2")
    assert sorted(waker.estates) == [0, 1]
    asked = stage.ask(workflow_id, "pause")
    stage.run(sleeper.turn())
    assert stage.answer(workflow_id, asked) is None
    assert 0 not in sleeper.estates
    stage.settle(waker)
    assert stage.answer(workflow_id, asked)["ok"]
