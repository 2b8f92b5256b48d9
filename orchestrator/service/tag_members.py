"""Tags as they are kept: members of one set, each with what it hangs on.

Below the plans that forget a definition, a secret or an event handler, so that its tags can go with it. Called by
``tags`` and by those.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from orchestrator.codec import check
from orchestrator.model.requests import Tag
from orchestrator.plan import Plan
from orchestrator.store import catalog
from orchestrator.store.context import StoreContext


class Tagged(StrEnum):
    """What tags hang on."""

    WORKFLOW = "workflow"
    TASK = "task"
    SECRET = "secret"
    EVENT_HANDLER = "event_handler"


def everything(store: StoreContext) -> Plan[dict[tuple[str, str], list[Tag]]]:
    """All tags, by what they hang on."""
    found: dict[tuple[str, str], list[Tag]] = {}
    for member in sorted((yield catalog.list_tags(store.keys))):
        kind, name, key, type_, value = msgspec.json.decode(member)
        found.setdefault((kind, name), []).append(Tag(key=key, type=type_, value=value))
    return found


def forget(store: StoreContext, kind: Tagged, name: str) -> Plan[None]:
    """Take all tags off what is about to be forgotten; before it is, so that whoever repeats it finishes both."""
    hanging = (yield from everything(store)).get((kind, name), [])
    if hanging:
        yield catalog.remove_tags(store.keys, members(kind, name, hanging))


def members(kind: Tagged, name: str, tags: Sequence[Tag]) -> list[bytes]:
    """Tags as they are kept. Raises ``InvalidPayload`` for a value that cannot be."""
    for tag in tags:
        check(tag.value, "value")
    return [msgspec.json.encode([kind, name, tag.key, tag.type, tag.value], order="sorted") for tag in tags]
