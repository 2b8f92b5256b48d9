"""The cost of an event does not depend on how many tasks its workflow has: exact counts, 100 tasks against 10,000.

Counted are the commands a decider sends for one task's outcome, the bytes of them and of what comes back, and the task
records it loads; in the middle and near the end, with the workflow in memory and by a decider that never saw it.
A definition is read and compiled once per process, so that is no part of an event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

from orchestrator.core import decide as deciding
from orchestrator.engine.decider import Decider
from orchestrator.engine.estate import RECORDS_PER_WORKFLOW_MAX
from orchestrator.model.definitions import WorkflowDef, WorkflowTask
from orchestrator.plan import Call, Command
from orchestrator.store.context import StoreContext
from orchestrator.store.keys import STATE_FIELDS
from tests.engine.stage import Stage, chained, flow, forked, step

SMALL, LARGE = 100, 10_000
SAMPLES = 8
TOLERANCE = 0.05

pytestmark = pytest.mark.timeout(240)


class Cost(NamedTuple):
    """What one event took, on average."""

    commands: float
    sent: float
    received: float
    records: float


class Meter:
    """Counts what passes between a decider and the store."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.commands = self.sent = self.received = self.records = 0
        self._do = stage._executor.do

    def __enter__(self) -> Meter:
        self.stage._executor.do = self._metered  # type: ignore[method-assign]  # the meter sits in the line
        return self

    def __exit__(self, *_: object) -> None:
        self.stage._executor.do = self._do  # type: ignore[method-assign]

    def cost(self, events: int) -> Cost:
        """Per event."""
        return Cost(self.commands / events, self.sent / events, self.received / events, self.records / events)

    def _metered(self, step: Any) -> Any:
        steps: Sequence[Call | Command] = [step] if isinstance(step, Call | Command) else step
        for one in steps:
            words = (*one.keys, *one.args) if isinstance(one, Call) else one.words
            if words[0] == "SET" and str(words[1]).endswith("simclock"):
                continue
            self.commands += 1
            self.sent += sum(len(word) if isinstance(word, bytes) else len(str(word)) for word in words)
            if isinstance(one, Command) and one.words[0] == "HMGET" and "}:w:" in str(one.words[1]):
                self.records += sum(word not in STATE_FIELDS for word in one.words[2:])
        replies = self._do([self._raw(one) for one in steps])
        self.received += _size(replies)
        decoded = [one.decode(reply) if one.decode else reply for one, reply in zip(steps, replies, strict=True)]
        return decoded[0] if isinstance(step, Call | Command) else decoded

    @staticmethod
    def _raw(one: Call | Command) -> Call | Command:
        return one._replace(decode=None)


def _size(reply: Any) -> int:
    if isinstance(reply, list):
        return sum(map(_size, reply))
    assert not isinstance(reply, Exception), reply
    return len(reply) if isinstance(reply, bytes) else 8


class Run:
    """One workflow of ``size`` tasks with the decider that has brought it so far."""

    def __init__(self, stage: Stage, definition: WorkflowDef, task_type: str) -> None:
        self.stage = stage
        self.task_type = task_type
        self.decider = stage.decider("d1")
        self.workflow_id = stage.start(definition)
        stage.settle(self.decider)

    def events(self, count: int) -> None:
        """That many outcomes, as many at a time as there are ready tasks, up to a hundred."""
        while count > 0:
            tasks = self.stage.claim(self.task_type, min(count, 100))
            assert tasks
            self.stage.report(tasks, {"v": 1})
            self.stage.run(self.decider.turn())
            count -= len(tasks)

    def measure(self, *, is_cold: bool) -> Cost:
        """The cost of one event, over some samples; a cold decider has the partition and nothing of the workflow."""
        stage = self.stage
        meter = Meter(stage)
        for _ in range(SAMPLES):
            (task,) = stage.claim(self.task_type, 1)
            stage.report([task], {"v": 1})
            if is_cold:
                self.decider = _newcomer(stage, self.decider)
            with meter:
                stage.run(self.decider.advance(stage.run(self.decider.read())))
        return meter.cost(SAMPLES)


def _newcomer(stage: Stage, before: Decider) -> Decider:
    """A decider that has taken the partitions over and delivered the outbox, and knows no workflow."""
    stage.run(before.flush())
    decider = Decider(StoreContext(stage.settings), before.name)
    decider.programs = before.programs  # compiled once per process and definition, not per workflow or event
    stage.run(decider.beat())
    stage.run(decider.redrive())
    decider.clock_ms = stage.now
    return decider


