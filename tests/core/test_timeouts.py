"""Time-outs: the four of a task and that of the workflow, each with every policy, early, late and out of date."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from orchestrator.model.definitions import TaskDef, TimeoutPolicy
from orchestrator.model.effects import Enqueue, Remove
from tests.support.build import fork, join, loop, simple, task_def, workflow_def
from tests.support.conditions import Conditions
from tests.support.happenings import (
    Happening,
    accepted,
    claimed,
    completed,
    failed,
    later,
    operation,
    reported,
    started,
    timer,
)
from tests.support.story import START_MS, Story

DEFINITION = workflow_def(simple("a"), simple("b"))

KINDS: dict[str, tuple[dict[str, int], Sequence[Happening], str]] = {
    "total": ({"total_timeout_seconds": 30}, [], "exceeded total timeout of 30 seconds"),
    "task": (
        {"timeout_seconds": 30},
        [claimed("a")],
        "Task timed out after 30 seconds. Timeout configured as 30 seconds. Timeout policy configured to {policy}",
    ),
    "poll": (
        {"poll_timeout_seconds": 30},
        [],
        "Task poll timed out after 30 seconds. Timeout configured as 30 seconds. Timeout policy configured to {policy}",
    ),
}


def limited(**fields: object) -> Story:
    return Story(DEFINITION, task_defs=[task_def("a", **fields)]).when(started())


@pytest.mark.parametrize("kind", KINDS)
def test_a_timeout_with_policy_retry_ends_the_attempt_and_the_next_begins(kind: str) -> None:
    fields, before, reason = KINDS[kind]
    story = limited(timeout_policy=TimeoutPolicy.RETRY, retry_count=1, **fields).when(*before, later(30))
    story.when(timer("a"))
    assert [handoff.task_id for handoff in story.sent(Remove)] == [story.id_of("a", 0)]
    assert story.drafts[-1].guarded
    if kind == "total":
        story.expect(
            "TIMED_OUT", reason="exceeded total timeout of 30 seconds (elapsed 30 seconds across all attempts)"
        )
        return
    story.expect("RUNNING", open=["a"])
    assert story.earlier("a", 0).status == "TIMED_OUT"
    assert story.earlier("a", 0).reason == reason.format(policy="RETRY")
    story.when(*before, later(30), timer("a")).expect("TIMED_OUT", tasks={"a": "TIMED_OUT"})
    assert "failed with status: TIMED_OUT" in (story.core.reason or "")


@pytest.mark.parametrize("kind", KINDS)
def test_a_timeout_with_policy_time_out_wf_ends_the_workflow_whatever_flags_and_retries_say(kind: str) -> None:
    fields, before, reason = KINDS[kind]
    definition = workflow_def(simple("a", optional=True, retry_count=5))
    story = Story(definition, task_defs=[task_def("a", timeout_policy=TimeoutPolicy.TIME_OUT_WF, **fields)])
    story.when(started(), *before, later(30), timer("a"))
    story.expect("TIMED_OUT", tasks={"a": "TIMED_OUT"}, reason=reason.format(policy="TIME_OUT_WF"), open=[])
    assert story.core.failed_task_id == story.id_of("a")
    assert story.drafts[-1].guarded


@pytest.mark.parametrize("kind", KINDS)
def test_a_timeout_with_policy_alert_only_lets_the_task_go_on(kind: str) -> None:
    fields, before, reason = KINDS[kind]
    story = limited(timeout_policy=TimeoutPolicy.ALERT_ONLY, **fields).when(*before, later(30), timer("a"))
    story.expect("RUNNING", open=["a"])
    assert len(story.alerts) == 1
    assert reason.format(policy="ALERT_ONLY") in story.alerts[0]
    story.when(completed("a"), completed("b")).expect("COMPLETED")


@pytest.mark.parametrize("kind", KINDS)
def test_a_timer_that_fires_early_is_armed_again(kind: str) -> None:
    fields, before, _ = KINDS[kind]
    story = limited(timeout_policy=TimeoutPolicy.RETRY, **fields).when(*before, later(29.999), timer("a"))
    story.expect("RUNNING", open=["a"])
    assert list(story.timers.values()) == [START_MS + 30_000]


@pytest.mark.parametrize("policy", TimeoutPolicy)
def test_a_worker_that_stays_silent_is_replaced_whatever_the_policy_says(policy: TimeoutPolicy) -> None:
    story = limited(timeout_policy=policy, response_timeout_seconds=10, retry_count=1)
    story.when(claimed("a"), later(10), timer("a")).expect("RUNNING", open=["a"])
    reason = f"responseTimeout: 10 exceeded for the taskId: {story.id_of('a', 0)} with Task Definition: a"
    assert story.earlier("a", 0).reason == reason
    story.when(claimed("a"), later(10), timer("a")).expect("TIMED_OUT")


def test_a_sign_of_life_moves_the_response_timeout() -> None:
    story = limited(response_timeout_seconds=10).when(claimed("a"), later(9))
    entry = story.entry("a")
    assert entry is not None
    entry.touched_ms = story.now
    story.when(later(1), timer("a")).expect("RUNNING")
    assert list(story.timers.values()) == [START_MS + 19_000]


def test_a_task_that_nobody_has_taken_has_no_response_timeout_and_no_running_time() -> None:
    story = limited(response_timeout_seconds=10, timeout_seconds=10)
    assert story.timers == {}
    story.when(later(100), timer("a")).expect("RUNNING", open=["a"])


def test_waiting_for_nothing_but_a_limit_does_not_count_as_waiting_for_a_worker() -> None:
    story = limited(poll_timeout_seconds=30, timeout_policy=TimeoutPolicy.TIME_OUT_WF)
    story.when(later(50), timer("a", limited_ms=25_000)).expect("RUNNING")
    assert list(story.timers.values()) == [START_MS + 55_000]
    story.when(later(5), timer("a", limited_ms=25_000)).expect("TIMED_OUT")


def test_a_task_that_was_taken_before_has_no_poll_timeout_while_it_waits_again() -> None:
    story = limited(poll_timeout_seconds=30, timeout_policy=TimeoutPolicy.TIME_OUT_WF).when(claimed("a"))
    entry = story.entry("a")
    assert entry is not None
    entry.state = "S"
    story.when(later(60), timer("a")).expect("RUNNING")


def test_the_poll_timeout_begins_after_the_delay() -> None:
    definition = workflow_def(simple("a", start_delay=20))
    story = Story(definition, task_defs=[task_def("a", poll_timeout_seconds=30)]).when(started())
    assert list(story.timers.values()) == [START_MS + 50_000]


def test_the_earliest_of_several_timeouts_arms_the_timer_and_total_goes_first() -> None:
    story = limited(poll_timeout_seconds=20, total_timeout_seconds=20, timeout_policy=TimeoutPolicy.TIME_OUT_WF)
    assert list(story.timers.values()) == [START_MS + 20_000]
    story.when(later(20), timer("a")).expect("TIMED_OUT", reason="exceeded total timeout")


def test_an_alert_does_not_keep_another_timeout_from_being_watched() -> None:
    fields = {"poll_timeout_seconds": 10, "total_timeout_seconds": 40, "timeout_policy": TimeoutPolicy.ALERT_ONLY}
    story = limited(**fields).when(later(10), timer("a"))
    assert list(story.timers.values()) == [START_MS + 40_000]


def test_no_attempt_follows_when_the_total_time_is_used_up() -> None:
    story = limited(total_timeout_seconds=30, retry_count=5).when(later(31), failed("a", "slow", output={"x": 1}))
    story.expect("FAILED", tasks={"a": "FAILED"}, output={"x": 1}, reason="No further retries will be attempted")


def test_the_total_time_runs_from_the_first_attempt() -> None:
    story = limited(total_timeout_seconds=30, retry_count=5).when(later(20), failed("a"))
    assert list(story.timers.values()) == [START_MS + 30_000]


def test_a_timer_leaves_alone_what_has_been_accepted() -> None:
    story = limited(timeout_seconds=10).when(claimed("a"), later(10), accepted("a"), timer("a")).expect("RUNNING")
    story.when(completed("a"), completed("b")).expect("COMPLETED")


def test_what_a_worker_reported_on_the_way_stays_with_the_attempt_that_timed_out() -> None:
    story = limited(timeout_seconds=10, timeout_policy=TimeoutPolicy.RETRY).when(claimed("a"))
    story.when(reported("a", "IN_PROGRESS", {"done": 3}, logs=[(1, "three")]), later(10), timer("a"))
    old = story.earlier("a", 0)
    assert old.record.result is not None
    assert (old.status, old.output, old.record.result.logs) == ("TIMED_OUT", {"done": 3}, [(1, "three")])


def test_a_timer_of_an_earlier_attempt_changes_nothing() -> None:
    story = limited(total_timeout_seconds=300).when(failed("a"), later(400), timer("a", attempt=0))
    story.expect("RUNNING", open=["a"])


def test_timeouts_are_noticed_while_the_workflow_is_paused() -> None:
    story = limited(timeout_seconds=10, timeout_policy=TimeoutPolicy.RETRY).when(claimed("a"), operation("pause"))
    story.when(later(10), timer("a")).expect("PAUSED", open=[], tasks={"a": "TIMED_OUT"})
    story.when(operation("resume")).expect("RUNNING", open=["a"])
    assert len(story.sent(Enqueue)) == 2


# --- the workflow's own -----------------------------------------------------------------------------------------------


def test_a_workflow_times_out_with_everything_in_it() -> None:
    definition = workflow_def(simple("a"), timeout_seconds=60, timeout_policy="TIME_OUT_WF")
    story = Story(definition).when(started())
    assert story.timers == {("-", ""): START_MS + 60_000}
    story.when(later(61), timer()).expect("TIMED_OUT", tasks={"a": "CANCELED"}, open=[])
    assert story.core.reason == (
        "Workflow timed out after 61 seconds. Timeout configured as 60 seconds. "
        "Timeout policy configured to TIME_OUT_WF"
    )
    assert story.timers == {}


def test_a_workflow_whose_policy_is_to_alert_goes_on() -> None:
    story = Story(workflow_def(simple("a"), timeout_seconds=60)).when(started(), later(60), timer()).expect("RUNNING")
    assert len(story.alerts) == 1
    story.when(completed("a")).expect("COMPLETED")


def test_resuming_restarts_the_clock_of_the_workflow() -> None:
    definition = workflow_def(simple("a"), timeout_seconds=60, timeout_policy="TIME_OUT_WF")
    story = Story(definition).when(started(), later(50), operation("pause"), operation("resume"))
    assert story.timers == {("-", ""): START_MS + 110_000}
    story.when(later(30), timer()).expect("RUNNING").when(later(30), timer()).expect("TIMED_OUT")


def test_a_paused_workflow_times_out_all_the_same() -> None:
    definition = workflow_def(simple("a"), timeout_seconds=60, timeout_policy="TIME_OUT_WF")
    Story(definition).when(started(), operation("pause"), later(60), timer()).expect("TIMED_OUT", open=[])


def test_the_timer_of_a_workflow_that_has_ended_is_gone_and_would_change_nothing() -> None:
    definition = workflow_def(simple("a"), timeout_seconds=60, timeout_policy="TIME_OUT_WF")
    story = Story(definition).when(started(), completed("a")).expect("COMPLETED")
    assert story.timers == {}
    story.when(later(100), timer()).expect("COMPLETED")


# --- operators that wait for others of the workflow -------------------------------------------------------------------


def bounded(name: str, policy: str = "TIME_OUT_WF") -> TaskDef:
    return task_def(name, timeout_seconds=60, response_timeout_seconds=10, timeout_policy=policy)


@pytest.mark.parametrize("policy", ["TIME_OUT_WF", "RETRY"])
def test_a_loop_that_takes_too_long_times_the_workflow_out(policy: str) -> None:
    steps = loop("l", "$.l.iteration < 2", simple("a"))
    story = Story(workflow_def(steps), task_defs=[bounded("l", policy)], scripts=Conditions())
    story.when(started(), later(11), timer("l"), completed("a__1")).expect("RUNNING", open=["l", "a__2"])
    story.when(later(50), timer("l")).expect("TIMED_OUT", tasks={"l": "TIMED_OUT", "a__2": "CANCELED"}, open=[])
    assert story.task("l").output == {"iteration": 2}


def test_a_loop_in_time_leaves_no_timer() -> None:
    steps = [loop("l", "$.l.iteration < 2", simple("a")), simple("z")]
    story = Story(workflow_def(*steps), task_defs=[bounded("l")], scripts=Conditions())
    story.when(started(), completed("a__1"), completed("a__2")).expect(open=["z"])
    assert story.timers == {}


@pytest.mark.parametrize("optional", [True, False])
def test_a_join_that_waits_too_long_times_out_and_the_workflow_may_go_on_beside_its_members(optional: bool) -> None:
    steps = [fork("f", [simple("a")]), join("j", "a", optional=optional), simple("z")]
    story = Story(workflow_def(*steps), task_defs=[bounded("j", "RETRY")]).when(started(), later(61), timer("j"))
    if optional:
        story.expect("RUNNING", tasks={"j": "COMPLETED_WITH_ERRORS"}, open=["a", "z"])
    else:
        story.expect("TIMED_OUT", tasks={"j": "TIMED_OUT", "a": "CANCELED"}, open=[])
    assert story.timers == {}


def test_the_end_of_a_workflow_disarms_the_timers_of_its_joins() -> None:
    steps = [fork("f", [simple("a")]), join("j", "a")]
    story = Story(workflow_def(*steps), task_defs=[bounded("j")]).when(started())
    assert len(story.timers) == 1
    story.when(operation("terminate")).expect("TERMINATED", open=[])
    assert story.timers == {}
