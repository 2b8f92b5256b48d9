"""What the SDK's ``SchedulerClient`` stores, pauses, previews, fires and finds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.python.hand import Model, Raised, Sdk, models
from tests.support.eventually import eventually

pytestmark = [pytest.mark.slow, pytest.mark.alone]

NEVER = "0 0 0 1 1 ?"  # once a year
EACH_SECOND = "* * * * * ?"
TICK = models.WorkflowTask(name="tick", task_reference_name="tick", type="NOOP", input_parameters={})


@pytest.fixture(scope="module", autouse=True)
def _definition(sdk: Sdk) -> None:
    sdk.metadata.register_workflow_def(models.WorkflowDef(name="nightly", version=1, tasks=[TICK]), True)


@pytest.fixture
def name(sdk: Sdk, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a schedule that is gone when the test ends."""
    name = request.node.originalname
    yield name
    sdk.scheduler.delete_schedule(name)


def save(sdk: Sdk, name: str, cron: str = NEVER, **fields: Any) -> None:
    request = models.StartWorkflowRequest(name="nightly", version=1, input={"of": name})
    sdk.scheduler.save_schedule(
        models.SaveScheduleRequest(name=name, cron_expression=cron, start_workflow_request=request, **fields)
    )


def test_a_schedule_comes_back_as_it_was_given(sdk: Sdk, name: str) -> None:
    save(sdk, name, zone_id="Europe/Berlin", description="each year", run_catchup_schedule_instances=True)
    found = sdk.scheduler.get_schedule(name)
    assert (found.name, found.cron_expression, found.zone_id) == (name, NEVER, "Europe/Berlin")
    assert (found.description, found.paused, found.run_catchup_schedule_instances) == ("each year", False, True)
    assert (found.start_workflow_request.name, found.start_workflow_request.input) == ("nightly", {"of": name})
    assert found.create_time > 0
    assert name in [one.name for one in sdk.scheduler.get_all_schedules()]
    assert name in [one.name for one in sdk.scheduler.get_all_schedules("nightly")]
    assert sdk.scheduler.get_all_schedules("nobody_is_called_so") == []


def test_a_schedule_is_paused_and_resumed(sdk: Sdk, name: str) -> None:
    save(sdk, name)
    sdk.scheduler.pause_schedule(name, reason="holiday")
    paused = sdk.scheduler.get_schedule(name)
    assert (paused.paused, paused.paused_reason) == (True, "holiday")
    sdk.scheduler.resume_schedule(name)
    assert sdk.scheduler.get_schedule(name).paused is False
    sdk.scheduler.pause(name, reason="again")
    assert sdk.scheduler.get_schedule(name).paused is True
    sdk.scheduler.resume(name)
    assert sdk.scheduler.get_schedule(name).paused is False


def test_a_deleted_schedule_is_unknown(sdk: Sdk) -> None:
    save(sdk, "short_lived")
    sdk.scheduler.delete_schedule("short_lived")
    with pytest.raises(Raised) as refused:
        sdk.scheduler.get_schedule("short_lived")
    assert refused.value.status == 404
    save(sdk, "short_lived")
    sdk.scheduler.delete("short_lived")
    with pytest.raises(Raised) as typed:
        sdk.scheduler.pause("short_lived")
    assert typed.value.kind == "ScheduleNotFound"


def test_due_times_are_shown_beforehand(sdk: Sdk) -> None:
    start = 1_800_000_000_000  # 2027-01-15, 08:00 UTC
    day = 86_400_000
    first = 1_800_057_600_000
    asked = {"schedule_start_time": start, "schedule_end_time": start + 10 * day, "limit": 3}
    times = sdk.scheduler.get_next_few_schedule_execution_times("0 0 0 * * ?", **asked)
    assert times == [first, first + day, first + 2 * day]
    assert sdk.scheduler.preview_next("0 0 0 * * ?", n=2, start_at=start) == [first, first + day]
    with pytest.raises(Raised) as typed:
        sdk.scheduler.preview_next("not a cron expression")
    assert typed.value.kind == "InvalidCronExpression"


def test_due_times_start_the_workflow_and_are_found(sdk: Sdk, name: str) -> None:
    save(sdk, name, EACH_SECOND)

    def fired() -> Model:
        found = sdk.scheduler.search_schedule_executions(
            start=0, size=5, sort="scheduledTime:DESC", query=f"scheduleName = '{name}' AND state = EXECUTED"
        )
        assert found.total_hits > 0
        execution: Model = found.results[0]
        return execution

    execution = eventually(fired)
    assert (execution.schedule_name, execution.workflow_name, execution.state) == (name, "nightly", "EXECUTED")
    started = sdk.workflow.get_workflow(execution.workflow_id)
    assert (started.workflow_name, started.input["of"]) == ("nightly", name)
    assert started.input["_scheduledTime"] == execution.scheduled_time


def test_everything_is_paused_and_resumed(sdk: Sdk, name: str) -> None:
    save(sdk, name, EACH_SECOND, paused=True)
    sdk.scheduler.pause_all_schedules()
    sdk.scheduler.resume_schedule(name)
    sdk.scheduler.resume_all_schedules()
    sdk.scheduler.requeue_all_execution_records()
    query = f"scheduleName = '{name}'"
    eventually(lambda: sdk.scheduler.search_schedule_executions(query=query).total_hits > 0)


def test_tags_are_hung_on_a_schedule(sdk: Sdk, name: str) -> None:
    save(sdk, name)
    tag, other = models.MetadataTag(key="team", value="blue"), models.MetadataTag(key="owner", value="ada")
    sdk.scheduler.set_scheduler_tags([tag, other], name)
    found = sdk.scheduler.get_scheduler_tags(name)
    assert sorted((one.key, one.value) for one in found) == [("owner", "ada"), ("team", "blue")]
    sdk.scheduler.delete_scheduler_tags([tag], name)
    assert [(one.key, one.value) for one in sdk.scheduler.get_scheduler_tags(name)] == [("owner", "ada")]


def test_the_schedules_of_a_workflow_become_those_that_are_desired(sdk: Sdk) -> None:
    kept, other = (models.Schedule(name=name, cron=NEVER, input={"of": name}) for name in ("kept", "other"))
    sdk.scheduler.reconcile("nightly", [kept, other])
    assert _of_nightly(sdk) == ["nightly-kept", "nightly-other"]
    sdk.scheduler.reconcile("nightly", [kept])
    assert _of_nightly(sdk) == ["nightly-kept"]
    sdk.scheduler.reconcile("nightly", [])
    assert _of_nightly(sdk) == []


def _of_nightly(sdk: Sdk) -> list[str]:
    return sorted(one.name for one in sdk.scheduler.get_all_schedules("nightly") if one.name.startswith("nightly-"))


def test_a_schedule_is_run_now(sdk: Sdk) -> None:
    unset = dict.fromkeys(("paused_reason", "start_at", "end_at", "description", "next_run", "create_time"))
    info = models.ScheduleInfo(
        name="nightly-now",
        short_name="now",
        agent="nightly",
        cron=NEVER,
        timezone="UTC",
        input={"of": "now"},
        paused=False,
        catchup=False,
        update_time=None,
        created_by=None,
        updated_by=None,
        **unset,
    )
    workflow_id = sdk.scheduler.run_now(info)
    assert sdk.workflow.get_workflow(workflow_id).input == {"of": "now"}
