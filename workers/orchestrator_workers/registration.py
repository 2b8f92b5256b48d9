"""Puts a starting worker's task definitions into the catalog, where they are absent.

What the catalog has stands: somebody may have tuned it with ``apply`` or ``limit set`` since. A difference is told to
the operator. The limits of a new definition go to its queue at once, so that they hold from the first task on. A plan;
called once by the worker at its start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from orchestrator.model.definitions import TaskDef
from orchestrator.model.wire import task_def_from_dict, task_def_to_dict
from orchestrator.plan import Plan
from orchestrator.store import catalog, queue
from orchestrator.store.context import StoreContext
from orchestrator.store.queue_values import Limits

_AUDIT = frozenset({"createTime", "updateTime", "createdBy", "updatedBy", "ownerApp"})


def register_absent(store: StoreContext, definitions: Sequence[TaskDef]) -> Plan[dict[str, list[str]]]:
    """Register what is absent; per task name, the fields in which the catalog's definition differs.

    Raises the store's errors. Example: ``differing = executor.run(register_absent(store, [greet.definition()]))``
    """
    wanted = [_plain(definition) for definition in definitions]
    replies = yield [
        catalog.put_task_definition(store.keys, definition.name, msgspec.json.encode(body), only_if_absent=True)
        for definition, body in zip(definitions, wanted, strict=True)
    ]
    yield catalog.add_queues(store.keys, [definition.name for definition in definitions])
    differing: dict[str, list[str]] = {}
    for definition, body, reply in zip(definitions, wanted, replies, strict=True):
        if isinstance(reply, Exception):
            raise reply
        if reply.result == catalog.Registered.OK:
            yield from queue.set_limits(store.queues, definition.name, _limits(store, definition, reply.revision))
        elif reply.stored is not None:
            fields = _differences(body, reply.stored)
            if fields:
                differing[definition.name] = fields
    return differing


def _plain(definition: TaskDef) -> dict[str, Any]:
    return {name: value for name, value in task_def_to_dict(definition).items() if name not in _AUDIT}


def _differences(ours: dict[str, Any], stored: bytes) -> list[str]:
    # Read and written anew, so that a definition of another origin that only leaves out defaults is no difference.
    theirs = _plain(task_def_from_dict(msgspec.json.decode(stored), check=None))
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def _limits(store: StoreContext, definition: TaskDef, revision: int) -> Limits:
    return Limits(
        revision,
        concurrency=max(definition.concurrent_exec_limit or 0, 0),
        rate=max(definition.rate_limit_per_frequency, 0),
        window_ms=max(definition.rate_limit_frequency_in_seconds, 1) * 1000,
        guard_ms=store.settings.rate_guard_ms,
    )
