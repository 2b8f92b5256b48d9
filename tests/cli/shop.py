"""The tasks and workflows that the tests of the command line run: one that succeeds, one that fails, one that waits."""

from __future__ import annotations

from typing import Any

from orchestrator.errors import TerminalError
from orchestrator.task import RetryPolicy, Task, task
from orchestrator.workflow import Workflow


@task
def greet(name: str = "nobody") -> str:
    """Say hello."""
    return f"Hello, {name}"


@task(retry=RetryPolicy(limit=0))
def refuse() -> None:
    """Fail, whatever is tried."""
    raise TerminalError("the card was refused")


TASKS: list[Task[..., Any]] = [greet, refuse]

hello = Workflow("hello").then(greet, name="${workflow.input.name}")
refused = Workflow("refused").then(refuse)
patient = Workflow("patient").wait(ref="approval", signal="approved").then(greet, name="${approval.output.by}")
