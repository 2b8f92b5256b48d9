"""Schedules on a clock that stands still: what is fired when, what is made up for, and that no due time is doubled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.errors import DefinitionInvalid, InvalidRequest, NotFound, StoreUnavailable
from orchestrator.model.schedules import CronSchedule, Schedule, ScheduleTag, schedule_from_dict, schedule_to_dict
from orchestrator.plan import Call, Command
from orchestrator.service import firing, schedules
from orchestrator.testing import Environment
from tests.engine.stage import NOON, Died, Stage
from tests.support.build import noop, workflow_def
from tests.support.served import MakeEnvironment, asked

HOURLY = "0 0 * * * ?"
EIGHT = datetime(2030, 1, 1, 8, 30, tzinfo=UTC)
NINE_MS = int(datetime(2030, 1, 1, 9, tzinfo=UTC).timestamp() * 1000)
HOUR_MS = 3_600_000
ON_THE_HOUR = NOON - NOON % HOUR_MS + HOUR_MS


def schedule(name: str = "s", cron: str = HOURLY, **fields: Any) -> Schedule:
    document = {"name": name, "cronExpression": cron, "startWorkflowRequest": {"name": "flow", "input": {"a": 1}}}
    return schedule_from_dict({**document, **fields})


@pytest.fixture
def env(environment: MakeEnvironment) -> Iterator[Environment]:
    """An installation at half past eight with one workflow."""
    with environment(now=EIGHT) as env:
        env.client.register(workflow_def(noop("a")))
        yield env


def started(env: Environment) -> list[int]:
    """The due times of everything that was started, in order."""
    views = [env.client.workflow(item.workflow_id).describe() for item in env.client.list_workflows(name="flow").items]
    return sorted(view.input["_scheduledTime"] for view in views)


# --- firing -----------------------------------------------------------------------------------------------------------


def test_a_due_time_starts_its_workflow_and_says_so_in_the_input(env: Environment) -> None:
    assert env.client.save_schedule(schedule()).next_run_time == NINE_MS
    env.clock.advance(1799)
    env.decide()
    assert started(env) == []
    env.clock.advance(2)
    env.decide()
    (item,) = env.client.list_workflows().items
    view = env.client.workflow(item.workflow_id).describe()
    assert view.status == "COMPLETED"
    assert view.input == {
        "a": 1,
        "_startedByScheduler": "s",
        "_scheduledTime": NINE_MS,
        "_executedTime": NINE_MS + 1000,
        "_executionId": item.workflow_id,
        "_schedulerCron": "0 0 * * * ? UTC",
    }
    (execution,) = env.client.schedule_executions("s")
    assert (execution.state, execution.workflow_id, execution.scheduled_time) == ("EXECUTED", item.workflow_id, NINE_MS)
    assert execution.start_workflow_request is not None
    assert execution.start_workflow_request.input == {}
    assert env.client.schedule("s").next_run_time == NINE_MS + HOUR_MS


def test_without_catch_up_an_outage_is_made_up_for_once(env: Environment) -> None:
    env.client.save_schedule(schedule())
    env.clock.advance(4 * 3600)
    env.decide()
    assert started(env) == [NINE_MS]
    assert env.client.schedule("s").next_run_time == NINE_MS + 4 * HOUR_MS


def test_with_catch_up_every_due_time_of_an_outage_is_made_up_for(env: Environment) -> None:
    env.client.save_schedule(schedule(runCatchupScheduleInstances=True))
    env.clock.advance(30 * 3600)
    env.decide()
    assert started(env) == [NINE_MS + hour * HOUR_MS for hour in range(30)]
    assert len(env.client.schedule_executions("s")) == 30
    env.decide()
    assert len(started(env)) == 30


def test_several_expressions_each_count_in_their_zone(env: Environment) -> None:
    crons = [
        {"cronExpression": "0 0 9 * * ?", "zoneId": "UTC"},
        {"cronExpression": "0 0 11 * * ?", "zoneId": "Europe/Berlin"},
    ]
    env.client.save_schedule(schedule(cronSchedules=crons, runCatchupScheduleInstances=True))
    env.clock.advance(86_400)
    env.decide()
    assert started(env) == [NINE_MS, NINE_MS + HOUR_MS]
    assert [one.zone_id for one in env.client.schedule_executions("s")] == ["Europe/Berlin", "UTC"]


def test_it_comes_within_its_bounds_only_both_included(env: Environment) -> None:
    bounds: dict[str, Any] = {"scheduleStartTime": NINE_MS + HOUR_MS, "scheduleEndTime": NINE_MS + 2 * HOUR_MS}
    saved = env.client.save_schedule(schedule(runCatchupScheduleInstances=True, **bounds))
    assert saved.next_run_time == NINE_MS + HOUR_MS
    env.clock.advance(86_400)
    env.decide()
    assert started(env) == [NINE_MS + HOUR_MS, NINE_MS + 2 * HOUR_MS]
    assert env.client.schedule("s").next_run_time is None


def test_a_paused_schedule_starts_nothing_and_goes_on_from_when_it_is_resumed(env: Environment) -> None:
    env.client.save_schedule(schedule(runCatchupScheduleInstances=True))
    env.client.pause_schedule("s", "new prices")
    assert (env.client.schedule("s").paused_reason, env.client.schedule("s").next_run_time) == ("new prices", None)
    env.clock.advance(3 * 3600)
    env.decide()
    env.client.resume_schedule("s")
    env.clock.advance(3600)
    env.decide()
    assert started(env) == [NINE_MS + 3 * HOUR_MS]
    assert env.client.schedule("s").paused_reason is None


def test_while_all_firing_is_paused_nothing_is_started_and_then_it_is_made_up_for(env: Environment) -> None:
    env.client.save_schedule(schedule(runCatchupScheduleInstances=True))
    env.run(schedules.pause_all(env.store))
    env.clock.advance(2 * 3600)
    env.decide()
    assert started(env) == []
    env.run(schedules.resume_all(env.store))
    assert started(env) == [NINE_MS, NINE_MS + HOUR_MS]


def test_a_workflow_that_cannot_be_started_is_recorded_and_the_schedule_goes_on(env: Environment) -> None:
    env.client.save_schedule(schedule(startWorkflowRequest={"name": "nowhere"}))
    env.clock.advance(2 * 3600)
    env.decide()
    (execution,) = env.client.schedule_executions()
    assert (execution.state, execution.workflow_id) == ("FAILED", None)
    assert "No such workflow defined. name=nowhere" in (execution.reason or "")
    assert env.client.schedule("s").next_run_time == NINE_MS + 2 * HOUR_MS


def test_a_workflow_object_is_scheduled_with_its_definition(env: Environment) -> None:
    env.client.with_options(priority=7).schedule_workflow("s", workflow_def(noop("b"), name="inline"), HOURLY)
    env.clock.advance(3600)
    env.decide()
    (item,) = env.client.list_workflows(name="inline").items
    assert env.client.workflow(item.workflow_id).describe().priority == 7
    with pytest.raises(InvalidRequest, match="id of its own"):
        env.client.with_options(workflow_id="w").schedule_workflow("s", "flow", HOURLY)


def test_the_records_of_a_schedule_are_bounded_and_go_with_it(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.store.schedules.EXECUTIONS_MAX", 3)
    env.client.save_schedule(schedule(runCatchupScheduleInstances=True))
    env.clock.advance(30 * 3600)
    env.decide()
    assert [one.scheduled_time for one in env.client.schedule_executions("s")] == [
        NINE_MS + hour * HOUR_MS for hour in (29, 28, 27)
    ]
    env.client.delete_schedule("s")
    assert env.client.schedule_executions("s") == []


def test_what_became_of_due_times_is_searched(env: Environment) -> None:
    env.client.save_schedule(schedule("good"))
    env.client.save_schedule(schedule("bad", startWorkflowRequest={"name": "nowhere"}))
    for _ in range(2):
        env.clock.advance(3600)
        env.decide()

    def found(query: str | None = None, **more: Any) -> list[tuple[str, int]]:
        result = env.run(schedules.search_executions(env.store, query, **more))
        return [(one.schedule_name, (one.scheduled_time - NINE_MS) // HOUR_MS) for one in result.items]

    assert found() == [("bad", 1), ("good", 1), ("bad", 0), ("good", 0)]
    assert found("state=EXECUTED") == [("good", 1), ("good", 0)]
    assert found(f"scheduleName=bad AND scheduledTime>{NINE_MS}") == [("bad", 1)]
    assert found(free_text="nowhere", sort="scheduledTime:ASC") == [("bad", 0), ("bad", 1)]
    assert found(start=1, size=2) == [("good", 1), ("bad", 0)]
    assert env.run(schedules.search_executions(env.store, size=1)).total == 4
    with pytest.raises(InvalidRequest):
        found("scheduledTime>yesterday")


# --- deciders that die, and ones that are slow ------------------------------------------------------------------------


@pytest.fixture
def stage(fakeredis_url: str) -> Stage:
    """A store at noon with one workflow and an hourly schedule that catches up."""
    stage = Stage(fakeredis_url)
    stage.now = ON_THE_HOUR
    stage.register(workflow_def(noop("a")))
    stage.run(schedules.save(stage.store, schedule(runCatchupScheduleInstances=True)))
    return stage


class Watch:
    """A clock of a process, apart from the store's."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def now_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return self.at_s


