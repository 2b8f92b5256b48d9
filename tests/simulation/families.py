"""Workflows that start workflows, for every third seed: children that work, that wait for a word, and that have children.

They draw from a source of their own, so that the other seeds tell the stories they told before there were children.
"""

from __future__ import annotations

import random

from orchestrator.model.definitions import (
    SubWorkflowParams,
    TaskDef,
    TimeoutPolicy,
    WorkflowDef,
    WorkflowTask,
    WorkflowTimeoutPolicy,
)

SUB = "sub"
"""The task definition name of every SUB_WORKFLOW step, which gives their retries and time-outs."""

PATIENT = "patient"
"""The child that ends only when it is sent a signal, or when its parent's task is over."""

SELDOM = 3


def has_family(seed: int) -> bool:
    """Whether sub-workflows occur in the seed."""
    return seed % SELDOM == 1


def task_def(rng: random.Random) -> TaskDef:
    """What governs the SUB_WORKFLOW steps."""
    return TaskDef(
        name=SUB,
        retry_count=rng.choice((0, 1, 2)),
        retry_delay_seconds=rng.choice((0, 1)),
        timeout_seconds=rng.choice((0, 0, 3)),
        timeout_policy=TimeoutPolicy.RETRY,
        response_timeout_seconds=rng.choice((0, 1)),
    )


def children() -> list[WorkflowDef]:
    """The workflows that are started by others, by name."""
    return [
        WorkflowDef(
            name="offspring",
            tasks=[_simple("plain", "kid_one"), _simple("flaky", "flaky_kid")],
            output_parameters={"by": "${flaky_kid.output.by}"},
        ),
        WorkflowDef(
            name=PATIENT,
            tasks=[
                WorkflowTask(name="word", task_reference_name="word", type="WAIT", input_parameters={"signal": "go"}),
                _simple("plain", "kid_last"),
            ],
        ),
        WorkflowDef(name="middle", tasks=[_child("inner", "offspring"), _child("slow", PATIENT)]),
    ]


def parents(rng: random.Random) -> list[WorkflowDef]:
    """The workflows that clients start."""
    lone = WorkflowDef(
        name="parent",
        tasks=[
            _simple("plain", "opening"),
            _child("heir", rng.choice(("offspring", PATIENT, "middle")), optional=rng.random() < 0.3),
            _simple("plain", "closing", input_parameters={"by": "${heir.output}"}),
        ],
        timeout_seconds=rng.choice((0, 0, 3, 6)),
        timeout_policy=WorkflowTimeoutPolicy.TIME_OUT_WF,
    )
    clan = WorkflowDef(
        name="clan",
        tasks=[
            WorkflowTask(
                name="split",
                task_reference_name="split",
                type="FORK_JOIN",
                fork_tasks=[
                    [_child("one", "offspring", permissive=rng.random() < 0.3)],
                    [_child("two", rng.choice((PATIENT, "middle")), start_delay=rng.choice((0, 0, 1)))],
                    [_simple(rng.choice(("plain", "limited")), "beside")],
                ],
            ),
            WorkflowTask(
                name="together", task_reference_name="together", type="JOIN", join_on=["one", "two", "beside"]
            ),
        ],
    )
    return [one for one in (lone, clan) if rng.random() < 0.75] or [lone]


def actions(rng: random.Random) -> tuple[tuple[int, str], ...]:
    """What a client does with a parent."""
    often = ("terminate", "terminate", "end_child", "child_again", "child_again", "child_again")
    chosen = rng.choice(("", "", *often, "remove", "poison", "pause"))
    if not chosen:
        return ()
    if chosen == "pause":
        return ((rng.randrange(10, 900), "pause"), (rng.randrange(50, 900), "resume"))
    return ((rng.randrange(10, 1500), chosen),)


def _simple(name: str, ref: str, **options: object) -> WorkflowTask:
    return WorkflowTask(name=name, task_reference_name=ref, **options)  # type: ignore[arg-type]


def _child(ref: str, name: str, **options: object) -> WorkflowTask:
    params = SubWorkflowParams(name=name)
    return WorkflowTask(
        name=SUB,
        task_reference_name=ref,
        type="SUB_WORKFLOW",
        sub_workflow_param=params,
        **options,  # type: ignore[arg-type]
    )
