"""Who is told what: listeners of workflows and tasks, and the events of state changes."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.codec import unpack
from orchestrator.core.facts import Listeners
from orchestrator.model.definitions import StateChangeEvent, TaskDef
from orchestrator.model.effects import Notify
from tests.support.build import noop, simple, step, task_def, terminate, wait, workflow_def
from tests.support.happenings import began, completed, failed, later, operation, started, timer
from tests.support.story import Story

HOOK = "https://hook.example/x"


def news(story: Story) -> list[tuple[str, dict[str, Any]]]:
    """Place and content of everything that was told, in order."""
    return [(one.place, unpack(one.news)) for one in story.handoffs if isinstance(one, Notify)]


def kinds(story: Story) -> list[str]:
    return [content["event"] for _, content in news(story)]


def heard(*tasks: Any, **fields: Any) -> Any:
    fields.setdefault("workflow_status_listener_sink", HOOK)
    return workflow_def(*tasks, workflow_status_listener_enabled=True, **fields)


# --- workflows --------------------------------------------------------------------------------------------------------


def test_a_listener_hears_of_the_start_the_end_and_that_nothing_is_left() -> None:
    story = Story(heard(simple("a")), correlation_id="c1").when(started(), completed("a"))
    assert kinds(story) == ["STARTED", "COMPLETED", "FINALIZED"]
    assert {place for place, _ in news(story)} == {HOOK}
    _, told = news(story)[1]
    assert (told["workflowType"], told["status"], told["correlationId"]) == ("flow", "COMPLETED", "c1")
    assert told["endTime"] == story.now
    assert "output" not in told


@pytest.mark.parametrize("end", [failed("a", terminal=True), operation("terminate", reason="enough")])
def test_every_end_but_completed_is_told_as_terminated(end: Any) -> None:
    story = Story(heard(simple("a", retry_count=0))).when(started(), end)
    assert kinds(story) == ["STARTED", "TERMINATED", "FINALIZED"]
    assert news(story)[1][1]["status"] in ("FAILED", "TERMINATED")
    assert news(story)[1][1]["reasonForIncompletion"]


def test_operations_are_told_when_they_are_carried_out() -> None:
    story = Story(heard(simple("a"))).when(
        started(),
        operation("pause"),
        operation("resume"),
        operation("resume"),
        operation("terminate"),
        operation("restart"),
    )
    assert kinds(story) == ["STARTED", "PAUSED", "RESUMED", "TERMINATED", "FINALIZED", "RESTARTED"]


@pytest.mark.parametrize(
    ("given", "kind"), [({}, "RERAN"), ({"ref": "a"}, "RETRIED")], ids=["the whole workflow", "from a task"]
)
def test_a_rerun_from_a_task_is_told_as_a_retry(given: dict[str, Any], kind: str) -> None:
    story = Story(heard(simple("a"))).when(started(), completed("a"), operation("rerun", **given))
    assert kinds(story) == ["STARTED", "COMPLETED", "FINALIZED", kind]


def test_a_retry_is_told() -> None:
    story = Story(heard(simple("a"))).when(started(), failed("a", terminal=True), operation("retry"))
    assert kinds(story) == ["STARTED", "TERMINATED", "FINALIZED", "RETRIED"]


def test_nobody_is_told_who_did_not_ask() -> None:
    story = Story(workflow_def(simple("a"), workflow_status_listener_sink=HOOK)).when(started(), completed("a"))
    assert news(story) == []


def test_without_a_sink_of_its_own_the_news_goes_where_the_installation_says() -> None:
    definition = heard(noop("a"), workflow_status_listener_sink=None)
    assert news(Story(definition).when(started())) == []
    story = Story(definition, listeners=Listeners(workflow="redis_stream:audit")).when(started())
    assert {place for place, _ in news(story)} == {"redis_stream:audit"}


def test_a_bare_name_is_a_queue_of_the_workflow() -> None:
    story = Story(heard(noop("a"), workflow_status_listener_sink="audit")).when(started())
    assert {place for place, _ in news(story)} == {"conductor:flow:audit"}


def test_every_news_has_an_id_of_its_own_that_a_second_decision_gives_again() -> None:
    def told() -> list[str]:
        story = Story(heard(simple("a"))).when(started(), operation("pause"), operation("resume"), operation("pause"))
        return [one.news_id for one in story.handoffs if isinstance(one, Notify)]

    assert told() == told()
    assert len(set(told())) == 4


def test_when_many_tasks_have_to_be_cancelled_the_end_is_told_first_and_once() -> None:
    members = [f"m{number}" for number in range(150)]
    fork = step("FORK_JOIN", "fork", fork_tasks=[[simple(name)] for name in members])
    story = Story(heard(fork, step("JOIN", "join", join_on=members))).when(started(), operation("terminate"))
    assert kinds(story) == ["STARTED", "TERMINATED", "FINALIZED"]


# --- tasks ------------------------------------------------------------------------------------------------------------


def test_a_listener_of_tasks_hears_every_status_of_every_attempt() -> None:
    listeners = Listeners(task="conductor:tasks")
    story = Story(workflow_def(simple("a")), task_defs=[task_def("a", retry_count=1)], listeners=listeners)
    story.when(started(), began("a"), failed("a"), completed("a", {"x": 1}))
    assert kinds(story) == ["SCHEDULED", "IN_PROGRESS", "FAILED", "SCHEDULED", "COMPLETED"]
    assert {place for place, _ in news(story)} == {"conductor:flow:tasks"}
    told = news(story)[2][1]
    assert (told["referenceTaskName"], told["status"], told["retryCount"]) == ("a", "FAILED", 0)
    assert told["reasonForIncompletion"] == "broken"
    assert "outputData" not in told


def test_a_task_definition_may_say_that_nobody_is_told() -> None:
    quiet = TaskDef(name="a", task_status_listener_enabled=False)
    story = Story(workflow_def(simple("a"), noop("b")), task_defs=[quiet], listeners=Listeners(task="t"))
    story.when(started(), completed("a"))
    assert {content["referenceTaskName"] for _, content in news(story)} == {"b"}


def test_only_a_task_that_somebody_listens_to_tells_of_its_start() -> None:
    plain = Story(workflow_def(simple("a"))).when(started())
    assert not any(entry.tells_start for draft in plain.drafts for entry in draft.opened.values())
    heard_of = Story(workflow_def(simple("a")), listeners=Listeners(task="t")).when(started())
    assert all(entry.tells_start for draft in heard_of.drafts for entry in draft.opened.values())


def test_the_end_of_a_workflow_tells_of_its_cancelled_tasks_and_joins() -> None:
    fork = step("FORK_JOIN", "fork", fork_tasks=[[simple("a")], [wait("w")]])
    flow = workflow_def(fork, step("JOIN", "join", join_on=["a", "w"]))
    story = Story(flow, listeners=Listeners(task="t")).when(started(), operation("terminate"))
    cancelled = {content["referenceTaskName"] for _, content in news(story) if content["event"] == "CANCELED"}
    assert cancelled == {"a", "w", "join"}


def test_a_skipped_task_is_told_as_skipped_only() -> None:
    story = Story(workflow_def(simple("a"), simple("b")), listeners=Listeners(task="t"))
    story.when(started(), operation("skip", ref="b"), completed("a"))
    assert [content["event"] for _, content in news(story) if content["referenceTaskName"] == "b"] == ["SKIPPED"]


# --- onStateChange ----------------------------------------------------------------------------------------------------


def change(type_: str = "told", **payload: Any) -> StateChangeEvent:
    return StateChangeEvent(type=type_, payload=payload)


def test_a_step_publishes_its_events_on_the_states_it_names() -> None:
    on = {
        "onScheduled": [change()],
        "onStart": [change(HOOK)],
        "onSuccess": [change(sum="${a.output.sum}", by="${workflow.input.by}"), change("redis_stream:done")],
        "onFailed": [change()],
    }
    story = Story(workflow_def(simple("a", on_state_change=on)), input={"by": "Ada"})
    story.when(started(), began("a"), completed("a", {"sum": 3}))
    assert [(place, content["event"], content["payload"]) for place, content in news(story)] == [
        ("conductor:flow:told", "onScheduled", {}),
        (HOOK, "onStart", {}),
        ("conductor:flow:told", "onSuccess", {"sum": 3, "by": "Ada"}),
        ("redis_stream:done", "onSuccess", {}),
    ]


@pytest.mark.parametrize(
    ("happening", "state"),
    [
        (failed("a", terminal=True), "onFailed"),
        (operation("terminate"), "onCancelled"),
        (completed("a"), "onSuccess"),
    ],
)
def test_the_end_of_a_task_is_one_state(happening: Any, state: str) -> None:
    on = {name: [change()] for name in ("onFailed", "onSuccess", "onCancelled")}
    story = Story(workflow_def(simple("a", on_state_change=on))).when(started(), happening)
    assert kinds(story) == [state]


def test_an_operator_is_scheduled_and_started_at_once() -> None:
    on = {"onScheduled": [change()], "onStart": [change()], "onSuccess": [change()]}
    story = Story(workflow_def(step("WAIT", "w", {"duration": "10s"}, on_state_change=on))).when(started())
    assert kinds(story) == ["onScheduled", "onStart"]
    story.when(later(10), timer("w"))
    assert kinds(story) == ["onScheduled", "onStart", "onSuccess"]


def test_a_payload_that_is_too_large_is_left_out_and_said_to_be() -> None:
    on = {"onSuccess": [change(all="${a.output}")]}
    story = Story(workflow_def(simple("a", on_state_change=on), terminate("t")))
    story.when(started(), completed("a", {"x": "y" * 100_000}))
    ((_, content),) = news(story)
    assert content["payload"] == {}
    assert "permissible limit" in content["payloadOmitted"]
