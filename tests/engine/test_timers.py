"""Timers fire when they are due, not before, however many there are, and time-outs know what their task was doing."""

from __future__ import annotations

import pytest

from orchestrator.engine.decider import TIMERS_PER_TURN
from orchestrator.model.definitions import TaskDef, TimeoutPolicy, WorkflowTask
from orchestrator.plan import Call, Command
from tests.engine.stage import Stage, flow, step


def _wait(seconds: int) -> WorkflowTask:
    return WorkflowTask(
        name="w", task_reference_name="w", type="WAIT", input_parameters={"duration": f"{seconds} seconds"}
    )


def test_a_timer_fires_when_it_is_due_and_not_a_moment_before(stage: Stage) -> None:
    workflow_id = stage.start(flow(_wait(30)))
    decider = stage.decider()
    stage.settle(decider)
    assert decider.next_timer_in_ms() == 30_000
    stage.tick(29_999, decider)
    stage.settle(decider)
    assert stage.status(workflow_id) == "RUNNING"
    assert decider.next_timer_in_ms() == 1
    stage.tick(1, decider)
    stage.settle(decider)
    assert stage.status(workflow_id) == "COMPLETED"
    assert decider.next_timer_in_ms() is None


def test_until_a_timer_is_due_nobody_asks_for_it(stage: Stage) -> None:
    stage.start(flow(_wait(30)))
    decider = stage.decider()
    stage.settle(decider)
    stage.tick(20_000, decider)
    trips = stage.trips
    stage.run(decider.fire_timers())
    assert stage.trips == trips
    decider.look_at_timers()
    stage.run(decider.fire_timers())
    assert stage.trips == trips + 1


def test_many_timers_due_at_once_all_fire(stage: Stage) -> None:
    count = 2 * TIMERS_PER_TURN + 50
    started = [stage.start(flow(_wait(30)), number=n % 2) for n in range(count)]
    decider = stage.decider()
    stage.settle(decider)
    stage.tick(30_000, decider)
    stage.settle(decider)
    assert {stage.status(one) for one in started} == {"COMPLETED"}


def test_timers_that_came_due_while_nobody_owned_the_partition_fire_with_the_next_owner(stage: Stage) -> None:
    workflow_id = stage.start(flow(_wait(5)))
    stage.settle(stage.decider())
    stage.tick(60_000)
    stage.settle(stage.decider("d2"))
    assert stage.status(workflow_id) == "COMPLETED"


def test_a_task_nobody_polls_times_out_and_is_retried(stage: Stage) -> None:
    stage.register(TaskDef(name="a", poll_timeout_seconds=10, retry_count=1, timeout_policy=TimeoutPolicy.RETRY))
    workflow_id = stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    stage.tick(10_000, decider)
    stage.settle(decider)
    first, second = stage.tasks(workflow_id, "a")
    assert (first.status, second.status) == ("TIMED_OUT", "SCHEDULED")


def test_time_spent_behind_a_limit_is_no_poll_time_out(stage: Stage) -> None:
    stage.register(TaskDef(name="a", poll_timeout_seconds=10, retry_count=0, concurrent_exec_limit=1))
    first, second = stage.start(flow(step("a"))), stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    (running,) = stage.claim("a")
    assert stage.claim("a") == []  # the limit is met, which the queue notes
    stage.tick(11_000, decider)
    for estate in decider.estates.values():
        estate.forget(second)
    stage.settle(decider)
    assert stage.status(second) == "RUNNING"
    stage.report([running])
    stage.settle(decider)
    assert stage.status(first) == "COMPLETED"
    stage.tick(11_000, decider)
    stage.settle(decider)
    assert stage.status(second) == "TIMED_OUT"


def test_the_limits_of_many_timers_are_asked_for_in_one_go(stage: Stage) -> None:
    stage.register(TaskDef(name="a", poll_timeout_seconds=10, retry_count=0, timeout_policy=TimeoutPolicy.ALERT_ONLY))
    for _ in range(50):
        stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    stage.tick(10_000, decider)
    asked: list[int] = []
    stage.before = lambda steps: asked.append(
        sum(isinstance(one, Call) and one.script == "limited_ms" for one in steps)
    )
    stage.settle(decider)
    assert [count for count in asked if count] == [50]


def test_a_running_task_that_falls_silent_times_out(stage: Stage) -> None:
    stage.register(TaskDef(name="a", response_timeout_seconds=10, retry_count=0))
    workflow_id = stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    stage.tick(7_000, decider)
    assert len(stage.claim("a")) == 1
    decider.look_at_timers()
    stage.settle(decider)
    stage.tick(9_999, decider)
    stage.settle(decider)
    assert stage.status(workflow_id) == "RUNNING"
    stage.tick(1, decider)
    stage.settle(decider)
    assert stage.tasks(workflow_id, "a")[0].status == "TIMED_OUT"


def test_an_outcome_that_arrives_with_its_time_out_wins(stage: Stage) -> None:
    stage.register(TaskDef(name="a", response_timeout_seconds=10, retry_count=0))
    workflow_id = stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    (task,) = stage.claim("a")
    decider.look_at_timers()
    stage.run(decider.fire_timers())
    stage.tick(10_000, decider)
    stage.run(decider.fire_timers())
    assert stage.inbox() == 1
    assert stage.report([task]) == ["OK"]
    stage.settle(decider)
    assert stage.status(workflow_id) == "COMPLETED"


def test_a_stale_timer_changes_nothing(stage: Stage) -> None:
    workflow_id = stage.start(flow(_wait(5), step("a")))
    decider = stage.decider()
    stage.settle(decider)
    stage.tick(5_000, decider)
    stage.settle(decider)
    member = stage.task_id(workflow_id, "w").replace(f"{workflow_id}-", f"{workflow_id} ") + " w"
    stage.do(Command(("ZADD", stage.keys.timers(0), stage.now, member)))
    decider.look_at_timers()
    stage.settle(decider)
    assert stage.status(workflow_id) == "RUNNING"
    assert stage.inbox() == 0


@pytest.mark.parametrize(("policy", "status"), [("TIME_OUT_WF", "TIMED_OUT"), ("ALERT_ONLY", "RUNNING")])
def test_a_workflows_own_time_out(stage: Stage, policy: str, status: str) -> None:
    workflow_id = stage.start(flow(step("a"), timeout_seconds=60, timeout_policy=policy))
    decider = stage.decider()
    stage.settle(decider)
    stage.tick(60_000, decider)
    stage.settle(decider)
    assert stage.status(workflow_id) == status
