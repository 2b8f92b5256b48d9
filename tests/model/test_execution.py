"""Views of executions: finding tasks, derived values, and the rules of what callers send."""

from __future__ import annotations

import pytest

from orchestrator.errors import Problem, TaskNotFound
from orchestrator.model.definitions import TaskDef, WorkflowDef, WorkflowTask
from orchestrator.model.execution import (
    StartWorkflowRequest,
    Task,
    TaskResult,
    Workflow,
    validate_start_request,
    validate_task_result,
)
from orchestrator.model.status import RESULT_STATUSES, TaskStatus, WorkflowStatus


def attempt(task_id: str, ref: str, *, iteration: int = 0, retry_count: int = 0) -> Task:
    return Task(task_id=task_id, reference_task_name=ref, iteration=iteration, retry_count=retry_count)


def test_a_task_is_found_by_its_reference_and_the_latest_attempt_wins() -> None:
    workflow = Workflow(workflow_id="w", tasks=[attempt("1", "a"), attempt("2", "b"), attempt("3", "a", retry_count=1)])
    assert workflow.task("a").task_id == "3"
    assert workflow.task("b").task_id == "2"


def test_a_loop_task_is_found_with_and_without_its_iteration() -> None:
    tasks = [attempt("1", "body__1", iteration=1), attempt("2", "body__2", iteration=2), attempt("3", "x__2")]
    workflow = Workflow(workflow_id="w", tasks=tasks)
    assert workflow.task("body__1").task_id == "1"
    assert workflow.task("body").task_id == "2"
    assert workflow.find_task("x") is None


def test_an_unknown_task_is_reported_with_the_known_ones() -> None:
    workflow = Workflow(workflow_id="w1", tasks=[attempt("1", "a"), attempt("2", "a"), attempt("3", "b")])
    with pytest.raises(TaskNotFound, match="workflow w1 has no task 'c'; tasks scheduled so far: a, b"):
        workflow.task("c")
    with pytest.raises(TaskNotFound, match="so far: none"):
        Workflow(workflow_id="w1").task("c")


def test_a_workflow_names_its_definition() -> None:
    workflow = Workflow(workflow_id="w", workflow_definition=WorkflowDef(name="order", version=2))
    assert (workflow.workflow_name, workflow.workflow_version) == ("order", 2)
    assert (Workflow(workflow_id="w").workflow_name, Workflow(workflow_id="w").workflow_version) == ("", 0)


def test_views_know_whether_they_have_ended() -> None:
    assert Workflow(workflow_id="w", status=WorkflowStatus.TERMINATED).is_terminal
    assert not Workflow(workflow_id="w").is_terminal
    assert Task(task_id="t", status=TaskStatus.SKIPPED).is_terminal
    assert not Task(task_id="t").is_terminal


def test_a_task_has_the_definition_of_its_step() -> None:
    step = WorkflowTask(name="t", task_reference_name="t", task_definition=TaskDef(name="t"))
    assert Task(task_id="1", workflow_task=step).task_definition == TaskDef(name="t")
    assert Task(task_id="1").task_definition is None


@pytest.mark.parametrize(
    ("scheduled", "started", "updated", "callback_s", "expected_ms"),
    [(0, 0, 0, 0, 0), (100, 0, 0, 0, 0), (100, 350, 0, 0, 250), (100, 350, 1000, 2, 6000), (100, 350, 1000, 60, 0)],
)
def test_the_queue_time_follows_conductor(
    scheduled: int, started: int, updated: int, callback_s: int, expected_ms: int
) -> None:
    task = Task(
        task_id="t",
        scheduled_time=scheduled,
        start_time=started,
        update_time=updated,
        callback_after_seconds=callback_s,
    )
    assert task.queue_wait_ms(9000) == expected_ms


def test_views_do_not_share_their_empty_collections() -> None:
    one, other = Workflow(workflow_id="1"), Workflow(workflow_id="2")
    one.tasks.append(Task(task_id="t"))
    assert other.tasks == []


@pytest.mark.parametrize("status", TaskStatus)
def test_only_some_statuses_may_be_reported(status: TaskStatus) -> None:
    found = validate_task_result(TaskResult(workflow_instance_id="w", task_id="t", status=status))
    assert [problem.path for problem in found] == ([] if status in RESULT_STATUSES else ["status"])


def test_a_report_names_its_workflow_and_task_and_waits_no_negative_time() -> None:
    result = TaskResult(workflow_instance_id="", task_id="", status=TaskStatus.IN_PROGRESS, callback_after_seconds=-1)
    assert validate_task_result(result) == [
        Problem("workflowInstanceId", "Workflow Id cannot be null or empty"),
        Problem("taskId", "Task ID cannot be null or empty"),
        Problem("callbackAfterSeconds", "callbackAfterSeconds: -1 should be minimum 0"),
    ]


@pytest.mark.parametrize(
    ("priority", "messages"),
    [
        (-1, ["priority: -1 should be minimum 0"]),
        (0, []),
        (99, []),
        (100, ["priority: 100 should be maximum 99"]),
    ],
)
def test_a_priority_is_between_0_and_99(priority: int, messages: list[str]) -> None:
    found = validate_start_request(StartWorkflowRequest(name="w", priority=priority))
    assert [problem.message for problem in found] == messages


def test_a_start_request_needs_a_name_and_a_valid_inline_definition() -> None:
    request = StartWorkflowRequest(name="", workflow_def=WorkflowDef(name="w"))
    assert validate_start_request(request) == [
        Problem("name", "Workflow name cannot be null or empty"),
        Problem("workflowDef.tasks", "WorkflowTask list cannot be empty"),
    ]
    assert len(validate_start_request(request, check=lambda definition: [])) == 1
