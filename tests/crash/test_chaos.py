"""Kills under load, small enough for every build: at least 30 in about a minute and a half, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.crash.run import Chaos, run
from tests.summary import FIGURES

WORKFLOWS = 200
KILLS_MIN = 30
SEED = 20_261


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_nothing_is_lost_or_done_twice_and_limits_hold_while_processes_are_killed(
    record_property: Callable[[str, object], None],
) -> None:
    chaos = Chaos(SEED, workflows=WORKFLOWS, timeout_s=180, ships=5, ships_at_once=3)
    finding = run(chaos)
    lines = [f"  {name:40} {value}" for name, value in finding.figures.items()]
    record_property(FIGURES, "\n".join([chaos.command, *lines]))
    assert finding.violations == []
    assert finding.figures["workflows"] >= WORKFLOWS
    assert finding.figures["kills"] >= KILLS_MIN
