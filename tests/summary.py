"""What a test run says at its end besides its own summary, over all processes that took part: what seeds add up to, what
runs with kills came to. A plugin of tests/conftest.py, because only that one is loaded by the process that prints.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulation.totals import TOTALS, Totals

FIGURES = "figures"
"""Name of the property with the lines that a test wants to be printed."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the totals of all seeds that were run, and what tests have noted."""
    totals = Totals()
    for text in _noted(terminalreporter, TOTALS):
        totals.add(Totals.from_json(text))
    if totals.seeds:
        terminalreporter.section("simulation")
        terminalreporter.write_line(totals.text())
    figures = list(_noted(terminalreporter, FIGURES))
    if figures:
        terminalreporter.section("kills")
        for text in figures:
            terminalreporter.write_line(text)


def _noted(terminalreporter: pytest.TerminalReporter, wanted: str) -> Iterator[str]:
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in getattr(report, "user_properties", ()):
                if name == wanted and report.when == "call":
                    yield str(value)
