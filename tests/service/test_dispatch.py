"""The plans of handing out and taking in, against a store: claim, start, report, release, extend."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import Raw

from orchestrator import codec
from orchestrator.model.records import FORMAT, Outcome
from orchestrator.plan import Call, Command
from orchestrator.service import dispatch
from orchestrator.service.dispatch import Claimed, Judged, Refused, Release, Report, TaskToRun, Want
from orchestrator.store.queue_values import Beat
from orchestrator.store.queue_values import Release as How
from tests.workers.estate import Estate

ME, OTHER = "worker-1", "worker-2"
DONE = Outcome(FORMAT, "COMPLETED", output=Raw(codec.pack({"ok": True})))


@pytest.fixture
def estate(store_url: str) -> Iterator[Estate]:
    """An empty installation, once per backend."""
    estate = Estate(store_url)
    yield estate
    estate.close()


@pytest.fixture
def fake_estate(fakeredis_url: str) -> Iterator[Estate]:
    """An empty installation in process."""
    estate = Estate(fakeredis_url)
    yield estate
    estate.close()


def claim(
    estate: Estate, *types: str, count: int = 10, claimant: str = ME, settle: tuple[Release, ...] = ()
) -> list[Claimed]:
    wants = [Want(task_type, None, count) for task_type in types]
    return estate.executor.run(dispatch.claim_tasks(estate.store, wants, claimant, settle=settle)).claimed


def start(estate: Estate, claimed: list[Claimed], claimant: str = ME) -> list[TaskToRun | Refused]:
    return estate.executor.run(dispatch.start_tasks(estate.store, claimed, claimant))


def report(estate: Estate, claimed: Claimed, outcome: Outcome = DONE, claimant: str = ME) -> Judged:
    (judged,) = estate.executor.run(dispatch.report_tasks(estate.store, [Report(claimed, outcome)], claimant))
    return judged


def test_a_task_goes_from_its_queue_through_a_worker_into_the_inbox(estate: Estate) -> None:
    task_id = estate.add("charge", {"amount": 5})
    (claimed,) = claim(estate, "charge")
    (run,) = start(estate, [claimed])
    assert isinstance(run, TaskToRun)
    assert (run.scheduled.type, run.meta.name, codec.unpack(bytes(run.scheduled.input))) == (
        "charge",
        "order",
        {"amount": 5},
    )
    judged = report(estate, claimed)
    assert judged.word == "OK"
    assert judged.release is not None
    assert estate.output(task_id) == {"ok": True}
    assert not estate.is_empty("charge")
    claim(estate, "charge", settle=(judged.release,))
    assert estate.is_empty("charge")


def test_many_types_and_partitions_are_claimed_started_and_reported_together(estate: Estate) -> None:
    wanted = {estate.add(task_type) for task_type in ("charge", "ship", "mail") for _ in range(5)}
    claimed = claim(estate, "charge", "ship", "mail")
    runs = start(estate, claimed)
    judged = estate.executor.run(dispatch.report_tasks(estate.store, [Report(one, DONE) for one in claimed], ME))
    assert {one.task_id for one in claimed} == wanted
    assert [run.claimed for run in runs if isinstance(run, TaskToRun)] == claimed
    assert [one.claimed for one in judged] == claimed
    assert {one.word for one in judged} == {"OK"}


def test_one_claim_is_one_round_trip_and_gives_leases_back_before_it_takes_new_ones(fake_estate: Estate) -> None:
    estate = fake_estate
    estate.limit("charge", concurrency=1)
    # A script that the server has to be sent first runs after the others of its pipeline.
    estate.executor.do(estate.store.queues.settle_call("charge", []))
    first, second = estate.add("charge"), estate.add("charge")
    (claimed,) = claim(estate, "charge")
    start(estate, [claimed])
    release = report(estate, claimed).release
    assert release is not None
    assert claim(estate, "charge") == []
    plan = dispatch.claim_tasks(estate.store, [Want("charge", None, 1)], ME, settle=[release])
    steps = next(plan)
    assert isinstance(steps, list)
    assert [step.script for step in steps if isinstance(step, Call)] == ["settle", "claim"]
    assert [one.task_id for one in claim(estate, "charge", settle=(release,))] == [second]
    assert claimed.task_id == first


def test_a_reported_task_is_reported_only_once(estate: Estate) -> None:
    task_id = estate.add("charge")
    (claimed,) = claim(estate, "charge")
    start(estate, [claimed])
    assert [report(estate, claimed).word for _ in range(2)] == ["OK", "DUP"]
    assert report(estate, claimed).release == dispatch.release(claimed, How.DONE)
    assert len(estate.reports(task_id)) == 1


def test_a_task_that_ended_meanwhile_is_refused_as_gone_and_its_queue_may_forget_it(estate: Estate) -> None:
    task_id = estate.add("charge")
    estate.close_task(task_id)
    (claimed,) = claim(estate, "charge")
    (refused,) = start(estate, [claimed])
    assert refused == Refused(claimed, "GONE", dispatch.release(claimed, How.DONE))
    assert report(estate, claimed) == Judged(claimed, "GONE", dispatch.release(claimed, How.DONE))
    assert estate.reports(task_id) == []


def test_an_older_delivery_is_refused_as_stale_and_its_lease_left_alone(estate: Estate) -> None:
    task_id = estate.add("charge")
    (old,) = claim(estate, "charge")
    start(estate, [old])
    estate.steal("charge", task_id)
    (new,) = claim(estate, "charge", claimant=OTHER)
    start(estate, [new], OTHER)
    assert start(estate, [old]) == [Refused(old, "STALE", None)]
    assert report(estate, old) == Judged(old, "STALE", None)
    assert report(estate, new, claimant=OTHER).word == "OK"


def test_progress_holds_the_lease_for_its_delay_and_the_next_delivery_goes_on(estate: Estate) -> None:
    task_id = estate.add("charge")
    (claimed,) = claim(estate, "charge")
    start(estate, [claimed])
    judged = report(estate, claimed, Outcome(FORMAT, "IN_PROGRESS", callback_after_ms=60_000))
    assert judged == Judged(claimed, "OK", dispatch.release(claimed, How.HOLD, 60_000))
    assert judged.release is not None
    reply = estate.executor.run(
        dispatch.claim_tasks(estate.store, [Want("charge", None, 1)], ME, settle=[judged.release])
    )
    assert (reply.claimed, reply.queues["charge"].hint_ms) == ([], 2_000)
    assert (estate.queue("charge").held, estate.queue("charge").leased) == (1, 0)
    assert [one.outcome.status for one in estate.reports(task_id)] == ["IN_PROGRESS"]


@pytest.mark.parametrize("status", ["COMPLETED", "IN_PROGRESS"])
def test_an_output_beyond_the_limit_becomes_a_terminal_failure(fakeredis_url: str, status: str) -> None:
    estate = Estate(fakeredis_url, payload_bytes_max=1_024)
    task_id = estate.add("charge")
    (claimed,) = claim(estate, "charge")
    start(estate, [claimed])
    fits = Outcome(FORMAT, status, output=Raw(codec.pack("a" * 1_021)))
    large = Outcome(FORMAT, status, output=Raw(codec.pack("a" * 1_022)), logs=[(1, "kept")])
    assert next(dispatch.report_tasks(estate.store, [Report(claimed, fits)], ME))
    assert report(estate, claimed, large).release == dispatch.release(claimed, How.DONE)
    outcome = estate.outcome(task_id)
    assert (outcome.status, outcome.logs) == ("FAILED_WITH_TERMINAL_ERROR", [(1, "kept")])
    assert outcome.reason is not None
    assert outcome.reason.startswith("The payload size: 1025 of task: ")
    assert outcome.reason.endswith(" is greater than the permissible limit: 1024 bytes")
    estate.close()


def test_leases_are_extended_and_cancelled_and_lost_ones_told(estate: Estate) -> None:
    held, cancelled, lost = (estate.add(task_type) for task_type in ("charge", "charge", "ship"))
    claimed = claim(estate, "charge", "ship")
    estate.cancel("charge", cancelled)
    estate.steal("ship", lost)
    words = estate.executor.run(dispatch.extend_leases(estate.store, claimed))
    assert words == {held: Beat.OK, cancelled: Beat.CANCELLED, lost: Beat.LOST}


def test_a_sign_of_life_reaches_the_partition_of_a_running_task(estate: Estate) -> None:
    task_id = estate.add("charge", response_ms=60_000)
    (claimed,) = claim(estate, "charge")
    assert estate.executor.run(dispatch.touch_tasks(estate.store, [claimed], ME)) == {task_id: "GONE"}
    start(estate, [claimed])
    assert estate.executor.run(dispatch.touch_tasks(estate.store, [claimed], ME)) == {task_id: "OK"}
    assert estate.executor.run(dispatch.touch_tasks(estate.store, [claimed], OTHER)) == {task_id: "STALE"}


def test_a_queue_that_refuses_does_not_hide_what_the_others_gave(estate: Estate) -> None:
    task_id = estate.add("charge")
    estate.add("ship")
    spoiled = estate.store.keys.records("ship")
    estate.executor.do([Command(("DEL", spoiled)), Command(("SET", spoiled, "foreign"))])
    unsettled = dispatch.release(Claimed("w9-abcdefghijkl", "ship", 1, 0), How.DONE)
    wants = [Want("ship", None, 5), Want("charge", None, 5)]
    reply = estate.executor.run(dispatch.claim_tasks(estate.store, wants, ME, settle=[unsettled]))
    assert [claimed.task_id for claimed in reply.claimed] == [task_id]
    assert list(reply.failures) == ["ship"]
    assert reply.unsettled == [unsettled]


def test_a_partition_that_refuses_leaves_its_outcomes_to_be_sent_again(estate: Estate) -> None:
    estate.add("charge")
    (claimed,) = claim(estate, "charge")
    start(estate, [claimed])
    for partition in range(2):
        inbox = estate.store.keys.inbox(partition)
        estate.executor.do([Command(("DEL", inbox)), Command(("SET", inbox, "foreign"))])
    assert report(estate, claimed) == Judged(claimed, dispatch.UNKNOWN, None)


def test_before_a_task_is_forgotten_as_gone_it_is_asked_for_behind_the_durability_barrier(
    redis_url: str, fakeredis_url: str
) -> None:
    durable, plain = Estate(redis_url, durability="replicas"), Estate(fakeredis_url)
    assert durable_flags_of_a_refused_start(durable) == [False, True]
    assert durable_flags_of_a_refused_start(plain) == [False]


def durable_flags_of_a_refused_start(estate: Estate) -> list[bool]:
    plan = dispatch.start_tasks(estate.store, [Claimed("w1-abcdefghijkl", "charge", 1, 0)], ME)
    step: Any = next(plan)
    flags = []
    with contextlib.suppress(StopIteration):
        while True:
            (call,) = step
            flags.append(call.durable)
            step = plan.send([call.decode([[b"GONE"]])])
    estate.close()
    return flags


def test_more_tasks_than_a_script_takes_are_spread_over_several(fake_estate: Estate) -> None:
    claimed = [Claimed(f"w1-{number:012d}", "charge", 1, 0) for number in range(250)]
    for plan in (
        dispatch.start_tasks(fake_estate.store, claimed, ME),
        dispatch.report_tasks(fake_estate.store, [Report(one, DONE) for one in claimed], ME),
        dispatch.extend_leases(fake_estate.store, claimed),
        dispatch.touch_tasks(fake_estate.store, claimed, ME),
    ):
        step = next(plan)
        assert isinstance(step, list)
        assert len(step) == 3


def test_a_lost_task_fails_with_the_number_of_its_deliveries() -> None:
    outcome = dispatch.lost_outcome(Claimed("w1-abcdefghijkl", "charge", 11, 0, True))
    assert outcome.status == "FAILED"
    assert (outcome.reason or "").startswith("lost after 10 deliveries: ")
