"""Any workflow, ended anywhere, retried, rerun and restarted again and again: it completes when its tasks do.

Definitions are drawn as in ``test_properties``, decisions are made in small slices, and the story checks the books of each
step. However it ended before, nothing may be left open, cancelled or failed in the end.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.kinds import ACCEPTED, WAITING
from orchestrator.core.program import SCRIPT_MARK
from orchestrator.model.definitions import WorkflowTask
from orchestrator.model.status import is_terminal
from tests.core.test_properties import INPUT, VARIABLES, small_limits, workflows
from tests.support.build import workflow_def
from tests.support.conditions import Conditions
from tests.support.happenings import completed, failed, operation, started
from tests.support.story import Story

TASKS_MAX = 400
OPERATIONS = ("retry", "rerun", "rerun", "rerun", "restart")


def drive(story: Story, rng: random.Random, until: int | None = None) -> None:
    """Complete task after task; from the ``until``-th on things go wrong."""
    for count in range(TASKS_MAX):
        waiting = sorted(entry.ref for entry in story.dispatch.values() if entry.state != ACCEPTED)
        if is_terminal(story.status):
            return
        ref = rng.choice(waiting)
        entry = story.entry(ref)
        is_outside = entry is not None and entry.state == WAITING
        if until is not None and count >= until and rng.random() < 0.4:
            story.when(operation("terminate"))
        elif until is not None and count >= until and not is_outside:
            story.when(failed(ref, terminal=True))
        else:
            story.when(completed(ref, {"by": ref}, delivery=-1 if is_outside else 1))
    raise AssertionError(f"it does not come to an end: {story.status}, open {story.open}")


def may_have_failed(story: Story, ref: str) -> bool:
    """Whether this is the script of an attempt that was retried or did not matter; its task must still be there."""
    step, mark, rest = ref.partition(SCRIPT_MARK)
    purpose, between, iteration = rest.partition("__")
    owner = story.task(step + between + iteration)
    is_superseded = int(purpose.partition(".")[2] or 0) < owner.attempt
    return bool(mark) and (is_superseded or owner.status == "COMPLETED_WITH_ERRORS")


@pytest.mark.timeout(300)
@settings(max_examples=120, deadline=None)
@given(workflows(may_end=False), st.integers(0, 2**32))
def test_whatever_happened_before_a_workflow_completes_when_its_tasks_do(
    drawn: tuple[list[WorkflowTask], dict[str, Any]], seed: int
) -> None:
    rng = random.Random(seed)
    with small_limits():
        story = Story(workflow_def(*drawn[0], variables=VARIABLES), input=INPUT, scripts=Conditions()).when(started())
        for _ in range(4):
            drive(story, rng, rng.randrange(1, 12) if rng.random() < 0.7 else None)
            action = rng.choice(OPERATIONS)
            steps = sorted(ref for ref in story.scheduled if SCRIPT_MARK not in ref)
            arguments = {"ref": rng.choice(steps)} if action == "rerun" else {}
            story.when(operation(action, **arguments))
            assert action == "retry" or story.answers[-1].get("ok"), story.answers[-1]
        drive(story, rng)
    story.expect("COMPLETED", open=[])
    assert {story.statuses[ref] for ref in story.statuses if not may_have_failed(story, ref)} <= {
        "COMPLETED",
        "COMPLETED_WITH_ERRORS",
    }
