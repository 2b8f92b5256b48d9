"""Workflows that start workflows in a test environment: what a caller waits for, and what it sees of children."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator import Workflow, task, testing
from orchestrator.errors import WorkflowFailed
from orchestrator.task import RetryPolicy
from orchestrator.testing import Environment


@task(retry=RetryPolicy(limit=0))
def double(n: int) -> int:
    if n < 0:
        raise ValueError("no negative numbers")
    return 2 * n


INNER = Workflow("inner")
INNER.then(double, ref="twice", n=INNER.input.n).output(n=INNER["twice"].output.result)
MIDDLE = Workflow("middle")
MIDDLE.sub_workflow(INNER, ref="once", n=MIDDLE.input.n)
MIDDLE.sub_workflow(INNER, ref="again", n=MIDDLE["once"].output.n).output(n=MIDDLE["again"].output.n)
OUTER = Workflow("outer")
OUTER.sub_workflow(MIDDLE, ref="sub", n=OUTER.input.n).output(n=OUTER["sub"].output.n)


@pytest.fixture
def env() -> Iterator[Environment]:
    with testing.environment([double]) as environment:
        environment.client.register(INNER, MIDDLE)
        yield environment


def test_the_result_of_a_workflow_waits_for_all_below_it(env: Environment) -> None:
    handle = env.client.start_workflow(OUTER, n=3)
    assert handle.result() == {"n": 12}
    middle = env.client.workflow(handle.describe().task("sub").sub_workflow_id or "").describe()
    assert middle.parent_workflow_id == handle.id
    assert [task.reference_task_name for task in middle.tasks] == ["once", "again"]
    assert len({task.sub_workflow_id for task in middle.tasks}) == 2


def test_the_result_of_a_failure_names_what_failed_below(env: Environment) -> None:
    handle = env.client.start_workflow(OUTER, n=-1)
    with pytest.raises(WorkflowFailed, match="no negative numbers"):
        handle.result()


def test_an_operator_mends_a_child_and_the_whole_line_goes_on(env: Environment) -> None:
    answers = iter([RuntimeError("out of order"), 5, 7])
    env.serve(double=lambda n: _next(answers))
    handle = env.client.start_workflow(OUTER, n=1)
    env.run_until_quiet()
    assert handle.status() == "FAILED"
    middle = handle.describe().task("sub").sub_workflow_id or ""
    inner = env.client.workflow(middle).describe().task("once").sub_workflow_id or ""
    env.client.workflow(inner).retry()
    assert [env.client.workflow(one).status() for one in (handle.id, middle, inner)] == ["RUNNING"] * 3
    assert handle.result() == {"n": 7}
    assert env.client.workflow(middle).describe().task("once").sub_workflow_id == inner


def _next(answers: Iterator[object]) -> object:
    answer = next(answers)
    if isinstance(answer, Exception):
        raise answer
    return answer
