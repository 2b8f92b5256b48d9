"""schedule: from options and files into the store and back, and deciders that fire it while they are being killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from orchestrator.client import Client
from orchestrator.model.schedules import schedule_from_dict
from tests.cli.conftest import Command, Invoke, write
from tests.support.build import noop, workflow_def
from tests.support.eventually import eventually

DAILY = ("--cron", "0 0 9 * * ?", "--zone", "Europe/Berlin")


def test_a_schedule_is_created_listed_read_back_paused_and_deleted(invoke: Invoke, tmp_path: Path) -> None:
    created = invoke("schedule", "create", "nightly", "report", *DAILY, "-i", "kind=all", "-i", "n:=3", "--catch-up")
    assert created.exit_code == 0
    assert "Europe/Berlin" in created.stdout
    printed = invoke("schedule", "get", "nightly").stdout
    document = json.loads(printed)
    assert document["startWorkflowRequest"]["input"] == {"kind": "all", "n": 3}
    assert document["runCatchupScheduleInstances"] is True
    file = write(tmp_path, "more.yaml", yaml.safe_dump([document, {**document, "name": "weekly"}]))
    assert invoke("schedule", "apply", file, "-o", "name").stdout == "nightly\nweekly\n"
    assert invoke("schedule", "pause", "weekly", "--reason", "new prices").exit_code == 0
    assert invoke("schedule", "list", "--paused", "-o", "name").stdout == "weekly\n"
    assert json.loads(invoke("schedule", "get", "weekly").stdout)["pausedReason"] == "new prices"
    assert invoke("schedule", "resume", "weekly").exit_code == 0
    assert invoke("schedule", "list", "--paused", "-o", "name").stdout == ""
    assert invoke("schedule", "executions").exit_code == 0
    assert invoke("schedule", "delete", "nightly", "weekly").exit_code == 0
    assert invoke("schedule", "get", "nightly").exit_code == 3


def test_intervals_and_moments_are_created_and_listed_in_words(invoke: Invoke) -> None:
    often = ("--every", "1h 30m", "--overlap", "skip", "--jitter", "30s")
    assert invoke("schedule", "create", "often", "report", *often).exit_code == 0
    assert invoke("schedule", "create", "once", "report", "--at", "2100-01-01 09:00 UTC").exit_code == 0
    document = json.loads(invoke("schedule", "get", "often").stdout)
    assert (document["intervalSeconds"], document["overlapPolicy"], document["jitterSeconds"]) == (5_400, "SKIP", 30)
    assert json.loads(invoke("schedule", "get", "once").stdout)["runAt"] == 4_102_477_200_000
    listed = invoke("schedule", "list").stdout
    assert "every 1h 30m" in listed
    assert "once, 2100-01-01" in listed
    assert invoke("schedule", "create", "s", "report", "--every", "often").exit_code == 2
    assert invoke("schedule", "create", "s", "report").exit_code == 7


def test_run_now_and_backfill_print_what_they_started(invoke: Invoke, fakeredis_url: str) -> None:
    with Client(fakeredis_url) as client:
        client.register(workflow_def(noop("a")))
    assert invoke("schedule", "create", "s", "flow", "--every", "60m").exit_code == 0
    (execution,) = json.loads(invoke("schedule", "run-now", "s", "-o", "json").stdout)
    assert execution["workflowId"]
    span = ("--from", "2024-01-01 00:00", "--to", "2024-01-01 03:00")
    found = json.loads(invoke("schedule", "backfill", "s", *span, "-o", "json").stdout)
    assert [one["state"] for one in found] == ["EXECUTED"] * 4
    assert invoke("schedule", "backfill", "nowhere", *span).exit_code == 3


def test_the_next_times_are_printed_in_their_zone(invoke: Invoke) -> None:
    lines = invoke("schedule", "next", "0 30 9 * * ?", "--zone", "Asia/Tokyo", "--limit", "2").stdout.splitlines()
    assert [line[10:] for line in lines] == ["T09:30:00+09:00"] * 2


@pytest.mark.parametrize("cron", ["every day", "0 0 9 30 2 ?"])
def test_an_expression_that_cannot_be_used_is_refused(invoke: Invoke, cron: str) -> None:
    refused = invoke("schedule", "create", "s", "report", "--cron", cron)
    assert refused.exit_code == 7
    assert cron in refused.stderr


def test_deciders_that_are_killed_again_and_again_lose_no_due_time_and_double_none(
    command: Command, redis_url: str
) -> None:
    client = Client(redis_url)
    client.register(workflow_def(noop("a")))
    deciders = [command("--redis", redis_url, "decider", "--no-system-tasks") for _ in range(2)]
    document = {"name": "s", "cronExpression": "* * * * * *", "startWorkflowRequest": {"name": "flow"}}
    client.save_schedule(schedule_from_dict({**document, "runCatchupScheduleInstances": True}))
    for kill in range(3):
        fired_before = len(client.schedule_executions("s"))
        eventually(lambda before=fired_before: len(client.schedule_executions("s")) > before, timeout_s=20)  # type: ignore[misc]
        deciders[kill % 2].kill()
        deciders[kill % 2] = command("--redis", redis_url, "decider", "--no-system-tasks")
    eventually(lambda: len(client.schedule_executions("s")) >= 14, timeout_s=25)
    client.pause_schedule("s")

    def everything_is_told() -> None:
        fired = client.schedule_executions("s")
        times = sorted(one.scheduled_time for one in fired)
        assert times == list(range(times[0], times[-1] + 1_000, 1_000))
        assert {one.state for one in fired} == {"EXECUTED"}
        found = client.list_workflows(name="flow", size=1_000).items
        assert {item.workflow_id for item in found} == {one.workflow_id for one in fired}

    eventually(everything_is_told)
    client.close()
