"""``orchestrator env``: values that expressions read as ``${workflow.env.NAME}``, for settings that are no secrets.

Holds no rule. Called by users and their CI.
"""

from __future__ import annotations

import click

from orchestrator_cli.command import Entry, LazyGroup, Leaf, output_option
from orchestrator_cli.output import Column, show, show_all
from orchestrator_cli.session import current_session

group = LazyGroup(
    "env",
    help="Values that expressions read as ${workflow.env.NAME}.",
    entries={
        "set": Entry(__name__, "set_", "Store a value for all deciders."),
        "list": Entry(__name__, "list_", "List the values."),
        "get": Entry(__name__, "get", "Print one value."),
        "delete": Entry(__name__, "delete", "Forget a stored value."),
    },
)


COLUMNS = [Column("name", lambda row: row["name"]), Column("value", lambda row: row["value"])]


@click.command("set", cls=Leaf, examples="orchestrator env set REGION eu-west-1")
@click.argument("name")
@click.argument("value")
def set_(name: str, value: str) -> None:
    """Store a value; deciders go by it within a second, and it goes before a variable of their own."""
    from orchestrator.service import secrets

    with current_session().store() as store:
        store.run(secrets.put_environment, name, value)


@click.command("list", cls=Leaf, examples="orchestrator env list\norchestrator env list -o json")
@output_option()
def list_(form: str) -> None:
    """List stored values and the variables of this process that the setting env_names allows."""
    from orchestrator.service import secrets

    with current_session().store() as store:
        found = store.run(secrets.environment_values)
    show_all([{"name": name, "value": value} for name, value in sorted(found.items())], form, COLUMNS, name="name")


@click.command(cls=Leaf, examples="orchestrator env get REGION")
@click.argument("name")
@output_option("name")
def get(name: str, form: str) -> None:
    """Print one value."""
    from orchestrator.service import secrets

    with current_session().store() as store:
        value = store.run(secrets.environment_value, name)
    show({"name": name, "value": value}, form, COLUMNS, name="value")


@click.command(cls=Leaf, examples="orchestrator env delete REGION")
@click.argument("name")
def delete(name: str) -> None:
    """Forget a stored value."""
    from orchestrator.service import secrets

    with current_session().store() as store:
        store.run(secrets.delete_environment, name)
