"""Scripts inside decisions: a few milliseconds each, and never a decider held up by one.

Python is run here, since every step of it is counted. JavaScript is run by one child process, because no limit reaches
into the loops of its C code: a child that has not answered shortly after its limit is killed. A script that needed more
than its budget is not tried here again for a while. What is not answered becomes a task (see ``core.scripting``).
"""

from __future__ import annotations

import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

from orchestrator.model.evaluation import Evaluation
from orchestrator.scripts import python
from orchestrator.scripts.children import START_S, Child
from orchestrator.scripts.limits import IN_DECISION, MemoryExceeded, ScriptFailed, TimeExceeded
from orchestrator.scripts.messages import Request, evaluation_of
from orchestrator.scripts.python_values import Meter

PYTHON_STEPS_MAX = 3_000
"""What fits in 5 ms. Steps instead of time, so that a script always takes the same way."""

INPUT_BYTES_MAX = 256 * 1024
"""A larger input alone would take the time there is."""

HOLD_S = 0.05
"""After so long the child is killed. More than the limit: a busy machine must not be taken for a bad script."""

PAUSE_S = 1.0
"""For so long after a kill no script is tried: a decider is held up for a twentieth of its time at worst."""

SLOW_S = 60.0
SLOW_MAX = 1_000


class Evaluator:
    """Answers scripts within the budget of a decision; ``core.facts.Scripts``. Safe for threads."""

    def __init__(self, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._again_s = 0.0
        self._slow: OrderedDict[int, float] = OrderedDict()

    def evaluate(
        self, language: str, script: str, input: dict[str, Any], *, now_ms: int, seed: str
    ) -> Evaluation | None:
        """The answer if it came within the budget."""
        if language == "python":
            return self._python(script, input)
        if language == "javascript":
            with self._lock:
                return self._javascript(script, input, now_ms, seed)
        return None

    def close(self) -> None:
        """End the child."""
        with self._lock:
            if self._child is not None:
                self._child.close()
                self._child = None

    def _python(self, script: str, input: dict[str, Any]) -> Evaluation | None:
        try:
            return Evaluation(python.evaluate(script, input, Meter(PYTHON_STEPS_MAX, IN_DECISION.memory_bytes)))
        except ScriptFailed as error:
            return Evaluation(error=str(error))
        except (TimeExceeded, MemoryExceeded):
            return None

    def _javascript(self, script: str, input: dict[str, Any], now_ms: int, seed: str) -> Evaluation | None:
        now_s = self._now_s()
        if now_s < self._again_s or now_s < self._slow.get(hash(script), 0.0):
            return None
        text = msgspec.json.encode(input)
        child = self._ready_child() if len(text) <= INPUT_BYTES_MAX else None
        if child is None:
            return None
        answer = child.ask(Request("javascript", script, text.decode(), now_ms, seed, IN_DECISION), HOLD_S)
        if answer.kind in ("value", "failed"):
            return evaluation_of(answer, IN_DECISION)
        if answer.kind != "missing":
            self._note_slow(script)
        if not child.is_usable:
            self._again_s = self._now_s() + PAUSE_S
            self._child = Child(IN_DECISION.memory_bytes, niceness=0)  # it starts while nobody waits for it
        return None

    def _ready_child(self) -> Child | None:
        """The child, if it can be asked now. Only the very first one is waited for."""
        child = self._child
        is_first = child is None
        if child is None or not child.is_usable:
            child = self._child = Child(IN_DECISION.memory_bytes, niceness=0)
        return child if child.is_ready(START_S if is_first else 0) else None

    def _note_slow(self, script: str) -> None:
        self._slow[hash(script)] = self._now_s() + SLOW_S
        if len(self._slow) > SLOW_MAX:
            self._slow.popitem(last=False)


@functools.cache
def shared() -> Evaluator:
    """The one evaluator of this process: its deciders need no more than one child between them."""
    return Evaluator()
