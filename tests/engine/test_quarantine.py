"""What cannot be decided or written is set aside with its event and reason; its neighbours never notice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from orchestrator.core import decide as heart
from orchestrator.engine import batch, committing, writing
from orchestrator.errors import StoreRefused
from orchestrator.model.events import Operation
from orchestrator.plan import Call, Command
from orchestrator.service import workflows
from tests.engine.stage import Stage, flow, step


class Decide:
    """The real ``decide``, which fails for one workflow while an event of ``action`` is among those it is given."""

    def __init__(self, workflow_id: str, action: str) -> None:
        self.workflow_id = workflow_id
        self.action = action
        self.calls: list[int] = []  # how many events each failing call was given
        self.is_ill = True

    def __call__(self, state: Any, events: Sequence[Any], *rest: Any) -> Any:
        actions = [event.action for event in events if isinstance(event, Operation)]
        if self.is_ill and state.workflow_id == self.workflow_id and self.action in actions:
            self.calls.append(len(events))
            raise KeyError("planted")
        return heart.decide(state, events, *rest)


@pytest.fixture
def pair(stage: Stage) -> tuple[str, str]:
    """Two workflows of one partition, each with an open task."""
    ids = stage.start(flow(step("a"))), stage.start(flow(step("a")))
    stage.settle(stage.decider())
    return ids


def test_a_decision_that_fails_is_tried_fresh_then_alone_then_set_aside(
    stage: Stage, pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ill, well = pair
    decide = Decide(ill, "resume")
    monkeypatch.setattr(batch, "decide", decide)
    answered = stage.ask(ill, "pause")
    event = stage.ask(ill, "resume")
    later = stage.ask(ill, "pause")
    other = stage.ask(well, "pause")
    stage.settle(stage.decider())
    assert decide.calls == [3, 3, 1, 1]
    assert stage.answer(ill, answered)["ok"]
    assert [stage.answer(ill, one) for one in (event, later)] == [None, None]
    assert stage.answer(well, other)["ok"]
    assert stage.view(ill).reason_for_incompletion == (
        "quarantined: KeyError: 'planted'; let it go on with: orchestrator workflow unpark ID"
    )
    assert stage.field(ill, "qe") is not None
    assert stage.count(stage.keys.parked(0, ill)) == 2
    assert stage.inbox() == 0


def test_after_unpark_the_events_are_decided_in_their_order(
    stage: Stage, pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ill, _ = pair
    decide = Decide(ill, "resume")
    monkeypatch.setattr(batch, "decide", decide)
    decider = stage.decider()
    asked = [stage.ask(ill, "resume"), *(stage.ask(ill, "pause") for _ in range(150)), stage.ask(ill, "resume")]
    stage.settle(decider)
    stage.work("a")
    stage.settle(decider)
    assert stage.count(stage.keys.parked(0, ill)) == 153
    decide.is_ill = False
    assert stage.run(workflows.unpark(stage.store, ill)) == 153
    stage.settle(decider)
    answers = [stage.answer(ill, one) for one in asked]
    assert answers[0]["error"] == "CONFLICT"  # it was not paused yet
    assert all(answer["ok"] for answer in answers[1:])
    assert stage.status(ill) == "COMPLETED"
    assert stage.view(ill).reason_for_incompletion is None


def test_a_quarantined_workflow_can_be_terminated(
    stage: Stage, pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ill, _ = pair
    monkeypatch.setattr(batch, "decide", Decide(ill, "resume"))
    decider = stage.decider()
    stage.ask(ill, "resume")
    stage.settle(decider)
    asked = stage.ask(ill, "terminate", reason="enough")
    stage.settle(decider)
    assert stage.answer(ill, asked)["ok"]
    view = stage.view(ill)
    assert (view.status, view.reason_for_incompletion, view.tasks[0].status) == ("TERMINATED", "enough", "CANCELED")


def test_a_quarantined_workflow_can_be_removed(
    stage: Stage, pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ill, _ = pair
    monkeypatch.setattr(batch, "decide", Decide(ill, "resume"))
    stage.ask(ill, "resume")
    stage.settle(stage.decider())
    stage.run(workflows.remove(stage.store, ill))
    assert stage.do(Command(("EXISTS", stage.workflow_key(ill), stage.keys.parked(0, ill)))) == 0


def test_foreign_data_under_the_key_of_its_open_tasks_sets_a_workflow_aside(
    stage: Stage, pair: tuple[str, str]
) -> None:
    ill, well = pair
    stage.spoil(stage.keys.dispatch(0, ill))
    other = stage.ask(well, "terminate")
    stage.ask(ill, "terminate")
    stage.settle(stage.decider())
    assert stage.field(ill, "q") is not None
    assert stage.count(stage.keys.parked(0, ill)) == 1
    assert stage.answer(well, other)["ok"]
    assert stage.inbox() == 0


def test_foreign_data_under_the_workflow_itself_leaves_its_events_in_the_dead_letters(
    stage: Stage, pair: tuple[str, str]
) -> None:
    ill, well = pair
    stage.ask(ill, "pause")
    other = stage.ask(well, "pause")
    stage.spoil(stage.workflow_key(ill))
    stage.settle(stage.decider())
    assert len(stage.dead_letters()) == 1
    assert stage.answer(well, other)["ok"]


@pytest.mark.parametrize("field", ["c", "m", "v"])
def test_a_damaged_record_sets_its_workflow_aside(stage: Stage, pair: tuple[str, str], field: str) -> None:
    ill, well = pair
    stage.do(Command(("HSET", stage.workflow_key(ill), field, b"\xc1damage")))
    stage.ask(ill, "pause")
    other = stage.ask(well, "pause")
    stage.settle(stage.decider())
    assert "damaged" in (stage.field(ill, "q") or b"").decode()
    assert stage.answer(well, other)["ok"]


def test_a_damaged_task_record_sets_its_workflow_aside(stage: Stage, pair: tuple[str, str]) -> None:
    ill, _ = pair
    stage.do(Command(("HSET", stage.keys.workflow(0, ill), "Sa", b"\xc1")))
    assert stage.accept(stage.task_id(ill, "a")) == "OK"
    stage.settle(stage.decider())
    assert "record of task a is damaged" in (stage.field(ill, "q") or b"").decode()


def test_a_definition_that_cannot_be_used_sets_its_workflow_aside(stage: Stage) -> None:
    ill = stage.start(flow(step("a")))
    definitions = stage.keys.definitions(0)
    for name in stage.do(Command(("HKEYS", definitions))):
        stage.do(Command(("HSET", definitions, name, b"{")))
    well = stage.start(flow(step("b")), number=1)
    stage.settle(stage.decider())
    assert "its definition cannot be used" in (stage.field(ill, "q") or b"").decode()
    assert len(stage.view(well).tasks) == 1


def test_a_decision_that_cannot_be_written_sets_its_workflow_aside(
    stage: Stage, pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ill, well = pair

    def failing(section: Any, keys: Any, number: int, draft: Any, payloads: Any) -> int:
        size = writing.write(section, keys, number, draft, payloads)
        if draft.workflow_id == ill:
            raise ValueError("planted")
        return size

    monkeypatch.setattr(committing, "write", failing)
    stage.ask(ill, "pause")
    other = stage.ask(well, "pause")
    stage.settle(stage.decider())
    assert stage.field(ill, "q") == b"ValueError: planted"
    assert stage.answer(well, other)["ok"]


def test_a_decision_that_breaks_the_commit_of_all_is_found_and_set_aside(
    stage: Stage, pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ill, well = pair

    def failing(section: Any, keys: Any, number: int, draft: Any, payloads: Any) -> int:
        if draft.workflow_id == ill:
            section.arm(["noon", "timer"])
        return writing.write(section, keys, number, draft, payloads)

    monkeypatch.setattr(committing, "write", failing)
    stage.ask(ill, "pause")
    other = stage.ask(well, "pause")
    stage.settle(stage.decider())
    assert "a score is not a number" in (stage.field(ill, "q") or b"").decode()
    assert stage.answer(well, other)["ok"]
    assert stage.inbox() == 0


@pytest.mark.parametrize("what", ["commit", "HMGET"])
def test_a_server_that_cannot_work_for_a_while_sets_nobody_aside(
    stage: Stage, pair: tuple[str, str], what: str
) -> None:
    asked = [stage.ask(one, "pause") for one in pair]
    decider = stage.decider()
    error = StoreRefused("Redis is out of memory", is_passing=True)

    def refuse(steps: Sequence[Call | Command]) -> list[Exception] | None:
        names = {one.script if isinstance(one, Call) else one.words[0] for one in steps}
        return [error] * len(steps) if what in names else None

    stage.before = refuse
    for _ in range(5):
        with pytest.raises(StoreRefused):
            stage.run(decider.turn())
    stage.before = None
    stage.settle(decider)
    assert [stage.field(one, "q") for one in pair] == [None, None]
    assert all(stage.answer(one, request)["ok"] for one, request in zip(pair, asked, strict=True))
