"""Large workflows, through the real scripts: wide forks come in slices, and memory keeps to its bounds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from orchestrator.engine import estate
from orchestrator.engine.decider import Decider
from orchestrator.model.definitions import TaskDef, WorkflowTask
from orchestrator.plan import Call, Command
from tests.engine.stage import Stage, chained, flow, forked, step


def _records(stage: Stage, workflow_id: str) -> int:
    """How many records there are of a workflow's tasks."""
    names: list[bytes] = stage.do(Command(("HKEYS", stage.keys.workflow(0, workflow_id))))
    return sum(name[:1] in (b"S", b"R") for name in names)


def _run_out(stage: Stage, decider: Decider, task_type: str) -> int:
    """Work until nothing is left; gives how many tasks that were."""
    done = 0
    stage.settle(decider)
    while count := stage.work(task_type, {"v": done}):
        done += count
        stage.settle(decider)
    return done


def test_a_fork_of_a_thousand_runs_every_branch_once_and_joins_once(real_stage: Stage) -> None:
    stage = real_stage
    workflow_id = stage.start(forked(1_000, output_parameters={"last": "${b00999.output.v}"}))
    decider = stage.decider()
    assert _run_out(stage, decider, "b") == 1_000
    view = stage.view(workflow_id)
    assert (view.status, view.output) == ("COMPLETED", {"last": 900})
    assert len(view.tasks) == 1_002
    assert len({task.task_id for task in view.tasks}) == 1_002
    assert len(view.task("j").output_data) == 1_000
    assert (stage.inbox(), stage.outbox()) == (0, 0)
    assert stage.do(Command(("HLEN", stage.keys.dispatch(0, workflow_id)))) == 0


def test_a_dynamic_fork_of_a_thousand_is_started_by_one_decider_and_joined_by_another(real_stage: Stage) -> None:
    stage = real_stage
    given = {"forkTaskName": "b", "forkTaskInputs": [{"n": n} for n in range(1_000)]}
    fork = WorkflowTask(name="f", task_reference_name="f", type="FORK_JOIN_DYNAMIC", input_parameters=given)
    join = WorkflowTask(name="j", task_reference_name="j", type="JOIN")
    workflow_id = stage.start(flow(fork, join, output_parameters={"last": "${j.output._b_999.v}"}))
    first = stage.decider("d1")
    stage.run(first.turn())
    stage.run(first.leave())
    assert _run_out(stage, stage.decider("d2"), "b") == 1_000
    view = stage.view(workflow_id)
    assert (view.status, view.output) == ("COMPLETED", {"last": view.task("_b_999").output_data["v"]})
    assert len(view.tasks) == 1_002
    assert view.task("_b_7").input_data == {"n": 7, "__index": 7}
    step = view.task("_b_7").workflow_task
    assert step is not None
    assert (step.name, step.task_reference_name) == ("b", "_b_7")
    assert len(view.task("j").output_data) == 1_000


def test_twenty_thousand_dynamic_branches_are_started_and_joined(
    real_stage: Stage,
) -> None:
    stage = real_stage
    given = {"forkTaskType": "NOOP", "forkTaskInputs": [{} for _ in range(20_000)]}
    fork = WorkflowTask(name="f", task_reference_name="f", type="FORK_JOIN_DYNAMIC", input_parameters=given)
    join = WorkflowTask(name="j", task_reference_name="j", type="JOIN")
    workflow_id = stage.start(flow(fork, join, output_parameters={"status": "${j.status}"}))
    decider = stage.decider()
    stage.settle(decider)
    assert stage.status(workflow_id) == "COMPLETED"
    assert _records(stage, workflow_id) == 2 * 20_002
    assert (stage.inbox(), stage.outbox()) == (0, 0)


def test_a_workflow_larger_than_its_share_of_memory_goes_on(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estate, "RECORDS_PER_WORKFLOW_MAX", 50)
    workflow_id = stage.start(chained(180, output_parameters={"first": "${a00000.output.v}"}))
    decider = stage.decider()
    assert _run_out(stage, decider, "a") == 180
    view = stage.view(workflow_id)
    assert (view.status, view.output) == ("COMPLETED", {"first": 0})
    assert [task.input_data for task in view.tasks[:3]] == [{}, {"before": 0}, {"before": 1}]


def test_what_is_kept_of_a_large_workflow_are_its_open_tasks(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estate, "RECORDS_PER_WORKFLOW_MAX", 50)
    workflow_id = stage.start(forked(150))
    decider = stage.decider()
    stage.settle(decider)
    for _ in range(8):
        stage.report(stage.claim("b", 10))
        stage.settle(decider)
    state = decider.estates[0].workflows[workflow_id]
    kept = [record for record in state.records.values() if record is not None]
    assert not state.complete
    assert sum(record.status == "SCHEDULED" for record in kept) == 70
    assert len(kept) <= 50 + 71


