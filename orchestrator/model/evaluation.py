"""The answer to a user's script: a value, or why there is none. What the heart and the room of scripts say to each other."""

from __future__ import annotations

from typing import Any, NamedTuple


class Evaluation(NamedTuple):
    """How a script ended. Example: ``Evaluation(3)``, ``Evaluation(error="ReferenceError: x is not defined")``.

    ``error`` says why there is no value. ``timed_out``: it was stopped at its time limit, so that another attempt may do
    better; any other error would only come again.
    """

    value: Any = None
    error: str | None = None
    timed_out: bool = False
