"""``orchestrator queue pause``, ``resume``, ``drain``, ``purge`` and ``peek``: one queue, in the hands of an operator.

Each asks for a verb of the service; only ``drain`` waits here. Called by operators.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

from orchestrator_cli.command import Leaf, output_option
from orchestrator_cli.completion import task_names
from orchestrator_cli.output import Column, say, show_all, span
from orchestrator_cli.session import current_session

LOOK_S = 0.5

TASKS = [
    Column("task", lambda row: row["taskId"]),
    Column("workflow", lambda row: row["workflowId"]),
    Column("standing", lambda row: row["standing"]),
    Column("in", lambda row: "-" if row["inMs"] is None else span(row["inMs"])),
    Column("delivery", lambda row: row["delivery"]),
    Column("worker", lambda row: row["worker"] or "-"),
    Column("owner", lambda row: "-" if row["owner"] is None else row["owner"]),
    Column("key", lambda row: "-" if row["key"] is None else row["key"]),
    Column("domain", lambda row: row["domain"] or "-"),
]

type_argument = click.argument("task_type", metavar="TYPE", shell_complete=task_names)
count_option = click.option(
    "--count", type=click.IntRange(1, 1_000), default=100, show_default=True, help="At most so many tasks."
)


def show_tasks(found: Sequence[Any], form: str) -> None:
    """Write the tasks of a queue."""
    rows = [
        {
            "taskId": one.task_id,
            "workflowId": one.workflow_id,
            "standing": one.standing,
            "domain": one.domain,
            "owner": one.owner,
            "key": one.key,
            "delivery": one.delivery,
            "inMs": one.in_ms,
            "worker": one.worker,
        }
        for one in found
    ]
    show_all(rows, form, TASKS, name="taskId")


@click.command(cls=Leaf, examples="orchestrator queue peek charge\norchestrator queue peek charge --count 5 -o json")
@type_argument
@count_option
@output_option()
def peek(task_type: str, count: int, form: str) -> None:
    """Show the tasks that wait, as the next ones to go: in line, kept back by the limit of their key, or for their time."""
    from orchestrator.service import queue_care

    with current_session().store() as store:
        show_tasks(store.run(queue_care.waiters, task_type, count), form)


@click.command(cls=Leaf, examples="orchestrator queue pause charge")
@click.argument("task_types", nargs=-1, required=True, metavar="TYPE...", shell_complete=task_names)
def pause(task_types: tuple[str, ...]) -> None:
    """Hand out no more tasks of these types until they are resumed; what is out goes on."""
    from orchestrator.service import queue_care

    with current_session().store() as store:
        for task_type in task_types:
            store.run(queue_care.pause, task_type)


@click.command(cls=Leaf, examples="orchestrator queue resume charge")
@click.argument("task_types", nargs=-1, required=True, metavar="TYPE...", shell_complete=task_names)
def resume(task_types: tuple[str, ...]) -> None:
    """Hand out tasks of these types again."""
    from orchestrator.service import queue_care

    with current_session().store() as store:
        for task_type in task_types:
            store.run(queue_care.resume, task_type)


@click.command(cls=Leaf, examples="orchestrator queue drain charge\norchestrator queue drain charge --timeout 300")
@type_argument
@click.option("--timeout", "timeout_s", type=click.FloatRange(0), default=60, show_default=True, metavar="SECONDS")
def drain(task_type: str, timeout_s: float) -> None:
    """Pause a type and wait until no worker has a task of it; 1 when one still has when the time is over."""
    from orchestrator.service import queue_care

    ends_s = time.monotonic() + timeout_s
    with current_session().store() as store:
        while out := store.run(queue_care.drain, task_type):
            if time.monotonic() >= ends_s:
                say(f"{out:,} tasks of {task_type} are still with workers; the queue stays paused")
                raise click.exceptions.Exit(1)
            time.sleep(LOOK_S)
    say(f"no worker has a task of {task_type}; resume it with: orchestrator queue resume {task_type}")


@click.command(cls=Leaf, examples="orchestrator queue purge charge --yes --reason 'sent twice'")
@type_argument
@click.option("--reason", help="Why; shown with each task.")
@click.option("--count", type=click.IntRange(1, 1_000), default=1_000, show_default=True, help="At most so many.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def purge(task_type: str, reason: str | None, count: int, yes: bool) -> None:
    """End the tasks that wait, each in its workflow and for good; none that a worker has.

    A workflow fails with its task, unless that is optional.
    """
    from orchestrator.service import queue_care

    if not yes:
        click.confirm(f"End up to {count:,} waiting tasks of {task_type} in their workflows?", abort=True, err=True)
    with current_session().store() as store:
        ended = store.run(queue_care.purge, task_type, reason, count)
    say(f"{ended:,} tasks of {task_type} were ended")
