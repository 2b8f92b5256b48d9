"""Tasks that tell which trace they run in, in each pool."""

from __future__ import annotations

from opentelemetry import trace

from orchestrator.context import TaskContext
from orchestrator.errors import Retry
from orchestrator.task import RetryPolicy, task


def here() -> str:
    """The id of the trace that this code is part of, 32 hexadecimal digits."""
    return format(trace.get_current_span().get_span_context().trace_id, "032x")


@task
async def on_the_loop() -> str:
    return here()


@task(retry=RetryPolicy(limit=1, delay_s=0))
def at_the_second_attempt(context: TaskContext) -> str:
    if context.attempt == 0:
        raise Retry("not yet")
    return here()


@task(pool="process")
def in_a_child() -> str:
    return here()


@task(pool="rq")
def in_a_horse() -> str:
    return here()
