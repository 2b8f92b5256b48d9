"""Who is told of what a decider does, without having a say in it. Called by the decider; ``metrics`` has one that counts."""

from __future__ import annotations

from typing import Protocol

from orchestrator.core.draft import Draft


class Witness(Protocol):
    """Every method is called in the decider's thread between two round trips, so it must be quick and must not raise."""

    def committed(self, draft: Draft) -> None:
        """A decision was committed, and is about to become the state of its workflow."""

    def batched(self, events: int) -> None:
        """So many events of one partition were committed at once."""

    def fired(self, late_ms: int) -> None:
        """A timer became an event, so long after it was due."""

    def repaired(self, kind: str, count: int) -> None:
        """Something was mended that should never have been broken."""
