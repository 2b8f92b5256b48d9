"""Workflows under a rate limit of their own, for every third seed: some wait for their turn, some never get it.

They draw from a source of their own, so that the other seeds tell the stories they told before there were gates.
"""

from __future__ import annotations

import random

from orchestrator.core.admission import limit_of
from orchestrator.model.definitions import RateLimitConfig, WorkflowDef, WorkflowTask

GATED = "gated"
LANES = ("left", "left", "right")
SELDOM = 3


def has_gate(seed: int) -> bool:
    """Whether rate-limited workflows occur in the seed."""
    return seed % SELDOM == 2


def definition(limit: int) -> WorkflowDef:
    """A workflow of which so many may be in at once for each lane."""
    return WorkflowDef(
        name=GATED,
        tasks=[
            WorkflowTask(name="plain", task_reference_name="in_one"),
            WorkflowTask(name="flaky", task_reference_name="flaky_in", optional=True),
        ],
        rate_limit_config=RateLimitConfig(rate_limit_key="${workflow.input.lane}", concurrent_exec_limit=limit),
    )


def names(limit: int) -> list[str]:
    """The gates of all lanes; none when nothing is limited."""
    limits = [limit_of(definition(limit), {"lane": lane}, None) for lane in LANES] if limit else []
    return [one.gate for one in limits if one is not None]


def actions(rng: random.Random) -> tuple[tuple[int, str], ...]:
    """What becomes of one of them besides."""
    chance = rng.random()
    if chance < 0.2:
        return ((rng.randrange(10, 900), "terminate"),)
    if chance < 0.4:
        return ((rng.randrange(10, 600), "pause"), (rng.randrange(50, 900), "resume"))
    if chance < 0.5:
        return ((rng.randrange(10, 900), "remove"),)
    return ()
