"""JQ, by libjq: a filter over a JSON document that yields any number of results.

Runs in the process that calls it, so only a child calls it: libjq shows the environment of its process, knows no limit
of time or memory, and ends the process when memory runs out.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any

import msgspec

from orchestrator.errors import MissingExtra
from orchestrator.scripts.limits import ScriptFailed
from orchestrator.scripts.messages import INT_MAX, INT_MIN


def evaluate(query: str, input_text: str) -> list[Any]:
    """All results, in order. Raises ``ScriptFailed`` or ``MissingExtra``. Example: ``evaluate(".a", '{"a": 1}')``."""
    program = _compiled(query)
    try:
        return [_plain(value) for value in program.input_text(input_text)]
    except ValueError as error:
        raise ScriptFailed(_message(error)) from None


def check_syntax(query: str) -> str | None:
    """What is wrong with the query's syntax; None = nothing. Raises ``MissingExtra``."""
    try:
        _compiled(query)
    except ScriptFailed as error:
        return str(error)
    return None


@lru_cache(maxsize=256)
def _compiled(query: str) -> Any:
    try:
        engine: Any = import_module("jq")
    except ImportError:
        raise MissingExtra("JSON_JQ_TRANSFORM", "jq") from None
    try:
        return engine.compile(query)
    except ValueError as error:
        raise ScriptFailed(_message(error)) from None


def _message(error: ValueError) -> str:
    text = str(error)
    # The engine's word for "there is no further input".
    return "jq: error: No more inputs" if text == "break" else text


def _plain(value: Any) -> Any:
    """A result with Conductor's numbers: a whole one is int or long, all others are double."""
    if isinstance(value, float) and value.is_integer() and INT_MIN <= value <= INT_MAX:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and not INT_MIN <= value <= INT_MAX:
        return float(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def encode(results: list[Any]) -> str:
    """The results as one JSON text."""
    return msgspec.json.encode(results).decode()
