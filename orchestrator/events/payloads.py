"""A message as a document: its text as a value, opened where it holds JSON inside texts.

Pure; called by the processor and by what reads messages.
"""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.codec import DEPTH_MAX


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
