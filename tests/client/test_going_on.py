"""Rerun, retry and restart of ended workflows, wherever the task in question lies and however the workflow ended.

One table says what is to be expected, one row for each place and ending: for each operation the tasks that run after it
until the workflow has completed, or the refusal. What the table does not list does not run again: completed siblings are
untouched, cancelled ones resumed, later steps done again. The workflow is ``before``, the place with the task ``work`` in
it (beside a sibling ``beside`` in forks, in the second round of the loop), ``after``; a sub-workflow is ``first``, ``work``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.errors import Conflict, TaskNotFound, TerminalError
from orchestrator.model.definitions import TaskDef, WorkflowTask, WorkflowTimeoutPolicy
from orchestrator.model.execution import Task, TaskResult
from orchestrator.model.status import TaskStatus
from orchestrator.service import tasks as task_service
from orchestrator.testing import Environment
from tests.support.build import dynamic_fork, forked, loop, simple, sub_workflow, switch, workflow_def
from tests.support.served import MakeEnvironment

TABLE = """
top         | completed  | work after        | CONFLICT                | CONFLICT          | before work after
top         | failed     | work after        | work after              | work after        | before work after
top         | terminated | work after        | work after              | work after        | before work after
top         | timed out  | work after        | work after              | work after        | before work after
fork        | completed  | work after        | CONFLICT                | CONFLICT          | before work beside after
fork        | failed     | work beside after | work beside after       | work beside after | before work beside after
fork        | terminated | work beside after | work beside after       | work beside after | before work beside after
fork        | timed out  | work beside after | work beside after       | work beside after | before work beside after
dynamic     | completed  | work after        | CONFLICT                | CONFLICT          | before work beside after
dynamic     | failed     | work beside after | work beside after       | work beside after | before work beside after
dynamic     | terminated | work beside after | work beside after       | work beside after | before work beside after
dynamic     | timed out  | work beside after | work beside after       | work beside after | before work beside after
loop        | completed  | work after        | CONFLICT                | CONFLICT          | before work work after
loop        | failed     | work after        | work after              | work after        | before work work after
loop        | terminated | work after        | work after              | work after        | before work work after
loop        | timed out  | work after        | work after              | work after        | before work work after
switch      | completed  | work after        | CONFLICT                | CONFLICT          | before work after
switch      | failed     | work after        | work after              | work after        | before work after
switch      | terminated | work after        | work after              | work after        | before work after
switch      | timed out  | work after        | work after              | work after        | before work after
sub/top     | completed  | work after        | CONFLICT                | CONFLICT          | before first work after
sub/top     | failed     | work after        | first work after        | work after        | before first work after
sub/top     | terminated | work after        | first work after        | work after        | before first work after
sub/top     | timed out  | work after        | first work after        | work after        | before first work after
sub/fork    | completed  | work after        | CONFLICT                | CONFLICT          | before first work beside after
sub/fork    | failed     | work beside after | first work beside after | work beside after | before first work beside after
sub/fork    | terminated | work beside after | first work beside after | work beside after | before first work beside after
sub/fork    | timed out  | work beside after | first work beside after | work beside after | before first work beside after
sub/dynamic | completed  | work after        | CONFLICT                | CONFLICT          | before first work beside after
sub/dynamic | failed     | work beside after | first work beside after | work beside after | before first work beside after
sub/dynamic | terminated | work beside after | first work beside after | work beside after | before first work beside after
sub/dynamic | timed out  | work beside after | first work beside after | work beside after | before first work beside after
sub/loop    | completed  | work after        | CONFLICT                | CONFLICT          | before first work first work after
sub/loop    | failed     | work after        | first work after        | work after        | before first work first work after
sub/loop    | terminated | work after        | first work after        | work after        | before first work first work after
sub/loop    | timed out  | work after        | first work after        | work after        | before first work first work after
sub/switch  | completed  | work after        | CONFLICT                | CONFLICT          | before first work after
sub/switch  | failed     | work after        | first work after        | work after        | before first work after
sub/switch  | terminated | work after        | first work after        | work after        | before first work after
sub/switch  | timed out  | work after        | first work after        | work after        | before first work after
"""
OPERATIONS = ("rerun", "retry", "resume", "restart")
CASES = [
    pytest.param(place, ending, operation, expected, id=f"{place}-{ending}-{operation}")
    for place, ending, *columns in (map(str.strip, line.split("|")) for line in TABLE.strip().splitlines())
    for operation, expected in zip(OPERATIONS, columns, strict=True)
]
TIMEOUT_S = 100
WF = WorkflowTimeoutPolicy.TIME_OUT_WF
ENDS_AS = {"completed": "COMPLETED", "failed": "FAILED", "terminated": "TERMINATED", "timed out": "TIMED_OUT"}

WORK = simple("work")
SUB = sub_workflow("sub", name="child")
JSON: dict[str, dict[str, Any]] = {
    "work": {"name": "work", "taskReferenceName": "work", "type": "SIMPLE"},
    "sub": {"name": "sub", "taskReferenceName": "sub", "type": "SUB_WORKFLOW", "subWorkflowParam": {"name": "child"}},
    "beside": {"name": "beside", "taskReferenceName": "beside", "type": "SIMPLE"},
}


def placed(place: str, subject: WorkflowTask) -> list[WorkflowTask]:
    """The subject in its place."""
    if place == "fork":
        return forked("f", [subject], [simple("beside")])
    if place == "dynamic":
        branches = [JSON[subject.task_reference_name], JSON["beside"]]
        fields = {"dynamic_fork_tasks_param": "tasks", "dynamic_fork_tasks_input_param_name": "inputs"}
        return dynamic_fork("f", {"tasks": branches, "inputs": {}}, **fields)
    if place == "loop":
        return [loop("l", "", subject, given={"_items": [1, 2]})]
    if place == "switch":
        return [switch("s", "x", {"x": [subject]}, [simple("other")])]
    return [subject]


class Trial:
    """One workflow of the table and what its tasks have done."""

    def __init__(self, env: Environment, place: str) -> None:
        self.env = env
        self.ran: list[str] = []
        self.is_broken = False
        self.has_sub = place.startswith("sub/")
        within = place.removeprefix("sub/")
        definition = workflow_def(simple("before"), *placed(within, SUB if self.has_sub else WORK), simple("after"))
        definition.timeout_seconds, definition.timeout_policy = (0 if self.has_sub else TIMEOUT_S), WF
        child = workflow_def(
            simple("first"), simple("work"), name="child", timeout_seconds=TIMEOUT_S, timeout_policy=WF
        )
        names = ("before", "first", "work", "beside", "after")
        env.client.register(child, definition, *(TaskDef(name=name, retry_count=0) for name in names))
        rounds = 2 if within == "loop" else 1
        self.steps = 2 * rounds if self.has_sub else rounds  # runs of tasks before that of the task in question
        self.serve("before", "first", "work")
        self.handle = env.client.start_workflow("flow")

    def serve(self, *names: str) -> None:
        self.env.serve(**{name: self._function(name) for name in names})

    def _function(self, name: str) -> Any:
        def run(**_: Any) -> str:
            if name == "work" and self.is_broken:
                raise TerminalError("broken")
            self.ran.append(name)
            return name

        return run

    def end(self, ending: str) -> None:
        """Bring the workflow to its end; but for a good one the sibling is not done by then."""
        if ending == "completed":
            self.serve("beside", "after")
            self.env.drain()
        else:
            for _ in range(self.steps):
                self.env.run_worker_once()
        self.subject = self.work()
        if ending == "failed":
            self.is_broken = True
            self.env.drain()
        elif ending == "terminated":
            self.handle.terminate("enough")
        elif ending == "timed out":
            self.env.clock.advance(TIMEOUT_S)
            self.env.decide()
        assert self.handle.status() == ENDS_AS[ending]

    def work(self) -> Task:
        """The latest attempt of the task in question."""
        described = self.handle.describe()
        if self.has_sub:
            child = [task.sub_workflow_id for task in described.tasks if task.sub_workflow_id][-1]
            described = self.env.client.workflow(str(child)).describe()
        return [task for task in described.tasks if task.task_def_name == "work"][-1]

    def act(self, operation: str) -> None:
        if operation == "rerun":
            self.handle.rerun(from_task_id=self.subject.task_id)
        elif operation == "restart":
            self.handle.restart()
        else:
            self.handle.retry(resume_subworkflow_tasks=operation == "resume")

    def finish(self) -> list[str]:
        """Let everything run from now on without a fault; gives what ran."""
        self.is_broken = False
        self.ran.clear()
        self.serve("beside", "after")
        self.env.run_until_quiet()
        return sorted(self.ran)


def is_stale(env: Environment, task: Task) -> bool:
    """Whether a word on this attempt changes nothing any more."""
    late = TaskResult(workflow_instance_id=task.workflow_instance_id, task_id=task.task_id, status=TaskStatus.COMPLETED)
    try:
        return not env.run(task_service.update_task(env.store, late)).is_accepted
    except TaskNotFound:
        return True


@pytest.fixture
def env(environment: MakeEnvironment) -> Iterator[Environment]:
    with environment() as env:
        yield env


@pytest.mark.parametrize(("place", "ending", "operation", "expected"), CASES)
def test_the_table(env: Environment, place: str, ending: str, operation: str, expected: str) -> None:
    trial = Trial(env, place)
    trial.end(ending)
    if expected == "CONFLICT":
        before = trial.handle.describe()
        with pytest.raises(Conflict):
            trial.act(operation)
        assert trial.handle.describe() == before
        return
    trial.act(operation)
    assert trial.handle.status() == "RUNNING"
    described = trial.handle.describe()
    assert (described.reason_for_incompletion, described.end_time, described.output) == (None, 0, {})
    assert [item.workflow_id for item in env.client.list_workflows(status="RUNNING", name="flow").items] == [
        trial.handle.id
    ]
    assert is_stale(env, trial.subject)
    assert trial.finish() == sorted(expected.split())
    assert trial.handle.status() == "COMPLETED"
    assert {task.status for task in trial.handle.describe().tasks if not task.retried} == {"COMPLETED"}


ON_THE_CHILD = """
completed  | work after | CONFLICT   | first work after
failed     | work after | work after | first work after
terminated | work after | work after | first work after
timed out  | work after | work after | first work after
"""
CHILD_CASES = [
    pytest.param(place, ending, operation, expected, id=f"{place}-{ending}-{operation}")
    for place in ("sub/top", "sub/loop", "sub/switch")
    for ending, *columns in (map(str.strip, line.split("|")) for line in ON_THE_CHILD.strip().splitlines())
    for operation, expected in zip(("rerun", "retry", "restart"), columns, strict=True)
]


@pytest.mark.parametrize(("place", "ending", "operation", "expected"), CHILD_CASES)
def test_a_parent_goes_on_with_the_child_that_is_acted_on(
    env: Environment, place: str, ending: str, operation: str, expected: str
) -> None:
    trial = Trial(env, place)
    trial.end(ending)
    child = env.client.workflow(trial.subject.workflow_instance_id)
    acts = {"rerun": lambda: child.rerun("work"), "retry": child.retry, "restart": child.restart}
    if expected == "CONFLICT":
        with pytest.raises(Conflict):
            acts[operation]()
        assert trial.handle.status() == ENDS_AS[ending]
        return
    acts[operation]()
    assert (child.status(), trial.handle.status()) == ("RUNNING", "RUNNING")
    assert trial.finish() == sorted(expected.split())
    assert (child.status(), trial.handle.status()) == ("COMPLETED", "COMPLETED")
