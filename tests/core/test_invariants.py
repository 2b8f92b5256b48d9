"""The last look at a decision: each way in which a draft can be damaged is noticed and named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import Raw
from msgspec.structs import replace

from orchestrator.codec import EMPTY_MAP
from orchestrator.core import invariants
from orchestrator.core.decide import decide
from orchestrator.core.draft import Dispatch, Draft
from orchestrator.core.invariants import InvariantBroken
from orchestrator.core.state import WorkflowState
from orchestrator.model.events import Continued
from orchestrator.model.records import FORMAT, Meta, Pending
from tests.support.build import fork, join, noop, simple, workflow_def
from tests.support.happenings import completed, started
from tests.support.story import ID, Story


def a_good_draft() -> Draft:
    definition = workflow_def(simple("x"), fork("f", [simple("a")], [simple("b")]), join("j", "a", "b"))
    draft = Story(definition).when(started(), completed("x")).drafts[-1]
    draft.state.core = Story(definition).when(started()).core
    draft.state.records = {ref: record for ref, record in draft.state.records.items() if ref == "x"}
    draft.state.records["x"] = Story(definition).when(started()).warm.records["x"]
    return draft


def lose_an_open_task(d: Draft) -> None:
    d.core.open -= 1


def miscount_a_join(d: Draft) -> None:
    d.core.joins["j"] = replace(d.core.joins["j"], remaining=3)


def overcount_failures(d: Draft) -> None:
    d.core.joins["j"] = replace(d.core.joins["j"], failed=1)


def end_with_steps_left(d: Draft) -> None:
    d.core.status, d.core.ended_ms = "FAILED", 1


def end_without_a_time(d: Draft) -> None:
    d.core.status, d.core.joins = "FAILED", {}


def forget_to_go_on(d: Draft) -> None:
    d.core.agenda = [Pending("a")]


def hold_steps_back(d: Draft) -> None:
    d.core.held = [Pending("a")]


def skip_a_number(d: Draft) -> None:
    d.core.sequence += 1


def skip_an_attempt(d: Draft) -> None:
    d.scheduled["a"] = replace(d.scheduled["a"], attempt=2)


def make_a_task_twice(d: Draft) -> None:
    d.state.records["a"] = d.records["a"]


def forget_a_dispatch_entry(d: Draft) -> None:
    del d.opened[d.records["a"].suffix]


def dispatch_with_the_wrong_letter(d: Draft) -> None:
    d.opened[d.records["a"].suffix] = Dispatch("W", 0, 0, "a")


def dispatch_a_stranger(d: Draft) -> None:
    d.opened["stranger"] = Dispatch("S", 0, 0, "a")


def forget_to_offer(d: Draft) -> None:
    d.handoffs = []


def guard_what_stays_open(d: Draft) -> None:
    d.guarded["suffix"] = None


DAMAGE: list[tuple[Callable[[Draft], None], str]] = [
    (lose_an_open_task, "2 tasks count as open, 3 are"),
    (miscount_a_join, "join j waits for 3 of 2"),
    (overcount_failures, "join j counts more members that went wrong than have ended"),
    (end_with_steps_left, "FAILED with steps, joins, loops or scripts left"),
    (end_without_a_time, "FAILED with an end at 0"),
    (forget_to_go_on, "steps are left over and nothing will take them up"),
    (hold_steps_back, "RUNNING with steps held back"),
    (skip_a_number, "numbers 2 to 6 given out"),
    (skip_an_attempt, "attempt 2 of a does not follow attempt 1"),
    (make_a_task_twice, "a was made twice"),
    (forget_a_dispatch_entry, "a is open without a dispatch entry"),
    (dispatch_with_the_wrong_letter, "a has a dispatch entry 'W' that does not fit it"),
    (dispatch_a_stranger, "dispatch entries are opened or closed that are not of this decision's tasks"),
    (forget_to_offer, "a is open and not offered to any queue"),
    (guard_what_stays_open, "dispatch entries are opened or closed"),
]


def test_a_good_draft_passes() -> None:
    invariants.check(a_good_draft())


@pytest.mark.parametrize(("damage", "named"), DAMAGE, ids=[damage.__name__ for damage, _ in DAMAGE])
def test_a_damaged_draft_is_refused_and_says_how_it_is_damaged(damage: Callable[[Draft], None], named: str) -> None:
    draft = a_good_draft()
    damage(draft)
    with pytest.raises(InvariantBroken) as caught:
        invariants.check(draft)
    assert named in str(caught.value)
    assert ID in str(caught.value)


def test_a_workflow_begins_with_its_start() -> None:
    story = Story(workflow_def(noop("a")))
    meta = Meta(format=FORMAT, name="flow", version=1, definition_hash="h")
    state = WorkflowState(ID, meta, Raw(EMPTY_MAP))
    with pytest.raises(InvariantBroken, match="has not been started, its first event is Continued"):
        decide(state, [Continued(at_ms=1)], story.program, story.facts)
