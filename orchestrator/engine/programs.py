"""Compiled definitions, found by content hash: thousands of executions of one definition share one program.

Definitions live in the partition that runs them (a decider never asks the catalog for a running workflow); the cache holds
the most recently used ones of all partitions.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from orchestrator.core.program import Program
from orchestrator.model.wire import workflow_def_from_dict

PROGRAMS_MAX = 500


class Programs:
    """A bounded cache of programs by definition hash."""

    def __init__(self, limit: int = PROGRAMS_MAX) -> None:
        self._programs: OrderedDict[str, Program] = OrderedDict()
        self._limit = limit

    def get(self, definition_hash: str) -> Program | None:
        """The program of a definition, if it is cached."""
        program = self._programs.get(definition_hash)
        if program is not None:
            self._programs.move_to_end(definition_hash)
        return program

    def compile(self, definition_hash: str, body: bytes) -> Program:
        """Compile the stored JSON of a definition and keep the result.

        Raises ``DefinitionInvalid`` when the stored text is not a definition any more.
        """
        program = Program(workflow_def_from_dict(msgspec.json.decode(body), check=None))
        self._programs[definition_hash] = program
        while len(self._programs) > self._limit:
            self._programs.popitem(last=False)
        return program
