"""Schedules that come again while the execution they started last still runs, and starts that are spread."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.errors import InvalidRequest
from orchestrator.model.due_times import delay_ms
from orchestrator.model.schedules import schedule_from_dict
from orchestrator.plan import Call
from orchestrator.service import firing, schedules
from orchestrator.testing import Environment, environment
from tests.engine.stage import Died, Stage
from tests.service.test_schedules import Watch
from tests.support.build import simple, workflow_def

NINE = datetime(2030, 1, 1, 9, tzinfo=UTC)
NINE_MS = int(NINE.timestamp() * 1000)
MINUTE_MS = 60_000
REQUEST = {"name": "flow"}


def every_minute(**fields: Any) -> Any:
    return schedule_from_dict({"name": "s", "intervalSeconds": 60, "startWorkflowRequest": REQUEST, **fields})


@pytest.fixture
def env() -> Iterator[Environment]:
    """An installation at nine with a workflow that runs until somebody works."""
    with environment(now=NINE) as env:
        env.client.register(workflow_def(simple("a")))
        yield env


def pass_minutes(env: Environment, count: int) -> None:
    for _ in range(count):
        env.clock.advance(60)
        env.decide()


def told(env: Environment) -> list[tuple[int, str]]:
    """What became of due times, the earliest first: the minute after nine, and the state."""
    found = env.client.schedule_executions("s")
    return [((one.scheduled_time - NINE_MS) // MINUTE_MS, str(one.state)) for one in reversed(found)]


def statuses(env: Environment) -> list[str]:
    items = env.client.list_workflows(name="flow").items
    return [str(item.status) for item in sorted(items, key=lambda item: item.start_time)]


def end_running(env: Environment) -> None:
    for item in env.client.list_workflows(name="flow", status="RUNNING").items:
        env.client.workflow(item.workflow_id).terminate("enough")
    env.decide()


def test_by_default_executions_overlap(env: Environment) -> None:
    env.client.save_schedule(every_minute())
    pass_minutes(env, 3)
    assert statuses(env) == ["RUNNING"] * 3


def test_skip_leaves_out_what_comes_while_the_last_one_runs(env: Environment) -> None:
    env.client.save_schedule(every_minute(overlapPolicy="SKIP"))
    pass_minutes(env, 3)
    assert told(env) == [(1, "EXECUTED"), (2, "FAILED"), (3, "FAILED")]
    reason = env.client.schedule_executions("s")[0].reason or ""
    assert reason.startswith("skipped: ")
    assert reason.endswith("is still RUNNING")
    end_running(env)
    pass_minutes(env, 1)
    assert told(env)[-1] == (4, "EXECUTED")
    assert statuses(env) == ["TERMINATED", "RUNNING"]


def test_buffer_waits_for_the_end_and_then_starts_one(env: Environment) -> None:
    env.client.save_schedule(every_minute(overlapPolicy="BUFFER"))
    pass_minutes(env, 4)
    assert told(env) == [(1, "EXECUTED"), (2, "POLLED")]
    end_running(env)
    env.clock.advance(2)
    env.decide()
    assert told(env) == [(1, "EXECUTED"), (2, "EXECUTED")]
    assert env.client.schedule("s").next_run_time == NINE_MS + 5 * MINUTE_MS


def test_buffer_with_catch_up_starts_every_due_time_one_after_the_other(env: Environment) -> None:
    env.client.save_schedule(every_minute(overlapPolicy="BUFFER", runCatchupScheduleInstances=True))
    pass_minutes(env, 4)
    for minute in range(2, 5):
        assert told(env)[-1] == (minute, "POLLED")
        end_running(env)
        env.clock.advance(2)
        env.decide()
        assert (minute, "EXECUTED") in told(env)


def test_terminate_ends_the_running_one_first(env: Environment) -> None:
    env.client.save_schedule(every_minute(overlapPolicy="TERMINATE"))
    pass_minutes(env, 3)
    assert statuses(env) == ["TERMINATED", "TERMINATED", "RUNNING"]
    first = min(env.client.list_workflows(name="flow").items, key=lambda item: item.start_time)
    assert env.client.workflow(first.workflow_id).describe().reason_for_incompletion == "schedule s is due again"


def test_an_execution_that_was_removed_is_no_obstacle(env: Environment) -> None:
    env.client.save_schedule(every_minute(overlapPolicy="SKIP"))
    pass_minutes(env, 1)
    (item,) = env.client.list_workflows().items
    end_running(env)
    env.client.workflow(item.workflow_id).remove()
    pass_minutes(env, 1)
    assert told(env) == [(1, "EXECUTED"), (2, "EXECUTED")]


def test_a_start_is_late_by_the_delay_of_its_due_time_and_none_is_left_out(env: Environment) -> None:
    spread = every_minute(jitterSeconds=150)
    env.client.save_schedule(spread)
    assert env.client.schedule("s").next_run_time == NINE_MS + MINUTE_MS
    for _ in range(600):
        env.clock.advance(1)
        env.decide()
    found = env.client.schedule_executions("s")
    due = sorted(one.scheduled_time for one in found)
    assert due == [NINE_MS + minute * MINUTE_MS for minute in range(1, len(due) + 1)]
    assert len(due) >= 7
    for one in found:
        assert one.execution_time >= one.scheduled_time + delay_ms(spread, one.scheduled_time)


def test_jitter_holds_after_every_schedule_was_looked_at_anew(env: Environment) -> None:
    spread = every_minute(jitterSeconds=3_600)
    env.client.save_schedule(spread)
    env.client.run(schedules.requeue_all(env.store))
    begin_ms = NINE_MS + MINUTE_MS + delay_ms(spread, NINE_MS + MINUTE_MS)
    env.clock.advance((begin_ms - NINE_MS) / 1000 - 1)
    env.decide()
    assert told(env) == []
    env.clock.advance(2)
    env.decide()
    assert told(env)[0] == (1, "EXECUTED")


def test_one_moment_is_refused_when_it_is_past_and_may_be_stored_again_when_it_has_come(env: Environment) -> None:
    once = {"name": "s", "runAt": NINE_MS + MINUTE_MS, "startWorkflowRequest": REQUEST}
    env.client.save_schedule(schedule_from_dict(once))
    pass_minutes(env, 2)
    assert told(env) == [(1, "EXECUTED")]
    assert env.client.save_schedule(schedule_from_dict(once)).next_run_time is None
    with pytest.raises(InvalidRequest, match="is past"):
        env.client.save_schedule(schedule_from_dict({**once, "runAt": NINE_MS}))
    pass_minutes(env, 1)
    assert told(env) == [(1, "EXECUTED")]


@pytest.mark.parametrize("policy", ["SKIP", "BUFFER", "TERMINATE"])
@pytest.mark.parametrize("script", ["claim_schedules", "start", "fired_schedule"])
def test_one_that_dies_after_its_start_is_no_obstacle_to_itself(fakeredis_url: str, policy: str, script: str) -> None:
    stage = Stage(fakeredis_url)
    stage.now = NINE_MS
    decider = stage.decider()
    stage.register(workflow_def(simple("a")))
    stage.run(schedules.save(stage.store, every_minute(overlapPolicy=policy)))
    stage.now += MINUTE_MS
    stage.run(firing.fire_due(stage.store, Watch()))
    (first,) = stage.run(schedules.executions(stage.store))
    stage.settle(decider)
    stage.ask(first.workflow_id, "terminate", reason="enough", trigger_failure_workflow=False)
    stage.settle(decider)
    stage.now += MINUTE_MS

    def die(steps: Any) -> None:
        if any(isinstance(step, Call) and step.script == script for step in steps):
            stage.before = None
            stage.do(list(steps))
            raise Died

    stage.before = die
    with pytest.raises(Died):
        stage.run(firing.fire_due(stage.store, Watch()))
    if script == "start":  # what it started counts, even if the one before runs again by now
        stage.ask(first.workflow_id, "restart")
        stage.settle(decider)
    stage.now += firing.CLAIM_MS + 1
    while stage.run(firing.fire_due(stage.store, Watch())) == 0:
        pass
    stage.settle(decider)
    latest = stage.run(schedules.executions(stage.store))[0]
    assert (latest.scheduled_time, latest.state) == (NINE_MS + 2 * MINUTE_MS, "EXECUTED")
    assert stage.view(latest.workflow_id).status == "RUNNING"
    if script == "start":
        assert stage.status(first.workflow_id) == "RUNNING"


def test_a_firer_that_was_held_up_does_not_pass_its_execution_off_as_the_last(fakeredis_url: str) -> None:
    stage = Stage(fakeredis_url)
    stage.now = NINE_MS
    decider = stage.decider()
    stage.register(workflow_def(simple("a")))
    stage.run(schedules.save(stage.store, every_minute(overlapPolicy="SKIP")))

    def fire() -> tuple[int, str]:
        while stage.run(firing.fire_due(stage.store, Watch())) == 0:
            pass
        stage.settle(decider)
        latest = stage.run(schedules.executions(stage.store))[0]
        return (latest.scheduled_time - NINE_MS) // MINUTE_MS, str(latest.state)

    def others_fire_meanwhile(steps: Any) -> None:
        if any(isinstance(step, Call) and step.script == "fired_schedule" for step in steps):
            stage.before = None
            stage.now += firing.CLAIM_MS + 1
            assert fire() == (1, "EXECUTED")
            (first,) = stage.run(schedules.executions(stage.store))
            stage.ask(first.workflow_id, "terminate", reason="enough", trigger_failure_workflow=False)
            stage.settle(decider)
            stage.now += MINUTE_MS
            assert fire() == (2, "EXECUTED")

    stage.now += MINUTE_MS
    stage.before = others_fire_meanwhile
    stage.run(firing.fire_due(stage.store, Watch()))
    stage.now += MINUTE_MS
    assert fire() == (3, "FAILED")
