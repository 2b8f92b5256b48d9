"""SUB_WORKFLOW: what its child is started with, how the child's end comes back, and how a child is called off."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from orchestrator.codec import unpack
from orchestrator.core.operators.sub_workflow import DEPTH_MAX
from orchestrator.ids import child_workflow_id, partition_of, partition_of_key
from orchestrator.model.effects import CancelChild, NotifyParent, StartWorkflow
from orchestrator.model.records import decode_outcome
from orchestrator.model.wire import workflow_def_to_dict
from tests.support.build import fork, join, noop, simple, sub_workflow, task_def, terminate, wait, workflow_def
from tests.support.happenings import completed, failed, later, operation, reported, started, timer, told
from tests.support.story import ID, START_MS, Story

CHILD = "flow.1/child failure reason: no stock"
PARENT: dict[str, Any] = {"parent_workflow_id": "p", "parent_task_id": "p-task", "parent_ref": "sub"}


def ended(ref: str, status: str = "COMPLETED", output: Any = None, **fields: Any) -> Any:
    """The child of a task has ended, as the relay reports it."""

    def happen(story: Story) -> Any:
        child = child_workflow_id(story.id_of(ref, fields.get("attempt")))
        return reported(ref, status, output or {}, delivery=-1, merge=True, child_workflow_id=child, **fields)(story)

    return happen


def begin(story: Story) -> StartWorkflow:
    """Start the story; gives the only child's start."""
    (start,) = story.when(started()).sent(StartWorkflow)
    assert isinstance(start, StartWorkflow)
    return start


# --- how a child is started --------------------------------------------------------------------------------------------


def test_the_task_is_in_progress_under_the_id_of_its_child() -> None:
    story = Story(workflow_def(sub_workflow("sub", {"sku": "${workflow.input.sku}"})), input={"sku": "x"})
    start = begin(story)
    assert start.workflow_id == child_workflow_id(story.id_of("sub"))
    assert story.task("sub").status == "IN_PROGRESS"
    assert story.task("sub").output == {"subWorkflowId": start.workflow_id}
    result = story.task("sub").record.result
    assert result is not None
    assert (result.child_workflow_id, result.started_ms) == (start.workflow_id, START_MS)
    assert unpack(bytes(start.input)) == {"sku": "x"}


def test_a_child_inherits_what_its_step_does_not_say() -> None:
    meta: dict[str, Any] = {"priority": 7, "correlation_id": "c-1", "task_to_domain": {"a": "west"}, "depth": 2}
    story = Story(workflow_def(sub_workflow("sub")), **meta)
    child = begin(story).meta
    assert (child.name, child.priority, child.correlation_id) == ("child", 7, "c-1")
    assert (child.task_to_domain, child.depth) == ({"a": "west"}, 3)
    assert (child.parent_workflow_id, child.parent_task_id, child.parent_ref) == (ID, story.id_of("sub"), "sub")


def test_a_step_may_say_domains_and_priority() -> None:
    step = sub_workflow("sub", priority="${workflow.input.urgency}", task_to_domain={"*": "${workflow.input.region}"})
    child = begin(Story(workflow_def(step), input={"urgency": 4, "region": "east"}, priority=7)).meta
    assert (child.priority, child.task_to_domain) == (4, {"*": "east"})


@pytest.mark.parametrize(("said", "priority"), [(None, 7), ("soon", 7), ("5", 5), (200, 99), (-3, 0), (True, 7)])
def test_a_priority_that_is_none_is_inherited(said: Any, priority: int) -> None:
    story = Story(workflow_def(sub_workflow("sub", priority="${workflow.input.p}")), input={"p": said}, priority=7)
    assert begin(story).meta.priority == priority


@pytest.mark.parametrize(
    ("params", "versions", "expected"),
    [
        ({"version": 3}, {}, (3, False)),
        ({"version": "${workflow.input.v}"}, {}, (4, False)),
        ({}, {"child": 6}, (6, False)),
        ({}, {}, (0, True)),
        ({"name": "${workflow.input.n}"}, {"child": 6}, (0, True)),
    ],
)
def test_the_version_is_the_one_said_or_pinned_or_else_the_latest(
    params: dict[str, Any], versions: dict[str, int], expected: tuple[int, bool]
) -> None:
    definition = workflow_def(sub_workflow("sub", **params))
    start = begin(Story(definition, input={"v": "4", "n": "other"}, child_versions=versions))
    assert (start.meta.version, start.latest) == expected
    assert start.meta.name == ("other" if "name" in params else "child")


