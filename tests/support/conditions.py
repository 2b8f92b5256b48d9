"""Scripts for tests of the pure core: a condition is looked up by its text and told by a Python function of its input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.model.evaluation import Evaluation

Script = Callable[[dict[str, Any]], Any]


class Conditions:
    """Answers scripts from a table; what is not in it is left to a script task. ``asked`` are the inputs, in order."""

    def __init__(self, table: dict[str, Script] | None = None) -> None:
        self.table = table or {}
        self.asked: list[dict[str, Any]] = []

    def evaluate(
        self, language: str, script: str, input: dict[str, Any], *, now_ms: int, seed: str
    ) -> Evaluation | None:
        """The answer of the function for this script."""
        self.asked.append(input)
        function = self.table.get(script) or _counting(script)
        return Evaluation(function(input)) if function is not None else None


def _counting(script: str) -> Script | None:
    """``$.loop.iteration < 3`` means what it says."""
    name, _, rest = script.removeprefix("$.").partition(".iteration < ")
    if not rest.isdigit():
        return None
    return lambda given: given[name]["iteration"] < int(rest)
