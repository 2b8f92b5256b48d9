"""Due times that no cron expression names: intervals, one moment, and starts that are spread."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import DefinitionInvalid
from orchestrator.model.due_times import delay_ms, due_after, due_at, preview
from orchestrator.model.schedules import Schedule, schedule_from_dict, schedule_to_dict

MINUTE_MS = 60_000


def schedule(**fields: Any) -> Schedule:
    return schedule_from_dict({"name": "s", "startWorkflowRequest": {"name": "flow"}, **fields})


def test_an_interval_without_a_beginning_comes_at_full_multiples_of_it() -> None:
    every = schedule(intervalSeconds=300)
    assert preview(every, 7 * MINUTE_MS, 3) == [10 * MINUTE_MS, 15 * MINUTE_MS, 20 * MINUTE_MS]
    assert preview(every, 10 * MINUTE_MS, 1) == [15 * MINUTE_MS]


def test_an_interval_counts_from_its_beginning_and_ends_with_its_end() -> None:
    every = schedule(intervalSeconds=60, scheduleStartTime=1_234, scheduleEndTime=1_234 + 2 * MINUTE_MS)
    assert preview(every, 0) == [1_234, 1_234 + MINUTE_MS, 1_234 + 2 * MINUTE_MS]
    assert due_at(every, 1_234) == (1_234, "every 60 s", "UTC")


def test_one_moment_comes_once() -> None:
    once = schedule(runAt=5_000)
    assert due_after(once, 4_999) == (5_000, "once", "UTC")
    assert due_after(once, 5_000) is None


def test_a_due_time_that_no_expression_names_any_more_is_said_to_come_from_the_first() -> None:
    assert due_at(schedule(cronExpression="0 0 9 * * ?"), 1) == (1, "0 0 9 * * ?", "UTC")


def test_the_delay_of_a_due_time_is_always_the_same_and_within_the_jitter() -> None:
    spread = schedule(intervalSeconds=60, jitterSeconds=30)
    delays = [delay_ms(spread, at_ms) for at_ms in range(0, 200 * MINUTE_MS, MINUTE_MS)]
    assert delays == [delay_ms(spread, at_ms) for at_ms in range(0, 200 * MINUTE_MS, MINUTE_MS)]
    assert min(delays) >= 0
    assert max(delays) <= 30_000
    assert len(set(delays)) > 150
    assert delay_ms(schedule(intervalSeconds=60), MINUTE_MS) == 0


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({}, "cronExpression"),
        ({"cronExpression": "0 0 9 * * ?", "intervalSeconds": 60}, "cronExpression"),
        ({"intervalSeconds": 60, "runAt": 5_000}, "cronExpression"),
        ({"intervalSeconds": 0}, "intervalSeconds"),
        ({"intervalSeconds": 400 * 86_400}, "intervalSeconds"),
        ({"runAt": 0}, "runAt"),
        ({"runAt": 10**18}, "runAt"),
        ({"intervalSeconds": 60, "jitterSeconds": -1}, "jitterSeconds"),
        ({"intervalSeconds": 60, "overlapPolicy": "MAYBE"}, "overlapPolicy"),
    ],
)
def test_what_names_no_times_is_refused_with_its_place(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(DefinitionInvalid) as refused:
        schedule(**fields)
    assert [problem.path for problem in refused.value.problems] == [path]


def test_its_json_form_reads_as_the_same_schedule() -> None:
    every = schedule(intervalSeconds=60, jitterSeconds=5, overlapPolicy="BUFFER")
    assert schedule_from_dict(schedule_to_dict(every)) == every
