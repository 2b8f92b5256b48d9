"""Puts a starting worker's task definitions into the catalog, where they are absent.

What the catalog has stands: somebody may have tuned it with ``apply`` or ``limit set`` since. A difference is told to
the operator. A plan; called once by the worker at its start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from orchestrator.model.definitions import TaskDef
from orchestrator.model.wire import task_def_from_dict, task_def_to_dict
from orchestrator.plan import Plan
from orchestrator.service import metadata
from orchestrator.store import installation
from orchestrator.store.context import StoreContext

_AUDIT = frozenset({"createTime", "updateTime", "createdBy", "updatedBy", "ownerApp"})


def register_absent(store: StoreContext, definitions: Sequence[TaskDef]) -> Plan[dict[str, list[str]]]:
    """Register what is absent; per task name, the fields in which the catalog's definition differs.

    Raises the store's errors. Example: ``differing = executor.run(register_absent(store, [greet.definition()]))``
    """
    puts = yield from metadata.put_absent_task_defs(store, definitions)
    yield installation.add_queues(store.keys, [definition.name for definition in definitions])
    differing: dict[str, list[str]] = {}
    for definition, put in zip(definitions, puts, strict=True):
        fields = [] if put.stored is None else _differences(definition, put.stored)
        if fields:
            differing[definition.name] = fields
    return differing


def _differences(definition: TaskDef, stored: bytes) -> list[str]:
    # Read and written anew, so that a definition of another origin that only leaves out defaults is no difference.
    ours, theirs = _plain(definition), _plain(task_def_from_dict(msgspec.json.decode(stored), check=None))
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def _plain(definition: TaskDef) -> dict[str, Any]:
    return {name: value for name, value in task_def_to_dict(definition).items() if name not in _AUDIT}
