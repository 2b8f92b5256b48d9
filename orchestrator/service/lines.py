"""Lines and views of many executions, read from Redis a batch at a time.

A line is made of the same view that ``get`` shows, without its tasks: it never says more than that, nor anything else.
What is gone when it is read is left out. Called by searches and lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from orchestrator.engine.views import definition_of, workflow_view
from orchestrator.model.definitions import WorkflowDef
from orchestrator.model.execution import Workflow
from orchestrator.model.masking import masked_workflow
from orchestrator.model.records import decode_meta
from orchestrator.model.summaries import WorkflowSummary, workflow_summary
from orchestrator.plan import Command, Plan
from orchestrator.store.context import StoreContext
from orchestrator.store.partition import load_definition
from orchestrator.store.view import StoredWorkflow, read_workflows

LINES_PER_READ = 500
VIEWS_PER_READ = 20

_FIELDS = ("v", "s", "m", "c", "t", "q")
_PAYLOADS = ("i", "o")

T = TypeVar("T")


class Reader:
    """Reads lines and views for one search; knows the definitions it has met."""

    def __init__(self, store: StoreContext) -> None:
        self._store = store
        self._definitions: dict[str, WorkflowDef | None] = {}

    def lines(self, workflow_ids: Sequence[str], *, with_payloads: bool) -> Plan[list[WorkflowSummary]]:
        """The lines of executions, in order; without payloads ``input`` and ``output`` are those of nothing."""
        found = []
        names = (*_FIELDS, *_PAYLOADS) if with_payloads else _FIELDS
        keys = self._store.keys
        for batch in batches(workflow_ids, LINES_PER_READ):
            replies = yield [Command(("HMGET", keys.workflow(keys.partition_of(one), one), *names)) for one in batch]
            stored = []
            for workflow_id, reply in zip(batch, replies, strict=True):
                if isinstance(reply, Exception):
                    raise reply
                fields = {name: value for name, value in zip(names, reply, strict=True) if value is not None}
                if "v" in fields:
                    stored.append(StoredWorkflow(workflow_id, fields, {}, {}))
            found += [workflow_summary(view) for view in (yield from self._views(stored, include_tasks=False))]
        return found

    def views(self, workflow_ids: Sequence[str], *, include_tasks: bool = True) -> Plan[list[Workflow]]:
        """Whole executions as they may be seen, in order; payloads that are kept elsewhere are not fetched."""
        stored: list[StoredWorkflow] = []
        for batch in batches(workflow_ids, VIEWS_PER_READ):
            stored += yield from read_workflows(self._store.keys, batch)
        return (yield from self._views(stored, include_tasks=include_tasks))

    def _views(self, stored: Sequence[StoredWorkflow], *, include_tasks: bool) -> Plan[list[Workflow]]:
        hashes = [decode_meta(one.fields["m"]).definition_hash for one in stored]
        keys = self._store.keys
        missing = {
            digest: keys.partition_of(one.workflow_id)
            for one, digest in zip(stored, hashes, strict=True)
            if digest not in self._definitions
        }
        bodies = yield [load_definition(keys, number, digest) for digest, number in missing.items()]
        for digest, body in zip(missing, bodies, strict=True):
            if isinstance(body, Exception):
                raise body
            self._definitions[digest] = definition_of(body)
        return [
            masked_workflow(workflow_view(one, self._definitions[digest], include_tasks=include_tasks))
            for one, digest in zip(stored, hashes, strict=True)
        ]


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items, so many at a time."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
