"""Seeds that once broke a rule, each with what they showed; they run before all others.

A seed tells its story only as long as the world draws the same numbers, so every entry names what went wrong as well:
when the world changes, look for another seed that shows the same with the fix taken out.
"""

from __future__ import annotations

from typing import NamedTuple


class Regression(NamedTuple):
    """A seed and what it found."""

    seed: int
    found: str


REGRESSIONS = (
    Regression(
        72,
        "S2: an event that arrived while its workflow was set aside, and was not parked yet, stood before the parked ones "
        "after unpark: a pause was decided before the start, and the workflow was quarantined for ever",
    ),
    Regression(118, "S2: as 72, with another caller's start under the same idempotency key"),
    Regression(
        593,
        "L4: terminate of a workflow whose start was parked could not be decided, so it was never answered: the decision "
        "had no start to begin with",
    ),
    Regression(
        671,
        "a decider that had lost its partition decided on a state older than the dispatch records it read with it; it must "
        "be refused, and nothing of it may be written",
    ),
    Regression(
        816,
        "S2: a decider held an event that unpark had just moved; it decided without the start, and set the sound workflow "
        "aside again although none of the events it blamed was in the inbox any more",
    ),
    Regression(
        420, "an operator died between saying that he removes a workflow and removing it; it had been set aside"
    ),
    Regression(690, "a worker releases an old and the present delivery of one task in the same settle"),
)