def test_two_thousand_five_hundred_tasks_run_with_a_trimmed_memory(real_stage: Stage) -> None:
    stage = real_stage
    fork = forked(1_250)
    again = forked(1_250).tasks
    for task in again:
        task.task_reference_name = "2" + task.task_reference_name
    again[0].fork_tasks = [[step("c" + branch[0].name + str(n))] for n, branch in enumerate(again[0].fork_tasks)]
    again[1].join_on = [branch[0].task_reference_name for branch in again[0].fork_tasks]
    workflow_id = stage.start(flow(*fork.tasks, *again, output_parameters={"done": "yes"}))
    decider = stage.decider()
    assert _run_out(stage, decider, "b") == 1_250
    assert _run_out(stage, decider, "cb") == 1_250
    view = stage.view(workflow_id)
    assert (view.status, len(view.tasks)) == ("COMPLETED", 2_504)


def test_terminating_a_wide_fork_cancels_every_branch_in_slices(stage: Stage) -> None:
    workflow_id = stage.start(forked(700))
    decider = stage.decider()
    stage.settle(decider)
    stage.ask(workflow_id, "terminate")
    stage.settle(decider)
    view = stage.view(workflow_id)
    assert view.status == "TERMINATED"
    assert {task.status for task in view.tasks if task.task_type == "b"} == {"CANCELED"}
    assert stage.do(Command(("HLEN", stage.keys.dispatch(0, workflow_id)))) == 0
    assert stage.do(Command(("HLEN", stage.keys.records("b")))) == 0


def test_the_longest_unused_workflows_leave_memory_first(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estate, "RECORDS_MAX", 20)
    started = [stage.start(flow(step("a"), step("b"))) for _ in range(30)]
    decider = stage.decider()
    stage.settle(decider)
    kept = decider.estates[0].workflows
    assert list(kept) == started[-len(kept) :]
    assert 5 <= len(kept) <= 10
    assert _run_out(stage, decider, "a") == 30
    assert _run_out(stage, decider, "b") == 30
    assert {stage.status(one) for one in started} == {"COMPLETED"}
    assert not decider.estates[0].workflows


def test_a_large_payload_counts_as_several_records(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estate, "RECORDS_MAX", 20)
    wait = WorkflowTask(name="w", task_reference_name="w", type="WAIT", input_parameters={"x": "${workflow.input.x}"})
    for _ in range(4):
        stage.start(flow(wait), {"x": "x" * 18_000})
    decider = stage.decider()
    stage.settle(decider)
    assert len(decider.estates[0].workflows) == 1


def weigh_commits(stage: Stage) -> list[int]:
    """The sizes of the commits from now on, in bytes."""
    sizes = list[int]()

    def weigh(steps: Sequence[Call | Command]) -> None:
        commits = [one for one in steps if isinstance(one, Call) and one.script == "commit"]
        sizes.extend(sum(len(a) if isinstance(a, bytes | str) else 8 for a in one.args) for one in commits)

    stage.before = weigh
    return sizes


@pytest.mark.timeout(120)
def test_a_rerun_drops_twenty_thousand_tasks_in_several_commits(real_stage: Stage) -> None:
    stage = real_stage
    branches = {"forkTaskType": "NOOP", "forkTaskInputs": [None] * 20_000}
    fork = WorkflowTask(name="f", task_reference_name="f", type="FORK_JOIN_DYNAMIC", input_parameters=branches)
    join = WorkflowTask(name="j", task_reference_name="j", type="JOIN")
    workflow_id = stage.start(flow(step("a"), fork, join))
    decider = stage.decider()
    assert _run_out(stage, decider, "a") == 1
    assert stage.status(workflow_id) == "COMPLETED"
    sizes = weigh_commits(stage)
    asked = stage.ask(workflow_id, "rerun", ref="a")
    stage.settle(decider)
    assert stage.answer(workflow_id, asked)["ok"]
    assert max(sizes) < 512 * 1024
    assert [task.reference_task_name for task in stage.view(workflow_id).tasks] == ["a"]
    assert _run_out(stage, decider, "a") == 1
    assert stage.status(workflow_id) == "COMPLETED"
    assert _records(stage, workflow_id) == 2 * 20_003


@pytest.mark.timeout(120)
def test_ten_thousand_tasks_are_retried_rerun_and_restarted_in_bounded_commits(real_stage: Stage) -> None:
    stage, width = real_stage, 10_000
    stage.register(TaskDef(name="b", retry_count=0))
    workflow_id = stage.start(forked(width))
    decider = stage.decider()
    stage.settle(decider)
    begun = stage.claim("b")
    stage.report(begun[1:], {"v": 1})
    stage.report(begun[:1], status="FAILED")
    stage.settle(decider)
    assert stage.status(workflow_id) == "FAILED"
    sizes = weigh_commits(stage)
    asked = stage.ask(workflow_id, "retry")
    assert _run_out(stage, decider, "b") == width - len(begun) + 1
    assert stage.answer(workflow_id, asked)["ok"]
    assert stage.status(workflow_id) == "COMPLETED"
    for action, arguments in (("rerun", {"ref": "b00007"}), ("rerun", {"ref": "f"}), ("restart", {})):
        asked = stage.ask(workflow_id, action, **arguments)
        stage.settle(decider)
        assert stage.answer(workflow_id, asked)["ok"]
        if arguments != {"ref": "b00007"}:
            stage.ask(workflow_id, "terminate")
        assert _run_out(stage, decider, "b") <= 1
    assert max(sizes) < 1024 * 1024