def fire(stage: Stage, watch: Watch | None = None) -> int:
    return int(stage.run(firing.fire_due(stage.store, watch or Watch())))


def starts_of(stage: Stage) -> int:
    """How many executions there are."""
    stage.settle(stage.decider())
    counts = stage.do([Command(("ZCARD", stage.keys.by_name(n, "flow"))) for n in range(stage.settings.partitions)])
    return sum(int(count) for count in counts)


DEATHS = ["claim_schedules", "start", "fired_schedule"]


@pytest.mark.parametrize("script", DEATHS)
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
def test_a_decider_that_dies_anywhere_neither_loses_nor_doubles_a_due_time(
    stage: Stage, script: str, is_done: bool
) -> None:
    stage.now = ON_THE_HOUR + 3 * HOUR_MS

    def die(steps: Any) -> None:
        if any(isinstance(step, Call) and step.script == script for step in steps):
            stage.before = None
            if is_done:
                stage.do(list(steps))
            raise Died

    stage.before = die
    with pytest.raises(Died):
        fire(stage)
    stage.now += firing.CLAIM_MS + 1
    while fire(stage) == 0:
        pass
    found = stage.run(schedules.executions(stage.store))
    assert [one.state for one in found] == ["EXECUTED"] * 3
    assert len({one.workflow_id for one in found}) == 3
    assert starts_of(stage) == 3


