"""Gates: how many executions of a workflow are in at once for one rate-limit key, exact over all partitions.

A gate is a slot of its own, named by a hash of the workflow's name and the key. One script lets executions in, in the
order in which they came, and hands on a place that becomes free. Who was let in stays on a list until it is noted that he
was told, so that no crash in between leaves a place that nobody uses. Called by the relay and by starts that may be refused.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from orchestrator.plan import Call
from orchestrator.store.keys import Keys

RESERVED_MS = 60_000
"""For so long a place is kept for a start that is on its way."""


class GateReply(NamedTuple):
    """``word``: GRANTED, HELD, WAITING, REJECTED, OK; ``untold``: who was let in and may not know; ``suspects``: who is in."""

    word: str
    inside: int
    waiting: int
    untold: list[tuple[str, int]]
    suspects: list[str]


def ask(keys: Keys, gate: str, workflow_id: str, run: int, limit: int, *, rejects: bool) -> Call:
    """Be let in, or wait for it; with ``rejects``, be refused instead of waiting."""
    return _call(keys, gate, "ask", workflow_id, run, limit, int(rejects))


def reserve(keys: Keys, gate: str, workflow_id: str, limit: int) -> Call:
    """Have a place kept for a start that is about to be sent, for a minute; GRANTED, REJECTED, or HELD: its id has one."""
    return _call(keys, gate, "reserve", workflow_id, -1, limit, RESERVED_MS)


def leave(keys: Keys, gate: str, workflow_id: str, run: int | None) -> Call:
    """Give the place back, or stop waiting; of a run that a newer one has followed nothing is left. None: any run."""
    return _call(keys, gate, "leave", workflow_id, "" if run is None else run, 0, "")


def told(keys: Keys, gate: str, workflow_id: str, run: int) -> Call:
    """Note that an execution has been told that it is in."""
    return _call(keys, gate, "told", workflow_id, run, 0, "")


def _call(keys: Keys, gate: str, *args: str | int) -> Call:
    names = (
        keys.gate_inside(gate),
        keys.gate_waiting(gate),
        keys.gate_runs(gate),
        keys.gate_untold(gate),
        keys.gate_reservations(gate),
        keys.gate_meta(gate),
    )
    return Call("gate", names, args, _reply, durable=True)


def _reply(raw: list[Any]) -> GateReply:
    word, inside, waiting, untold, suspects = raw
    pairs = [(untold[at].decode(), int(untold[at + 1])) for at in range(0, len(untold), 2)]
    return GateReply(word.decode(), inside, waiting, pairs, [wid.decode() for wid in suspects])
