"""``${workflow.secrets.NAME}`` in definitions and inputs: how it is spelled, and which names a definition spells out.

A reference stays as it is written in all that is stored. Only names that stand in a definition may be resolved, so that
nobody reads a secret by sending the text of a reference as data.
"""

from __future__ import annotations

import re

import msgspec

from orchestrator.model.definitions import TaskDef, WorkflowDef

REFERENCE = re.compile(r"(?<!\$)\$\{\s*workflow\.secrets\.(?P<name>[A-Za-z0-9_\-]+)(?P<path>[.\[][^{}]*?)?\s*\}")
_IN_BYTES = re.compile(REFERENCE.pattern.encode())
_MARK = b"workflow.secrets."


def names_in(packed: bytes) -> list[str]:
    """The secrets that packed or JSON text refers to, each once. Example: ``names_in(b"${workflow.secrets.KEY}")``"""
    if _MARK not in packed:
        return []
    return list(dict.fromkeys(match["name"].decode() for match in _IN_BYTES.finditer(packed)))


def names_of(definition: WorkflowDef | TaskDef) -> frozenset[str]:
    """The secrets that a definition spells out anywhere."""
    return frozenset(names_in(msgspec.json.encode(definition)))
