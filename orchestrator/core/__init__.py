"""The pure heart: what a workflow becomes when something happens to it. No clock, no randomness, no I/O, no logging."""

from __future__ import annotations

from importlib.util import find_spec


def form() -> str:
    """In which form it is installed: ``compiled`` (a wheel built with mypyc, docs/decisions/0036) or ``interpreted``."""
    spec = find_spec("orchestrator.core.decide")
    return "interpreted" if spec is None or str(spec.origin).endswith(".py") else "compiled"
