"""``orchestrator taskdef``: the policies of tasks - retries, time-outs, limits - by task name.

A change counts at once, also for workflows under way: limits with the next claim, the rest with the next attempt.
Holds no rule; the service judges. Called by users and their CI.
"""

from __future__ import annotations

from typing import Any

import click

from orchestrator_cli import sources
from orchestrator_cli.command import Entry, LazyGroup, Leaf, output_option
from orchestrator_cli.completion import task_names
from orchestrator_cli.definition import APPLIED
from orchestrator_cli.output import Column, show, show_all
from orchestrator_cli.session import current_session

group = LazyGroup(
    "taskdef",
    help="Task definitions: retries, time-outs and limits by task name.",
    entries={
        "apply": Entry(__name__, "apply", "Store the task definitions of files, folders or Python modules."),
        "list": Entry(__name__, "list_", "List all task definitions."),
        "get": Entry(__name__, "get", "Show one task definition."),
        "delete": Entry(__name__, "delete", "Forget task definitions."),
    },
)

LISTED = [
    Column("name", lambda row: row["name"]),
    Column("retries", lambda row: _retries(row)),
    Column("timeout", lambda row: _seconds(row.get("timeoutSeconds"))),
    Column("response", lambda row: _seconds(row.get("responseTimeoutSeconds"))),
    Column("concurrency", lambda row: row.get("concurrentExecLimit") or "-"),
    Column("rate", lambda row: _rate(row)),
    Column("description", lambda row: row.get("description")),
]


@click.command(cls=Leaf, examples="orchestrator taskdef apply tasks.yaml\norchestrator taskdef apply my.tasks")
@click.argument("targets", nargs=-1, required=True, metavar="FILE|DIR|MODULE[:NAME]...")
@output_option()
def apply(targets: tuple[str, ...], form: str) -> None:
    """Store task definitions, replacing those there are; workflows in the same targets are left alone."""
    from orchestrator.errors import InvalidRequest
    from orchestrator.service import metadata

    found = sources.find(targets)
    if not found.task_defs:
        raise InvalidRequest(
            f"{', '.join(targets)}: no task definition there; workflows go with: orchestrator def apply"
        )
    with current_session().store() as store:
        applied = store.run(metadata.apply, found.task_defs)
    show_all([one._asdict() for one in applied], form, [*APPLIED[:2], APPLIED[3]], name="name")


@click.command("list", cls=Leaf, examples="orchestrator taskdef list\norchestrator taskdef list -o jsonl")
@output_option()
def list_(form: str) -> None:
    """List all task definitions."""
    from orchestrator.model.wire import task_def_to_dict
    from orchestrator.service import metadata

    with current_session().store() as store:
        found = store.run(metadata.list_task_defs)
    show_all([task_def_to_dict(one) for one in found], form, LISTED, name="name")


@click.command(cls=Leaf, examples="orchestrator taskdef get charge\norchestrator taskdef get charge -o yaml")
@click.argument("name", shell_complete=task_names)
@output_option("json")
def get(name: str, form: str) -> None:
    """Show one task definition; what -o json or yaml prints can be applied again."""
    from orchestrator.model.wire import task_def_to_dict
    from orchestrator.service import metadata

    with current_session().store() as store:
        found = store.run(metadata.get_task_def, name)
    show(task_def_to_dict(found), form, LISTED, name="name")


@click.command(cls=Leaf, examples="orchestrator taskdef delete charge")
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=task_names)
def delete(names: tuple[str, ...]) -> None:
    """Forget task definitions; their limits end with them, tasks under way keep what they began with."""
    from orchestrator.service import metadata

    with current_session().store() as store:
        for name in names:
            store.run(metadata.delete_task_def, name)
            click.echo(name)


def _retries(row: dict[str, Any]) -> str:
    return f"{row.get('retryCount', 0)} {str(row.get('retryLogic', '')).lower()} {row.get('retryDelaySeconds', 0)}s"


def _seconds(value: int | None) -> str:
    return f"{value}s" if value else "none"


def _rate(row: dict[str, Any]) -> str:
    count = row.get("rateLimitPerFrequency")
    return f"{count} in {row.get('rateLimitFrequencyInSeconds') or 1}s" if count else "-"
