"""Owners who share the workers of one task type, for every third seed: crowds of tasks at once, some of them called off.

In every other of these the limits of two types hold for each owner.

They draw from a source of their own, so that the other seeds tell the stories they told before there were owners.
"""

from __future__ import annotations

import random

from orchestrator.model.definitions import WorkflowDef, WorkflowTask

SHARED = "limited"
"""The task type that is shared; what belongs to no owner is one owner's too."""

LIMITED = ("limited", "rated")
"""The task types whose limits may be ones for each owner."""

KEY = "${workflow.input.owner}"
OWNERS = ("ann", "ann", "bob", "cid")
SELDOM = 3


def has_shares(seed: int) -> bool:
    """Whether tasks have owners in the seed."""
    return seed % SELDOM == 1


def has_key_limits(seed: int) -> bool:
    """Whether limits hold for each owner in the seed."""
    return has_shares(seed) and seed % 2 == 0


def definition(rng: random.Random) -> WorkflowDef:
    """A workflow that wants much at once."""
    branches = [
        [
            WorkflowTask(
                name=rng.choice((SHARED, SHARED, "rated")),
                task_reference_name=f"share_{n}",
                optional=True,
                start_delay=rng.choice((0, 0, 0, 1)),
            )
        ]
        for n in range(rng.randrange(1, 7))
    ]
    return WorkflowDef(
        name="crowd",
        tasks=[
            WorkflowTask(name="crowd", task_reference_name="crowd", type="FORK_JOIN", fork_tasks=branches),
            WorkflowTask(
                name="done",
                task_reference_name="done",
                type="JOIN",
                join_on=[branch[0].task_reference_name for branch in branches],
            ),
        ],
    )


def actions(rng: random.Random) -> tuple[tuple[int, str], ...]:
    """What becomes of one of them besides."""
    return ((rng.randrange(10, 900), "terminate"),) if rng.random() < 0.2 else ()