def test_two_that_fire_the_same_due_time_start_it_once(stage: Stage) -> None:
    stage.now = ON_THE_HOUR + HOUR_MS
    second: list[int] = []

    def race(steps: Any) -> None:
        if any(isinstance(step, Call) and step.script == "start" for step in steps):
            stage.before = None
            stage.now += firing.CLAIM_MS + 1
            second.append(fire(stage))

    stage.before = race
    fire(stage)
    assert second == [0]
    assert starts_of(stage) == 1
    assert len(stage.run(schedules.executions(stage.store))) == 1
    assert stage.run(schedules.get(stage.store, "s")).next_run_time == ON_THE_HOUR + 2 * HOUR_MS


def test_one_that_was_held_up_after_its_claim_starts_nothing(stage: Stage) -> None:
    stage.now = ON_THE_HOUR + HOUR_MS
    watch = Watch()

    def hold_up(steps: Any) -> None:
        if any(isinstance(step, Call) and step.script == "claim_schedules" for step in steps):
            watch.at_s += firing.CLAIM_MS / 1000

    stage.before = hold_up
    assert fire(stage, watch) == 0
    assert starts_of(stage) == 0


def test_what_cannot_be_tried_for_now_comes_again(stage: Stage) -> None:
    stage.now = ON_THE_HOUR + HOUR_MS

    def refuse(steps: Any) -> Any:
        if any(isinstance(step, Call) and step.script == "start" for step in steps):
            return [StoreUnavailable("away") for _ in steps]
        return None

    stage.before = refuse
    fire(stage)
    (execution,) = stage.run(schedules.executions(stage.store))
    assert (execution.state, execution.reason) == ("POLLED", "away")
    stage.before = None
    assert fire(stage) > 0
    stage.now += firing.CLAIM_MS + 1
    fire(stage)
    (execution,) = stage.run(schedules.executions(stage.store))
    assert (execution.state, execution.reason) == ("EXECUTED", None)


