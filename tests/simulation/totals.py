"""What a run of many seeds adds up to."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, fields

from tests.simulation.faults import Fault

TOTALS = "simulation totals"
"""The name under which tests hand their counts to whoever sums up."""


@dataclass
class Totals:
    """Counts over seeds; two of them add up."""

    seeds: int = 0
    workflows: int = 0
    outcomes: int = 0
    events: int = 0
    timers: int = 0
    re_executions: int = 0
    takeovers: int = 0
    quarantines: int = 0
    dead_letters: int = 0
    virtual_ms: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, other: Totals) -> None:
        """Take in the counts of other seeds."""
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            else:
                setattr(self, item.name, mine + theirs)

    def to_json(self) -> str:
        """The counts as text that another process can add up."""
        flat = {**vars(self), "faults": {"\n".join(place): count for place, count in self.faults.items()}}
        return json.dumps(flat)

    @classmethod
    def from_json(cls, text: str) -> Totals:
        """The counts of ``to_json``."""
        flat = json.loads(text)
        faults = {(script, kind): n for (script, kind), n in ((k.split("\n"), n) for k, n in flat["faults"].items())}
        return cls(
            **{
                **flat,
                "calls": Counter(flat["calls"]),
                "verdicts": Counter(flat["verdicts"]),
                "faults": Counter(faults),
            }
        )

    def hits(self, script: str) -> int:
        """How often an actor was killed, or its reply lost, at this script."""
        kinds = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.LOST)
        return sum(self.faults[script, str(kind)] for kind in kinds)

    def text(self) -> str:
        """The counts as a short report."""
        kinds = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.LOST, Fault.LATE, Fault.DUPLICATE, Fault.STALL)
        sums = {kind: sum(n for (_, name), n in self.faults.items() if name == str(kind)) for kind in kinds}
        lines = [
            f"{self.seeds} seeds, {self.workflows} workflows, {sum(self.calls.values())} calls, "
            f"{self.virtual_ms // 1000} s of virtual time",
            f"{self.outcomes} outcomes accepted, {self.events} events, {self.timers} timers, "
            f"{self.re_executions} re-executions, {self.takeovers} forced take-overs, "
            f"{self.quarantines} quarantines, {self.dead_letters} dead letters",
            f"commit verdicts: {', '.join(f'{name} {count}' for name, count in sorted(self.verdicts.items()))}",
            f"faults: {', '.join(f'{kind} {count}' for kind, count in sums.items())}",
            f"{'script':20}{'calls':>8}" + "".join(f"{kind!s:>14}" for kind in kinds),
        ]
        for script, calls in sorted(self.calls.items()):
            counts = "".join(f"{self.faults[script, str(kind)]:>14}" for kind in kinds)
            lines.append(f"{script:20}{calls:>8}{counts}")
        return "\n".join(lines)
