"""What a WAIT_FOR_WEBHOOK task waits for, as a text by which an event finds it without looking at any execution.

A *shape* is a version of a workflow and the JSONPaths that its task compares; a *mark* is a shape and the digest of the
values. Of each shape that open tasks have, an event's own values give the one mark that it matches. A path that leads
nowhere gives null, one with several places the list of them. Values are compared as JSON: 1 is 1.0, but not "1".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from orchestrator.core.jsonpath import compile_path

PATHS_MAX = 20
PATHS_CHARS_MAX = 4_000


def mark_of(version: int, matches: Any) -> str:
    """The mark of a task. Raises ``ValueError`` for what is no map of paths to values.

    Example: ``mark_of(1, {"$.type": "paid"})``
    """
    if not isinstance(matches, dict) or not matches:
        raise ValueError("matches must map JSONPaths of the event to the values they must have")
    paths = sorted(matches)
    text = json.dumps(paths)
    if len(paths) > PATHS_MAX or len(text) > PATHS_CHARS_MAX:
        raise ValueError(f"matches may have {PATHS_MAX} paths of {PATHS_CHARS_MAX:,} characters together")
    for path in paths:
        compile_path(path)
    return f"{version}\n{text}\n{_digest([matches[path] for path in paths])}"


def mark_in(shape: str, event: Any) -> str:
    """The mark of this shape that an event matches."""
    paths: Sequence[str] = json.loads(shape.partition("\n")[2])
    return f"{shape}\n{_digest([compile_path(path).read(event) for path in paths])}"


def _digest(values: list[Any]) -> str:
    text = json.dumps(_plain(values), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value
