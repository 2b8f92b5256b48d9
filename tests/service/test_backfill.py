"""Starting a schedule's workflow now, and for due times that have passed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.testing import Environment, environment
from tests.support.build import noop, workflow_def

NINE = datetime(2030, 1, 1, 9, tzinfo=UTC)
NINE_MS = int(NINE.timestamp() * 1000)
HOUR = timedelta(hours=1)
HOUR_MS = 3_600_000


@pytest.fixture
def env() -> Iterator[Environment]:
    """An installation at nine with an hourly schedule that has just been stored."""
    with environment(now=NINE) as env:
        env.client.register(workflow_def(noop("a")))
        env.client.schedule_workflow("s", "flow", every_s=3_600)
        yield env


def test_a_backfill_starts_every_due_time_of_the_while_both_ends_included(env: Environment) -> None:
    found = env.client.backfill_schedule("s", NINE - 3 * HOUR, NINE)
    assert [one.scheduled_time for one in found] == [NINE_MS - hours * HOUR_MS for hours in (3, 2, 1, 0)]
    env.decide()
    view = env.client.workflow(found[0].workflow_id or "").describe()
    assert view.status == "COMPLETED"
    assert (view.input["_scheduledTime"], view.input["_schedulerCron"]) == (NINE_MS - 3 * HOUR_MS, "every 3600 s UTC")
    assert [one.workflow_id for one in env.client.schedule_executions("s")] == [
        one.workflow_id for one in reversed(found)
    ]
    assert env.client.schedule("s").next_run_time == NINE_MS + HOUR_MS


def test_what_was_fired_or_backfilled_before_is_not_doubled(env: Environment) -> None:
    env.clock.advance(3_600)
    env.decide()
    (fired,) = env.client.schedule_executions("s")
    first, second = [env.client.backfill_schedule("s", NINE - HOUR, NINE + HOUR) for _ in range(2)]
    assert [one.workflow_id for one in first] == [one.workflow_id for one in second]
    assert first[-1].workflow_id == fired.workflow_id
    env.decide()
    assert env.client.list_workflows(name="flow").total == 3


def test_a_backfill_of_times_to_come_of_too_many_or_of_nothing_known_is_refused(env: Environment) -> None:
    with pytest.raises(InvalidRequest, match="not to come"):
        env.client.backfill_schedule("s", NINE, NINE + HOUR)
    with pytest.raises(InvalidRequest, match="more than 1,000"):
        env.client.backfill_schedule("s", NINE - 1_001 * HOUR, NINE)
    with pytest.raises(InvalidRequest, match="names no time zone"):
        env.client.backfill_schedule("s", NINE.replace(tzinfo=None), NINE)
    with pytest.raises(NotFound):
        env.client.backfill_schedule("other", NINE, NINE)
    assert env.client.list_workflows(name="flow").total == 0


def test_a_thousand_due_times_are_backfilled_at_once(env: Environment) -> None:
    found = env.client.backfill_schedule("s", NINE - 999 * HOUR, NINE)
    assert len({one.workflow_id for one in found}) == 1_000
    assert len(env.client.schedule_executions("s", size=1_000)) == 500


def test_run_now_starts_one_even_when_paused_and_leaves_the_times_alone(env: Environment) -> None:
    env.client.pause_schedule("s")
    execution = env.client.run_schedule("s")
    env.decide()
    view = env.client.workflow(execution.workflow_id or "").describe()
    assert (view.status, view.input["_schedulerCron"]) == ("COMPLETED", "now UTC")
    assert env.client.schedule("s").next_run_time is None
    env.client.resume_schedule("s")
    assert env.client.schedule("s").next_run_time == NINE_MS + HOUR_MS


def test_run_now_that_is_repeated_with_its_request_id_starts_one(env: Environment) -> None:
    first = env.client.run_schedule("s", request_id="a")
    env.decide()
    env.clock.advance(7)
    again = env.client.run_schedule("s", request_id="a")
    env.decide()
    assert again.workflow_id == first.workflow_id
    assert env.client.run_schedule("s", request_id="b").workflow_id != first.workflow_id
    env.clock.advance(7)
    assert env.client.run_schedule("s").workflow_id not in (None, first.workflow_id)
    env.decide()
    assert env.client.list_workflows(name="flow").total == 3
    started = [one.workflow_id for one in env.client.schedule_executions("s")]
    assert started.count(first.workflow_id) == 1
    assert len(started) == 3


def test_run_now_of_what_cannot_be_started_says_why(env: Environment) -> None:
    env.client.schedule_workflow("lost", "nowhere", every_s=60)
    with pytest.raises(InvalidRequest, match="No such workflow defined"):
        env.client.run_schedule("lost")
    assert env.client.schedule_executions("lost") == []
