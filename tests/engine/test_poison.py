"""An event that kills its decider: found by counting, set aside at the fifth death, and nobody else pays for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from orchestrator.core import decide as heart
from orchestrator.engine import batch
from orchestrator.engine.decider import Decider
from orchestrator.model.events import Operation
from orchestrator.plan import Call, Command
from tests.engine.stage import Died, Stage, flow, has_script, step

LEASE_MS = 10_000


def _dies_of(victim: str) -> Any:
    def decide(state: Any, events: Sequence[Any], *rest: Any) -> Any:
        if state.workflow_id == victim and any(isinstance(event, Operation) for event in events):
            raise Died
        return heart.decide(state, events, *rest)

    return decide


class Deaths:
    """Deciders that come one after the other, each under a new name, and die of the same event."""

    def __init__(self, stage: Stage, monkeypatch: pytest.MonkeyPatch, victim: str) -> None:
        self.stage = stage
        self.count = 0
        monkeypatch.setattr(batch, "decide", _dies_of(victim))

    def next(self) -> Decider | None:
        """The next decider's life; gives it if it survives."""
        self.stage.tick(LEASE_MS + 1)
        decider = self.stage.decider(f"life-{self.count}")
        try:
            self.stage.settle(decider)
        except Died:
            self.count += 1
            return None
        return decider


def test_the_fifth_death_of_an_event_sets_its_workflow_aside_and_the_others_go_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ill, well = stage.start(flow(step("a"))), stage.start(flow(step("a")))
    first = stage.decider("first")
    stage.settle(first)
    stage.run(first.leave())
    stage.ask(ill, "pause")
    other = stage.ask(well, "pause")
    deaths = Deaths(stage, monkeypatch, ill)
    survivor = None
    while survivor is None:
        survivor = deaths.next()
    assert deaths.count == 5
    assert stage.field(ill, "q") == b"deciders kept dying on this event"
    assert stage.answer(well, other)["ok"]
    assert stage.count(stage.keys.parked(0, ill)) == 1
    assert not survivor.estates[0].careful
    fields = stage.do(Command(("HKEYS", stage.keys.ownership(0))))
    assert not [name for name in fields if name.startswith(b"try:")]


def test_trying_a_commit_again_under_care_is_no_death(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow_id = stage.start(flow(step("a")))
    stage.settle(stage.decider())
    asked = stage.ask(workflow_id, "pause")
    stage.tick(LEASE_MS + 1)
    stage.do(Command(("HSET", stage.keys.ownership(0), "n", 5)))
    decider = stage.decider("d2")
    assert decider.estates[0].careful
    bumps = iter(range(4))

    def move_the_version(steps: Sequence[Call | Command]) -> None:
        if has_script(steps, "commit") and next(bumps, None) is not None:
            stage.do(Command(("HINCRBY", stage.workflow_key(workflow_id), "v", 1)))

    stage.before = move_the_version
    stage.settle(decider)
    assert stage.field(workflow_id, "q") is None
    assert stage.answer(workflow_id, asked)["ok"]
