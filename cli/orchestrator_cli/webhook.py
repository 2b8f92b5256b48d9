"""``orchestrator webhook``: addresses at which other systems deliver events, and what became of deliveries.

Holds no rule. Called by users and their CI.
"""

from __future__ import annotations

from typing import Any

import click

from orchestrator_cli.command import Entry, LazyGroup, Leaf, output_option
from orchestrator_cli.inputs import read_input
from orchestrator_cli.output import Column, moment, say, show, show_all
from orchestrator_cli.session import current_session

group = LazyGroup(
    "webhook",
    help="Addresses at which other systems deliver events.",
    entries={
        "apply": Entry(__name__, "apply", "Store a webhook."),
        "list": Entry(__name__, "list_", "List the webhooks."),
        "get": Entry(__name__, "get", "Show a webhook; its secrets are references."),
        "delete": Entry(__name__, "delete", "Forget a webhook."),
        "deliveries": Entry(__name__, "deliveries", "Tell what became of its latest deliveries."),
    },
)

WEBHOOKS = [
    Column("id", lambda row: row["id"]),
    Column("name", lambda row: row["name"]),
    Column("verifier", lambda row: row["verifier"]),
    Column("receivers", lambda row: ", ".join(row["receiverWorkflowNamesToVersions"])),
    Column("starts", lambda row: _starts(row["workflowsToStart"])),
]
DELIVERIES = [
    Column("delivery", lambda row: row["deliveryId"]),
    Column("at", lambda row: moment(row["created"])),
    Column("status", lambda row: row["status"]),
    Column("tasks", lambda row: str(row["taskCount"])),
    Column("started", lambda row: str(len(row["workflowIds"]))),
    Column("reason", lambda row: row.get("reason") or ""),
]


@click.command(
    cls=Leaf,
    examples="orchestrator webhook apply github.json\norchestrator webhook apply github.json --id github",
)
@click.argument("file", metavar="FILE")
@click.option("--id", "webhook_id", help="Store it under this id, replacing what is there. Default: a new id.")
@output_option("name")
def apply(file: str, webhook_id: str | None, form: str) -> None:
    """Store a webhook from a JSON file (- is stdin) and print its id."""
    from orchestrator.errors import DefinitionInvalid
    from orchestrator.model.webhooks import Webhook
    from orchestrator.model.wire_read import read_struct
    from orchestrator.service import webhooks

    webhook, problems = read_struct(Webhook, read_input((), (file,)))
    if problems:
        raise DefinitionInvalid(file, problems)
    webhook.id = webhook_id or webhook.id
    with current_session().store() as store:
        kept = store.run(webhooks.put, webhook, is_new=True)
    show(_row(kept), form, WEBHOOKS, name="id")
    say(f"deliveries come to: POST /api/webhook/{kept.id}")


@click.command("list", cls=Leaf, examples="orchestrator webhook list\norchestrator webhook list -o json")
@output_option()
def list_(form: str) -> None:
    """List the webhooks."""
    from orchestrator.service import webhooks

    with current_session().store() as store:
        found = store.run(webhooks.list_all)
    show_all([_row(one) for one in found], form, WEBHOOKS, name="id")


@click.command(cls=Leaf, examples="orchestrator webhook get ID\norchestrator webhook get ID -o table")
@click.argument("webhook_id", metavar="ID")
@output_option("json")
def get(webhook_id: str, form: str) -> None:
    """Show a webhook."""
    from orchestrator.service import webhooks

    with current_session().store() as store:
        found = store.run(webhooks.get, webhook_id)
    show(_row(found), form, WEBHOOKS, name="id")


@click.command(cls=Leaf, examples="orchestrator webhook delete ID")
@click.argument("webhook_id", metavar="ID")
def delete(webhook_id: str) -> None:
    """Forget a webhook; its address is unknown from now on."""
    from orchestrator.service import webhooks

    with current_session().store() as store:
        store.run(webhooks.delete, webhook_id)


@click.command(cls=Leaf, examples="orchestrator webhook deliveries ID\norchestrator webhook deliveries ID -o json")
@click.argument("webhook_id", metavar="ID")
@click.option("--size", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many at most.")
@output_option()
def deliveries(webhook_id: str, size: int, form: str) -> None:
    """Tell what became of the latest deliveries, the last first."""
    from orchestrator.service import webhooks

    with current_session().store() as store:
        found = store.run(webhooks.deliveries, webhook_id, size)
    show_all([_row(one) for one in found], form, DELIVERIES, name="deliveryId")


def _starts(to_start: dict[str, Any]) -> str:
    from orchestrator.model.webhooks import KEY, STRATEGY

    return ", ".join(name for name in to_start if name not in (KEY, STRATEGY))


def _row(struct: Any) -> dict[str, Any]:
    from orchestrator.model.wire_write import write_struct

    return write_struct(struct)
