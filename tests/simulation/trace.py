"""The story of a seed as text: one line per step, with the same words in every run of the seed."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from orchestrator.plan import Call, Command
from tests.simulation.disk import name_of
from tests.simulation.faults import Fault

_EVENT_ID = re.compile(r"\b\d{13}-\d+\b")
_NAMESPACE = re.compile(r"\bw\d+(?=[:.])")
WIDTH = 230


class Trace:
    """Prints lines, or only reads them; ``digest`` tells whether two runs were the same."""

    def __init__(self, *, prints: bool = False, reads: bool = False) -> None:
        self._prints = prints
        self._reads = reads or prints
        self._began: int | None = None
        self._ids: dict[str, str] = {}
        self._digest = hashlib.sha256()

    def step(self, now_ms: int, actor: str, step: Call | Command, reply: Any) -> None:
        """A step ran."""
        if self._reads:
            words = step.args if isinstance(step, Call) else step.words[2:]
            place = (step.keys[0] if isinstance(step, Call) else str(step.words[1])).split("}:")[0].split(".")[-1]
            self._line(now_ms, f"{actor:14} {name_of(step):12} {place:9} {_short(words)} -> {_short(reply)}")

    def fault(self, now_ms: int, actor: str, fault: Fault, step: Call | Command) -> None:
        """Something went wrong."""
        if self._reads:
            self._line(now_ms, f"{actor:14} *** {fault} at {name_of(step)}")

    def digest(self) -> str:
        """A fingerprint of all lines so far."""
        return self._digest.hexdigest()[:16]

    def _line(self, now_ms: int, text: str) -> None:
        if self._began is None:
            self._began = now_ms
        # Stream ids carry the machine's clock: the order of their appearance is what two runs have in common.
        text = _EVENT_ID.sub(lambda match: self._ids.setdefault(match[0], f"e{len(self._ids)}"), text)
        text = _NAMESPACE.sub("w", text)
        line = f"{now_ms - self._began:>7} {text}"
        self._digest.update(line.encode())
        if self._prints:
            print(line)


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, list | tuple) else " ".join(map(_word, value))
    return text if len(text) <= WIDTH else text[:WIDTH] + "..."


def _word(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace") if value.isascii() and len(value) < 60 else f"<{len(value)} b>"
    if isinstance(value, list | tuple):
        return f"[{' '.join(map(_word, value))}]"
    return str(value)
