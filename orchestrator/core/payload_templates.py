"""Texts and values with ``${...}`` that are filled in from one document: the payload of a message or of a delivery.

An expression's path is read from the document itself: ``${order.id}`` and ``${$.order.id}`` are the same, ``${$}`` is all
of it. What is not there is null. Called by the actions of event handlers and by what webhooks start.
"""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.core.expressions import compile_template

WHOLE = ("${$}", "${ $ }")


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
