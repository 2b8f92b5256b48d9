"""What a step may say about itself beyond its inputs, and the small values it says it with: ``Script`` and ``Cache``.

``StepOptions`` is filled by ``with_options`` and written on to the definition task that the next verb places. Pure
values: nothing here runs a script, reads a cache or knows how steps are named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from orchestrator.errors import DefinitionInvalid, InvalidRequest
from orchestrator.model.definitions import CacheConfig, StateChangeEvent, TaskDef, WorkflowTask, is_built_in
from orchestrator.model.wire_read import read_struct
from orchestrator.references import Reference, render
from orchestrator.task import RetryPolicy

Language = Literal["javascript", "graaljs", "python"]

_LANGUAGES = ("javascript", "graaljs", "python")


@dataclass(frozen=True)
class Script:
    """A text that is evaluated while the workflow runs, and what it may read: JavaScript (``$.name``) or an expression.

    With ``language="python"`` it is a Python expression in which each input is a name. ``input`` holds values,
    ``${...}`` texts or references. Raises ``InvalidRequest`` for another language or an empty text.
    Example: ``Script("$.sum > 100 ? 'big' : 'small'", {"sum": order.input.sum})``
    """

    text: str
    input: Mapping[str, Any] | None = None
    language: Language = "javascript"

    def __post_init__(self) -> None:
        if self.language not in _LANGUAGES:
            raise InvalidRequest(f"script language {self.language!r} is unknown: use one of {', '.join(_LANGUAGES)}")
        if not self.text.strip():
            raise InvalidRequest("a script cannot be empty")

    def parameters(self) -> dict[str, Any]:
        """Its inputs as a definition stores them."""
        return dict(render(dict(self.input or {}), "script"))


def script_of(given: Script | str) -> Script:
    """A plain text is JavaScript without inputs."""
    return Script(given) if isinstance(given, str) else given


@dataclass(frozen=True)
class Cache:
    """Reuse of an output: runs whose ``key`` renders alike within ``ttl_s`` seconds share it.

    Raises ``InvalidRequest`` unless ``ttl_s`` is a whole number from 1. Example: ``Cache(f"{order.input.sku}", 60)``
    """

    key: str | Reference
    ttl_s: int

    def __post_init__(self) -> None:
        if self.ttl_s < 1 or self.ttl_s != int(self.ttl_s):
            raise InvalidRequest(f"cache ttl_s={self.ttl_s} must be a whole number of seconds, from 1")

    def config(self) -> CacheConfig:
        """As a definition stores it."""
        return CacheConfig(key=str(self.key), ttl_in_second=int(self.ttl_s))


@dataclass(frozen=True)
class StepOptions:
    """Options of one step; ``None`` leaves what the verb itself says."""

    task_name: str | None = None
    optional: bool | None = None
    permissive: bool | None = None
    retry: RetryPolicy | int | None = None
    start_delay_s: int | None = None
    cache: Cache | None = None
    on_state_change: Mapping[str, Sequence[Mapping[str, Any]]] | None = None
    async_complete: bool | None = None
    task_definition: TaskDef | None = None
    description: str | None = None
    metadata: Mapping[str, Any] | None = None

    def on(self, node: WorkflowTask) -> WorkflowTask:
        """``node`` with these options. Raises ``InvalidRequest`` for two that contradict each other."""
        fields = {
            "name": self.task_name,
            "optional": self.optional,
            "permissive": self.permissive,
            "start_delay": self.start_delay_s,
            "cache_config": self.cache.config() if self.cache else None,
            "on_state_change": _state_changes(self.on_state_change),
            "async_complete": self.async_complete,
            "task_definition": self.task_definition,
            "description": self.description,
            "metadata": None if self.metadata is None else render(dict(self.metadata), "metadata"),
        }
        node = msgspec.structs.replace(node, **{name: value for name, value in fields.items() if value is not None})
        return self._retried(node)

    def _retried(self, node: WorkflowTask) -> WorkflowTask:
        """A number overrides how often; a policy also says when, which only an embedded definition can hold."""
        if self.retry is None:
            return node
        if not isinstance(self.retry, RetryPolicy):
            return msgspec.structs.replace(node, retry_count=self.retry)
        if self.task_definition is not None:
            raise InvalidRequest(f"step {node.task_reference_name}: give retry or task_definition, not both")
        definition = TaskDef(name=node.name, **self.retry.fields(f"step {node.task_reference_name}"))
        if is_built_in(node.type):
            definition.response_timeout_seconds = 0  # what the server does has no worker that could stop responding
        return msgspec.structs.replace(node, task_definition=definition)


def _state_changes(
    given: Mapping[str, Sequence[Mapping[str, Any]]] | None,
) -> dict[str, list[StateChangeEvent]] | None:
    if given is None:
        return None
    changes: dict[str, list[StateChangeEvent]] = {}
    for state, events in given.items():
        changes[state] = []
        for event in events:
            change, problems = read_struct(StateChangeEvent, render(dict(event), "on_state_change"))
            if problems:
                raise DefinitionInvalid(f"on_state_change {state}", problems)
            changes[state].append(change)
    return changes
