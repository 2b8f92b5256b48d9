"""``orchestrator key``: who may use the HTTP API, and what was changed with which key.

The first key closes the API to everybody without one. Holds no rule. Called by operators, straight on the store.
"""

from __future__ import annotations

import sys

import click

from orchestrator_cli.command import Entry, LazyGroup, Leaf, choice, output_option
from orchestrator_cli.output import Column, moment, say, show, show_all
from orchestrator_cli.session import current_session

group = LazyGroup(
    "key",
    help="Keys of the HTTP API: create, list, revoke; and the record of changes.",
    entries={
        "create": Entry(__name__, "create", "Make a key; its secret is shown this once."),
        "list": Entry(__name__, "list_", "List all keys and their roles."),
        "revoke": Entry(__name__, "revoke", "Let nobody in by these keys any more."),
        "token": Entry(__name__, "token", "Print a token for a key, as the HTTP API takes it."),
        "audit": Entry(__name__, "audit", "Show the latest changes and who made them."),
    },
)

KEYS = [
    Column("id", lambda row: row["id"]),
    Column("name", lambda row: row["name"]),
    Column("role", lambda row: row["role"]),
    Column("created", lambda row: moment(row["createTime"])),
    Column("revoked", lambda row: moment(row["revokeTime"])),
    Column("per second", lambda row: row["requestsPerS"] or "-"),
]
CHANGES = [
    Column("at", lambda row: moment(row["at"])),
    Column("key", lambda row: row["keyName"] or "-"),
    Column("action", lambda row: row["action"]),
    Column("target", lambda row: row["target"]),
    Column("status", lambda row: row["status"] or "-"),
    Column("from", lambda row: row["origin"] or "-"),
]

TOKEN_EXAMPLES = """
orchestrator key token ID < ops.secret
"""

CREATE_EXAMPLES = """
orchestrator key create ops --role admin
orchestrator key create billing-workers --role worker --requests-per-s 200
"""


@click.command(cls=Leaf, examples=CREATE_EXAMPLES)
@click.argument("name")
@click.option("--role", type=choice("viewer", "worker", "operator", "admin"), required=True, help="What it may do.")
@click.option("--requests-per-s", type=click.IntRange(min=0), default=0, help="At most so many. Default: any.")
@output_option()
def create(name: str, role: str, requests_per_s: int, form: str) -> None:
    """Make a key and print it with its secret, which nobody can read again."""
    from orchestrator.model.access import KeyRole
    from orchestrator.service import access

    with current_session().store() as store:
        key, secret = store.run(access.create_key, name, KeyRole(role), requests_per_s=requests_per_s)
    columns = [
        Column("id", lambda row: row["keyId"]),
        Column("secret", lambda row: row["keySecret"]),
        Column("role", lambda row: row["role"]),
    ]
    show({"keyId": key.id, "keySecret": secret, "role": str(key.role)}, form, columns, name="keyId")
    say("Keep the secret now. Clients take the two as CONDUCTOR_AUTH_KEY and CONDUCTOR_AUTH_SECRET.")


@click.command("list", cls=Leaf, examples="orchestrator key list\norchestrator key list -o jsonl")
@output_option()
def list_(form: str) -> None:
    """List all keys, revoked ones too, without their secrets."""
    from orchestrator.model.wire_write import write_struct
    from orchestrator.service import access

    with current_session().store() as store:
        found = [write_struct(key) for key in store.run(access.list_keys)]
    for row in found:
        del row["secretHash"]
    show_all(found, form, KEYS, name="id")


@click.command(cls=Leaf, examples="orchestrator key revoke 1f0c2b7a9d3e4f556677")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
def revoke(ids: tuple[str, ...]) -> None:
    """Let nobody in by these keys any more; tokens that were given for them end within a second."""
    from orchestrator.service import access

    with current_session().store() as store:
        for key_id in ids:
            store.run(access.revoke_key, key_id)


@click.command(cls=Leaf, examples=TOKEN_EXAMPLES)
@click.argument("key_id", metavar="ID")
@output_option("name")
def token(key_id: str, form: str) -> None:
    """Print a token for a key, whose secret is read from standard input or asked for; it ends by itself after an hour.

    A client gets one by itself; this is for a call by hand.
    """
    from orchestrator.service import access

    is_asked = sys.stdin.isatty()
    secret = click.prompt("Secret", hide_input=True, err=True) if is_asked else sys.stdin.read().strip()
    with current_session().store() as store:
        issued = store.run(access.issue_token, key_id, secret)
    show({"token": issued}, form, [Column("token", lambda row: row["token"])], name="token")


@click.command(cls=Leaf, examples="orchestrator key audit --size 20")
@click.option("--size", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many at most.")
@output_option()
def audit(size: int, form: str) -> None:
    """Show the latest changes that were made with keys, and those of the keys themselves."""
    from orchestrator.model.wire_write import write_struct
    from orchestrator.service import access

    with current_session().store() as store:
        found = store.run(access.changes, size)
    show_all([write_struct(entry) for entry in found], form, CHANGES, name="at")
