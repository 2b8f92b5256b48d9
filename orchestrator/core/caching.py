"""``cacheConfig``: an output that an earlier run left under the same key stands in for running again.

A step's key is rendered over its own input, a workflow's over the input it was started with, and looked up together with
the name of the task or workflow. The engine supplies what the cache holds, like a record: a decision that asks for keys it
was not given ends as ``Need``, after it has gone on as if there were nothing, so that all keys of a fork are asked for at
once. The cache is advice: an entry that is lost, or not looked up any more, costs one run and nothing else.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from orchestrator.core.expressions import Template
from orchestrator.core.scope import DraftScope
from orchestrator.model.effects import Remember
from orchestrator.model.records import decode_cached
from orchestrator.payloads import path_in

if TYPE_CHECKING:
    from orchestrator.core.draft import Draft
    from orchestrator.core.program import Node
    from orchestrator.model.definitions import CacheConfig, WorkflowDef

HIT = "cache"
"""As the worker of a task: nobody ran it, its output was there."""

LOOKUPS_MAX = 40
"""A decision that was given so many entries looks up no more: a long chain of hits must not ask for ever."""

TTL_S_MAX = 366 * 24 * 3600


class InputScope(DraftScope):
    """A scope in which the keys of an input are roots of their own: ``${sku}`` beside ``${workflow.input.sku}``."""

    __slots__ = ("given",)

    def __init__(self, draft: Draft, given: dict[str, Any]) -> None:
        super().__init__(draft, None)
        self.given = given

    def field(self, root: str, name: str) -> Any:
        """One field of a value of the input, else of the workflow or of a task."""
        if root not in self.given:
            return super().field(root, name)
        value = self.given[root]
        return value.get(name) if isinstance(value, dict) else None

    def document(self, root: str) -> Any:
        """A value of the input, else all of the workflow or of a task."""
        return self.given[root] if root in self.given else super().document(root)

    def constant(self, name: str) -> str | None:
        """Nothing but the input may change what a key says."""
        return None


class StartScope:
    """What the key of a whole workflow may read: what it was started with, and nothing that changes while it runs."""

    __slots__ = ("fields", "given")

    def __init__(self, given: Any, definition: WorkflowDef, correlation_id: str | None) -> None:
        self.given = given if isinstance(given, dict) else {}
        self.fields = {
            "input": self.given,
            "workflowType": definition.name,
            "version": definition.version,
            "correlationId": correlation_id,
        }

    def field(self, root: str, name: str) -> Any:
        """A field of the workflow, or of a value of the input."""
        if root == "workflow":
            return self.fields.get(name)
        value = self.given.get(root)
        return value.get(name) if isinstance(value, dict) else None

    def document(self, root: str) -> Any:
        """The workflow, or a value of the input."""
        return self.fields if root == "workflow" else self.given.get(root)

    def constant(self, name: str) -> str | None:
        """There are none."""
        return None

    def env(self, name: str) -> str | None:
        """Values of the environment may change meanwhile."""
        return None


def key_of(d: Draft, node: Node, given: Any) -> str:
    """The cache key of a step with this input; empty when there is none or it comes out empty."""
    if node.cache is None:
        return ""
    value = node.cache.render(InputScope(d, given if isinstance(given, dict) else {}))
    return _digest("task", node.task.name, value)


def workflow_key(d: Draft) -> str:
    """The cache key of the whole workflow; empty when there is none."""
    template: Template | None = d.program.cache
    if template is None:
        return ""
    scope = StartScope(d.state.input, d.program.definition, d.state.meta.correlation_id)
    return _digest("workflow", d.state.meta.name, template.render(scope))


def held(d: Draft, key: str) -> bytes | None:
    """The packed output that the cache holds under a key; None also for one that is yet to be looked up."""
    if not key:
        return None
    if key not in d.cached and len(d.cached) < LOOKUPS_MAX:
        d.cache_keys[key] = None
    return _fresh(d.cached.get(key), d.now)


def remember(d: Draft, key: str, config: CacheConfig | None, output: bytes) -> None:
    """Leave an output to later runs; not one that is kept elsewhere, which is removed with its workflow."""
    if key and config is not None and config.ttl_in_second > 0 and path_in(output) is None:
        ttl_ms = min(config.ttl_in_second, TTL_S_MAX) * 1000
        d.handoffs.append(Remember(key, ttl_ms, d.now + ttl_ms, output))


def _fresh(entry: bytes | None, now_ms: int) -> bytes | None:
    """The output of an entry whose time is not over; the store forgets it too, but by another clock."""
    if entry is None:
        return None
    try:
        expires_ms, output = decode_cached(entry)
    except (msgspec.MsgspecError, ValueError):
        return None
    return bytes(output) if expires_ms > now_ms else None


def _digest(kind: str, name: str, value: Any) -> str:
    if value is None or value == "":
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()
    return hashlib.sha256(f"{kind}\n{name}\n{text}".encode()).hexdigest()[:32]
