"""commit: a batch is checked as a whole, then written section by section; what is refused leaves no trace."""

from __future__ import annotations

import pytest

from orchestrator.errors import StoreRefused
from orchestrator.model.events import Continued
from orchestrator.plan import Call, Command
from orchestrator.store.inbox import read_outbox
from orchestrator.store.keys import STATE_FIELDS
from orchestrator.store.ownership import acquire, suspect
from orchestrator.store.partition import load_records, load_workflow, read_answer
from orchestrator.store.timers import timer_member
from tests.store.scene import NOON, OWNER, SUFFIX, Scene


@pytest.fixture
def owned(scene: Scene) -> Scene:
    """Workflow w1 is started and the partition ours."""
    scene.start()
    scene.own()
    return scene


def test_every_operation_does_what_it_says(owned: Scene) -> None:
    keys = owned.keys
    batch = owned.batch()
    section = owned.section(batch)
    section.put_workflow("c", b"core", "s", "COMPLETED", "Sa", b"1", "Sb", b"2")
    section.put_dispatch([SUFFIX, "S 0 0 0 0 0 0 - a", "x", "y"])
    section.drop_dispatch(["x"])
    section.arm([NOON + 7_000, timer_member("w1", SUFFIX, "a"), NOON + 9_000, timer_member("w1")])
    section.disarm([timer_member("w1", SUFFIX, "a")])
    section.outbox(b"hand-offs")
    section.again()
    section.answer("req", b"done")
    section.publish_done("COMPLETED")
    section.publish("orc:{orc.p1}:any", "1")
    section.index(keys.by_status(1, "COMPLETED"), NOON)
    section.index(keys.by_status(1, "RUNNING"), NOON)
    section.unindex(keys.by_status(1, "RUNNING"))
    reply = owned.commit(batch)

    [(verdict, outbox_id)] = reply.verdicts
    assert (reply.fenced, reply.now_ms, reply.next_due_ms, verdict) == (False, NOON, NOON + 9_000, "OK")
    loaded = owned.do(load_workflow(keys, 1, "w1"))
    assert (loaded.version, loaded.core, loaded.status) == (1, b"core", "COMPLETED")
    assert owned.do(load_records(keys, 1, "w1", ["Sa", "Sb"])) == [b"1", b"2"]
    assert owned.dispatch() == "S 0 0 0 0 0 0 - a"
    assert owned.timers() == {"w1 - ": NOON + 9_000}
    assert owned.do(read_outbox(keys, 1)) == [(outbox_id, b"hand-offs")]
    assert owned.events() == [Continued(NOON)]
    assert owned.do(read_answer(keys, 1, "req")) == b"done"
    assert 0 < owned.do(Command(("PTTL", keys.answer(1, "req")))) <= 600_000
    everything = owned.everything()
    assert everything[keys.by_status(1, "COMPLETED").encode()][1] == [b"w1", str(NOON).encode()]
    assert keys.by_status(1, "RUNNING").encode() not in everything
    assert [key for key, (_, _, expires) in everything.items() if expires] == [keys.answer(1, "req").encode()]


def test_records_are_dropped_before_others_take_their_place(owned: Scene) -> None:
    first = owned.batch()
    owned.section(first).put_workflow("Sa", b"1", "Ra", b"1", "Sb", b"1")
    owned.commit(first)
    batch = owned.batch()
    section = owned.section(batch)
    section.put_workflow("Sa", b"2")
    section.drop_records(["Sa", "Ra"])
    owned.commit(batch)
    assert owned.do(load_records(owned.keys, 1, "w1", ["Sa", "Ra", "Sb"])) == [b"2", None, b"1"]


def test_all_records_are_dropped_and_the_state_stays_as_it_is(owned: Scene) -> None:
    workflow = owned.keys.workflow(1, "w1")
    first = owned.batch()
    owned.section(first).put_workflow("x", b"variables", *[item for n in range(200) for item in (f"S{n}", b"1")])
    owned.commit(first)
    before = owned.everything()[workflow.encode()][1]
    batch = owned.batch()
    section = owned.section(batch)
    section.put_workflow("c", b"core", "S1", b"2", "M1", b"message")
    section.drop_all_records()
    owned.commit(batch)
    state = {name: value for name, value in before.items() if name.decode() in STATE_FIELDS}
    new = {b"v": b"2", b"c": b"core", b"S1": b"2", b"M1": b"message"}
    assert owned.everything()[workflow.encode()][1] == {**state, **new}


