"""From what an installation has to what it shall have: the differences, and making them.

Everything is judged before anything is written. What is there and in no file stays: files may be those of one team.
Called by the CLI.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from orchestrator.errors import InvalidRequest, NotFound
from orchestrator.model.definitions import SchemaDef, TaskDef, WorkflowDef
from orchestrator.model.desired import Desired
from orchestrator.model.event_handlers import event_handler_to_dict
from orchestrator.model.schedules import Schedule, schedule_to_dict
from orchestrator.model.wire import schema_def_to_dict, task_def_to_dict, workflow_def_to_dict
from orchestrator.plan import Plan
from orchestrator.service import events, metadata, schedules, schemas
from orchestrator.store.context import StoreContext

_NOTED = frozenset(
    {"createTime", "updateTime", "updatedTime", "createdBy", "updatedBy", "ownerApp", "nextRunTime", "pausedReason"}
)
"""What the store notes by itself."""


class Difference(NamedTuple):
    """One thing of the files, as it is (None: there is none) and as it shall be; ``version`` None for what has none."""

    kind: str
    name: str
    version: int | None
    before: dict[str, Any] | None
    after: dict[str, Any]

    @property
    def change(self) -> str:
        """``new``, ``changed`` or ``same``."""
        if self.before is None:
            return "new"
        return "same" if self.before == self.after else "changed"


def compare(store: StoreContext, desired: Desired) -> Plan[list[Difference]]:
    """What would change. Raises ``DefinitionInvalid`` or ``InvalidRequest`` for what could not be stored.

    Example: ``[one.name for one in executor.run(compare(store, desired)) if one.change != "same"]``
    """
    yield from _judge(store, desired)
    found: list[Difference] = []
    for schema in desired.schemas:
        there = yield from _or_none(schemas.get(store, schema.name, schema.version))
        found.append(
            Difference(
                "schema", schema.name, schema.version, _told(there, schema_def_to_dict), schema_def_to_dict(schema)
            )
        )
    for task_def in (yield from schemas.completed(store, desired.task_defs, desired.schemas)):
        there = yield from _or_none(metadata.get_task_def(store, task_def.name))
        found.append(
            Difference("task", task_def.name, None, _told(there, task_def_to_dict), task_def_to_dict(task_def))
        )
    for workflow in (yield from schemas.completed(store, desired.workflows, desired.schemas)):
        there = yield from _or_none(metadata.get_workflow(store, workflow.name, workflow.version))
        told = _told(there, workflow_def_to_dict)
        found.append(Difference("workflow", workflow.name, workflow.version, told, workflow_def_to_dict(workflow)))
    for handler in desired.handlers:
        there = yield from _or_none(events.get_handler(store, handler.name))
        told = _told(there, event_handler_to_dict)
        found.append(Difference("eventHandler", handler.name, None, told, event_handler_to_dict(handler)))
    for schedule in desired.schedules:
        before: Schedule | None = yield from _or_none(schedules.get(store, schedule.name))
        after = schedule_to_dict(schedule)
        if before is not None and not schedule.tags:
            after["tags"] = schedule_to_dict(before)["tags"]  # saving keeps them, too
        found.append(Difference("schedule", schedule.name, None, _told(before, schedule_to_dict), after))
    return [one._replace(before=_plain(one.before), after=_plain(one.after) or {}) for one in found]


def apply(store: StoreContext, desired: Desired) -> Plan[list[Difference]]:
    """Store everything that differs and give the differences there were; what others need comes first.

    Raises as ``compare``, before anything is written. Example: ``executor.run(apply(store, desired))``
    """
    differences = yield from compare(store, desired)
    changed = {(one.kind, one.name, one.version) for one in differences if one.change != "same"}
    definitions: list[SchemaDef | TaskDef | WorkflowDef] = [
        *(one for one in desired.schemas if ("schema", one.name, one.version) in changed),
        *(one for one in desired.task_defs if ("task", one.name, None) in changed),
        *(one for one in desired.workflows if ("workflow", one.name, one.version) in changed),
    ]
    if definitions:
        yield from metadata.apply(store, definitions)
    yield from events.apply_handlers(
        store, [one for one in desired.handlers if ("eventHandler", one.name, None) in changed]
    )
    for schedule in desired.schedules:
        if ("schedule", schedule.name, None) in changed:
            yield from schedules.save(store, schedule)
    return differences


def _judge(store: StoreContext, desired: Desired) -> Plan[None]:
    names = Counter((type(one).__name__, one.name, getattr(one, "version", None)) for part in desired for one in part)
    twice = [
        f"{name} {version}" if version is not None else name for (_, name, version), count in names.items() if count > 1
    ]
    if twice:
        raise InvalidRequest(f"these are there twice: {', '.join(twice)}; which one counts would be a guess")
    yield from metadata.check(store, [*desired.schemas, *desired.task_defs, *desired.workflows])
    for handler in desired.handlers:
        events.check(store, handler)
    for schedule in desired.schedules:
        yield from schedules.check(store, schedule)


def _or_none(plan: Plan[Any]) -> Plan[Any]:
    try:
        return (yield from plan)
    except NotFound:
        return None


def _told(there: Any, write: Any) -> dict[str, Any] | None:
    return None if there is None else write(there)


def _plain(document: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if document is None:
        return None
    return {name: value for name, value in document.items() if name not in _NOTED}
