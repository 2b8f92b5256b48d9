"""Workflows that take messages, for every third seed, and what their clients do with them.

They draw from a source of their own, so that the other seeds tell the stories they told before there were messages.
"""

from __future__ import annotations

import random

from orchestrator.model.definitions import WorkflowDef, WorkflowTask

NAME = "mailbox"
PULL = "PULL_WORKFLOW_MESSAGES"
SELDOM = 3
MESSAGES = 4
"""So many are pushed; the workflow takes two to four, as they come."""


def has_mailbox(seed: int) -> bool:
    """Whether messages occur in the seed."""
    return seed % SELDOM == 2


def definition(rng: random.Random) -> WorkflowDef:
    """The workflow that takes messages: two tasks that wait side by side, and one that takes what there is."""
    return WorkflowDef(
        name=NAME,
        tasks=[
            _pull("first"),
            WorkflowTask(name=rng.choice(("plain", "flaky")), task_reference_name="between"),
            WorkflowTask(
                name="split",
                task_reference_name="split",
                type="FORK_JOIN",
                fork_tasks=[[_pull("left")], [_pull("right", batchSize=2, blocking=rng.random() < 0.5)]],
            ),
            WorkflowTask(name="both", task_reference_name="both", type="JOIN", join_on=["left", "right"]),
            WorkflowTask(name="plain", task_reference_name="last"),
        ],
    )


def actions(rng: random.Random) -> tuple[tuple[int, str], ...]:
    """What a client does with it."""
    chosen = rng.choice(("", "", "", "pause", "terminate", "remove", "poison"))
    pushes = ((rng.randrange(1, 900), "push"),)
    if chosen == "pause":
        return ((rng.randrange(10, 300), "pause"), (rng.randrange(10, 300), "resume"), *pushes)
    return (*pushes, (rng.randrange(1, 900), chosen)) if chosen else pushes


def message_id(workflow_id: str, number: object) -> str:
    """The id of a message, which is that of its request too."""
    return f"push-{workflow_id}-{number}"


def _pull(ref: str, **given: object) -> WorkflowTask:
    return WorkflowTask(name="pull", task_reference_name=ref, type=PULL, input_parameters=given)
