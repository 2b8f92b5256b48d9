"""What a decision costs follows what happened, never how many tasks the workflow has run or has open."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.model.definitions import WorkflowDef
from tests.support.build import forked, simple, workflow_def
from tests.support.happenings import completed, started
from tests.support.story import Story

EVENTS = 20


def chain(length: int) -> WorkflowDef:
    refs = [f"s{number:05}" for number in range(length)]
    reads = [{}, *({"before": f"${{{ref}.output.x}}"} for ref in refs)]
    return workflow_def(*(simple(ref, given) for ref, given in zip(refs, reads, strict=False)))


def wide(width: int) -> WorkflowDef:
    return workflow_def(*forked("f", *([simple(f"s{number:05}"), simple(f"t{number:05}")] for number in range(width))))


def cost_per_event(definition: WorkflowDef, size: int) -> tuple[float, float]:
    """Records loaded by a decider that has nothing in memory, and bytes written, for events deep inside."""
    story = Story(definition).when(started())
    last = size - 1
    in_order = [completed(f"s{number:05}", {"x": "y" * 50}) for number in range(last)]
    story.when(*in_order[: last - EVENTS])
    story.records_loaded = story.bytes_written = 0
    story.when(*in_order[last - EVENTS :])
    return story.records_loaded / EVENTS, story.bytes_written / EVENTS


@pytest.mark.parametrize("shape", [chain, wide])
def test_an_event_costs_the_same_in_a_workflow_of_a_hundred_and_of_ten_thousand_tasks(
    shape: Callable[[int], WorkflowDef],
) -> None:
    small, large = (100, 10_000) if shape is chain else (50, 5_000)
    few, many = cost_per_event(shape(small), small), cost_per_event(shape(large), large)
    assert many[0] == few[0] <= 2
    assert many[1] == pytest.approx(few[1], rel=0.05)


def test_a_batch_of_reports_asks_for_what_all_of_them_need_at_once() -> None:
    story = Story(wide(100)).when(started())
    story.together(*(completed(f"s{number:05}") for number in range(100)))
    assert story.records_loaded == 100
    assert story.rounds <= 4
