"""``orchestrator tag``: words hung on workflows, tasks, secrets, event handlers and schedules, to find them by.

They belong to the name, not to a version. Holds no rule; the service judges. Called by operators.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from orchestrator_cli.command import Entry, LazyGroup, Leaf, choice, output_option
from orchestrator_cli.output import Column, show_all
from orchestrator_cli.session import Store, current_session

if TYPE_CHECKING:
    from orchestrator.service.tag_members import Tagged

group = LazyGroup(
    "tag",
    help="Tags of workflows, tasks, secrets, event handlers and schedules.",
    entries={
        "list": Entry(__name__, "list_", "List the tags of one thing, or all that are in use."),
        "add": Entry(__name__, "add", "Hang tags on something."),
        "remove": Entry(__name__, "remove", "Take tags away."),
    },
)

KIND = choice("workflow", "task", "secret", "event-handler", "schedule")

TAGS = [
    Column("key", lambda row: row["key"]),
    Column("value", lambda row: row["value"]),
    Column("type", lambda row: row["type"]),
]


@click.command("list", cls=Leaf, examples="orchestrator tag list\norchestrator tag list workflow order -o json")
@click.argument("kind", type=KIND, required=False)
@click.argument("name", required=False)
@output_option()
def list_(kind: str | None, name: str | None, form: str) -> None:
    """List the tags of one thing; without one, every tag that is in use on anything but schedules."""
    from orchestrator.service import schedules, tags

    if (kind is None) != (name is None):
        raise click.UsageError("give what kind of thing it is and its name: orchestrator tag list workflow order")
    with current_session().store() as store:
        found: list[Any]
        if kind is None or name is None:
            found = store.run(tags.everywhere)
        elif kind == "schedule":
            found = store.run(schedules.get, name).tags
        else:
            found = store.run(tags.of, _kind(kind), name)
    show_all([{"key": one.key, "value": one.value, "type": one.type} for one in found], form, TAGS, name="key")


@click.command(
    cls=Leaf, examples="orchestrator tag add workflow order team=payments\norchestrator tag add task charge pci"
)
@click.argument("kind", type=KIND)
@click.argument("name")
@click.argument("tags", metavar="KEY[=VALUE]...", nargs=-1, required=True)
@click.option(
    "--type", "type_", default="METADATA", show_default=True, help="RATE_LIMIT limits a workflow's executions."
)
def add(kind: str, name: str, tags: tuple[str, ...], type_: str) -> None:
    """Hang tags on something that is registered. A value that is JSON is kept as what it says."""
    from orchestrator.model.requests import Tag
    from orchestrator.model.schedules import ScheduleTag
    from orchestrator.service import schedules
    from orchestrator.service import tags as service

    pairs = [(key, value) for key, _, value in (text.partition("=") for text in tags)]
    with current_session().store() as store:
        if kind == "schedule":
            store.run(schedules.set_tags, name, [ScheduleTag(key=key, value=value, type=type_) for key, value in pairs])
        else:
            hung = [Tag(key=key, type=type_, value=_value(value)) for key, value in pairs]
            store.run(service.add, _kind(kind), name, hung)
    click.echo(name)


@click.command(cls=Leaf, examples="orchestrator tag remove workflow order team=payments")
@click.argument("kind", type=KIND)
@click.argument("name")
@click.argument("tags", metavar="KEY[=VALUE]...", nargs=-1, required=True)
def remove(kind: str, name: str, tags: tuple[str, ...]) -> None:
    """Take tags away; what does not hang there is no error. KEY alone takes away its tags of every value."""
    with current_session().store() as store:
        _remove(store, kind, name, tags)
    click.echo(name)


def _remove(store: Store, kind: str, name: str, tags: tuple[str, ...]) -> None:
    from orchestrator.service import schedules
    from orchestrator.service import tags as service

    if kind == "schedule":
        there = store.run(schedules.get, name).tags
        store.run(schedules.remove_tags, name, [one for one in there if _is_meant(one, tags)])
    else:
        hanging = store.run(service.of, _kind(kind), name)
        store.run(service.remove, _kind(kind), name, [one for one in hanging if _is_meant(one, tags)])


def _is_meant(tag: Any, given: tuple[str, ...]) -> bool:
    pairs = [text.partition("=") for text in given]
    return any(
        key == tag.key and (not separator or tag.value in (value, _value(value))) for key, separator, value in pairs
    )


def _value(text: str) -> Any:
    """What a value says when it is JSON, as Conductor's RATE_LIMIT wants a number; any other text is itself."""
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


def _kind(name: str) -> Tagged:
    from orchestrator.service.tag_members import Tagged

    return Tagged(name.replace("-", "_"))