def test_each_commit_raises_the_version_by_one(owned: Scene) -> None:
    for version in (1, 2, 3):
        batch = owned.batch()
        owned.section(batch).put_workflow("c", b"core")
        owned.commit(batch)
        assert owned.do(load_workflow(owned.keys, 1, "w1")).version == version


def test_the_same_commit_again_is_a_conflict_and_changes_nothing(owned: Scene) -> None:
    batch = owned.batch()
    section = owned.section(batch)
    section.outbox(b"once")
    section.again()
    owned.commit(batch)
    before = owned.everything()
    assert owned.commit(batch).verdicts == [("CONFLICT", "")]
    assert owned.everything() == before


def test_an_event_that_is_gone_refuses_its_section(owned: Scene) -> None:
    [entry] = owned.inbox()
    owned.do(Command(("XDEL", owned.keys.inbox(1), entry.id)))
    owned.start("w2", "r2")
    batch = owned.batch()
    batch.section("w1", 0, [entry.id]).put_workflow("c", b"core")
    owned.section(batch, "w2").put_workflow("c", b"core")
    before = owned.do(load_workflow(owned.keys, 1, "w1"))
    assert [verdict for verdict, _ in owned.commit(batch).verdicts] == ["GONE", "OK"]
    assert owned.do(load_workflow(owned.keys, 1, "w1")) == before
    assert owned.inbox() == []


def test_the_inbox_is_cut_behind_what_was_read_and_keeps_what_came_since(owned: Scene) -> None:
    owned.start("w2", "r2")
    batch = owned.batch()
    owned.section(batch, "w1").put_workflow("c", b"core")
    owned.section(batch, "w2").put_workflow("c", b"core")
    batch.cut_inbox(owned.inbox()[-1].id)
    owned.start("w3", "r3")
    assert [verdict for verdict, _ in owned.commit(batch).verdicts] == ["OK", "OK"]
    assert [entry.workflow_id for entry in owned.inbox()] == ["w3"]


@pytest.mark.parametrize("field", ["v", "q"])
def test_nothing_is_cut_off_when_a_section_is_refused(owned: Scene, field: str) -> None:
    owned.start("w2", "r2")
    batch = owned.batch()
    owned.section(batch, "w1").put_workflow("c", b"core")
    owned.section(batch, "w2").put_workflow("c", b"core")
    batch.cut_inbox(owned.inbox()[-1].id)
    owned.do(Command(("HSET", owned.keys.workflow(1, "w1"), field, "7")))
    assert [verdict for verdict, _ in owned.commit(batch).verdicts] == ["CONFLICT", "OK"]
    assert [entry.workflow_id for entry in owned.inbox()] == ["w1"]


def test_one_refused_section_does_not_hold_up_the_others(owned: Scene) -> None:
    for name in ("w2", "w3"):
        owned.start(name, name)
    batch = owned.batch()
    owned.section(batch, "w1").outbox(b"1")
    batch.section("w2", 5, []).outbox(b"2")
    owned.section(batch, "w3").outbox(b"3")
    reply = owned.commit(batch)
    assert [verdict for verdict, _ in reply.verdicts] == ["OK", "CONFLICT", "OK"]
    assert owned.do(read_outbox(owned.keys, 1)) == [(reply.verdicts[0][1], b"1"), (reply.verdicts[2][1], b"3")]


def test_a_workflow_that_is_not_there_is_a_conflict(owned: Scene) -> None:
    batch = owned.batch()
    batch.section("w9", 0, []).put_workflow("c", b"core")
    assert owned.commit(batch).verdicts == [("CONFLICT", "")]
    assert owned.do(load_workflow(owned.keys, 1, "w9")) is None


@pytest.mark.parametrize("key", ["workflow", "dispatch"])
def test_a_foreign_key_spoils_its_own_workflow_only(owned: Scene, key: str) -> None:
    owned.start("w2", "r2")
    batch = owned.batch()
    for name in ("w1", "w2"):
        section = owned.section(batch, name)
        section.put_workflow("c", b"core", "Sa", b"1")
        section.drop_dispatch(["x"])
        section.again()
    owned.spoil(getattr(owned.keys, key)(1, "w1"))
    before = {name: value for name, value in owned.everything().items() if b":w1" in name}
    assert [verdict for verdict, _ in owned.commit(batch).verdicts] == ["CORRUPT", "OK"]
    assert {name: value for name, value in owned.everything().items() if b":w1" in name} == before
    assert [type(event).__name__ for event in owned.events()] == ["Started", "Continued"]


