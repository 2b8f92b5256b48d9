"""S23, the rules of gates: never are more let in at once than the limit, and when all is over nobody holds a place.

Both by what the commits of all partitions say and by what the gate holds. Executions that were removed by force may keep
theirs until somebody else waits for it.
"""

from __future__ import annotations

from typing import Any

from orchestrator.model.records import Core
from orchestrator.plan import Call, Command
from tests.simulation.disk import Disk
from tests.simulation.ledger import ENDED, Ledger, Run, Violation

GATE = Core.__struct_fields__.index("gate")  # where a Core record has [name, key, is_waiting], or nothing


class GateRules:
    """Judges who is in."""

    def __init__(self, ledger: Ledger, limit: int) -> None:
        self._ledger = ledger
        self._limit = limit

    def committed(self, run: Run, core: list[Any], status: str) -> None:
        """A commit of this execution was accepted: it may have begun, or ended."""
        gate = core[GATE] if len(core) > GATE else None
        run.gate = gate[0] if gate is not None and not gate[2] and status not in ENDED else ""
        if not run.gate:
            return
        inside = [one.workflow_id for one in self._ledger.runs.values() if one.gate == run.gate and not one.is_removed]
        if len(inside) > self._limit:
            raise Violation(f"S23: {inside} are in at once, the limit is {self._limit}")

    def judge(self, step: Call | Command, count: int) -> None:
        """A word reached a gate, and so many hold a place there after it."""
        if isinstance(step, Call) and step.args[0] in ("ask", "leave"):
            self._ledger.delivered.add(("g" if step.args[0] == "ask" else "l", str(step.args[1])))
        if count > self._limit:
            raise Violation(f"S23: a gate let {count} in, its limit is {self._limit}")

    def at_rest(self, disk: Disk, names: list[bytes]) -> None:
        """Everything has ended: nobody waits, and a place is held only by whom the next word to the gate makes leave.

        Those were removed by force, or let in by a word that was on its way for long and are still to be told.
        """
        for name in (text.decode() for text in names if b".g:" in text):
            if name.endswith(("}:wait", "}:res")):
                raise Violation(f"S23: {name} is left of a gate")
            if name.endswith("}:in"):
                untold = f"{name.removesuffix('in')}new"
                inside, late = disk.ask([("ZRANGE", name, 0, -1), ("SMEMBERS", untold)])
                left = {wid.decode() for wid in inside} - {wid.decode() for wid in late} - self._ledger.removals
                if left:
                    raise Violation(f"S23: {left} still hold a place at {name}")
