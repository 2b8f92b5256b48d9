"""The summary of a test run of the simulation: what its seeds add up to, over all processes that ran them."""

from __future__ import annotations

import pytest

from tests.simulation.totals import TOTALS, Totals


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the totals of all seeds that were run."""
    totals = Totals()
    for report in terminalreporter.getreports("passed"):
        for name, value in getattr(report, "user_properties", ()):
            if name == TOTALS and report.when == "call":
                totals.add(Totals.from_json(str(value)))
    if totals.seeds:
        terminalreporter.section("simulation")
        terminalreporter.write_line(totals.text())
