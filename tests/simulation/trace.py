"""The story of a seed as text: one line per step to be read, and a fingerprint that tells whether two runs were the same.

Stream ids carry the machine's clock: printed they get names in the order of their appearance, the fingerprint leaves
them out, because ids of two streams may or may not be alike in another run.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from orchestrator.plan import Call, Command
from tests.simulation.disk import keys_of, name_of
from tests.simulation.faults import Fault

_EVENT_ID = re.compile(r"\b\d{13}-\d+\b")
_NAMESPACE = re.compile(r"\bw\d+(?=[:.]|-events)")
WIDTH = 230


class Trace:
    """Prints lines, or only reads them for the ``digest``."""

    def __init__(self, *, prints: bool = False, reads: bool = False) -> None:
        self._prints = prints
        self._reads = reads or prints
        self._began: int | None = None
        self._ids: dict[str, str] = {}
        self._digest = hashlib.sha256()

    def step(self, now_ms: int, actor: str, step: Call | Command, reply: Any) -> None:
        """A step ran."""
        if not self._reads:
            return
        if name_of(step) == "XPENDING":  # for how long somebody has had an entry is told by the machine's clock too
            reply = [[entry_id, times] for entry_id, _, _, times in reply or ()]
        words = step.args if isinstance(step, Call) else step.words[2:]
        slot = keys_of(step)[0].split("}:")[0]
        head = f"{actor:14} {name_of(step):12} {slot.split('.')[-1]:9}"
        said, answered = (_NAMESPACE.sub("w", _text(value)) for value in (words, reply))
        self._add(now_ms, _EVENT_ID.sub("e", f"{head} {said} -> {answered}"))
        if self._prints:
            self._print(now_ms, f"{head} {self._named(slot, said)} -> {self._named(slot, answered)}")

    def fault(self, now_ms: int, actor: str, fault: Fault, step: Call | Command) -> None:
        """Something went wrong."""
        line = f"{actor:14} *** {fault} at {name_of(step)}"
        self._add(now_ms, line)
        if self._prints:
            self._print(now_ms, line)

    def digest(self) -> str:
        """A fingerprint of the story so far."""
        return self._digest.hexdigest()[:16]

    def _add(self, now_ms: int, line: str) -> None:
        self._digest.update(f"{now_ms} {line}\n".encode())

    def _print(self, now_ms: int, line: str) -> None:
        if self._began is None:
            self._began = now_ms
        print(f"{now_ms - self._began:>7} {line}")

    def _named(self, slot: str, text: str) -> str:
        text = _EVENT_ID.sub(lambda match: self._ids.setdefault(f"{slot} {match[0]}", f"e{len(self._ids)}"), text)
        return text if len(text) <= WIDTH else text[:WIDTH] + "..."


def _text(value: Any) -> str:
    return " ".join(map(_word, value)) if isinstance(value, list | tuple) else repr(value)


def _word(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace") if value.isascii() and len(value) < 60 else f"<{len(value)} b>"
    if isinstance(value, list | tuple):
        return f"[{' '.join(map(_word, value))}]"
    return str(value)
