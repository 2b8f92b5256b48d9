"""``orchestrator event queue``: configurations of event queues as Conductor's clients keep them, by type and name.

They are kept for those who read them; where messages come from here is said by event handlers and settings. Called by
operators.
"""

from __future__ import annotations

import click

from orchestrator_cli.acts import given
from orchestrator_cli.command import Entry, LazyGroup, Leaf, output_option
from orchestrator_cli.inputs import read_input
from orchestrator_cli.output import Column, show, show_all
from orchestrator_cli.session import current_session

group = LazyGroup(
    "queue",
    help="Configurations of event queues, kept for Conductor's clients.",
    entries={
        "list": Entry(__name__, "list_", "List the queues that have one."),
        "get": Entry(__name__, "get", "Show one."),
        "set": Entry(__name__, "set_", "Keep one."),
        "delete": Entry(__name__, "delete", "Forget one."),
    },
)

NAMES = [Column("type", lambda row: row["type"]), Column("name", lambda row: row["name"])]
KEPT = [*NAMES, Column("configuration", lambda row: row["configuration"])]


@click.command("list", cls=Leaf, examples="orchestrator event queue list")
@output_option()
def list_(form: str) -> None:
    """List the event queues that have a configuration."""
    from orchestrator.service import event_sources

    with current_session().store() as store:
        found = store.run(event_sources.names)
    show_all([{"type": kind, "name": name} for name, kind in found.items()], form, NAMES, name="name")


@click.command(cls=Leaf, examples="orchestrator event queue get kafka orders")
@click.argument("kind", metavar="TYPE")
@click.argument("name")
@output_option("json")
def get(kind: str, name: str, form: str) -> None:
    """Show the configuration of an event queue."""
    from orchestrator.service import event_sources

    with current_session().store() as store:
        found = store.run(event_sources.get, kind, name)
    show({"type": kind, "name": name, "configuration": found}, form, KEPT, name="name")


@click.command("set", cls=Leaf, examples="orchestrator event queue set kafka orders -i bootstrapServers=broker:9092")
@click.argument("kind", metavar="TYPE")
@click.argument("name")
@given("its configuration")
def set_(kind: str, name: str, pairs: tuple[str, ...], files: tuple[str, ...]) -> None:
    """Keep a configuration, replacing the one there is."""
    from orchestrator.service import event_sources

    with current_session().store() as store:
        store.run(event_sources.put, kind, name, read_input(pairs, files))
    click.echo(name)


@click.command(cls=Leaf, examples="orchestrator event queue delete kafka orders")
@click.argument("kind", metavar="TYPE")
@click.argument("name")
def delete(kind: str, name: str) -> None:
    """Forget a configuration."""
    from orchestrator.service import event_sources

    with current_session().store() as store:
        store.run(event_sources.delete, kind, name)
    click.echo(name)
