"""Hello, world: one task, one workflow, one call.

Terminal 1: ``orchestrator dev examples/hello/hello.py``; terminal 2, in the same folder: ``python
examples/hello/hello.py`` or ``orchestrator workflow run hello -i name=Ada``.
"""

from __future__ import annotations

from orchestrator import Client, Workflow, task


@task
async def greet(name: str) -> str:
    """Greet somebody."""
    return f"Hello, {name}"


hello = Workflow("hello").then(greet, name="${workflow.input.name}")


if __name__ == "__main__":
    print(Client().execute_workflow(hello, name="Ada"))
