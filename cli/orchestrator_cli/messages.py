"""``orchestrator workflow message``: messages for the PULL_WORKFLOW_MESSAGES tasks of a running execution."""

from __future__ import annotations

import click

from orchestrator_cli.command import Entry, LazyGroup, Leaf, output_option
from orchestrator_cli.completion import workflow_ids
from orchestrator_cli.inputs import read_input
from orchestrator_cli.output import Column, say, show
from orchestrator_cli.session import current_session

group = LazyGroup(
    "message",
    entries={"push": Entry(__name__, "push", "Give a running execution a message.")},
    help="Messages to a running execution.",
)


PUSHED = [Column("message", lambda row: row["messageId"]), Column("workflow", lambda row: row["workflowId"])]


@click.command(
    cls=Leaf,
    examples="orchestrator workflow message push ID -i kind=paid -i amount:=1200\n"
    "orchestrator workflow message push ID --input-file message.json --message-id payment-7",
)
@click.argument("workflow_id", metavar="ID", shell_complete=workflow_ids)
@click.option("-i", "--input", "pairs", multiple=True, metavar="KEY=TEXT|KEY:=JSON", help="One key of the message.")
@click.option("--input-file", "files", multiple=True, metavar="FILE", help="All of it as a JSON object; - is stdin.")
@click.option("--message-id", help="A second push of the same id adds nothing. Default: a random one.")
@output_option("name")
def push(workflow_id: str, pairs: tuple[str, ...], files: tuple[str, ...], message_id: str | None, form: str) -> None:
    """Give a running execution a message and print the message's id."""
    from orchestrator.service import messages

    with current_session().store() as store:
        pushed = store.run(messages.push, workflow_id, read_input(pairs, files), message_id=message_id)
    show({"messageId": pushed, "workflowId": workflow_id}, form, PUSHED, name="messageId")
    say(f"kept for the next PULL_WORKFLOW_MESSAGES task of {workflow_id}")