def test_an_inline_definition_travels_with_the_start() -> None:
    inline = workflow_def(simple("a", {"b": "${workflow.input.c}"}), name="inside")
    start = begin(Story(workflow_def(sub_workflow("sub", {"c": 1}, workflow_definition=inline))))
    assert start.definition is not None
    assert msgspec.json.decode(start.definition) == workflow_def_to_dict(inline)
    assert (start.meta.name, start.latest) == ("inside", False)
    assert unpack(bytes(start.input)) == {"c": 1, "_systemMetadata": {"dynamic": True}}


def test_a_definition_may_come_out_of_an_expression() -> None:
    inline = workflow_def_to_dict(workflow_def(simple("a"), name="made"))
    step = sub_workflow("sub", name="", workflow_definition="${workflow.input.plan}")
    start = begin(Story(workflow_def(step), input={"plan": inline}))
    assert start.meta.name == "made"
    assert start.definition is not None
    assert msgspec.json.decode(start.definition) == inline


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"name": "${workflow.input.missing}"}, "the name of the sub-workflow to start must be a text, not None"),
        ({"version": "${workflow.input.word}"}, "the version of sub-workflow child must be a whole number, not 'word'"),
        ({"workflow_definition": "${workflow.input.word}"}, "must be a workflow definition, not str"),
        ({"task_to_domain": {"a": "${workflow.input.missing}"}}, "taskToDomain must map task types to domains"),
    ],
)
def test_what_cannot_be_started_fails_the_task_for_good(params: dict[str, Any], reason: str) -> None:
    story = Story(workflow_def(sub_workflow("sub", **params)), input={"word": "word"}).when(started())
    story.expect("FAILED", tasks={"sub": "FAILED_WITH_TERMINAL_ERROR"}, reason=reason)
    assert story.sent(StartWorkflow) == []


def test_a_workflow_that_starts_itself_comes_to_an_end() -> None:
    definition = workflow_def(sub_workflow("sub", name="flow"))
    assert begin(Story(definition, depth=DEPTH_MAX - 1)).meta.depth == DEPTH_MAX
    story = Story(definition, depth=DEPTH_MAX).when(started())
    story.expect("FAILED", reason=f"sub-workflows may nest {DEPTH_MAX} deep")


def test_a_start_delay_is_waited_for() -> None:
    story = Story(workflow_def(sub_workflow("sub", start_delay=5))).when(started(), later(4), timer("sub"))
    assert story.sent(StartWorkflow) == []
    assert story.task("sub").status == "SCHEDULED"
    story.when(later(1), timer("sub"))
    assert len(story.sent(StartWorkflow)) == 1
    assert story.task("sub").status == "IN_PROGRESS"
    story.when(ended("sub")).expect("COMPLETED")


def test_an_idempotency_key_goes_with_the_start_and_decides_where_the_child_lives() -> None:
    step = sub_workflow("sub", idempotency_key="${workflow.input.k}", idempotency_strategy="RETURN_EXISTING")
    story = Story(workflow_def(step), input={"k": 7})
    story.facts.partitions = 5
    start = begin(story)
    assert (start.meta.idempotency_key, start.strategy) == ("7", "RETURN_EXISTING")
    assert partition_of(start.workflow_id, 5) == partition_of_key("child", "7", 5)


@pytest.mark.parametrize("key", [[1], {}, True])
def test_a_key_that_is_no_text_fails_the_task(key: Any) -> None:
    story = Story(workflow_def(sub_workflow("sub", idempotency_key="${workflow.input.k}")), input={"k": key})
    story.when(started()).expect("FAILED", reason="the idempotency key of a sub-workflow must be a text")


# --- how its end comes back --------------------------------------------------------------------------------------------


def test_the_output_of_the_child_is_the_tasks_with_the_childs_id() -> None:
    story = Story(workflow_def(sub_workflow("sub"), output_parameters={"sum": "${sub.output.sum}"}))
    start = begin(story)
    story.when(ended("sub", output={"sum": 3})).expect("COMPLETED", output={"sum": 3})
    assert story.task("sub").output == {"subWorkflowId": start.workflow_id, "sum": 3}
    assert story.task("sub").record.result.child_workflow_id == start.workflow_id  # type: ignore[union-attr]
    assert story.sent(CancelChild) == []