def _costs(stage: Stage, definition: WorkflowDef, task_type: str, size: int) -> dict[str, Cost]:
    """Costs at four moments of one workflow."""
    run = Run(stage, definition, task_type)
    run.events(size // 2 - SAMPLES)
    found = {"warm middle": run.measure(is_cold=False), "cold middle": run.measure(is_cold=True)}
    run.events(size // 2 - 3 * SAMPLES - 1)  # the very last one ends the workflow, which happens once
    found |= {"warm end": run.measure(is_cold=False), "cold end": run.measure(is_cold=True)}
    return found


def _assert_flat(small: dict[str, Cost], large: dict[str, Cost]) -> None:
    for moment, expected in small.items():
        for name, value in expected._asdict().items():
            allowed = TOLERANCE * max(value, 1)
            assert abs(getattr(large[moment], name) - value) <= allowed, (moment, name, small, large)


def test_an_event_of_a_chain_costs_the_same_in_one_of_ten_thousand(real_stage: Stage) -> None:
    options = {"output_parameters": {"first": "${a00000.output.v}"}}
    small = _costs(real_stage, chained(SMALL, **options), "a", SMALL)
    _assert_flat(small, _costs(real_stage, chained(LARGE, **options), "a", LARGE))


def test_an_event_of_a_fork_costs_the_same_in_one_of_ten_thousand(real_stage: Stage) -> None:
    options = {"output_parameters": {"first": "${b00000.output.v}"}}
    small = _costs(real_stage, forked(SMALL, **options), "b", SMALL)
    _assert_flat(small, _costs(real_stage, forked(LARGE, **options), "b", LARGE))


def fanned(width: int) -> WorkflowDef:
    """A dynamic fork of ``width`` tasks, and a JOIN; all have the queue ``b``."""
    names = [f"b{number:05}" for number in range(width)]
    given = {
        "tasks": [{"name": "b", "taskReferenceName": name} for name in names],
        "inputs": {name: {"n": 1} for name in names},
    }
    fork = WorkflowTask(
        name="f",
        task_reference_name="f",
        type="FORK_JOIN_DYNAMIC",
        input_parameters=given,
        dynamic_fork_tasks_param="tasks",
        dynamic_fork_tasks_input_param_name="inputs",
    )
    join = WorkflowTask(name="j", task_reference_name="j", type="JOIN")
    return flow(fork, join, name=f"fanned_{width}", output_parameters={"first": "${j.output.b00000.v}"})


def looped(rounds: int) -> WorkflowDef:
    """A loop of ``rounds`` rounds over one task of the queue ``a``."""
    body = step("a", input_parameters={"round": "${l.output.iteration}"})
    loop = WorkflowTask(
        name="l",
        task_reference_name="l",
        type="DO_WHILE",
        loop_condition=f"$.l.iteration < {rounds}",
        loop_over=[body],
    )
    return flow(loop, name=f"looped_{rounds}", output_parameters={"first": "${l.output.1.a.v}"})


def test_an_event_of_a_dynamic_fork_costs_the_same_in_one_of_ten_thousand(real_stage: Stage) -> None:
    small = _costs(real_stage, fanned(SMALL), "b", SMALL)
    _assert_flat(small, _costs(real_stage, fanned(LARGE), "b", LARGE))


def test_an_event_of_a_loop_costs_the_same_in_one_of_ten_thousand_rounds(real_stage: Stage) -> None:
    small = _costs(real_stage, looped(SMALL), "a", SMALL)
    _assert_flat(small, _costs(real_stage, looped(LARGE), "a", LARGE))


def test_events_are_decided_once_while_a_wide_fork_that_is_no_longer_all_in_memory_fans_out(
    real_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied = 0
    apply = deciding._apply

    def counted(*args: Any) -> None:
        nonlocal applied
        applied += 1
        apply(*args)

    monkeypatch.setattr(deciding, "_apply", counted)
    width = 3 * RECORDS_PER_WORKFLOW_MAX
    real_stage.start(fanned(width))
    decider = real_stage.decider("d1")
    handled = 0
    while more := real_stage.run(decider.turn()):
        handled += more
        real_stage.work("b", {"v": 1})
    assert handled > width
    assert applied <= 1.02 * handled


@pytest.mark.parametrize(
    ("definition", "task_type"), [(fanned(LARGE), "b"), (looped(LARGE), "a")], ids=["fork", "loop"]
)
def test_ten_thousand_tasks_are_carried_out_to_the_end(
    real_stage: Stage, definition: WorkflowDef, task_type: str
) -> None:
    run = Run(real_stage, definition, task_type)
    run.events(LARGE)
    real_stage.settle(run.decider)
    assert real_stage.status(run.workflow_id) == "COMPLETED"
    assert real_stage.view(run.workflow_id).output == {"first": 1}
    assert (real_stage.inbox(), real_stage.outbox()) == (0, 0)