def test_a_foreign_index_key_is_found_before_anything_is_written(owned: Scene) -> None:
    index = owned.keys.by_status(1, "RUNNING")
    owned.spoil(index)
    batch = owned.batch()
    section = owned.section(batch)
    section.put_workflow("c", b"core")
    section.index(index, NOON)
    before = owned.everything()
    assert owned.commit(batch).verdicts == [("CORRUPT", "")]
    assert owned.everything() == before


@pytest.mark.parametrize("key", ["outbox", "timers", "inbox", "ownership"])
def test_a_foreign_key_of_the_partition_refuses_the_batch(owned: Scene, key: str) -> None:
    batch = owned.batch()
    section = owned.section(batch)
    section.put_workflow("c", b"core")
    section.arm([NOON, "w1 - "])
    section.outbox(b"1")
    owned.spoil(getattr(owned.keys, key)(1))
    before = owned.everything()
    with pytest.raises(StoreRefused):
        owned.commit(batch)
    assert owned.everything() == before


def test_a_score_that_is_no_number_refuses_the_batch(owned: Scene) -> None:
    batch = owned.batch()
    section = owned.section(batch)
    section.put_workflow("c", b"core")
    section.arm(["soon", "w1 - "])
    before = owned.everything()
    with pytest.raises(StoreRefused, match="score"):
        owned.commit(batch)
    assert owned.everything() == before


def test_an_owner_with_an_old_epoch_changes_nothing(owned: Scene) -> None:
    batch = owned.batch(relayed=["1-1"])
    owned.section(batch).put_workflow("c", b"core")
    owned.do(acquire(owned.keys, 1, "decider-2", 10_000, force=True))
    before = owned.everything()
    assert owned.commit(batch) == (True, 0, None, [])
    assert owned.everything() == before


def test_another_owner_under_the_same_epoch_changes_nothing(owned: Scene) -> None:
    owned.do(Command(("HSET", owned.keys.ownership(1), "o", "decider-2")))
    batch = owned.batch()
    owned.section(batch).put_workflow("c", b"core")
    assert owned.commit(batch).fenced


def test_delivered_hand_offs_leave_the_outbox(owned: Scene) -> None:
    first = owned.batch()
    owned.section(first).outbox(b"1")
    [(_, outbox_id)] = owned.commit(first).verdicts
    reply = owned.commit(owned.batch(relayed=[outbox_id, "1-1"]))
    assert reply == (False, NOON, None, [])
    assert owned.do(read_outbox(owned.keys, 1)) == []


def test_progress_ends_the_count_of_crashes_and_of_suspects(owned: Scene) -> None:
    own = owned.keys.ownership(1)
    [entry] = owned.inbox()
    owned.do(Command(("HSET", own, "n", "3")))
    assert owned.do(suspect(owned.keys, 1, owned.epoch, OWNER, [entry.id])) == [1]
    batch = owned.batch(clears_suspects=True)
    batch.section("w1", 7, [entry.id])
    owned.commit(batch)
    assert owned.do(Command(("HMGET", own, "n", f"try:{entry.id}"))) == [b"3", b"1"]
    batch = owned.batch(clears_suspects=True)
    batch.section("w1", 0, [entry.id])
    owned.commit(batch)
    assert owned.do(Command(("HMGET", own, "n", f"try:{entry.id}"))) == [b"0", None]


def test_more_arguments_than_luas_stack_holds_are_written(owned: Scene) -> None:
    pairs = [item for number in range(5_000) for item in (f"S{number}", b"x")]
    batch = owned.batch()
    section = owned.section(batch)
    section.put_workflow(*pairs)
    section.arm([item for number in range(5_000) for item in (NOON + number, f"w1 {number} a")])
    assert owned.commit(batch).verdicts == [("OK", "")]
    assert {f"S{number}".encode() for number in range(5_000)} <= set(
        owned.do(Command(("HKEYS", owned.keys.workflow(1, "w1"))))
    )
    assert len(owned.timers()) == 5_000


def test_an_empty_batch_is_a_plain_renewal_of_what_is_known(owned: Scene) -> None:
    call = owned.batch().call()
    assert isinstance(call, Call)
    assert owned.do(call) == (False, NOON, None, [])
