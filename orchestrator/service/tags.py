"""Tags: words that users hang on workflows, tasks, secrets and event handlers, by name and not by version.

They say nothing to the engine but one: RATE_LIMIT on a workflow, which is how Conductor's clients limit how many of its
executions run at once. It is written into the definition, where the engine reads it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from orchestrator.errors import InvalidRequest
from orchestrator.model.definitions import RateLimitConfig
from orchestrator.model.requests import Tag
from orchestrator.plan import Plan
from orchestrator.service import events, metadata, secrets, tag_members
from orchestrator.service.tag_members import Tagged, members
from orchestrator.store import catalog
from orchestrator.store.context import StoreContext

RATE_LIMIT = "RATE_LIMIT"


def of(store: StoreContext, kind: Tagged, name: str) -> Plan[list[Tag]]:
    """The tags of one thing, by key; none for a name that nobody knows."""
    found = yield from tag_members.everything(store)
    return found.get((kind, name), [])


def everywhere(store: StoreContext) -> Plan[list[Tag]]:
    """Every tag in use, each once."""
    found = yield from tag_members.everything(store)
    return _distinct([tag for tags in found.values() for tag in tags])


def add(store: StoreContext, kind: Tagged, name: str, tags: Sequence[Tag]) -> Plan[None]:
    """Hang tags on something. Raises ``NotFound`` for a name that is not registered, and ``InvalidRequest``."""
    yield from _require(store, kind, name)
    limit = _limit(kind, tags)
    if tags:
        yield catalog.add_tags(store.keys, members(kind, name, tags))
    if limit is not None:
        yield from metadata.limit_executions(store, name, RateLimitConfig(concurrent_exec_limit=limit))


def replace_all(store: StoreContext, kind: Tagged, name: str, tags: Sequence[Tag]) -> Plan[None]:
    """Hang exactly these tags on something. Raises like ``add``."""
    yield from _require(store, kind, name)
    _limit(kind, tags)
    before = yield from of(store, kind, name)
    yield from remove(store, kind, name, [tag for tag in before if tag not in tags])
    yield from add(store, kind, name, tags)


def remove(store: StoreContext, kind: Tagged, name: str, tags: Sequence[Tag]) -> Plan[None]:
    """Take tags away; what does not hang there is no error."""
    if not tags:
        return
    removed = yield catalog.remove_tags(store.keys, members(kind, name, tags))
    if removed and kind is Tagged.WORKFLOW and any(tag.type == RATE_LIMIT for tag in tags):
        yield from metadata.limit_executions(store, name, None)


def _require(store: StoreContext, kind: Tagged, name: str) -> Plan[None]:
    match kind:
        case Tagged.WORKFLOW:
            yield from metadata.get_workflow(store, name)
        case Tagged.TASK:
            yield from metadata.get_task_def(store, name)
        case Tagged.SECRET:
            yield from secrets.require(store, name)
        case Tagged.EVENT_HANDLER:
            yield from events.get_handler(store, name)


def _limit(kind: Tagged, tags: Sequence[Tag]) -> int | None:
    """The limit that tags set. Raises ``InvalidRequest`` for one that is no number of executions."""
    if kind is not Tagged.WORKFLOW:
        return None
    values = [tag.value for tag in tags if tag.type == RATE_LIMIT]
    for value in values:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**31:
            raise InvalidRequest(f"a {RATE_LIMIT} tag says how many executions may run at once, not {str(value)[:40]}")
    return values[-1] if values else None


def _distinct(tags: Sequence[Tag]) -> list[Tag]:
    return list({msgspec.json.encode(tag, order="sorted"): tag for tag in tags}.values())
