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
        645,
        "S2: a decider held an event that unpark had just moved; it was committed without looking whether it was there, and "
        "its moved copy decided again",
    ),
    Regression(
        642,
        "L1: a worker over HTTP that reported on an ended task of a workflow whose record was damaged got an internal error "
        "instead of being told so",
    ),
    Regression(
        11,
        "S2: an event that came in while its workflow was set aside, and was not parked yet, stood before the parked ones "
        "after unpark: an operation was decided before the start, and the workflow was set aside again and again",
    ),
    Regression(44, "S2: as 11, with another workflow"),
    Regression(
        327,
        "S2: terminate of a workflow whose start was parked could not be decided, so it was parked and never answered: the "
        "decision had no start to begin with",
    ),
    Regression(510, "S2: as 327, with another workflow"),
    Regression(
        816,
        "S2: a decider held an event that unpark had just moved; it decided without the start, and set the sound workflow "
        "aside although none of the events it blamed was in the inbox any more",
    ),
    Regression(
        894,
        "S2, and the rule was wrong: more than ten events came back to the inbox within one millisecond, and the rule put "
        "their ids in order as text, where 10 stands before 2",
    ),
)