@pytest.mark.parametrize(
    ("status", "workflow"), [("FAILED", "FAILED"), ("CANCELED", "TERMINATED"), ("TIMED_OUT", "TIMED_OUT")]
)
def test_a_child_that_fails_fails_its_parent_alike(status: str, workflow: str) -> None:
    story = Story(workflow_def(sub_workflow("sub"), noop("after"))).when(started(), ended("sub", status, reason=CHILD))
    story.expect(workflow, tasks={"sub": status}, reason=CHILD)
    assert "after" not in story.scheduled


def test_a_workflow_goes_on_without_an_optional_child() -> None:
    story = Story(workflow_def(sub_workflow("sub", optional=True), noop("after")))
    story.when(started(), ended("sub", "FAILED", reason=CHILD))
    story.expect("COMPLETED", tasks={"sub": "COMPLETED_WITH_ERRORS", "after": "COMPLETED"})


def test_a_permissive_child_fails_its_parent_at_the_end() -> None:
    story = Story(workflow_def(sub_workflow("sub", permissive=True), noop("after")))
    story.when(started(), ended("sub", "FAILED", reason=CHILD))
    story.expect("FAILED", tasks={"sub": "FAILED", "after": "COMPLETED"}, reason=CHILD)


def test_a_retry_starts_another_child_after_the_delay() -> None:
    retried = task_def("sub", retry_count=1, retry_delay_seconds=2)
    story = Story(workflow_def(sub_workflow("sub")), task_defs=[retried])
    first = begin(story)
    story.when(ended("sub", "FAILED", reason=CHILD))
    assert (story.task("sub").status, story.task("sub").attempt) == ("SCHEDULED", 1)
    story.when(later(2), timer("sub"))
    _, second = story.sent(StartWorkflow)
    assert second.workflow_id == child_workflow_id(story.id_of("sub")) != first.workflow_id
    assert story.earlier("sub", 0).output == {"subWorkflowId": first.workflow_id}
    story.when(ended("sub", attempt=0)).expect("RUNNING")
    story.when(ended("sub")).expect("COMPLETED")


def test_what_is_said_of_a_running_child_leaves_it_running() -> None:
    story = Story(workflow_def(sub_workflow("sub")))
    start = begin(story)
    story.when(reported("sub", "IN_PROGRESS", {"half": True}, delivery=-1, merge=True))
    assert story.task("sub").status == "IN_PROGRESS"
    assert story.task("sub").output == {"subWorkflowId": start.workflow_id, "half": True}
    story.when(ended("sub")).expect("COMPLETED")


# --- how it is called off ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("enough", "Parent workflow has been terminated with reason: enough"),
        (None, "Parent workflow has been terminated with status TERMINATED"),
    ],
)
def test_the_children_of_a_terminated_workflow_are_ended(reason: str | None, text: str) -> None:
    story = Story(workflow_def(fork("f", [sub_workflow("one")], [sub_workflow("two")]), join("j", "one", "two")))
    starts = story.when(started()).sent(StartWorkflow)
    story.when(operation("terminate", reason=reason)).expect("TERMINATED", tasks={"one": "CANCELED", "two": "CANCELED"})
    expected = {(start.workflow_id, start.meta.parent_task_id, text) for start in starts}
    assert {(one.child_workflow_id, one.parent_task_id, one.reason) for one in story.sent(CancelChild)} == expected
    assert len(expected) == 2


def test_a_child_whose_start_has_not_left_is_not_started_at_all() -> None:
    story = Story(workflow_def(fork("f", [sub_workflow("sub")], [terminate("stop", "FAILED")]), join("j", "sub")))
    story.when(started()).expect("FAILED", tasks={"sub": "CANCELED"})
    assert story.sent(StartWorkflow) == story.sent(CancelChild) == []


def test_a_child_that_waits_for_its_delay_needs_no_ending() -> None:
    story = Story(workflow_def(sub_workflow("sub", start_delay=5))).when(started(), operation("terminate"))
    story.expect("TERMINATED", tasks={"sub": "CANCELED"})
    assert story.sent(CancelChild) == []


def test_a_task_that_times_out_ends_its_child() -> None:
    limited = task_def("sub", timeout_seconds=10, timeout_policy="RETRY", retry_count=0)
    story = Story(workflow_def(sub_workflow("sub")), task_defs=[limited])
    start = begin(story)
    story.when(later(9), timer("sub")).expect("RUNNING")
    story.when(later(1), timer("sub")).expect("TIMED_OUT", tasks={"sub": "TIMED_OUT"})
    (cancel,) = story.sent(CancelChild)
    assert cancel.child_workflow_id == start.workflow_id
    assert cancel.reason.startswith("Task timed out after 10 seconds")


