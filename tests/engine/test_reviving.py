"""Children that go on after their end, through the real store: their ancestors go on, however late they hear of it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core import operations
from orchestrator.core.draft import Draft
from orchestrator.core.reviving import revive
from orchestrator.engine.decider import DELIVER_AGAIN_MS_MAX, Decider
from orchestrator.errors import StoreRefused
from orchestrator.model.definitions import TaskDef
from orchestrator.store.view import remove
from tests.engine.stage import Stage, flow, has_script, step
from tests.support.build import sub_workflow


@pytest.fixture(autouse=True)
def _go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operation that lets an ended workflow go on and nothing else."""

    def go_on(d: Draft, arguments: dict[str, Any]) -> dict[str, Any]:
        revive(d)
        return {"ok": True}

    monkeypatch.setitem(operations.OPERATIONS, "go_on", go_on)


def child_of(stage: Stage, workflow_id: str) -> str:
    """The child of the workflow's only SUB_WORKFLOW task."""
    found = stage.tasks(workflow_id, "sub")[-1].sub_workflow_id
    assert found is not None
    return found


def apart(stage: Stage) -> tuple[Decider, Decider, str, str]:
    """A parent and its child in different partitions, each with a decider of its own: the child's has failed."""
    stage.register(TaskDef(name="a", retry_count=0))
    stage.register(flow(step("a"), name="child"))
    deciders = [stage.decider("d1"), stage.decider("d2")]
    for decider in deciders:
        stage.run(decider.beat())
    while True:
        parent = stage.start(flow(sub_workflow("sub")))
        stage.settle(*deciders)
        child = child_of(stage, parent)
        if stage.keys.partition_of(child) != stage.keys.partition_of(parent):
            break
        stage.work("a")
        stage.settle(*deciders)
    number = stage.keys.partition_of(parent)
    above = next(decider for decider in deciders if number in decider.estates)
    below = next(decider for decider in deciders if number not in decider.estates)
    assert stage.work("a", status="FAILED") == 1
    return above, below, parent, child


def test_a_whole_line_goes_on_with_the_last_of_it(stage: Stage) -> None:
    stage.register(TaskDef(name="a", retry_count=0))
    for name, below in (("one", "two"), ("two", "three")):
        stage.register(flow(sub_workflow("sub", name=below), name=name))
    stage.register(flow(step("a"), name="three"))
    top = stage.start(flow(sub_workflow("sub", name="one")))
    decider = stage.decider()
    stage.settle(decider)
    line = [top]
    for _ in range(3):
        line.append(child_of(stage, line[-1]))
    stage.work("a", status="FAILED")
    stage.settle(decider)
    assert [stage.status(one) for one in line] == ["FAILED"] * 4
    stage.ask(line[-1], "go_on")
    stage.settle(decider)
    assert [stage.status(one) for one in line] == ["RUNNING"] * 4
    assert stage.work("a") == 1
    stage.settle(decider)
    stage.tick(DELIVER_AGAIN_MS_MAX, decider)
    stage.settle(decider)
    assert [stage.status(one) for one in line] == ["COMPLETED"] * 4
    assert [child_of(stage, one) for one in line[:-1]] == line[1:]
    assert (stage.inbox(), stage.outbox()) == (0, 0)


@pytest.mark.parametrize("second", ["COMPLETED", "FAILED"])
def test_the_end_of_the_second_run_waits_for_a_parent_that_is_behind(stage: Stage, second: str) -> None:
    above, below, parent, child = apart(stage)
    stage.settle(below)
    stage.ask(child, "go_on")
    stage.settle(below)
    assert stage.work("a", status=second) == 1
    stage.settle(below)
    assert stage.status(child) == second
    assert stage.outbox() == 1  # the end of the second run: the parent has decided on nothing yet
    stage.settle(above)
    assert stage.status(parent) == "RUNNING"
    stage.tick(DELIVER_AGAIN_MS_MAX, above, below)
    stage.settle(below)
    stage.settle(above)
    assert stage.status(parent) == second
    assert (stage.inbox(), stage.outbox()) == (0, 0)


def test_the_end_of_the_first_run_may_come_after_the_news_of_the_second(stage: Stage) -> None:
    above, below, parent, child = apart(stage)
    stage.before = lambda steps: [StoreRefused("not now")] if has_script(steps, "accept") else None
    stage.settle(below)
    stage.ask(child, "go_on")
    stage.settle(below, above)
    stage.before = None
    assert stage.outbox() == 1  # the end of the first run; the parent knows that there is a second
    stage.tick(DELIVER_AGAIN_MS_MAX, above, below)
    stage.settle(below)
    stage.settle(above)
    assert stage.status(parent) == "RUNNING"
    assert stage.work("a") == 1
    stage.settle(above, below)
    stage.tick(DELIVER_AGAIN_MS_MAX, above, below)
    stage.settle(below)
    stage.settle(above)
    assert stage.status(parent) == "COMPLETED"


def test_nobody_waits_for_the_second_run_of_a_child_whose_parent_went_on_without_it(stage: Stage) -> None:
    stage.register(TaskDef(name="a", retry_count=0))
    stage.register(flow(step("a"), name="child"))
    parent = stage.start(flow(sub_workflow("sub", optional=True)))
    decider = stage.decider()
    stage.settle(decider)
    child = child_of(stage, parent)
    stage.work("a", status="FAILED")
    stage.settle(decider)
    assert stage.status(parent) == "COMPLETED"
    stage.ask(child, "go_on")
    stage.settle(decider)
    stage.work("a")
    stage.settle(decider)
    assert (stage.status(parent), stage.status(child), stage.outbox()) == ("COMPLETED", "COMPLETED", 0)


def test_a_child_may_go_on_without_the_parent_it_had(stage: Stage) -> None:
    above, below, parent, child = apart(stage)
    stage.settle(above, below)
    number = stage.keys.partition_of(parent)
    indexes = [stage.keys.by_status(number, "FAILED"), stage.keys.by_name(number, "flow")]
    assert stage.do(remove(stage.keys, number, parent, indexes=indexes)) == "OK"
    stage.ask(child, "go_on")
    stage.settle(above, below)
    stage.work("a")
    stage.settle(above, below)
    assert (stage.status(child), stage.inbox(), stage.outbox()) == ("COMPLETED", 0, 0)
