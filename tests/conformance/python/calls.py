"""What of the SDK was really called while the tests of this folder ran, put together over all processes that run them.

A method counts as driven when a call of it came back with a value; one that only raised does not. Whoever wants to know
what all tests together have driven waits until each of them is over. Written through the fixtures ``sdk`` and ``noted``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from tests.support.eventually import eventually

WAIT_S = 50.0


class Calls:
    """The calls of the tests of one version of the SDK, in a folder that all processes of a test run share."""

    def __init__(self, folder: Path, version: str) -> None:
        self._folder, self._version = folder, version

    def note(self, kind: str, name: str) -> None:
        """Note a method that ``returned`` or ``raised``, or a test that is ``over``."""
        with (self._folder / f"{self._version}-{os.getpid()}.calls").open("a") as file:
            file.write(f"{kind} {name}\n")

    def noted(self, kind: str) -> set[str]:
        """The names noted of this kind so far."""
        lines = [
            line for path in self._folder.glob(f"{self._version}-*.calls") for line in path.read_text().split("\n")
        ]
        return {name for found, _, name in (line.partition(" ") for line in lines) if found == kind}

    def wait_for(self, tests: Iterable[str]) -> None:
        """Until all these tests are over, wherever they run."""
        missing = set(tests)

        def are_over() -> None:
            assert missing - self.noted("over") == set()

        eventually(are_over, WAIT_S)
