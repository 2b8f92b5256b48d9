"""``orchestrator config``: the settings that commands run here would have, and where each value comes from.

Called by people who wonder which Redis they are about to change.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import click

from orchestrator_cli.command import Entry, LazyGroup, Leaf, output_option
from orchestrator_cli.output import Column, show_all
from orchestrator_cli.session import Session, current_session, masked

group = LazyGroup(
    "config",
    help="The settings of commands run here.",
    entries={"show": Entry(__name__, "show", "Show every setting with its source.")},
)

COLUMNS = [
    Column("setting", lambda row: row["name"]),
    Column("value", lambda row: row["value"]),
    Column("source", lambda row: row["source"]),
]


@click.command(cls=Leaf, examples="orchestrator config show --set\norchestrator config show --profile prod -o json")
@click.option("--set", "only_set", is_flag=True, help="Only those that are not at their defaults.")
@output_option()
def show(only_set: bool, form: str) -> None:
    """Show every setting, its value without secrets, and whether it comes from an option, a variable, a file or a profile."""
    session = current_session()
    rows = [row for row in _rows(session) if not only_set or row["source"] != "default"]
    show_all(rows, form, COLUMNS, name="name")


def _rows(session: Session) -> list[dict[str, Any]]:
    settings = session.settings
    rows = []
    for item in fields(settings):
        if item.compare:
            source = settings.source(item.name)
            if source == "argument":  # of this command, or the address of a dev that runs here
                source = session.found if item.name == "redis_url" else f"--{item.name.removesuffix('_url')}"
            rows.append({"name": item.name, "value": masked(item.name, getattr(settings, item.name)), "source": source})
    return rows
