"""Starts: the definition travels once per partition, a repetition starts nothing, ids are checked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec import Raw

from orchestrator import codec
from orchestrator.engine import starts
from orchestrator.engine.starts import (
    STARTS_PER_CALL,
    Start,
    check_workflow_id,
    resolve_definition,
    resolve_name,
    send_starts,
)
from orchestrator.errors import DefinitionNotFound, InvalidRequest, StoreRefused
from orchestrator.model.records import FORMAT, Meta
from orchestrator.plan import Call, Command
from tests.engine.stage import Stage, flow, step


def _start(workflow_id: str, request_id: str = "r", name: str = "flow") -> Start:
    resolved = resolve_definition(flow(step("a"), name=name))
    return Start(workflow_id, request_id, resolved, Meta(FORMAT, name, 1, resolved.hash), Raw(codec.EMPTY_MAP))


def test_the_definition_is_sent_once_and_again_where_it_is_missing(stage: Stage) -> None:
    first = _start("w1", name="seldom")
    number = stage.keys.partition_of("w1")
    stage.run(send_starts(stage.store, [first]))
    stage.do(Command(("DEL", stage.keys.definitions(number), stage.workflow_key("w1"))))
    trips = stage.trips
    (reply,) = stage.run(send_starts(stage.store, [first]))
    assert (reply.verdict, stage.trips - trips) == ("OK", 2)
    trips = stage.trips
    stage.run(send_starts(stage.store, [first]))
    assert stage.trips - trips == 1


def test_many_starts_are_one_round_trip_and_fail_one_by_one(stage: Stage) -> None:
    stage.run(send_starts(stage.store, [_start("w1")]))
    stage.spoil(stage.workflow_key("w3"))
    replies = stage.run(send_starts(stage.store, [_start("w1", "other"), _start("w2"), _start("w3")]))
    assert [getattr(reply, "verdict", None) for reply in replies] == ["TAKEN", "OK", None]
    assert isinstance(replies[2], Exception)


def test_starts_of_one_partition_are_one_script_while_it_stays_small(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[int]] = []

    def count(steps: Sequence[Call | Command]) -> None:
        calls.append([len(_ids(one)) for one in steps if isinstance(one, Call) and one.script == "start"])

    stage.before = count
    many = [_start(f"w{number}") for number in range(250)]
    partitions = {stage.keys.partition_of(start.workflow_id) for start in many}
    assert len(partitions) == stage.keys.partitions
    replies = stage.run(send_starts(stage.store, many))
    assert [reply.workflow_id for reply in replies] == [start.workflow_id for start in many]
    assert sum(calls[0]) == 250
    assert len(calls[0]) < 250 / STARTS_PER_CALL + len(partitions)
    assert max(calls[0]) <= STARTS_PER_CALL
    calls.clear()
    monkeypatch.setattr(starts, "BYTES_PER_CALL", 1)
    replies = stage.run(send_starts(stage.store, many[:9]))
    assert (calls[0], [reply.verdict for reply in replies]) == ([1] * 9, ["OK"] * 9)


def _ids(call: Call) -> Sequence[str]:
    return [key for key in call.keys if "}:w:" in key]


def test_what_a_script_fails_with_stands_in_the_place_of_each_of_its_starts(stage: Stage) -> None:
    ids = [f"w{number}" for number in range(8)]
    ill = stage.keys.partition_of(ids[0])
    stage.spoil(stage.keys.idempotency(ill))
    replies = stage.run(send_starts(stage.store, [_start(one) for one in ids]))
    for one, reply in zip(ids, replies, strict=True):
        is_ill = stage.keys.partition_of(one) == ill
        assert isinstance(reply, StoreRefused) if is_ill else reply == ("OK", one)


def test_the_latest_version_is_read_anew_each_time(stage: Stage) -> None:
    stage.register(flow(step("a"), version=1))
    assert stage.run(resolve_name(stage.store, "flow", None)).version == 1
    stage.register(flow(step("b"), version=2))
    assert stage.run(resolve_name(stage.store, "flow", None)).version == 2
    assert stage.run(resolve_name(stage.store, "flow", 1)).definition.tasks[0].name == "a"
    with pytest.raises(DefinitionNotFound, match="name=flow, version=3"):
        stage.run(resolve_name(stage.store, "flow", 3))


@pytest.mark.parametrize("workflow_id", ["", "a b", "a\n", "x" * 201])
def test_ids_that_could_not_be_told_apart_are_refused(workflow_id: str) -> None:
    with pytest.raises(InvalidRequest, match="is not usable"):
        check_workflow_id(workflow_id)


def test_usual_ids_are_fine() -> None:
    check_workflow_id("order-4711/é")
