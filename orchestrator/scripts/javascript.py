"""JavaScript, by QuickJS: the script's last expression is its value, ``$`` a deep copy of its input.

Runs in the process that calls it, so only a child calls it: loops inside the engine's own C functions (a search in a
huge text, for one) heed no time limit, and only killing the process ends them. Every script gets a context of its own,
so none can leave anything behind for the next.
"""

from __future__ import annotations

import hashlib
import re
import struct
from importlib import import_module
from importlib.resources import files
from typing import Any

from orchestrator.errors import MissingExtra
from orchestrator.scripts.limits import FULL, Limits, MemoryExceeded, ScriptFailed, TimeExceeded


def _source(name: str) -> str:
    """One of this room's own scripts, without its comments: each context compiles it anew."""
    lines = files(__package__).joinpath(name).read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("//"))


SANDBOX = _source("sandbox.js")
CLOCK = _source("clock.js")
STACK_BYTES_MAX = 256 * 1024


class Realm:
    """One fresh JavaScript world, good for one script. Raises ``MissingExtra`` without the engine."""

    def __init__(self) -> None:
        engine = _engine()
        self._failure: type[Exception] = engine.JSException
        self._context = engine.Context()
        self._context.set_max_stack_size(STACK_BYTES_MAX)
        self._run = self._context.eval(SANDBOX)(CLOCK)

    def evaluate(self, script: str, input_text: str, now_ms: int, seed: str, limits: Limits) -> str:
        """The value as JSON text. Raises ``ScriptFailed``, ``TimeExceeded`` or ``MemoryExceeded``."""
        self._context.set_memory_limit(limits.memory_bytes)
        self._context.set_time_limit(limits.time_s)
        seeds = struct.unpack("<4I", hashlib.sha256(seed.encode()).digest()[:16])
        try:
            answer: str = self._run(script, input_text, float(now_ms), *map(float, seeds))
        except self._failure as error:
            message = str(error)
            if message.startswith("InternalError: interrupted"):
                raise TimeExceeded from None
            if message.startswith(("null", "InternalError: out of memory")):
                raise MemoryExceeded from None
            raise ScriptFailed(_described(message.partition("\n")[0], 0)) from None
        if answer[0] != "!":
            return answer
        line, _, message = answer[1:].partition(" ")
        if message in ("null", "InternalError: out of memory"):  # there was no memory left to say so
            raise MemoryExceeded
        raise ScriptFailed(_described(message, int(line)))


def check_syntax(script: str) -> str | None:
    """What is wrong with the script's syntax, without running it; None = nothing. Raises ``MissingExtra``."""
    engine: Any = _engine()
    context = engine.Context()
    context.set_memory_limit(FULL.memory_bytes)
    context.set_max_stack_size(STACK_BYTES_MAX)
    try:
        context.eval(f"throw 'a program is read as a whole before it runs';\n{script}")
    except engine.JSException as error:
        message = str(error)
        if message.startswith("SyntaxError"):
            found = re.search(r":(\d+):\d+", message)
            return _described(message.partition("\n")[0], int(found.group(1)) - 1 if found else 0)
    return None


def _engine() -> Any:
    try:
        return import_module("quickjs")
    except ImportError:
        raise MissingExtra("JavaScript", "js") from None


def _described(message: str, line: int) -> str:
    """Conductor's words for a script that failed."""
    return f"Error evaluating the script `{message}`" + (f" at line {line}" if line > 0 else "")
