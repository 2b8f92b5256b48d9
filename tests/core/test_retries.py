"""Failures: retries and their delays, optional and permissive tasks, and what a failure that stands does."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.retries import DELAY_S_MAX, jitter_ms, may_retry, retry_delay_ms
from orchestrator.model.effects import Enqueue
from orchestrator.model.status import TASK_RETRIABLE, TaskStatus, is_successful, is_terminal
from tests.support.build import simple, step, task_def, wait, workflow_def
from tests.support.happenings import completed, failed, later, operation, reported, started
from tests.support.story import START_MS, Story


@pytest.mark.parametrize(
    ("fields", "delays_s"),
    [
        ({"retry_logic": "FIXED"}, [10, 10, 10, 10]),
        ({"retry_logic": "FIXED", "backoff_scale_factor": 3}, [10, 10, 10, 10]),
        ({"retry_logic": "LINEAR_BACKOFF"}, [10, 20, 30, 40]),
        ({"retry_logic": "LINEAR_BACKOFF", "backoff_scale_factor": 3}, [30, 60, 90, 120]),
        ({"retry_logic": "EXPONENTIAL_BACKOFF"}, [10, 20, 40, 80]),
        ({"retry_logic": "EXPONENTIAL_BACKOFF", "backoff_scale_factor": 3}, [10, 20, 40, 80]),
        ({"retry_logic": "FIXED", "max_retry_delay_seconds": 7}, [7, 7, 7, 7]),
        ({"retry_logic": "LINEAR_BACKOFF", "max_retry_delay_seconds": 25}, [10, 20, 25, 25]),
        ({"retry_logic": "EXPONENTIAL_BACKOFF", "max_retry_delay_seconds": 25}, [10, 20, 25, 25]),
    ],
)
def test_the_delay_grows_by_the_retry_logic_up_to_its_cap(fields: dict[str, Any], delays_s: list[int]) -> None:
    policy = task_def("a", retry_delay_seconds=10, **fields)
    assert [retry_delay_ms(policy, attempt, "t") for attempt in range(4)] == [delay * 1000 for delay in delays_s]


def test_a_delay_never_grows_past_what_fits_into_32_bits() -> None:
    policy = task_def("a", retry_delay_seconds=60, retry_logic="EXPONENTIAL_BACKOFF")
    assert retry_delay_ms(policy, 5000, "t") == DELAY_S_MAX * 1000


def test_jitter_is_the_same_for_a_task_spread_over_tasks_and_never_beyond_its_bound() -> None:
    found = [jitter_ms(f"task-{number}", 99) for number in range(2000)]
    assert found == [jitter_ms(f"task-{number}", 99) for number in range(2000)]
    assert set(found) == set(range(100))
    assert jitter_ms("task", 0) == 0
    capped = task_def("a", retry_delay_seconds=10, max_retry_delay_seconds=5, backoff_jitter_ms=400)
    assert 5000 <= retry_delay_ms(capped, 0, "task") == 5000 + jitter_ms("task", 400) <= 5400


UNSUCCESSFUL = [status for status in TASK_RETRIABLE if is_terminal(status) and not is_successful(status)]


@pytest.mark.parametrize("status", UNSUCCESSFUL)
def test_only_retriable_failures_are_followed_by_another_attempt(status: TaskStatus) -> None:
    assert may_retry("SIMPLE", status, 0, 3) is TASK_RETRIABLE[status]
    assert not may_retry("SIMPLE", status, 3, 3)
    assert not may_retry("JOIN", status, 0, 3)


def test_a_failed_attempt_is_followed_by_the_next_after_its_delay() -> None:
    story = Story(workflow_def(simple("a")), task_defs=[task_def("a", retry_count=2, retry_delay_seconds=4)])
    story.when(started(), later(1), failed("a", "no answer", output={"tried": 1})).expect("RUNNING", open=["a"])
    first, second = story.earlier("a", 0), story.task("a")
    assert (first.status, first.output, first.reason) == ("FAILED", {"tried": 1}, "no answer")
    assert first.record.result is not None
    assert first.record.result.retried
    made = second.record.scheduled
    assert (second.status, second.attempt, second.output, second.reason) == ("SCHEDULED", 1, {}, "no answer")
    assert (made.retried_task_id, made.first_scheduled_ms, made.scheduled_ms, made.delay_ms) == (
        story.id_of("a", 0),
        START_MS,
        START_MS + 1000,
        4000,
    )
    assert [offer.delay_ms for offer in story.enqueues_of("a")] == [0, 4000]
    story.when(failed("a"), failed("a", "for good")).expect("FAILED", tasks={"a": "FAILED"}, reason="'for good'")
    assert story.task("a").attempt == 2


def test_a_task_may_ask_for_its_own_delay() -> None:
    story = Story(workflow_def(simple("a")), task_defs=[task_def("a", retry_delay_seconds=60)])
    story.when(started(), failed("a", retry_after_ms=250), failed("a", retry_after_ms=0))
    assert [offer.delay_ms for offer in story.enqueues_of("a")] == [0, 250, 0]


@pytest.mark.parametrize(("own", "registered", "attempts"), [(None, 2, 3), (0, 2, 1), (1, 2, 2), (3, 0, 4)])
def test_the_steps_own_retry_count_goes_before_the_definitions(own: int | None, registered: int, attempts: int) -> None:
    definition = workflow_def(simple("a", retry_count=own))
    story = Story(definition, task_defs=[task_def("a", retry_count=registered)]).when(started())
    story.when(*[failed("a")] * (attempts - 1)).expect("RUNNING").when(failed("a")).expect("FAILED")
    assert len(story.sent(Enqueue)) == attempts


def test_without_a_definition_a_simple_task_is_retried_thrice_after_a_minute_and_others_never() -> None:
    story = Story(workflow_def(simple("a"))).when(started(), *[failed("a")] * 3).expect("RUNNING")
    assert [offer.delay_ms for offer in story.sent(Enqueue)] == [0, 60_000, 60_000, 60_000]
    Story(workflow_def(step("RESIZE", "a"))).when(started(), failed("a")).expect("FAILED")


def test_a_definition_that_changes_takes_effect_with_the_next_failure() -> None:
    story = Story(workflow_def(simple("a")), task_defs=[task_def("a", retry_count=0)]).when(started())
    story.facts.task_defs = {"a": task_def("a", retry_count=1)}
    story.when(failed("a")).expect("RUNNING").when(failed("a")).expect("FAILED")


def test_the_input_of_a_retry_is_rendered_again_over_the_old() -> None:
    given = {"x": "${workflow.variables.x}", "y": "${workflow.input.y}"}
    story = Story(workflow_def(simple("a", given), variables={"x": 1}), input={"y": 2}, task_defs=[task_def("a")])
    story.when(started())
    story.variables_bytes = b"\x81\xa1x\x05"
    story.warm.set_variables(story.variables_bytes)
    story.when(failed("a"))
    assert story.task("a").input == {"x": 5, "y": 2}


def test_a_failure_for_good_is_not_retried() -> None:
    story = Story(workflow_def(simple("a"))).when(started(), failed("a", "bad card", terminal=True))
    story.expect("FAILED", tasks={"a": "FAILED_WITH_TERMINAL_ERROR"}, reason="'bad card'")


def test_a_cancelled_task_terminates_its_workflow() -> None:
    story = Story(workflow_def(simple("a"))).when(started(), reported("a", "CANCELED", reason="not needed"))
    story.expect(
        "TERMINATED", reason=f"Task {story.id_of('a')} failed with status: TERMINATED and reason: 'not needed'"
    )


def test_the_tasks_that_failed_are_listed_also_when_a_retry_made_good() -> None:
    definition = workflow_def(simple("a", name="charge"), simple("b"))
    story = Story(definition, task_defs=[task_def("charge")]).when(started(), failed("a"), failed("a"), completed("a"))
    story.when(completed("b")).expect("COMPLETED")
    assert (story.core.failed_refs, story.core.failed_names) == (["a"], ["charge"])


def test_a_wait_that_fails_is_retried_when_its_definition_says_so() -> None:
    story = Story(workflow_def(wait("w")), task_defs=[task_def("w", retry_count=1)]).when(started(), failed("w"))
    story.expect("RUNNING", open=["w"]).when(completed("w")).expect("COMPLETED")


# --- optional and permissive ------------------------------------------------------------------------------------------

FLAGS = [
    ({"optional": True}, "COMPLETED_WITH_ERRORS", "COMPLETED"),
    ({"permissive": True}, None, "FAILED"),
    ({"optional": True, "permissive": True}, "COMPLETED_WITH_ERRORS", "COMPLETED"),
]


@pytest.mark.parametrize(("flags", "task_status", "status"), FLAGS)
@pytest.mark.parametrize("terminal", [False, True])
def test_a_workflow_goes_on_without_an_optional_or_permissive_task(
    flags: dict[str, Any], task_status: str | None, status: str, terminal: bool
) -> None:
    definition = workflow_def(simple("a", retry_count=1, **flags), simple("b"))
    story = Story(definition, task_defs=[task_def("a")]).when(started(), failed("a", "one", terminal=terminal))
    if not terminal:
        story.expect("RUNNING", open=["a"]).when(failed("a", "two"))
    ended = task_status or ("FAILED_WITH_TERMINAL_ERROR" if terminal else "FAILED")
    story.expect("RUNNING", open=["b"], tasks={"a": ended}).when(completed("b", {"x": 1})).expect(status)
    if status == "FAILED":
        reason = f"Task {story.id_of('a')} failed with status: {ended} and reason: '{'one' if terminal else 'two'}'"
        assert story.core.reason == reason
    assert story.output == {"x": 1}


def test_the_reasons_of_all_permissive_tasks_are_the_workflows() -> None:
    definition = workflow_def(*(simple(ref, retry_count=0, permissive=True) for ref in "ab"), simple("c"))
    story = Story(definition).when(started(), failed("a", "one"), failed("b", "two"), completed("c")).expect("FAILED")
    first, second = (story.core.reason or "").split(". ")
    assert (story.id_of("a") in first, story.id_of("b") in second) == (True, True)


def test_a_permissive_task_that_succeeded_in_the_end_fails_nothing() -> None:
    story = Story(workflow_def(simple("a", permissive=True)), task_defs=[task_def("a")])
    story.when(started(), failed("a"), completed("a")).expect("COMPLETED")


def test_a_failure_that_came_while_paused_is_retried_on_resume_with_its_own_delay() -> None:
    story = Story(workflow_def(simple("a")), task_defs=[task_def("a", retry_delay_seconds=9)])
    story.when(started(), operation("pause"), failed("a", retry_after_ms=70)).expect("PAUSED", open=[])
    story.when(later(500), operation("resume")).expect("RUNNING", open=["a"])
    assert [offer.delay_ms for offer in story.sent(Enqueue)] == [0, 70]
