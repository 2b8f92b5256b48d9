"""A message as a document: opened where it holds JSON inside texts, and read by the ``${...}`` of a handler.

An expression's path is read from the payload itself: ``${order.id}`` and ``${$.order.id}`` are the same, ``${$}`` is all
of it. What is not there is null. Pure; called by the processor and by the actions.
"""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.codec import DEPTH_MAX
from orchestrator.core.expressions import compile_template

WHOLE = ("${$}", "${ $ }")


def parsed(text: str | bytes) -> Any:
    """A message's text as a value: JSON if it is that, otherwise the text as it is."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return text if isinstance(text, str) else text.decode("utf-8", "replace")


def expanded(value: Any, depth: int = 0) -> Any:
    """The value with every text that holds a JSON object or list replaced by it. Example: ``expanded('{"a": 1}')``"""
    if depth > DEPTH_MAX:
        return value
    if isinstance(value, str):
        opened = parsed(value) if value.lstrip()[:1] in ("{", "[") else value
        return value if isinstance(opened, str) else expanded(opened, depth + 1)
    if isinstance(value, dict):
        return {key: expanded(member, depth + 1) for key, member in value.items()}
    if isinstance(value, list):
        return [expanded(member, depth + 1) for member in value]
    return value


def rendered(template: Any, payload: Any) -> Any:
    """A part of an action with every expression replaced. Raises ``ValueError`` when it nests too deep.

    Example: ``rendered({"id": "${order.id}"}, {"order": {"id": 7}}) == {"id": 7}``
    """
    if template in WHOLE:
        return payload
    if isinstance(template, dict):
        return {key: rendered(member, payload) for key, member in template.items()}
    if isinstance(template, list):
        return [rendered(member, payload) for member in template]
    return compile_template(template).render(_PayloadScope(payload))


def text_of(template: str | None, payload: Any) -> str | None:
    """A text with its expressions replaced; a number is its digits, null and an empty text are None."""
    value = rendered(template, payload)
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


class _PayloadScope:
    """The payload as the one document that there is."""

    __slots__ = ("_payload",)

    def __init__(self, payload: Any) -> None:
        self._payload = payload if isinstance(payload, dict) else {}

    def field(self, root: str, name: str) -> Any:
        found = self._payload.get(root)
        return found.get(name) if isinstance(found, dict) else None

    def document(self, root: str) -> Any:
        return self._payload.get(root)

    def constant(self, name: str) -> str | None:
        return None

    def env(self, name: str) -> str | None:
        return None
