"""``orchestrator event``: handlers of events, a message for them, and what was done for messages.

``event handler`` keeps the handlers in the catalog; one that is applied counts within a second. Holds no rule; the
service judges. Called by users and their CI.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator_cli.command import Entry, LazyGroup, Leaf, output_option
from orchestrator_cli.inputs import read_input
from orchestrator_cli.output import Column, moment, say, show, show_all
from orchestrator_cli.session import current_session

if TYPE_CHECKING:
    from orchestrator.model.event_handlers import EventHandler

group = LazyGroup(
    "event",
    help="Events: handlers, messages, and what was done for them.",
    entries={
        "handler": Entry(__name__, "handler", "Event handlers: apply, list, get, delete."),
        "queue": Entry(
            "orchestrator_cli.event_queue", "group", "Configurations of event queues: list, get, set, delete."
        ),
        "publish": Entry(__name__, "publish", "Give the handlers of an event a message."),
        "executions": Entry(__name__, "executions", "Show what was done for messages, the latest first."),
        "dead-letters": Entry(__name__, "dead_letters", "Show messages that could not be handled, and why."),
    },
)

handler = LazyGroup(
    "handler",
    help="Event handlers: which messages start, complete, fail or change which workflows.",
    entries={
        "apply": Entry(__name__, "apply", "Store the event handlers of files or folders."),
        "list": Entry(__name__, "list_", "List all event handlers."),
        "get": Entry(__name__, "get", "Show one event handler."),
        "delete": Entry(__name__, "delete", "Forget an event handler."),
    },
)

HANDLERS = [
    Column("name", lambda row: row["name"]),
    Column("event", lambda row: row["event"]),
    Column("active", lambda row: row["active"]),
    Column("condition", lambda row: row.get("condition")),
    Column("actions", lambda row: ", ".join(one["action"] for one in row["actions"])),
]
EXECUTIONS = [
    Column("id", lambda row: row["id"]),
    Column("handler", lambda row: row["name"]),
    Column("created", lambda row: moment(row["created"])),
    Column("action", lambda row: row.get("action")),
    Column("status", lambda row: row["status"]),
    Column("output", lambda row: row["output"]),
]
LETTERS = [
    Column("message", lambda row: row["messageId"]),
    Column("since", lambda row: moment(row["at"])),
    Column("reason", lambda row: row["reason"]),
    Column("payload", lambda row: row["payload"]),
]


# --- handlers ---------------------------------------------------------------------------------------------------------


@click.command(
    cls=Leaf, examples="orchestrator event handler apply ship.json\norchestrator event handler apply handlers/ -o name"
)
@click.argument("targets", nargs=-1, required=True, metavar="FILE|DIR|-...")
@output_option()
def apply(targets: tuple[str, ...], form: str) -> None:
    """Store event handlers, replacing those of the same names; nothing is stored unless all are valid.

    A file is JSON or YAML: one handler or a list of them. They count within a second.
    """
    from orchestrator.model.event_handlers import event_handler_to_dict
    from orchestrator.service import events

    found = [one for target in targets for one in _handlers_of(target)]
    with current_session().store() as store:
        store.run(events.apply_handlers, found)
    idle = [one.name for one in found if not one.active]
    if idle:
        say(f'not active, because they do not say "active": true: {", ".join(idle)}')
    show_all([event_handler_to_dict(one) for one in found], form, HANDLERS, name="name")


def _handlers_of(target: str) -> Iterator[EventHandler]:
    from orchestrator.errors import DefinitionInvalid, InvalidRequest, Problem
    from orchestrator.model.documents import load_documents
    from orchestrator.model.event_handlers import event_handler_from_dict
    from orchestrator_cli.sources import TEXT_SUFFIXES

    path = Path(target)
    files = [path]
    if target != "-" and path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in TEXT_SUFFIXES and file.is_file())
    for file in files:
        try:
            content = sys.stdin.buffer.read() if target == "-" else file.read_bytes()
        except OSError as error:
            raise InvalidRequest(f"cannot read {file}: {error.strerror}") from None
        documents = load_documents(content, str(file))
        listed = [item for one in documents for item in (one if isinstance(one, list) else [one])]
        if not listed:
            raise DefinitionInvalid(str(file), [Problem("", "holds no event handler")])
        for item in listed:
            yield event_handler_from_dict(item)


@click.command("list", cls=Leaf, examples="orchestrator event handler list\norchestrator event handler list -o jsonl")
@click.option("--event", help="Only those of this event.")
@output_option()
def list_(event: str | None, form: str) -> None:
    """List all event handlers by name."""
    from orchestrator.model.event_handlers import event_handler_to_dict
    from orchestrator.service import events

    with current_session().store() as store:
        found = store.run(events.list_handlers, event)
    show_all([event_handler_to_dict(one) for one in found], form, HANDLERS, name="name")


@click.command(cls=Leaf, examples="orchestrator event handler get ship\norchestrator event handler get ship -o yaml")
@click.argument("name")
@output_option("json")
def get(name: str, form: str) -> None:
    """Show one event handler; what -o json or yaml prints can be applied again."""
    from orchestrator.model.event_handlers import event_handler_to_dict
    from orchestrator.service import events

    with current_session().store() as store:
        found = store.run(events.get_handler, name)
    show(event_handler_to_dict(found), form, HANDLERS, name="name")


@click.command(cls=Leaf, examples="orchestrator event handler delete ship")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def delete(names: tuple[str, ...]) -> None:
    """Forget event handlers; messages that have come stay in their queue for a while."""
    from orchestrator.service import events

    with current_session().store() as store:
        for name in names:
            store.run(events.remove_handler, name)


# --- messages ---------------------------------------------------------------------------------------------------------

PUBLISHED = [Column("message", lambda row: row["messageId"]), Column("event", lambda row: row["event"])]

PUBLISH_EXAMPLES = """
orchestrator event publish conductor:order:paid -i orderId=7
orchestrator event publish redis_stream:orders --input-file order.json --id order-7
"""


@click.command(cls=Leaf, examples=PUBLISH_EXAMPLES)
@click.argument("event")
@click.option("-i", "--input", "pairs", multiple=True, metavar="KEY=TEXT|KEY:=JSON", help="A key of the message.")
@click.option("--input-file", "files", multiple=True, metavar="FILE|-", help="JSON with the message.")
@click.option("--id", "message_id", help="Its id; repeated with the same id it is handled once. Default: a new one.")
@output_option("name")
def publish(event: str, pairs: tuple[str, ...], files: tuple[str, ...], message_id: str | None, form: str) -> None:
    """Publish a message to conductor:NAME or redis_stream:STREAM and print its id."""
    from orchestrator.service import events

    payload = read_input(pairs, files)
    with current_session().store() as store:
        published = store.run(events.publish, event, payload, message_id=message_id)
    show({"messageId": published, "event": event}, form, PUBLISHED, name="messageId")


@click.command(cls=Leaf, examples="orchestrator event executions ship\norchestrator event executions --status FAILED")
@click.argument("name", required=False, metavar="[HANDLER]")
@click.option("--event", help="Of this event, whichever handler did it.")
@click.option("--status", help="Only those in this status.")
@click.option("--size", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many at most.")
@output_option()
def executions(name: str | None, event: str | None, status: str | None, size: int, form: str) -> None:
    """Show what was done for messages, the latest first."""
    from orchestrator.model.event_handlers import event_execution_to_dict
    from orchestrator.service import events

    with current_session().store() as store:
        found = store.run(events.executions, name, event=event, size=size)
    rows = [event_execution_to_dict(one) for one in found if status in (None, str(one.status))]
    show_all(rows, form, EXECUTIONS, name="id")


@click.command("dead-letters", cls=Leaf, examples="orchestrator event dead-letters conductor:order:paid")
@click.argument("event")
@click.option("--size", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many at most.")
@output_option()
def dead_letters(event: str, size: int, form: str) -> None:
    """Show messages that could not be handled, the latest first; published again they are tried again."""
    from orchestrator.service import events

    with current_session().store() as store:
        found = store.run(events.dead_letters, event, size=size)
    rows = [
        {"messageId": one.message_id, "at": one.at_ms, "reason": one.reason, "payload": events.payload_of(one)}
        for one in found
    ]
    show_all(rows, form, LETTERS, name="messageId")
