"""Walking a definition's tree, the kinds of task types, and the TaskDef of a task nobody registered."""

from __future__ import annotations

import pytest

from orchestrator.model.definitions import (
    OPERATOR_TYPES,
    SYSTEM_TYPES,
    TASK_DEPTH_MAX,
    WORKER_TYPES,
    SubWorkflowParams,
    TaskType,
    WorkflowDef,
    WorkflowTask,
    default_task_def,
    is_built_in,
    is_worker_task,
    locate,
    path_step,
    walk,
)


def task(ref: str, task_type: str = "SIMPLE") -> WorkflowTask:
    return WorkflowTask(name=ref, task_reference_name=ref, type=task_type)


def test_the_walk_visits_cases_branches_and_bodies_in_reading_order() -> None:
    loop = task("loop", "DO_WHILE")
    loop.loop_over = [task("body")]
    switch = task("switch", "SWITCH")
    switch.decision_cases = {"a": [task("in_a"), loop], "b c": [task("in_b")]}
    switch.default_case = [task("in_default")]
    fork = task("fork", "FORK_JOIN")
    fork.fork_tasks = [[task("left")], [switch]]

    found = [(path, each.task_reference_name) for path, each in walk(WorkflowDef(name="w", tasks=[fork, task("last")]))]

    assert found == [
        ("tasks[0]", "fork"),
        ("tasks[0].forkTasks[0][0]", "left"),
        ("tasks[0].forkTasks[1][0]", "switch"),
        ("tasks[0].forkTasks[1][0].decisionCases.a[0]", "in_a"),
        ("tasks[0].forkTasks[1][0].decisionCases.a[1]", "loop"),
        ("tasks[0].forkTasks[1][0].decisionCases.a[1].loopOver[0]", "body"),
        ("tasks[0].forkTasks[1][0].decisionCases['b c'][0]", "in_b"),
        ("tasks[0].forkTasks[1][0].defaultCase[0]", "in_default"),
        ("tasks[1]", "last"),
    ]


def test_lists_that_a_type_does_not_use_are_not_entered() -> None:
    simple = task("simple")
    simple.loop_over = [task("unused")]
    assert [ref.task_reference_name for _, ref in walk(WorkflowDef(name="w", tasks=[simple]))] == ["simple"]


def test_an_inline_sub_workflow_is_a_tree_of_its_own() -> None:
    child = task("child", "SUB_WORKFLOW")
    child.sub_workflow_param = SubWorkflowParams(workflow_definition=WorkflowDef(name="c", tasks=[task("inner")]))
    assert [path for path, _ in walk(WorkflowDef(name="w", tasks=[child]))] == ["tasks[0]"]


def test_a_location_knows_its_depth_its_loop_and_its_neighbours() -> None:
    loop = task("loop", "DO_WHILE")
    loop.loop_over = [task("one"), task("two")]
    places = {place.task.task_reference_name: place for place in locate(WorkflowDef(name="w", tasks=[loop]))}
    assert (places["loop"].depth, places["loop"].in_loop) == (1, False)
    assert (places["one"].depth, places["one"].in_loop) == (2, True)
    assert places["one"].previous is None
    assert places["one"].following is places["two"].task
    assert places["two"].previous is places["one"].task


def test_the_walk_of_an_endless_tree_ends() -> None:
    loop = task("loop", "DO_WHILE")
    loop.loop_over = [loop]
    assert max(place.depth for place in locate(WorkflowDef(name="w", tasks=[loop]))) == TASK_DEPTH_MAX + 1


def test_every_built_in_type_is_of_exactly_one_kind() -> None:
    assert set(TaskType) == OPERATOR_TYPES | SYSTEM_TYPES | WORKER_TYPES
    assert len(OPERATOR_TYPES) + len(SYSTEM_TYPES) + len(WORKER_TYPES) == len(TaskType)


@pytest.mark.parametrize(
    ("task_type", "by_worker"),
    [("SIMPLE", True), ("USER_DEFINED", True), ("resize_image", True), ("SWITCH", False), ("HTTP", False)],
)
def test_workers_do_simple_tasks_and_types_nobody_has_reserved(task_type: str, *, by_worker: bool) -> None:
    assert is_worker_task(task_type) == by_worker
    assert is_built_in(task_type) == (not by_worker)


def test_an_unregistered_simple_task_has_the_usual_defaults() -> None:
    ad_hoc = default_task_def("charge", "SIMPLE")
    assert (ad_hoc.name, ad_hoc.retry_count, ad_hoc.retry_delay_seconds, ad_hoc.response_timeout_seconds) == (
        "charge",
        3,
        60,
        3600,
    )


def test_an_unregistered_task_of_another_type_is_neither_retried_nor_expected_to_respond() -> None:
    ad_hoc = default_task_def("sum", "INLINE")
    assert (ad_hoc.retry_count, ad_hoc.response_timeout_seconds) == (0, 0)


@pytest.mark.parametrize(("key", "step"), [(3, "[3]"), ("name", ".name"), ("two words", "['two words']"), ("", "['']")])
def test_a_path_step_is_readable_for_any_key(key: str | int, step: str) -> None:
    assert path_step(key) == step
