"""What users see: the committed truth, overlaid with what is known of open tasks."""

from __future__ import annotations

from orchestrator.engine.views import load_view, task_logs
from orchestrator.model.definitions import TaskDef, WorkflowTask
from orchestrator.store.view import read_workflow
from tests.engine.stage import NOON, Stage, flow, forked, step


def test_a_start_that_is_not_decided_yet_is_running_without_tasks(stage: Stage) -> None:
    view = stage.view(stage.start(flow(step("a")), {"x": 1}))
    assert (view.status, view.tasks, view.input, view.create_time) == ("RUNNING", [], {"x": 1}, NOON)
    assert view.workflow_name == "flow"


def test_an_unknown_workflow_has_no_view(stage: Stage) -> None:
    assert stage.run(load_view(stage.keys, "nobody")) is None


def test_a_task_that_runs_is_seen_before_any_commit_hears_of_it(stage: Stage) -> None:
    workflow_id = stage.start(flow(step("a")))
    stage.settle(stage.decider())
    (scheduled,) = stage.tasks(workflow_id, "a")
    stage.tick(5)
    stage.claim("a")
    (running,) = stage.tasks(workflow_id, "a")
    assert (scheduled.status, scheduled.poll_count, scheduled.start_time) == ("SCHEDULED", 0, 0)
    assert (running.status, running.poll_count, running.start_time, running.worker_id) == (
        "IN_PROGRESS",
        1,
        NOON + 5,
        "worker",
    )
    assert stage.inbox() == 0


def test_a_join_shows_the_outputs_of_its_members(stage: Stage) -> None:
    workflow_id = stage.start(forked(2))
    decider = stage.decider()
    stage.settle(decider)
    stage.work("b", {"v": 1})
    stage.settle(decider)
    (join,) = stage.tasks(workflow_id, "j")
    assert join.output_data == {"b00000": {"v": 1}, "b00001": {"v": 1}}


def test_a_join_of_joins_shows_what_the_inner_ones_joined(stage: Stage) -> None:
    inner = [
        WorkflowTask(name="g", task_reference_name="g", type="FORK_JOIN", fork_tasks=[[step("b1")], [step("b2")]]),
        WorkflowTask(name="inner", task_reference_name="inner", type="JOIN", join_on=["b1", "b2"]),
    ]
    outer = [
        WorkflowTask(name="f", task_reference_name="f", type="FORK_JOIN", fork_tasks=[inner, [step("b3")]]),
        WorkflowTask(name="outer", task_reference_name="outer", type="JOIN", join_on=["inner", "b3"]),
    ]
    workflow_id = stage.start(flow(*outer))
    decider = stage.decider()
    stage.settle(decider)
    stage.work("b", {"v": 1})
    stage.settle(decider)
    view = stage.view(workflow_id)
    both = {"b1": {"v": 1}, "b2": {"v": 1}}
    assert view.task("outer").output_data == {"inner": both, "b3": {"v": 1}}


def test_every_attempt_is_shown_and_names_the_one_it_follows(stage: Stage) -> None:
    stage.register(TaskDef(name="a", retry_count=2, retry_delay_seconds=0))
    workflow_id = stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    for status in ("FAILED", "FAILED", "COMPLETED"):
        stage.work("a", status=status)
        stage.settle(decider)
    attempts = stage.tasks(workflow_id, "a")
    assert [(task.status, task.retry_count, task.retried) for task in attempts] == [
        ("FAILED", 0, True),
        ("FAILED", 1, True),
        ("COMPLETED", 2, False),
    ]
    assert [task.retried_task_id for task in attempts] == [None, attempts[0].task_id, attempts[1].task_id]


def test_a_view_without_tasks_has_the_rest(stage: Stage) -> None:
    workflow_id = stage.start(flow(step("a")))
    decider = stage.decider()
    stage.settle(decider)
    stage.work("a", {"v": 1})
    stage.settle(decider)
    view = stage.run(load_view(stage.keys, workflow_id, include_tasks=False))
    assert (view.status, view.output, view.tasks) == ("COMPLETED", {"v": 1}, [])


def test_a_task_without_logs_has_none(stage: Stage) -> None:
    workflow_id = stage.start(flow(step("a")))
    stage.settle(stage.decider())
    stored = stage.run(read_workflow(stage.keys, workflow_id))
    assert task_logs(stored, stage.task_id(workflow_id, "a")) == []
