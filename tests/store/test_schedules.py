"""The scripts of the schedules' slot: what each gives, and that one which is refused has written nothing."""

from __future__ import annotations

import msgspec
import pytest

from orchestrator.errors import StoreRefused
from orchestrator.model.schedules import ScheduleExecution, ScheduleState
from orchestrator.plan import Call, Command
from orchestrator.store import schedules
from orchestrator.store.executors import SyncExecutor
from orchestrator.store.keys import Keys
from orchestrator.store.schedules import StoredSchedule

PAST_MS, FUTURE_MS = 1_000, 9_000_000_000_000


def execution(due_ms: int = PAST_MS) -> ScheduleExecution:
    return ScheduleExecution(
        execution_id="x", schedule_name="s", scheduled_time=due_ms, execution_time=due_ms, state=ScheduleState.EXECUTED
    )


def was(body: bytes, due_ms: int | None = None) -> StoredSchedule:
    return StoredSchedule(0, body, due_ms)


def calls(keys: Keys) -> dict[str, Call]:
    """One call of every script that writes."""
    return {
        "put": schedules.put_schedule(keys, "s", was(b"{}", PAST_MS), b'{"new": 1}', FUTURE_MS),
        "delete": schedules.put_schedule(keys, "s", was(b"{}", PAST_MS), b"", None),
        "claim": schedules.claim_schedules(keys, 10, 1_000),
        "fired": schedules.fired_schedule(keys, "s", PAST_MS, FUTURE_MS, FUTURE_MS, [execution()]),
        "requeue": schedules.requeue_schedules(keys),
    }


PLACES = [(name, index) for name, call in calls(Keys()).items() for index in range(len(call.keys))]


@pytest.mark.parametrize(("name", "index"), [place for place in PLACES if place not in [("delete", 3), ("delete", 4)]])
def test_a_key_of_a_wrong_type_is_refused_and_nothing_is_written(
    store: SyncExecutor, keys: Keys, name: str, index: int
) -> None:
    call = calls(keys)[name]
    store.do(schedules.put_schedule(keys, "s", was(b""), b"{}", PAST_MS))
    store.do([Command(("DEL", call.keys[index])), Command(("RPUSH", call.keys[index], "of another program"))])
    others = [key for key in call.keys if key != call.keys[index]]
    before = store.do([Command(("DUMP", key)) for key in others])
    (reply,) = store.do([call])
    assert isinstance(reply, StoreRefused) or (name, index) == ("put", 3) or (name, index) == ("put", 4)
    if isinstance(reply, StoreRefused):
        assert store.do([Command(("DUMP", key)) for key in others]) == before


def test_a_schedule_that_was_changed_since_it_was_read_is_not_overwritten(store: SyncExecutor, keys: Keys) -> None:
    assert store.do(schedules.put_schedule(keys, "s", was(b""), b"one", FUTURE_MS))
    assert store.do(schedules.put_schedule(keys, "s", was(b""), b"one", FUTURE_MS))
    assert not store.do(schedules.put_schedule(keys, "s", was(b""), b"two", FUTURE_MS))
    assert store.do(schedules.put_schedule(keys, "s", was(b"one", FUTURE_MS), b"two", None))
    assert store.do(schedules.read_schedule(keys, "s"))[1:] == (b"two", None)
    assert store.do(schedules.put_schedule(keys, "s", was(b"two"), b"", None))
    assert store.do(schedules.put_schedule(keys, "s", was(b"two"), b"", None))


def test_a_change_does_not_bring_back_a_due_time_that_was_fired_meanwhile(store: SyncExecutor, keys: Keys) -> None:
    store.do(schedules.put_schedule(keys, "s", was(b""), b"one", PAST_MS))
    store.do(schedules.fired_schedule(keys, "s", PAST_MS, FUTURE_MS, FUTURE_MS, [execution()]))
    assert not store.do(schedules.put_schedule(keys, "s", was(b"one", PAST_MS), b"two", PAST_MS))
    assert store.do(schedules.put_schedule(keys, "s", was(b""), b"one", PAST_MS))  # a repetition, its answer was lost
    assert store.do(schedules.read_schedule(keys, "s"))[1:] == (b"one", FUTURE_MS)


def test_what_is_due_is_handed_out_once_until_its_claim_ends(store: SyncExecutor, keys: Keys) -> None:
    store.do(schedules.put_schedule(keys, "s", was(b""), b"{}", PAST_MS))
    store.do(schedules.put_schedule(keys, "later", was(b""), b"{}", FUTURE_MS))
    first = store.do(schedules.claim_schedules(keys, 10, 60_000))
    assert [one.name for one in first.schedules] == ["s"]
    assert first.next_ms == first.now_ms + 60_000
    assert store.do(schedules.claim_schedules(keys, 10, 60_000)).schedules == []
    assert store.do(schedules.fired_schedule(keys, "s", PAST_MS, FUTURE_MS, FUTURE_MS, [execution()])) == "OK"
    assert store.do(schedules.claim_schedules(keys, 10, 60_000)).next_ms == FUTURE_MS


def test_a_schedule_that_moved_on_meanwhile_keeps_its_place_and_gets_the_record(
    store: SyncExecutor, keys: Keys
) -> None:
    store.do(schedules.put_schedule(keys, "s", was(b""), b"{}", PAST_MS + 1))
    assert store.do(schedules.fired_schedule(keys, "s", PAST_MS, FUTURE_MS, FUTURE_MS, [execution()])) == "MOVED"
    assert store.do(schedules.read_schedule(keys, "s")).due_ms == PAST_MS + 1
    assert store.do(schedules.latest_execution_times(keys, "s")) == [str(PAST_MS).encode()]
    assert store.do(schedules.fired_schedule(keys, "gone", PAST_MS, None, 0, [execution()])) == "GONE"
    assert store.do(Command(("EXISTS", keys.schedule_executions("gone")))) == 0


def test_whoever_is_late_says_nothing_over_the_word_of_the_one_who_moved_it_on(store: SyncExecutor, keys: Keys) -> None:
    store.do(schedules.put_schedule(keys, "s", was(b""), b"{}", PAST_MS))
    failed = msgspec.structs.replace(execution(), state=ScheduleState.FAILED)
    tried = msgspec.structs.replace(execution(), state=ScheduleState.POLLED)

    def kept() -> list[ScheduleState]:
        times = store.do(schedules.latest_execution_times(keys, "s"))
        return [one.state for one in store.do(schedules.read_executions(keys, "s", times))]

    assert store.do(schedules.fired_schedule(keys, "s", PAST_MS, PAST_MS, PAST_MS, [tried])) == "OK"
    assert store.do(schedules.fired_schedule(keys, "s", PAST_MS, FUTURE_MS, FUTURE_MS, [execution()])) == "OK"
    assert kept() == [ScheduleState.EXECUTED]
    assert store.do(schedules.fired_schedule(keys, "s", PAST_MS, FUTURE_MS, FUTURE_MS, [failed])) == "MOVED"
    assert kept() == [ScheduleState.EXECUTED]


def test_one_that_is_over_is_not_looked_at_again(store: SyncExecutor, keys: Keys) -> None:
    store.do(schedules.put_schedule(keys, "s", was(b""), b"{}", PAST_MS))
    store.do(schedules.fired_schedule(keys, "s", PAST_MS, None, 0, [execution()]))
    assert store.do(schedules.claim_schedules(keys, 10, 1_000))[1:] == (None, [])
