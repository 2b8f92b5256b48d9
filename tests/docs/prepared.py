"""What a page takes for granted: the workflows, tasks and files of its reader, by page. The names are those of the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from orchestrator import Workflow, task
from orchestrator.task import Task
from tests.docs.desk import Desk


@task
def charge(amount: int = 1) -> dict[str, int]:
    """What the pages charge."""
    return {"amount": amount}


@task
async def greet(name: str) -> str:
    """What the pages greet with."""
    return f"Hello, {name}"


SERVED: dict[str, Sequence[Task[..., Any]]] = {"docs/clients.md": (greet,), "docs/scripts.md": (charge,)}
"""Tasks that workers of the reader serve, where a page starts none."""
MODULE = "from orchestrator import task\n\n\n@task\ndef charge(order_id: str) -> dict:\n    return {}\n"
AROUND = "def timed(context, input):\n    yield\n\n\ndef audited(context, input):\n    yield\n"


def access(desk: Desk) -> None:
    desk.terminal.run("orchestrator server")


def clients(desk: Desk) -> None:
    desk.client.register(Workflow("hello").then(greet, name="${workflow.input.name}"))
    desk.terminal.run("orchestrator server")


def schedules(desk: Desk) -> None:
    for name in ("report", "fetch", "mailing"):
        desk.names[name] = Workflow(name).noop()
        desk.client.register(desk.names[name])


def scripts(desk: Desk) -> None:
    order = Workflow("order").then(charge, amount=120)
    desk.client.with_options(workflow_id="order-17").start_workflow(order).result(timeout_s=10)


def search(desk: Desk) -> None:
    desk.names["client"] = desk.client


def definitions(desk: Desk) -> None:
    folder = desk.terminal.folder / "definitions"
    folder.mkdir()
    (folder / "order.json").write_text(
        json.dumps({"name": "order", "tasks": [{"name": "n", "taskReferenceName": "n", "type": "NOOP"}]})
    )


def modules(desk: Desk) -> None:
    folder = desk.terminal.folder / "my"
    folder.mkdir()
    for module, name in {"tasks": "charge", "reports": "report", "imports": "load", "around": ""}.items():
        (folder / f"{module}.py").write_text(MODULE.replace("charge", name) if name else AROUND)


PREPARED: dict[str, Any] = {
    "docs/access.md": access,
    "docs/clients.md": clients,
    "docs/metrics.md": modules,
    "docs/operations/definitions.md": definitions,
    "docs/schedules.md": schedules,
    "docs/scripts.md": scripts,
    "docs/search.md": search,
    "docs/workers.md": modules,
}
