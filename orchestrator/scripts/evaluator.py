"""Scripts inside decisions: a few milliseconds each, and never a decider held up by one.

Python is run here, since every step of it is counted. JavaScript is run by a child process, because no limit reaches
into the loops of its C code: a child that has not answered shortly after its limit is killed, and a spare one takes
over. A script that needed more than its budget is not tried here again for a while. What is not answered becomes a task
(see ``core.scripting``).
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

import msgspec

from orchestrator.model.evaluation import Evaluation
from orchestrator.scripts import python
from orchestrator.scripts.children import START_S, Child
from orchestrator.scripts.limits import IN_DECISION, MemoryExceeded, ScriptFailed, TimeExceeded
from orchestrator.scripts.messages import Answer, Request, evaluation_of
from orchestrator.scripts.python_values import Meter

log = logging.getLogger(__name__)

PYTHON_STEPS_MAX = 3_000
"""What fits in 5 ms. Steps instead of time, so that a script always takes the same way."""

INPUT_BYTES_MAX = 256 * 1024
"""A larger input alone would take the time there is."""

HOLD_S = 0.025
"""After so long the child is killed: some loops of the engine heed no limit."""

STARVED_S = 0.2
"""So much longer it may take when it was not given the processor: a busy machine must not be taken for a bad script."""

KILLS_MAX = 4
CALM_S = 10.0
"""No script is tried while so many children had to be killed within so many seconds: a flood of bad scripts holds a
decider for a hundredth of its time, and a few cost others nothing."""

SLOW_S = 60.0
SLOW_MAX = 1_000


class Evaluator:
    """Answers scripts within the budget of a decision; ``core.facts.Scripts``. Safe for threads."""

    def __init__(self, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._spare: Child | None = None  # takes over at once when the child had to be killed
        self._kills: deque[float] = deque(maxlen=KILLS_MAX)  # when
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
            for child in (self._child, self._spare):
                if child is not None:
                    child.close()
            self._child = self._spare = None

    def _python(self, script: str, input: dict[str, Any]) -> Evaluation | None:
        try:
            return Evaluation(python.evaluate(script, input, Meter(PYTHON_STEPS_MAX, IN_DECISION.memory_bytes)))
        except ScriptFailed as error:
            return Evaluation(error=str(error))
        except (TimeExceeded, MemoryExceeded):
            return None

    def _javascript(self, script: str, input: dict[str, Any], now_ms: int, seed: str) -> Evaluation | None:
        now_s = self._now_s()
        is_flooded = len(self._kills) == KILLS_MAX and now_s - self._kills[0] < CALM_S
        if is_flooded or now_s < self._slow.get(hash(script), 0.0):
            return None
        text = msgspec.json.encode(input)
        child = self._ready_child() if len(text) <= INPUT_BYTES_MAX else None
        if child is None:
            return None
        answer = self._answer(child, Request("javascript", script, text.decode(), now_ms, seed, IN_DECISION))
        if answer.kind in ("value", "failed"):
            return evaluation_of(answer, IN_DECISION)
        if answer.kind in ("time", "memory"):
            self._note_slow(script)
        if not child.is_usable:
            self._replace(child, answer.kind)
        return None

    def _answer(self, child: Child, request: Request) -> Answer:
        begun = child.cpu_s
        child.send(request)
        answer, lateness = child.receive(HOLD_S), "time"
        if answer is None and begun is not None and (child.cpu_s or begun) - begun < HOLD_S / 2:
            answer, lateness = child.receive(STARVED_S), "starved"
        if answer is None:
            child.close()
            answer = Answer(lateness)
        return answer

    def _replace(self, child: Child, reason: str) -> None:
        log.warning("script_process_killed", extra={"pid": child.pid, "reason": reason})
        self._kills.append(self._now_s())
        self._promote()

    def _ready_child(self) -> Child | None:
        """The child, if it can be asked now. Only the very first one is waited for."""
        is_first = self._child is None
        if self._child is None or not self._child.is_usable:
            self._promote()
        assert self._child is not None
        return self._child if self._child.is_ready(START_S if is_first else 0) else None

    def _promote(self) -> None:
        """The spare process takes over, and another is started in its place."""
        spare = self._spare
        self._child = spare if spare is not None and spare.is_usable else _new_child()
        self._spare = _new_child()

    def _note_slow(self, script: str) -> None:
        self._slow[hash(script)] = self._now_s() + SLOW_S
        if len(self._slow) > SLOW_MAX:
            self._slow.popitem(last=False)


def _new_child() -> Child:
    return Child(IN_DECISION.memory_bytes, niceness=0)


@functools.cache
def shared() -> Evaluator:
    """The one evaluator of this process: its deciders need no more children than one of them."""
    return Evaluator()