def test_a_task_definition_for_workers_does_not_time_out_a_child() -> None:
    registered = task_def("sub", response_timeout_seconds=1, poll_timeout_seconds=1)
    story = Story(workflow_def(sub_workflow("sub")), task_defs=[registered]).when(started(), later(60), timer("sub"))
    story.expect("RUNNING", tasks={"sub": "IN_PROGRESS"})


def test_a_caller_that_ends_the_task_ends_the_child() -> None:
    story = Story(workflow_def(sub_workflow("sub"), noop("after")))
    start = begin(story)
    story.when(reported("sub", "COMPLETED", {"by": "hand"}, delivery=-1)).expect("COMPLETED")
    (cancel,) = story.sent(CancelChild)
    assert cancel.child_workflow_id == start.workflow_id


def test_a_task_that_shares_a_child_shows_it_and_ends_with_it() -> None:
    story = Story(workflow_def(sub_workflow("sub", idempotency_key="k", idempotency_strategy="RETURN_EXISTING")))
    own = begin(story).workflow_id
    story.when(reported("sub", "IN_PROGRESS", delivery=-1, merge=True, child_workflow_id="other"))
    assert story.task("sub").output == {"subWorkflowId": "other"} != {"subWorkflowId": own}
    story.when(reported("sub", "COMPLETED", {"x": 1}, delivery=-1, merge=True, child_workflow_id="other"))
    story.expect("COMPLETED")
    assert story.task("sub").output == {"subWorkflowId": "other", "x": 1}


def test_a_shared_child_tells_all_who_follow_it_how_it_ended() -> None:
    story = Story(workflow_def(simple("a")), **PARENT)
    story.when(started(), *(told("follow", f"{name}-aaaaaaaaaaaa") for name in ("x", "y", "x", "z")))
    story.when(told("cancel", "z-aaaaaaaaaaaa")).expect("RUNNING").when(completed("a", {"n": 1})).expect("COMPLETED")
    assert [one.parent_workflow_id for one in story.sent(NotifyParent)] == ["p", "x", "y"]
    assert [one.source for one in story.sent(NotifyParent)] == ["", "", ""]
    story.when(told("follow", "late-aaaaaaaaaaaa"))
    late = story.sent(NotifyParent)[-1]
    assert (late.parent_workflow_id, late.source, decode_outcome(late.outcome).status) == ("late", ID, "COMPLETED")


# --- the child's side --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paused", [False, True])
def test_a_child_ends_when_its_parents_task_is_over(paused: bool) -> None:
    story = Story(workflow_def(simple("a"), failure_workflow="cleanup"), **PARENT).when(started())
    if paused:
        story.when(operation("pause"))
    story.when(told("cancel", "p-task", "Parent ended")).expect("TERMINATED", reason="Parent ended")
    assert story.sent(NotifyParent) == story.sent(StartWorkflow) == []
    story.when(told("cancel", "p-task", "again")).expect("TERMINATED", reason="Parent ended")


def test_only_its_own_parent_can_end_a_child() -> None:
    story = Story(workflow_def(simple("a")), **PARENT).when(started(), told("cancel", "other-task"))
    story.expect("RUNNING").when(completed("a")).expect("COMPLETED")


def test_a_child_that_has_ended_keeps_its_end() -> None:
    story = Story(workflow_def(wait("w", duration="1s")), **PARENT)
    story.when(started(), later(1), timer("w"), told("cancel", "p-task")).expect("COMPLETED")


def test_a_child_says_how_it_ended_and_who_it_is() -> None:
    retried = task_def("a", retry_count=0)
    story = Story(workflow_def(simple("a")), task_defs=[retried], **PARENT).when(started(), failed("a", "no stock"))
    (notice,) = story.sent(NotifyParent)
    outcome = decode_outcome(notice.outcome)
    assert (notice.parent_workflow_id, notice.parent_task_id) == ("p", "p-task")
    assert (outcome.status, outcome.child_workflow_id, outcome.merge) == ("FAILED", ID, True)
    assert outcome.reason == f"Sub workflow flow.1/{ID} failure reason: {story.core.reason}"
