"""Task definitions and environment values as they are now: read once, then only what changed, about once a second.

They are live (D9 of the design): a new retry policy governs the next attempt of workflows that already run, and new
limits reach the queue with the next hand-off.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec

from orchestrator.core.facts import Facts, Listeners
from orchestrator.engine.relay import limits_of
from orchestrator.errors import DefinitionInvalid
from orchestrator.model.definitions import TaskDef
from orchestrator.model.wire import task_def_from_dict
from orchestrator.plan import Plan
from orchestrator.scripts import evaluator
from orchestrator.store import catalog
from orchestrator.store.context import StoreContext
from orchestrator.store.queue_values import Limits

log = logging.getLogger(__name__)

CHANGES_PER_READ = 250


class LiveDefinitions:
    """The task definitions a process goes by."""

    def __init__(self, store: StoreContext) -> None:
        self._store = store
        self._revision = 0
        self._revisions: dict[str, int] = {}
        self._facts: Facts | None = None
        self._environment: dict[str, str] = {}
        self.polled: dict[tuple[str, str], int] = {}
        self.task_defs: dict[str, TaskDef] = {}
        self.limits: Mapping[str, Limits] = {}

    def refresh(self) -> Plan[None]:
        """Take in what changed since the last look; who polled is asked again where it matters."""
        self.polled.clear()
        changed = False
        while True:
            changes = yield catalog.task_definitions_since(self._store.keys, self._revision, CHANGES_PER_READ)
            for name, revision, body in changes:
                changed = True
                self._revision = revision
                self._revisions[name] = revision
                self._take(name, body)
            if len(changes) < CHANGES_PER_READ:
                break
        environment = yield catalog.list_environment(self._store.keys)
        if environment != self._environment:
            self._environment = environment
            self._facts = None
        if changed:
            self._facts = None
            self.limits = limits_of(self.task_defs, self._revisions, self._store.settings.rate_guard_ms)

    def _take(self, name: str, body: bytes | None) -> None:
        if body is None:
            # Limits of a deleted definition are lifted: the empty definition stands for "none".
            self.task_defs.pop(name, None)
            return
        try:
            self.task_defs[name] = task_def_from_dict(msgspec.json.decode(body), check=None)
        except (DefinitionInvalid, msgspec.DecodeError) as error:
            log.error("task_definition_unreadable", extra={"task": name, "reason": str(error)})

    def facts(self, environment: Mapping[str, str]) -> Facts:
        """The facts of a decision; the same object until something changes. Stored values go before ``environment``."""
        if self._facts is None:
            settings = self._store.settings
            known = {**environment, **self._environment}
            self._facts = Facts(
                dict(self.task_defs),
                known,
                settings.payload_bytes_max,
                settings.variables_bytes_max,
                evaluator.shared(),
                Listeners(settings.workflow_listener_sink, settings.task_listener_sink),
                settings.partitions,
                self.polled,
            )
        return self._facts
