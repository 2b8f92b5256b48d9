"""Our side of the jobs: task bodies that do nothing, and the workflows made of them."""

from __future__ import annotations

from bench.stamps import stamp
from orchestrator.task import task
from orchestrator.workflow import Branch, Workflow

STEPS = 5
BRANCHES = 100
REMOTE = "bench_remote"
"""A task type that only workers over HTTP serve."""


@task(name="bench_noop")
async def noop() -> dict[str, int]:
    """Nothing."""
    return {"v": 1}


@task(name="bench_begin")
async def begin() -> dict[str, int]:
    """Nothing, but tell when it began."""
    stamp(1)
    return {"v": 1}


@task(name="bench_step")
async def step(v: int) -> dict[str, int]:
    """Pass a number on, one larger."""
    return {"v": v + 1}


@task(name="bench_last")
async def last(v: int) -> dict[str, int]:
    """The last step of a chain: tell what arrived and when."""
    stamp(v + 1)
    return {"v": v + 1}


@task(name="bench_sum")
async def total(members: dict[str, dict[str, int]]) -> dict[str, int]:
    """Behind the join: tell the sum of its members."""
    value = sum(output["v"] for output in members.values())
    stamp(value)
    return {"v": value}


def single() -> Workflow:
    """One no-op task."""
    return Workflow("bench_single").then(noop).output(v="${bench_noop.output.v}")


def remote() -> Workflow:
    """One task for a worker over HTTP."""
    return Workflow("bench_remote").then(REMOTE).output(v="${bench_remote.output.v}")


def begun() -> Workflow:
    """One task that tells when it began."""
    return Workflow("bench_begun").then(begin)


def chain() -> Workflow:
    """Five steps, a number passed along."""
    workflow = Workflow("bench_chain")
    source = "${workflow.input.v}"
    for number in range(STEPS):
        body = last if number == STEPS - 1 else step
        workflow.then(body, ref=f"s{number}", v=source)
        source = f"${{s{number}.output.v}}"
    return workflow.output(v=source)


def fan() -> Workflow:
    """A fork of a hundred no-ops, a join, and their sum."""
    branches = [Branch().then(noop, ref=f"b{number}") for number in range(BRANCHES)]
    return (
        Workflow("bench_fan")
        .fork(*branches, ref="fork")
        .then(total, ref="sum", members="${fork_join.output}")
        .output(v="${sum.output.v}")
    )
