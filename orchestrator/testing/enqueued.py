"""Whether application code has enqueued what it should have: questions about one-task workflows that have not ended.

They work on the client of a test environment, and on any other client that tests use.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from orchestrator.binding import encode_output
from orchestrator.client.blocking import Client
from orchestrator.client.enqueueing import DELAY_INPUT, MARK, UNTIL_INPUT
from orchestrator.model.status import WorkflowStatus
from orchestrator.plan import Plan
from orchestrator.service import listing, workflows
from orchestrator.store.context import StoreContext
from orchestrator.task import Task

LOOK_MAX = 1_000


class Enqueued(NamedTuple):
    """An enqueued task; ``delay`` is a duration or a moment as text when it is not to run at once."""

    task: str
    input: dict[str, Any]
    priority: int
    delay: str | None
    workflow_id: str


def all_enqueued(client: Client, task: Task[..., Any] | str | None = None) -> list[Enqueued]:
    """The tasks that were enqueued and have not ended, the latest first; of one task or of all.

    Example: ``[one.input["name"] for one in testing.all_enqueued(env.client, greet)]``
    """
    return client.run(_all_enqueued(client.store, _name(task)))


def assert_enqueued(client: Client, task: Task[..., Any] | str, /, **inputs: Any) -> Enqueued:
    """Make sure that ``task`` was enqueued with these inputs (others may be there too); gives the latest such.

    Raises ``AssertionError`` listing what was enqueued.
    Example: ``testing.assert_enqueued(env.client, greet, name="Ada")``
    """
    enqueued = all_enqueued(client, task)
    found = _matching(enqueued, inputs)
    if not found:
        raise AssertionError(f"{_name(task)} was not enqueued with {inputs or 'any input'}; {_listed(enqueued)}")
    return found[0]


def refute_enqueued(client: Client, task: Task[..., Any] | str, /, **inputs: Any) -> None:
    """Make sure that ``task`` was not enqueued with these inputs. Raises ``AssertionError``."""
    found = _matching(all_enqueued(client, task), inputs)
    if found:
        raise AssertionError(f"{_name(task)} was enqueued {len(found)} times; {_listed(found)}")


def _all_enqueued(store: StoreContext, name: str | None) -> Plan[list[Enqueued]]:
    found = []
    running = yield from listing.list_workflows(store, status=WorkflowStatus.RUNNING, name=name, size=LOOK_MAX)
    for item in running.items:
        workflow = yield from workflows.get(store, item.workflow_id, include_tasks=False)
        definition = workflow.workflow_definition
        if definition is None or definition.metadata != MARK:
            continue
        given = dict(workflow.input)
        delay = given.pop(DELAY_INPUT, None) or given.pop(UNTIL_INPUT, None)
        found.append(Enqueued(item.workflow_type, given, workflow.priority, delay, item.workflow_id))
    return found


def _matching(enqueued: list[Enqueued], inputs: dict[str, Any]) -> list[Enqueued]:
    wanted = encode_output(inputs)
    return [one for one in enqueued if all(one.input.get(name, ...) == value for name, value in wanted.items())]


def _listed(enqueued: list[Enqueued]) -> str:
    lines = "".join(f"\n  {one.task} {one.input}" for one in enqueued)
    return f"enqueued:{lines}" if lines else "nothing of that name is enqueued"


def _name(task: Task[..., Any] | str | None) -> str | None:
    return task.name if isinstance(task, Task) else task
