"""``orchestrator workers``: who runs tasks, and what they are told: to pause, to go on, to end after what they have.

Workers are named, or are all that run a task type. Holds no rule; the service judges. Called by operators and by scripts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from orchestrator_cli.command import Entry, LazyGroup, Leaf, output_option
from orchestrator_cli.output import Column, moment, say, show, show_all, span
from orchestrator_cli.session import current_session

group = LazyGroup(
    "workers",
    help="Workers: who runs which tasks; pause, resume and drain them.",
    entries={
        "list": Entry(__name__, "list_", "List workers that live, and those that fell silent lately."),
        "get": Entry(__name__, "get", "Show one worker with the tasks it holds."),
        "pause": Entry(__name__, "pause", "Claim nothing more until resumed."),
        "resume": Entry(__name__, "resume", "Claim again."),
        "drain": Entry(__name__, "drain", "End after the tasks they have."),
    },
)

_TYPES = Column("types", lambda row: ", ".join(_type(one) for one in row["taskTypes"]))
_TASKS = Column("tasks", lambda row: f"{row['running']} of {row['concurrency']}")
_STATE = Column("state", lambda row: row["state"])
_VERSION = Column("version", lambda row: " ".join(filter(None, [row["version"], row.get("build")])))
LISTED = [
    Column("name", lambda row: row["name"]),
    _STATE,
    _TASKS,
    _TYPES,
    Column("host", lambda row: row["host"]),
    Column("pid", lambda row: row["pid"]),
    _VERSION,
    Column("seen", lambda row: f"{span(row['silentMs'])} ago"),
]
SHOWN = [
    *LISTED,
    Column("python", lambda row: row["python"]),
    Column("started", lambda row: moment(row["startTime"])),
    Column("told to", lambda row: row.get("order")),
    Column("holds", lambda row: ", ".join(row["held"])),
]


def _type(served: dict[str, Any]) -> str:
    place = f"{served['domain']}:{served['name']}" if served.get("domain") else served["name"]
    return f"{place} ({served['pool']})"


@click.command("list", cls=Leaf, examples="orchestrator workers list\norchestrator workers list --type charge -o json")
@click.option("--type", "task_type", help="Those that run this task type.")
@output_option()
def list_(task_type: str | None, form: str) -> None:
    """List workers: what they run where, how many tasks they have, when they were last heard of."""
    from orchestrator.model.wire_write import write_struct
    from orchestrator.service import workers

    with current_session().store() as store:
        found = store.run(workers.list_workers, task_type)
    show_all([write_struct(one) for one in found], form, LISTED, name="name")


@click.command(cls=Leaf, examples="orchestrator workers get host-1-7f3a9c")
@click.argument("name")
@output_option()
def get(name: str, form: str) -> None:
    """Show one worker, with the tasks it holds and what it was told to do."""
    from orchestrator.model.wire_write import write_struct
    from orchestrator.service import workers

    with current_session().store() as store:
        found = store.run(workers.get, name)
    show(write_struct(found), form, SHOWN, name="name")


def _which(command: Callable[..., Any]) -> Callable[..., Any]:
    names = click.argument("names", metavar="[NAME]...", nargs=-1)
    return names(click.option("--type", "task_type", help="All workers that run this task type.")(command))


@click.command(cls=Leaf, examples="orchestrator workers pause host-1-7f3a9c\norchestrator workers pause --type charge")
@_which
def pause(names: tuple[str, ...], task_type: str | None) -> None:
    """Have workers claim nothing more until they are resumed; the tasks they run go on."""
    _tell("pause", names, task_type)


@click.command(cls=Leaf, examples="orchestrator workers resume --type charge")
@_which
def resume(names: tuple[str, ...], task_type: str | None) -> None:
    """Have paused workers claim again."""
    _tell("resume", names, task_type)


@click.command(cls=Leaf, examples="orchestrator workers drain host-1-7f3a9c\norchestrator workers drain --type charge")
@_which
def drain(names: tuple[str, ...], task_type: str | None) -> None:
    """Have workers end after the tasks they have. What starts them may start them again."""
    _tell("drain", names, task_type)


def _tell(order: str, names: tuple[str, ...], task_type: str | None) -> None:
    from orchestrator.service import workers

    with current_session().store() as store:
        told = store.run(getattr(workers, order), names, task_type)
    for name in told:
        click.echo(name)
    say(f"Told to {order}; they hear it within a few seconds: orchestrator workers list")