def test_a_due_time_that_waits_survives_a_change_that_leaves_the_times_alone(stage: Stage) -> None:
    stage.now = ON_THE_HOUR + HOUR_MS
    stage.run(schedules.save(stage.store, schedule(description="new", runCatchupScheduleInstances=True)))
    assert stage.run(schedules.get(stage.store, "s")).next_run_time == ON_THE_HOUR + HOUR_MS
    stage.run(schedules.save(stage.store, schedule(cron="0 30 * * * ?")))
    assert stage.run(schedules.get(stage.store, "s")).next_run_time == ON_THE_HOUR + HOUR_MS + HOUR_MS // 2


def test_a_schedule_that_a_newer_release_wrote_is_left_to_it(stage: Stage) -> None:
    stage.do(Command(("HSET", stage.keys.schedules(), "s", b'{"name": "s", "startWorkflowRequest": 7}')))
    stage.now = ON_THE_HOUR + HOUR_MS
    assert fire(stage) > 0
    assert starts_of(stage) == 0


# --- keeping ----------------------------------------------------------------------------------------------------------


def test_a_schedule_comes_back_as_it_was_written_with_who_and_when(env: Environment) -> None:
    document = schedule_to_dict(schedule(createdBy="ada", description="d", tags=[{"key": "team", "value": "x"}]))
    saved = schedule_to_dict(env.client.save_schedule(schedule_from_dict(document)))
    now_ms = env.clock.now_ms()
    assert saved == {**document, "createTime": now_ms, "updatedTime": now_ms, "nextRunTime": NINE_MS}
    env.clock.advance(60)
    again = env.client.save_schedule(schedule_from_dict({**document, "createdBy": "bob", "tags": []}))
    assert (again.create_time, again.updated_time, again.created_by) == (now_ms, now_ms + 60_000, "ada")
    assert [tag.key for tag in again.tags] == ["team"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"cronExpression": None}, "cronExpression"),
        ({"cronExpression": "every day"}, "cronExpression"),
        ({"zoneId": "Mars/Olympus"}, "cronExpression"),
        ({"cronSchedules": [{"cronExpression": "@daily"}, {"cronExpression": "x"}]}, "cronSchedules[1].cronExpression"),
        ({"cronSchedules": [{"cronExpression": "@daily"}] * 21}, "cronSchedules"),
        ({"scheduleStartTime": 2, "scheduleEndTime": 1}, "scheduleEndTime"),
        ({"startWorkflowRequest": {"name": ""}}, "startWorkflowRequest.name"),
        ({"startWorkflowRequest": {"name": "a", "priority": 100}}, "startWorkflowRequest.priority"),
        ({"startWorkflowRequest": {"name": "a", "idempotencyKey": "k"}}, "startWorkflowRequest.idempotencyKey"),
        ({"startWorkflowRequest": None}, "startWorkflowRequest"),
        ({"paused": "maybe"}, "paused"),
    ],
)
def test_a_schedule_that_cannot_work_is_refused_with_the_place(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(DefinitionInvalid) as refused:
        schedule(**fields)
    assert [problem.path for problem in refused.value.problems] == [path]


def test_an_inline_definition_is_judged_when_the_schedule_is_stored(env: Environment) -> None:
    bad = {"name": "x", "tasks": [{"name": "a", "taskReferenceName": "a", "type": "SWITCH"}]}
    with pytest.raises(DefinitionInvalid):
        env.client.save_schedule(schedule(startWorkflowRequest={"name": "x", "workflowDef": bad}))


def test_schedules_are_found_by_workflow_name_state_and_text(env: Environment) -> None:
    env.client.save_schedule(schedule("nightly", description="the Prices"))
    env.client.save_schedule(schedule("weekly", startWorkflowRequest={"name": "other"}))
    env.client.save_schedule(schedule("paused", paused=True, pausedReason="why"))

    def names(**conditions: Any) -> list[str]:
        return [one.name for one in asked(env, schedules.search, **conditions).items]

    assert names() == ["nightly", "paused", "weekly"]
    assert names(workflow_name="other") == ["weekly"]
    assert names(schedule_name="LY") == ["nightly", "weekly"]
    assert names(paused=True) == ["paused"]
    assert names(free_text="prices") == ["nightly"]
    assert names(free_text="*") == ["nightly", "paused", "weekly"]
    assert names(sort="name:DESC") == ["weekly", "paused", "nightly"]
    assert names(start=1, size=1) == ["paused"]
    assert asked(env, schedules.search, size=1).total == 3
    assert [one.name for one in env.client.schedules("flow")] == ["nightly", "paused"]


def test_many_are_paused_and_resumed_at_once_and_errors_are_told_by_name(env: Environment) -> None:
    env.client.save_schedule(schedule("a"))
    env.client.save_schedule(schedule("b"))
    result = env.run(schedules.pause_many(env.store, ["a", "b", "c", "a"], "later"))
    assert (result.succeeded, list(result.failed)) == (["a", "b"], ["c"])
    assert [one.paused for one in env.client.schedules()] == [True, True]
    env.run(schedules.resume_many(env.store, ["a"]))
    assert [one.paused for one in env.client.schedules()] == [False, True]
    with pytest.raises(InvalidRequest, match="1 to 1,000 names"):
        env.run(schedules.pause_many(env.store, []))


def test_what_is_not_there_is_not_found(env: Environment) -> None:
    for act in (env.client.schedule, env.client.delete_schedule, env.client.pause_schedule, env.client.resume_schedule):
        with pytest.raises(NotFound, match="'none' not found"):
            act("none")


def test_tags_are_put_on_and_taken_off(env: Environment) -> None:
    env.client.save_schedule(schedule())
    tags = [ScheduleTag(key="team", value="a"), ScheduleTag(key="team", value="b")]
    env.run(schedules.set_tags(env.store, "s", [*tags, tags[0]]))
    assert env.client.schedule("s").tags == tags
    env.run(schedules.remove_tags(env.store, "s", [tags[0], ScheduleTag(key="no")]))
    assert env.client.schedule("s").tags == tags[1:]


def test_the_next_times_are_five_at_most_and_within_bounds(env: Environment) -> None:
    assert env.client.schedule_times(HOURLY, limit=99) == [NINE_MS + hour * HOUR_MS for hour in range(5)]
    crons = [CronSchedule(cron_expression=HOURLY), CronSchedule(cron_expression="0 30 * * * ?")]
    bounded = schedules.next_times(env.store, crons, start_ms=NINE_MS, end_ms=NINE_MS + HOUR_MS)
    assert env.run(bounded) == [NINE_MS, NINE_MS + HOUR_MS // 2, NINE_MS + HOUR_MS]
    with pytest.raises(InvalidRequest, match="no cron expression"):
        env.client.schedule_times("every day")


def test_two_that_change_a_schedule_at_once_both_succeed(stage: Stage) -> None:
    def meanwhile(steps: Any) -> None:
        if any(isinstance(step, Call) and step.script == "put_schedule" for step in steps):
            stage.before = None
            stage.run(schedules.set_tags(stage.store, "s", [ScheduleTag(key="k")]))

    stage.before = meanwhile
    stage.run(schedules.pause(stage.store, "s"))
    found = stage.run(schedules.get(stage.store, "s"))
    assert (found.paused, [tag.key for tag in found.tags]) == (True, ["k"])


def test_requeueing_ends_all_claims(stage: Stage) -> None:
    stage.now = ON_THE_HOUR + HOUR_MS

    def die(steps: Any) -> None:
        if any(isinstance(step, Call) and step.script == "start" for step in steps):
            raise Died

    stage.before = die
    with pytest.raises(Died):
        fire(stage)
    stage.before = None
    assert fire(stage) > 0
    assert stage.run(schedules.requeue_all(stage.store)) == 1
    assert fire(stage) == 0
    assert len(stage.run(schedules.executions(stage.store))) == 1
