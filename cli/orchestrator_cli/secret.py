"""``orchestrator secret``: values that definitions name as ``${workflow.secrets.NAME}`` and that are never shown.

Holds no rule. Called by users; a value comes from standard input or a hidden prompt, never from the command line, where
other users of the machine and the shell's history could read it.
"""

from __future__ import annotations

import sys

import click

from orchestrator_cli.command import Entry, LazyGroup, Leaf, output_option
from orchestrator_cli.output import Column, say, show_all
from orchestrator_cli.session import current_session

group = LazyGroup(
    "secret",
    help="Secrets that tasks are handed: kept in Redis encrypted, in files, or in the environment.",
    entries={
        "set": Entry(__name__, "set_", "Keep a secret in Redis, encrypted."),
        "list": Entry(__name__, "list_", "List the names of secrets and where they come from."),
        "delete": Entry(__name__, "delete", "Forget a secret that Redis keeps."),
        "key": Entry(__name__, "key", "Print a new key for secrets in Redis."),
    },
)


@click.command(
    "set", cls=Leaf, examples="orchestrator secret set STRIPE_KEY < stripe.key\norchestrator secret set STRIPE_KEY"
)
@click.argument("name")
def set_(name: str) -> None:
    """Keep a secret; the value is read from standard input or asked for. Needs the setting secrets_key."""
    from orchestrator.service import secrets

    if sys.stdin.isatty():
        value = click.prompt(f"Value of {name}", hide_input=True, err=True)
    else:
        value = sys.stdin.read().removesuffix("\n")
    with current_session().store() as store:
        store.run(secrets.put, name, value)
    say(f"secret {name} is kept")


@click.command("list", cls=Leaf, examples="orchestrator secret list\norchestrator secret list -o name")
@output_option()
def list_(form: str) -> None:
    """List the names of secrets as this process sees them; a worker may have other files and variables."""
    from orchestrator.service import secrets

    with current_session().store() as store:
        found = store.run(secrets.names)
    columns = [Column("name", lambda row: row["name"]), Column("source", lambda row: row["source"])]
    show_all([{"name": name, "source": source} for name, source in found.items()], form, columns, name="name")


@click.command(cls=Leaf, examples="orchestrator secret delete STRIPE_KEY")
@click.argument("name")
def delete(name: str) -> None:
    """Forget a secret that Redis keeps."""
    from orchestrator.service import secrets

    with current_session().store() as store:
        store.run(secrets.delete, name)


@click.command(cls=Leaf, examples="orchestrator secret key > secrets.key")
def key() -> None:
    """Print a new key; give it to every worker and to whoever sets secrets, as ORCHESTRATOR_SECRETS_KEY_FILE."""
    from orchestrator.service import secrets

    click.echo(secrets.new_key())
