"""``orchestrator profile``: connection settings kept under names, so that a command line need not repeat them.

Secrets are shown by nobody; a value of ``-`` is read from standard input, where no history keeps it. Called by people.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from orchestrator_cli import profiles
from orchestrator_cli.command import Entry, LazyGroup, Leaf, output_option
from orchestrator_cli.completion import profile_names
from orchestrator_cli.output import Column, say, show, show_all
from orchestrator_cli.session import masked

group = LazyGroup(
    "profile",
    help="Connection settings kept under names.",
    entries={
        "list": Entry(__name__, "list_", "List the profiles."),
        "show": Entry(__name__, "show_", "Show one, without its secrets."),
        "use": Entry(__name__, "use", "Go by one from now on."),
        "set": Entry(__name__, "set_", "Keep values under a name."),
        "delete": Entry(__name__, "delete", "Forget profiles."),
    },
)

LISTED = [
    Column("name", lambda row: row["name"]),
    Column("in use", lambda row: row["inUse"]),
    Column("address", lambda row: row.get("redis_url") or row.get("server_url") or row.get("redis_url_file")),
    Column("namespace", lambda row: row.get("namespace")),
]


def _value(name: str) -> Column:
    return Column(name, lambda row: row.get(name))


SHOWN = [*LISTED[:2], *map(_value, (*profiles.NAMES, *profiles.FROM_FILES))]


@click.command("list", cls=Leaf, examples="orchestrator profile list\norchestrator profile list -o name")
@output_option()
def list_(form: str) -> None:
    """List the profiles and which one is in use."""
    show_all([_row(name) for name in profiles.names()], form, LISTED, name="name")


@click.command("show", cls=Leaf, examples="orchestrator profile show\norchestrator profile show prod -o json")
@click.argument("name", required=False, shell_complete=profile_names)
@output_option()
def show_(name: str | None, form: str) -> None:
    """Show a profile, or the one in use; passwords and secrets are left out."""
    wanted = name or _in_use()
    if wanted is None:
        raise click.UsageError("no profile is in use; name one, or choose with: orchestrator profile use NAME")
    show(_row(wanted), form, SHOWN, name="name")
    if form == "table":
        say(str(profiles.path_of(wanted)))


@click.command(cls=Leaf, examples="orchestrator profile use prod\norchestrator profile use --none")
@click.argument("name", required=False, shell_complete=profile_names)
@click.option("--none", "is_none", is_flag=True, help="Go by no profile.")
def use(name: str | None, is_none: bool) -> None:
    """Go by a profile from now on, in every shell of this user.

    --profile, ORCHESTRATOR_PROFILE and addresses in the environment go before it; so does a dev that runs in the folder.
    """
    if (name is None) != is_none:
        raise click.UsageError("give a name or --none")
    profiles.use(name)
    say(f"commands go by profile {name}" if name else "commands go by no profile")


SET_EXAMPLES = """
orchestrator profile set staging server_url=https://orchestrator.staging.example auth_key=ops auth_secret=-
orchestrator profile set prod redis_url_file=/run/secrets/redis-url namespace=shop
orchestrator profile set prod namespace=
"""


@click.command("set", cls=Leaf, examples=SET_EXAMPLES)
@click.argument("name", shell_complete=profile_names)
@click.argument("values", metavar="NAME=VALUE...", nargs=-1, required=True)
def set_(name: str, values: tuple[str, ...]) -> None:
    """Keep values under a name, beside those it has; an empty one is taken away, - is read from standard input."""
    kept = profiles.stored(name) if name in profiles.names() else {}
    for text in values:
        key, separator, value = text.partition("=")
        if not separator:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="NAME=VALUE")
        kept[key] = _asked(key) if value == "-" else value
    profiles.put(name, {key: value for key, value in kept.items() if value})
    say(f"profile {name} is kept in {profiles.path_of(name)}")


@click.command(cls=Leaf, examples="orchestrator profile delete staging")
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=profile_names)
def delete(names: tuple[str, ...]) -> None:
    """Forget profiles."""
    for name in names:
        profiles.delete(name)
        click.echo(name)


def _asked(key: str) -> str:
    if sys.stdin.isatty():
        answer: str = click.prompt(f"Value of {key}", hide_input=True, err=True)
        return answer
    return sys.stdin.readline().rstrip("\n")


def _in_use() -> str | None:
    return os.environ.get(profiles.VARIABLE) or profiles.in_use()


def _row(name: str) -> dict[str, Any]:
    values = {key: masked(key, value) for key, value in profiles.stored(name).items()}
    return {"name": name, "inUse": name == _in_use(), **values}
