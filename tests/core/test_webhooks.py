"""WAIT_FOR_WEBHOOK and what it is found by: the values of an event, whatever else it has."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.webhooks import mark_in, mark_of
from tests.support.build import step, workflow_def
from tests.support.happenings import completed, started
from tests.support.story import Story


def matches(wanted: dict[str, Any], event: Any) -> bool:
    mark = mark_of(1, wanted)
    return mark_in(mark.rpartition("\n")[0], event) == mark


@pytest.mark.parametrize(
    ("wanted", "event", "expected"),
    [
        ({"$['event']['type']": "message"}, {"event": {"type": "message", "x": 1}}, True),
        ({"$.a": 1, "$.b": "x"}, {"a": 1.0, "b": "x"}, True),
        ({"$.a": 1, "$.b": "x"}, {"a": 1, "b": "y"}, False),
        ({"$.a": "1"}, {"a": 1}, False),
        ({"$.a": True}, {"a": 1}, False),
        ({"$.a": None}, {}, True),
        ({"$.a": {"c": 1, "b": 2}}, {"a": {"b": 2, "c": 1}}, True),
        ({"$.items[*].id": ["x", "y"]}, {"items": [{"id": "x"}, {"id": "y"}]}, True),
        ({"$.a": "x"}, "no object", False),
    ],
)
def test_an_event_matches_when_all_values_are_equal_as_json(wanted: dict[str, Any], event: Any, expected: bool) -> None:
    assert matches(wanted, event) is expected


def test_it_waits_and_goes_on_with_what_came() -> None:
    flow = workflow_def(step("WAIT_FOR_WEBHOOK", "paid", {"matches": {"$.order": "${workflow.input.id}"}}))
    told = Story(flow, input={"id": "7"}).when(started()).expect("RUNNING", tasks={"paid": "IN_PROGRESS"})
    assert told.task("paid").input == {"matches": {"$.order": "7"}}
    told.when(completed("paid", {"order": "7"})).expect("COMPLETED")


@pytest.mark.parametrize("given", ["text", {}, {"$[": 1}, {f"$.a{n}": 1 for n in range(21)}])
def test_what_no_event_can_match_fails_the_task_for_good(given: Any) -> None:
    flow = workflow_def(step("WAIT_FOR_WEBHOOK", "paid", {"matches": "${workflow.input.m}"}))
    told = Story(flow, input={"m": given}).when(started()).expect("FAILED")
    assert told.task("paid").status == "FAILED_WITH_TERMINAL_ERROR"
